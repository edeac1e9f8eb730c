"""A tiny transformer, what it is given, and its velocity; shared by the tests of loading."""

import torch
from torch import Tensor

from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel

SIZES = {
    "dim": 24, "ffn_dim": 32, "num_heads": 2, "num_layers": 2, "freq_dim": 16, "text_dim": 8, "image_dim": 12,
    "buffer_in_dim": 256 * 3, "buffer_mlp_squeeze_dim": 4, "framepack_type": "f1k1f2s2f1s1f4k2f1k1_g2",
}  # fmt: skip


def network(seed: int = 0) -> LyraTransformer3DModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LyraTransformer3DModel(**SIZES).eval()


def given(dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(1)
    latents, h, w = 11, 4, 6
    shapes = [(1, 16, latents, h, w), (1, 512, 8), (1, 5, 12), (1, 404, latents, h, w), (1, 768, latents, h, w)]
    x, *rest = (torch.randn(shape, generator=random).to(dtype) for shape in shapes)
    return x, torch.tensor([700.0]), *rest


@torch.no_grad()
def velocity(net: LyraTransformer3DModel) -> Tensor:
    return net(*given())
