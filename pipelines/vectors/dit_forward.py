"""One forward pass of the transformer, from the weights in the file."""

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import torch
from pydantic import create_model

from lyra_sim.worldgen.lyra2.tokens import rotary_angles
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel
from pipelines.vectors.figure import Figure, Vectors, largest


def network_of(vectors: Vectors) -> LyraTransformer3DModel:
    """The network that the file describes, with its weights."""
    known = list(inspect.signature(LyraTransformer3DModel.__init__).parameters.values())[1:]
    fields: dict[str, Any] = {p.name: (p.annotation, p.default) for p in known}
    config = vectors.value("config", create_model("Config", **fields)).model_dump()
    config["framepack_type"] = vectors.metadata["framepack"]
    net = LyraTransformer3DModel(**config)
    prefix = "state/"
    net.load_state_dict({k.removeprefix(prefix): torch.tensor(vectors[k]) for k in vectors if k.startswith(prefix)})
    return net.eval()


@torch.no_grad()
def figures(vectors: Vectors) -> Iterator[Figure]:
    """Packed tokens, angles, every block's output and the velocity."""
    net = network_of(vectors)
    names = ("in/x_B_C_T_H_W", "in/y_B_C_T_H_W", "in/y_buffer_B_C_T_H_W")
    window = (None, None, len(net.packing.kinds), None, None)
    x, y, buffer = (torch.tensor(vectors.shaped(name, *window)) for name in names)
    seen: dict[str, torch.Tensor] = {}
    for i, block in enumerate(net.blocks):
        block.register_forward_hook(functools.partial(_keep, seen, f"out/block{i}"))
    velocity = net(
        x,
        torch.tensor(vectors["in/timesteps_B_T"][:, 0]),
        torch.tensor(vectors["in/crossattn_emb"]),
        torch.tensor(vectors["in/frame_cond_crossattn_emb_B_L_D"]),
        y,
        buffer,
    )
    rows, columns = (-(-side // 2) for side in x.shape[-2:])
    head_dim = net.config["dim"] // net.config["num_heads"]
    angles = rotary_angles(net.packing, rows, columns, head_dim, "cpu")
    tokens = net.pack(torch.cat([x, y[:, : -net.config["camera_dim"]]], 1))
    yield largest("packed tokens", tokens.numpy(), vectors["out/packed_tokens"], 1e-6)
    yield largest("rotary angles", angles.numpy(), vectors["out/rope_angles"].reshape(angles.shape), 1e-6)
    for name, out in seen.items():
        yield largest(name.removeprefix("out/"), out.numpy(), vectors[name], 2e-5)
    yield largest("velocity", velocity.numpy(), vectors["out/velocity"], 2e-5)


def _keep(seen: dict[str, torch.Tensor], name: str, _block: torch.nn.Module, _given: object, out: torch.Tensor) -> None:
    seen[name] = out
