"""The memory-augmented video transformer of Lyra 2.0 as a diffusers model, under the names of the released weights.

Wan 2.1 (image to video, 14 B) with packed history, ray and correspondence tokens that enter queries and keys of
self-attention only. Source: nv-tlabs/lyra, networks/wan2pt1_lyra2.py, as described publicly; written anew.

Shapes: B batch, C channels, T latents of the window (history, then new), H W rows and columns of a latent, L tokens,
D model dimension, N heads, K head dimension, M context tokens.
"""

import math
from contextlib import nullcontext
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders.peft import PeftAdapterMixin
from diffusers.models.attention import AttentionMixin, AttentionModuleMixin
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.normalization import FP32LayerNorm
from torch import Tensor, nn

from lyra_sim.memory.packing import RELEASED, Packing
from lyra_sim.worldgen.lyra2.tokens import buffer_tokens, camera_tokens, patches, rotary_angles, runs_of, unpatch

PATCH = (1, 2, 2)
_CHUNK = 4096
"""Correspondence tokens whose sines exist at one time: each has 20,480 of them in the release."""


def rotate(x_BLNK: Tensor, cos_LK: Tensor, sin_LK: Tensor) -> Tensor:
    """Rotary embedding of neighbouring pairs, in float32."""
    even, odd = x_BLNK.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos_LK[:, None], sin_LK[:, None]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).type_as(x_BLNK)


class _Attend:
    """What diffusers' dispatcher is switched by (`set_attention_backend`)."""

    _attention_backend = None
    _parallel_config = None

    def __call__(self, attention: "_Attention", q_BLD: Tensor, k_BMD: Tensor, v_BMD: Tensor) -> Tensor:
        q, k, v = (x.unflatten(-1, (attention.num_heads, -1)) for x in (q_BLD, k_BMD, v_BMD))
        return dispatch_attention_fn(q, k, v, backend=self._attention_backend).flatten(2)


