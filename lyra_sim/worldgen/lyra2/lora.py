"""Low-rank adapters (LoRA) of the transformer: read in the spellings in use, several merged by weight.

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
    """What one file changes, float32."""

    path: Path
    low_rank: dict[str, tuple[Tensor, Tensor]]
    """Module -> A (rank, columns), B (rows, rank) times alpha / rank."""
    added: dict[str, Tensor]
    """Parameter -> what is added to it beside B @ A."""

    @property
    def changed(self) -> set[str]:
        """Parameters that it changes."""
        return {f"{module}.weight" for module in self.low_rank} | set(self.added)

    def change(self, parameter: str, device: torch.device) -> Tensor:
        """What is added to a parameter of `changed` at weight 1."""
        changes = [self.added[parameter].to(device)] if parameter in self.added else []
        module, _, kind = parameter.rpartition(".")
        if kind == "weight" and module in self.low_rank:
            a, b = (factor.to(device) for factor in self.low_rank[module])
            changes.append(b @ a)
        return sum(changes, torch.zeros((), device=device))

    def for_peft(self) -> dict[str, Tensor]:
        """PEFT's names (`<module>.lora_A.weight`, `.lora_B.weight`, `.lora_B.bias`) -> tensors.

        PEFT has biases for all modules of an adapter or for none: modules without one get zeros where others have one.

        Raises:
            ConfigError: it changes more than PEFT can hold, a weight by `diff` or a bias of a module without factors.
        """
        biases = {f"{module}.bias": module for module in self.low_rank}
        beyond = sorted(set(self.added) - set(biases))
        if beyond:
            raise ConfigError(
                self.path,
                expected="an adapter of factors and their biases, for PEFT",
                got=f"changes of {listed(beyond)}",
                todo="Merge it with load_loras.",
            )
        out = {}
        for bias, module in biases.items():
            a, b = self.low_rank[module]
            out |= {f"{module}.lora_A.weight": a, f"{module}.lora_B.weight": b}
            if self.added:
                out[f"{module}.lora_B.bias"] = self.added.get(bias, torch.zeros(len(b)))
        return out


@torch.no_grad()
def load_loras(net: LyraTransformer3DModel, loras: Sequence[tuple[Path, float]]) -> None:
    """Merge adapters into the network: W becomes W + sum of weight * (alpha / rank) * B @ A, summed in float32.

    Merged, they cost nothing when the network runs and are stored as its weights are. To weigh one anew at run time,
    give `read_lora(...).for_peft()` to the network's own `load_lora_adapter(..., prefix=None)`.

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
    """What one file changes; raises as `load_loras`."""
    weights = open_weights(path)
    low_rank, added = {}, {}
    for module, saved in _by_module(net, path, list(weights.shapes)).items():
        tensors = weights.read(list(saved.values()), lambda _name: torch.float32)
        given = {part: tensors[name] for part, name in saved.items()}
        base = dict(net.get_submodule(module).named_parameters(recurse=False))
        for part, name in (("diff", "weight"), ("diff_b", "bias")):
            if part not in given or (part == "diff" and given[part].abs().max() < NEGLIGIBLE):
                continue
            _same_shape(path, f"{module}.{part}", tuple(given[part].shape), base.get(name))
            added[f"{module}.{name}"] = given[part]
        if "B" in given:
            a, b = given["A"], given["B"]
            fits = b.ndim == a.ndim == 2 and b.shape[1] == len(a)
            product = (len(b), a.shape[1]) if fits else tuple(b.shape)
            _same_shape(path, f"{module}.lora", product, base.get("weight"))
            scale = float(given["alpha"]) / len(a) if "alpha" in given else 1.0
            low_rank[module] = (a, b * scale)
    return Adapter(path, low_rank, added)


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


def _same_shape(path: Path, name: str, change: tuple[int, ...], base: Tensor | None) -> None:
    if base is None or change != base.shape:
        raise ConfigError(
            path,
            expected=f"{name} to change a parameter of shape {tuple(base.shape) if base is not None else 'none'}",
            got=str(change),
            todo="Check that the file belongs to a network of this size.",
        )
