"""One whole segment of the video generator with random weights: what each part of the work takes."""

from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from transformers import CLIPVisionConfig, CLIPVisionModel

from lyra_sim.config.depth_network import TinyDepthConfig
from lyra_sim.config.lyra2 import Lyra2Config, RandomWeights
from lyra_sim.core.records import Frames, PixelOrigin, PosedFrames, Provenance, Segment, WorldFrame
from lyra_sim.procedural.cameras import photo_camera, pinhole
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import render
from lyra_sim.worldgen.lyra2.encoders import CLIP_VIT_H, ImageEncoder, Texts
from lyra_sim.worldgen.lyra2.generator import Lyra2
from lyra_sim.worldgen.lyra2.network import Lyra2Network
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel
from lyra_sim.worldgen.lyra2.vae import WanVae
from lyra_sim.worldgen.request import Request

PROMPT = "a room"


def start_frame(size: tuple[int, int]) -> PosedFrames:
    """A rendered photo with its depth."""
    scene, camera = make_flat(6), pinhole(size[1], size[0], 75.0)
    pose = photo_camera(scene, 6, height_m=1.4, pitch_deg=10.0, intrinsics=camera)
    shown = render(scene, pose, camera)
    frames = Frames(
        images=shown.image[None],
        depth_m=shown.depth_m[None],
        valid=shown.valid[None],
        origin=np.full((1, *size), int(PixelOrigin.MEASURED), np.uint8),
        label=shown.label[None],
        cam_to_world=pose[None],
        intrinsics=camera,
    )
    frame = WorldFrame(
        metric="sensor", gravity="planes", gravity_sigma_rad=0.0, scale_sigma=0.0, T_world_source=np.eye(4)
    )
    made = Provenance(backend="benchmark", version="", config_hash="", seed=0, inputs=(), licences=())
    return PosedFrames(frames=frames, frame=frame, environment="indoor", provenance=made)


def network_of(net: LyraTransformer3DModel, device: torch.device, dtype: torch.dtype, tiny: bool) -> Lyra2Network:
    """The transformer with a VAE and an image encoder of the released sizes (or tiny ones), all random."""
    image_dim, text_dim = net.config["image_dim"], net.config["text_dim"]
    small = CLIPVisionConfig(
        hidden_size=image_dim, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=28,
        patch_size=14,
    )  # fmt: skip
    vae = AutoencoderKLWan(**({"base_dim": 4, "num_res_blocks": 1} if tiny else {}))
    text = torch.randn(512, text_dim)
    return Lyra2Network(
        transformer=net,
        vae=WanVae(torch.nn.Module.to(vae, device, dtype).eval()),
        texts=Texts(_no_encoder, {PROMPT: text}),
        images=ImageEncoder(CLIPVisionModel(small if tiny else CLIP_VIT_H).to(device).eval()),
        negative=torch.randn(512, text_dim),
        licences=(),
        manifest={},
    )


def _no_encoder() -> Any:
    raise AssertionError("the only prompt is known")


def measure_segments(
    net: LyraTransformer3DModel, size: tuple[int, int], device: torch.device, tiny: bool
) -> dict[str, float]:
    """Seconds of a second segment (the first one warms up) with 35 guided and with 4 distilled steps, by part."""
    dtype = "float32" if tiny else "bfloat16"
    config = Lyra2Config(
        random_weights=RandomWeights(), device=str(device), dtype=dtype, height_px=size[0], width_px=size[1],
        prompt=PROMPT, packing=net.config["framepack_type"], depth=TinyDepthConfig(device=str(device)),
        geometry="numpy" if tiny else "torch",
    )  # fmt: skip
    network = network_of(net, device, getattr(torch, dtype), tiny)
    start, figures = start_frame(size), {}
    for name, changed in (
        ("steps_4", {"sampler": "distilled", "steps": 4}),
        ("steps_35", {"sampler": "unipc", "steps": 2 if tiny else 35}),
    ):
        generator = Lyra2(config.model_copy(update=changed), network)
        generator.begin(start, {}, lambda _line: None)
        assert generator.frames is not None
        for index in range(2):
            generator.seconds.clear()
            poses = np.repeat(start.frames.cam_to_world, generator.frames, 0)
            reach = 0.02 * (index * generator.frames + 1 + np.arange(generator.frames))
            poses[:, :3, 3] += reach[:, None] * start.frames.cam_to_world[0, :3, 2]
            camera = generator.camera(start.frames.intrinsics, 0)
            request = Request(cam_to_world=poses, intrinsics=camera, views=(), chosen=((),) * len(poses), seed=index)
            drawn = generator.generate(request)
            generator.remember(Segment(index=index, frames=drawn.frames, latents=drawn.latents, notes=drawn.notes))
        figures |= {f"{name}_{part}_s": seconds for part, seconds in generator.seconds.items()}
        figures[f"{name}_s"] = sum(generator.seconds.values())
    return figures