class _Attention(nn.Module, AttentionModuleMixin):
    _default_processor_cls = _Attend
    _available_processors = [_Attend]  # noqa: RUF012

    def __init__(self, dim: int, num_heads: int, eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q, self.norm_k = nn.RMSNorm(dim, eps), nn.RMSNorm(dim, eps)
        self.processor: Any = _Attend()  # pyright: ignore[reportIncompatibleVariableOverride]


class SelfAttention(_Attention):
    """Full attention over the window; `place_BLD` (rays, correspondences) tells queries and keys where they are."""

    def forward(self, x_BLD: Tensor, place_BLD: Tensor, cos_LK: Tensor, sin_LK: Tensor) -> Tensor:
        placed = x_BLD + place_BLD
        q, k = self.norm_q(self.q(placed)), self.norm_k(self.k(placed))
        q, k = (rotate(h.unflatten(-1, (self.num_heads, -1)), cos_LK, sin_LK).flatten(2) for h in (q, k))
        return self.o(self.processor(self, q, k, self.v(x_BLD)))


class CrossAttention(_Attention):
    """Attention to the text and, with keys and values of its own, to the image tokens; the two are added."""

    def __init__(self, dim: int, num_heads: int, eps: float) -> None:
        super().__init__(dim, num_heads, eps)
        self.k_img, self.v_img = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.norm_k_img = nn.RMSNorm(dim, eps)

    def forward(self, x_BLD: Tensor, text_BMD: Tensor, image_BMD: Tensor) -> Tensor:
        q = self.norm_q(self.q(x_BLD))
        out = self.processor(self, q, self.norm_k(self.k(text_BMD)), self.v(text_BMD))
        return self.o(out + self.processor(self, q, self.norm_k_img(self.k_img(image_BMD)), self.v_img(image_BMD)))


class BufferEncoder(nn.Sequential):
    """Sines and cosines of correspondence tokens, squeezed to few channels and widened to the model's."""

    def __init__(self, channels: int, octaves: int, squeeze: int, dim: int) -> None:
        super().__init__(nn.Linear(2 * octaves * channels, squeeze, bias=False), nn.Linear(squeeze, dim, bias=False))
        self.octaves = octaves

    def forward(self, v_BLC: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self[1](torch.cat([self[0](self.waves(piece)) for piece in v_BLC.split(_CHUNK, 1)], 1))

    def waves(self, v_BLC: Tensor) -> Tensor:
        """[sin(pi v) | cos(pi v) | sin(2 pi v) | cos(2 pi v) | ...]; each octave from the one before."""
        sin, cos = torch.sin(math.pi * v_BLC.float()), torch.cos(math.pi * v_BLC.float())
        out = [sin, cos]
        for _ in range(self.octaves - 1):
            sin, cos = 2 * sin * cos, 1 - 2 * sin * sin
            out += [sin, cos]
        return torch.cat(out, -1).to(v_BLC.dtype)


class LyraBlock(nn.Module):
    """Self-attention, cross-attention and feed-forward, modulated by the time."""

    def __init__(self, config: dict[str, Any], camera_dim: int) -> None:
        super().__init__()
        dim, heads, eps = config["dim"], config["num_heads"], config["eps"]
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)
        self.norm1 = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.self_attn = SelfAttention(dim, heads, eps)
        self.norm3 = FP32LayerNorm(dim, eps)
        self.cross_attn = CrossAttention(dim, heads, eps)
        self.norm2 = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.ffn = nn.Sequential(nn.Linear(dim, config["ffn_dim"]), nn.GELU("tanh"), nn.Linear(config["ffn_dim"], dim))
        self.cam_encoder = nn.Linear(camera_dim, dim, bias=False)
        self.buffer_encoder = BufferEncoder(
            4 * config["buffer_in_dim"], config["buffer_sincos_multires"], config["buffer_mlp_squeeze_dim"], dim
        )
        for weight in (self.cam_encoder.weight, *self.buffer_encoder.parameters()):
            nn.init.trunc_normal_(weight, std=dim**-0.5, a=-3 * dim**-0.5, b=3 * dim**-0.5)

    def forward(
        self,
        x_BLD: Tensor,
        e_B6D: Tensor,
        camera_BLC: Tensor,
        buffer_BLC: Tensor,
        said_BL1: Tensor,
        cos_LK: Tensor,
        sin_LK: Tensor,
        text_BMD: Tensor,
        image_BMD: Tensor,
    ) -> Tensor:
        e = (self.modulation.float() + e_B6D).unsqueeze(2).unbind(1)
        place = self.cam_encoder(camera_BLC) + self.buffer_encoder(buffer_BLC) * said_BL1
        y = self.self_attn(_scaled(self.norm1(x_BLD), e[1], e[0]), place, cos_LK, sin_LK)
        x_BLD = _added(x_BLD, y, e[2])
        x_BLD = x_BLD + self.cross_attn(self.norm3(x_BLD), text_BMD, image_BMD)
        return _added(x_BLD, self.ffn(_scaled(self.norm2(x_BLD), e[4], e[3])), e[5])


def _scaled(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return (x.float() * (1 + scale) + shift).type_as(x)


def _added(x: Tensor, y: Tensor, gate: Tensor) -> Tensor:
    return (x.float() + y.float() * gate).type_as(x)


class Head(nn.Module):
    """From tokens of new latents to the velocity of their pixels."""

    def __init__(self, dim: int, out_features: int, eps: float) -> None:
        super().__init__()
        self.modulation = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)
        self.norm = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.head = nn.Linear(dim, out_features)

    def forward(self, x_BLD: Tensor, e_BD: Tensor) -> Tensor:
        shift, scale = (self.modulation.float() + e_BD[:, None]).unsqueeze(2).unbind(1)
        return self.head(_scaled(self.norm(x_BLD), scale, shift))


class ImageEmbedding(nn.Module):
    """CLIP tokens to the model's dimension."""

    def __init__(self, image_dim: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            FP32LayerNorm(image_dim), nn.Linear(image_dim, image_dim), nn.GELU(), nn.Linear(image_dim, dim),
            FP32LayerNorm(dim),
        )  # fmt: skip

    def forward(self, image_BMC: Tensor) -> Tensor:
        return self.proj(image_BMC)


class LyraTransformer3DModel(ModelMixin, ConfigMixin, PeftAdapterMixin, AttentionMixin):
    """Velocity of new latents, given packed history, cameras, correspondences, text and an image.

    The defaults are the released network (17,029,871,424 parameters).

    Args:
        in_dim: 16 latent, 4 mask and 16 condition channels; rays come beside them.
        camera_dim: ray channels per latent pixel (6 values of 8 x 8 pixels).
        buffer_in_dim: correspondence channels per latent pixel (4 values of 8 x 8 pixels per memory slot).
        framepack_type: see `memory.packing`.
    """

    _supports_gradient_checkpointing = True
    _supports_group_offloading = True
    _no_split_modules = ["LyraBlock"]  # noqa: RUF012
    _repeated_blocks = ["LyraBlock"]  # noqa: RUF012
    _keep_in_fp32_modules = ["time_embedding", "time_projection", "modulation"]  # noqa: RUF012
    _skip_layerwise_casting_patterns = ["patch_embedding", "_embedding", "time_", "img_emb", "norm", "head"]  # noqa: RUF012

    @register_to_config
    def __init__(
        self,
        dim: int = 5120,
        ffn_dim: int = 13824,
        num_heads: int = 40,
        num_layers: int = 40,
        freq_dim: int = 256,
        text_dim: int = 4096,
        image_dim: int = 1280,
        in_dim: int = 36,
        out_dim: int = 16,
        camera_dim: int = 384,
        buffer_in_dim: int = 1280,
        buffer_sincos_multires: int = 2,
        buffer_mlp_squeeze_dim: int = 256,
        eps: float = 1e-6,
        framepack_type: str = RELEASED,
    ) -> None:
        super().__init__()
        self.packing = Packing.parse(framepack_type)
        self.patch_embedding = nn.Linear(in_dim * math.prod(PATCH), dim)
        self.text_embedding = nn.Sequential(nn.Linear(text_dim, dim), nn.GELU("tanh"), nn.Linear(dim, dim))
        self.time_embedding = nn.Sequential(nn.Linear(freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        blocks = [LyraBlock(dict(self.config), 4 * camera_dim) for _ in range(num_layers)]
        self.blocks = nn.ModuleList(blocks)
        self.head = Head(dim, out_dim * math.prod(PATCH), eps)
        self.img_emb = ImageEmbedding(image_dim, dim)
        self.clean_patch_embeddings = nn.ModuleList(
            [nn.Linear(in_dim * math.prod(_patch(run.stretch)), dim) for run in self.packing.history]
        )
        self.gradient_checkpointing = False

    def pack(self, x_BCTHW: Tensor) -> Tensor:
        """(B, L, D): every run of the window through its own patch embedding."""
        embeddings = [*self.clean_patch_embeddings, self.patch_embedding]
        runs = runs_of(self.packing, x_BCTHW.shape[2])
        pieces = [
            embed(patches(x_BCTHW[:, :, where], _patch(run.stretch)))
            for (run, where), embed in zip(runs, embeddings, strict=True)
        ]
        return torch.cat(pieces, 1)

    def embed_time(self, timestep_B: Tensor) -> tuple[Tensor, Tensor]:
        """Time (0..1000) as (B, D) for the head and (B, 6, D) for the blocks, float32, in mixed precision too."""
        half = self.config["freq_dim"] // 2
        rate = torch.arange(half, dtype=torch.float64, device=timestep_B.device) / half
        angle = timestep_B.double()[:, None] * 10_000.0**-rate
        wave = torch.cat([angle.cos(), angle.sin()], 1)
        kind = timestep_B.device.type
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            e_BD = self.time_embedding(wave.to(next(self.time_embedding.parameters()).dtype))
            return e_BD.float(), self.time_projection(e_BD).unflatten(1, (6, -1)).float()

    def forward(
        self,
        x_BCTHW: Tensor,
        timestep_B: Tensor,
        text_BMC: Tensor,
        image_BMC: Tensor,
        y_BCTHW: Tensor,
        buffer_BCTHW: Tensor,
    ) -> Tensor:
        """Velocity (noise - clean) of the new latents, (B, 16, new, H, W).

        Args:
            x_BCTHW: 16 channels; clean history in packed order, then noisy new latents.
            timestep_B: 0..1000.
            text_BMC: text tokens, zero where there is no text.
            image_BMC: tokens of the last history frame.
            y_BCTHW: mask (4), condition latents (16), ray maps (`camera_dim`) for the whole window.
            buffer_BCTHW: correspondences for the whole window.
        """
        camera_dim = self.config["camera_dim"]
        rows, columns = x_BCTHW.shape[-2:]
        x = self.pack(torch.cat([x_BCTHW, y_BCTHW[:, :-camera_dim]], 1))
        grid = (self.packing.new_latents, -(-rows // 2), -(-columns // 2))
        angles = rotary_angles(self.packing, grid[1], grid[2], self._head_dim, x.device)
        buffer, said = buffer_tokens(buffer_BCTHW, self.packing)
        e_BD, e_B6D = self.embed_time(timestep_B)
        given = (
            e_B6D, camera_tokens(y_BCTHW[:, -camera_dim:], self.packing), buffer, said, angles.cos(), angles.sin(),
            self.text_embedding(text_BMC), self.img_emb(image_BMC),
        )  # fmt: skip
        for block in self.blocks:
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                x = self._gradient_checkpointing_func(block, x, *given)  # pyright: ignore[reportOptionalCall]
            else:
                x = block(x, *given)
        return unpatch(self.head(x[:, -math.prod(grid) :], e_BD), grid, PATCH, (rows, columns))

    @property
    def _head_dim(self) -> int:
        return self.config["dim"] // self.config["num_heads"]


def _patch(stretch: tuple[int, int, int]) -> tuple[int, int, int]:
    t, h, w = (a * b for a, b in zip(PATCH, stretch, strict=True))
    return t, h, w
