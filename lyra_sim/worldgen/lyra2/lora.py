"""Low-rank adapters (LoRA) of the transformer: spellings in use turned into PEFT's, several merged by weight.

Accepted: `diffusion_model.` or `net.` before a name, or kohya's flat names (`lora_unet_blocks_0_self_attn_q`);
`lora_A`/`lora_B` or `lora_down`/`lora_up`; `alpha` (a module's B is scaled by alpha / rank, without one by 1);
`diff_b` (added to a bias) and `diff` (added to a weight). As in the release, a `diff` that nowhere reaches
`NEGLIGIBLE` is dropped. What adapts nothing in this network is an error.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lyra_sim.core.errors import ConfigError
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel
from lyra_sim.worldgen.lyra2.weights import listed, open_weights

NEGLIGIBLE = 1.6e-2
_PREFIXES = ("diffusion_model.", "net.")
_FLAT = "lora_unet_"
_PARTS = {
    "lora_A.weight": "A", "lora_down.weight": "A", "lora_B.weight": "B", "lora_up.weight": "B", "alpha": "alpha",
    "diff": "diff", "diff_b": "diff_b",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Adapter:
    """What one file changes."""

    low_rank: dict[str, Tensor]
    """PEFT's names (`<module>.lora_A.weight`, `.lora_B.weight`, `.lora_B.bias`)."""
    added: dict[str, Tensor]
    """Parameter -> what is added to it; for modules that have no low-rank part."""

    @property
    def changed(self) -> set[str]:
        """Parameters that it changes."""
        factors = {name.replace("lora_A.", "").replace("lora_B.", "") for name in self.low_rank}
        return factors | set(self.added)

    def change(self, parameter: str, device: torch.device) -> Tensor:
        """What is added to a parameter at weight 1."""
        module, _, kind = parameter.rpartition(".")
        if parameter in self.added:
            return self.added[parameter].to(device)
        b = self.low_rank[f"{module}.lora_B.{kind}"].to(device)
        return b if kind == "bias" else b @ self.low_rank[f"{module}.lora_A.{kind}"].to(device)


@torch.no_grad()
def load_loras(net: LyraTransformer3DModel, loras: Sequence[tuple[Path, float]]) -> None:
    """Merge adapters into the network: W becomes W + sum of weight * (alpha / rank) * B @ A, summed in float32.

    Merged, they cost nothing when the network runs and are stored as its weights are. To weigh one anew at run time,
    give `read_lora(...).low_rank` to the network's own `load_lora_adapter(..., prefix=None)`.

    Raises:
        ResourceError: a file is not there.
        ConfigError: it holds what is no adapter of this network; says the names.
    """
    adapters = [(read_lora(net, path), weight) for path, weight in loras]
    for name in sorted({name for adapter, _ in adapters for name in adapter.changed}):
        parameter = net.get_parameter(name)
        changes = [w * adapter.change(name, parameter.device) for adapter, w in adapters if name in adapter.changed]
        parameter.copy_(parameter.float() + sum(changes))


def read_lora(net: LyraTransformer3DModel, path: Path) -> Adapter:
    """One file, in PEFT's spelling; raises as `load_loras`."""
    weights = open_weights(path)
    parts = _by_module(net, path, list(weights.shapes))
    low_rank, added = {}, {}
    for module, saved in parts.items():
        tensors = weights.read(list(saved.values()), lambda _name: torch.float32)
        given = {part: tensors[name] for part, name in saved.items()}
        base = dict(net.get_submodule(module).named_parameters(recurse=False))
        for part, name in (("diff", "weight"), ("diff_b", "bias")):
            low = part == "diff_b" and "B" in given
            if part not in given or (not low and given[part].abs().max() < NEGLIGIBLE):
                continue
            _same_shape(path, f"{module}.{part}", given[part], base.get(name))
            if low:
                low_rank[f"{module}.lora_B.bias"] = given[part]
            else:
                added[f"{module}.{name}"] = given[part]
        if "B" in given:
            a, b = given["A"], given["B"]
            fits = b.ndim == a.ndim == 2 and b.shape[1] == len(a)
            _same_shape(path, f"{module}.lora", b @ a if fits else b, base.get("weight"))
            scale = float(given["alpha"]) / len(a) if "alpha" in given else 1.0
            low_rank |= {f"{module}.lora_A.weight": a, f"{module}.lora_B.weight": b * scale}
    return Adapter(_with_biases(low_rank), added)


def _with_biases(low_rank: dict[str, Tensor]) -> dict[str, Tensor]:
    """PEFT has biases for all modules of an adapter, or for none."""
    if any(name.endswith(".bias") for name in low_rank):
        for name in [name for name in low_rank if name.endswith("lora_B.weight")]:
            low_rank.setdefault(name.removesuffix("weight") + "bias", torch.zeros(len(low_rank[name])))
    return low_rank


def _by_module(net: LyraTransformer3DModel, path: Path, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Module -> part (`A`, `B`, `alpha`, `diff`, `diff_b`) -> name in the file."""
    modules = {name for name, module in net.named_modules() if any(True for _ in module.parameters(recurse=False))}
    flat = {_FLAT + name.replace(".", "_"): name for name in modules}
    parts: dict[str, dict[str, str]] = {}
    unknown = []
    for name in names:
        plain = name
        for prefix in _PREFIXES:
            plain = plain.removeprefix(prefix)
        suffix = next((s for s in _PARTS if plain.endswith("." + s)), "")
        module = plain[: -len(suffix) - 1] if suffix else ""
        module = flat.get(module, module)
        if module in modules:
            parts.setdefault(module, {})[_PARTS[suffix]] = name
        else:
            unknown.append(name)
    halves = [m for m, saved in parts.items() if ("A" in saved) != ("B" in saved) or set(saved) == {"alpha"}]
    if unknown or halves or not parts:
        faults = {"of no known module or kind": unknown, "with one of two factors": halves}
        said = "; ".join(f"{len(found)} {what}: {listed(found)}" for what, found in faults.items() if found)
        raise ConfigError(
            path, expected="an adapter of this network", got=said or "nothing", todo="Check that the file fits."
        )
    return parts


def _same_shape(path: Path, name: str, change: Tensor, base: Tensor | None) -> None:
    if base is None or change.shape != base.shape:
        raise ConfigError(
            path,
            expected=f"{name} to change a parameter of shape {tuple(base.shape) if base is not None else 'none'}",
            got=str(tuple(change.shape)),
            todo="Check that the file belongs to a network of this size.",
        )
