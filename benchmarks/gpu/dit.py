"""Speed and memory of the video generator: one forward pass, whole segments by part, every memory mode.

    python benchmarks/gpu/dit.py [--out FILE.json]          full size (17 B random bf16 weights, 480x832): an 80 GB GPU
    python benchmarks/gpu/dit.py --tiny                      the same path at tiny size on a CPU

Prints one JSON line per figure. Weights are random: speed and memory do not depend on them. TFLOP/s count the matrix
products and attention of one pass (torch's FlopCounterMode on the meta device), beside a large bf16 matrix product
timed in the same run. Exits 1 where a bar is missed (full size only).
"""

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _segment import measure_segments
from torch.utils.flop_counter import FlopCounterMode

from lyra_sim.config.lyra2 import Lyra2Config, RandomWeights
from lyra_sim.core.errors import ConfigError
from lyra_sim.memory.packing import RELEASED, Packing
from lyra_sim.worldgen.lyra2.checkpoint import empty_transformer, kept_dtype
from lyra_sim.worldgen.lyra2.network import place
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel

TINY = {
    "dim": 96, "ffn_dim": 192, "num_heads": 4, "num_layers": 3, "freq_dim": 32, "text_dim": 64,
    "buffer_mlp_squeeze_dim": 16,
}  # fmt: skip
BARS = {
    "forward_s": 4.5, "share_of_matrix_peak": 0.6, "steps_4_beside_forwards_s": 14.0, "offload_fp8_peak_gib": 24.0,
    "offload_fp8_error": 0.03,
}  # fmt: skip
GIB = 2**30
WAYS = (("native", False), ("_native_cudnn", False), ("native", True), ("_native_cudnn", True))
"""`explore.generator.attention` and `.compile`: each is timed, segments run with the fastest."""


def timed(work: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Median seconds after one unmeasured call."""
    work()
    seconds = []
    for _ in range(repeats):
        synchronise(device)
        start = time.perf_counter()
        work()
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_gib(device: torch.device, work: Callable[[], Any]) -> tuple[Any, float | None]:
    """(result, largest memory on the GPU in GiB; none on a CPU)."""
    if device.type != "cuda":
        return work(), None
    torch.cuda.reset_peak_memory_stats(device)
    made = work()
    return made, torch.cuda.max_memory_allocated(device) / GIB


def matrix_tflops(device: torch.device, side: int) -> float:
    """Of a square bf16 product."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / timed(lambda: a @ b, device, 9) / 1e12


def random_network(sizes: dict[str, Any], device: torch.device) -> LyraTransformer3DModel:
    """Filled where it shall live, in the types that a loaded checkpoint has."""
    net = empty_transformer(sizes)
    state = {}
    for name, parameter in net.named_parameters():
        made = torch.empty(parameter.shape, device=device, dtype=kept_dtype(name, torch.bfloat16))
        if made.ndim == 1:
            made.fill_(0.0 if name.endswith("bias") else 1.0)
        else:
            made.normal_(std=0.7 * made.shape[-1] ** -0.5)
        state[name] = made
    net.load_state_dict(state, assign=True)
    return net.eval().requires_grad_(requires_grad=False)


def random_inputs(net: LyraTransformer3DModel, size: tuple[int, int], device: torch.device | str) -> list[torch.Tensor]:
    """Everything `forward` takes, for frames of this height and width."""
    config, n = net.config, len(Packing.parse(net.config["framepack_type"]).kinds)
    window = (n, size[0] // 8, size[1] // 8)
    shapes = [
        (1, config["out_dim"], *window), (1,), (1, 512, config["text_dim"]), (1, 257, config["image_dim"]),
        (1, config["in_dim"] - config["out_dim"] + config["camera_dim"], *window),
        (1, config["buffer_in_dim"], *window),
    ]  # fmt: skip
    made = [torch.randn(shape, device=device, dtype=torch.bfloat16) for shape in shapes]
    made[1] = torch.full((1,), 500.0, device=device)
    made[5] = made[5].clamp(-1, 1)
    return made


def count_flops(sizes: dict[str, Any], size: tuple[int, int]) -> float:
    """Of one forward pass."""
    net = empty_transformer(sizes).to(torch.bfloat16)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(*random_inputs(net, size, "meta"))
    return float(counter.get_total_flops())


def fastest_way(
    net: LyraTransformer3DModel, given: list[torch.Tensor], config: Lyra2Config, ways: tuple[tuple[str, bool], ...]
) -> dict[str, Any]:
    """Seconds of a forward pass each way, those of the fastest, which the network is left in, and its name."""
    device, seconds, figures = torch.device(config.device), {}, {}

    def set_up(way: tuple[str, bool]) -> None:
        for block in net.blocks:
            block._compiled_call_impl = None
        place(net, config.model_copy(update={"attention": way[0], "compile": way[1]}))

    for way in ways:
        name = f"forward_{way[0].strip('_')}{'_compiled' if way[1] else ''}_s"
        try:
            set_up(way)
            figures[name] = seconds[way] = timed(lambda: net(*given), device, 3)
        except (ConfigError, RuntimeError) as error:  # not every machine has every kernel
            figures[name] = f"cannot run here: {str(error).splitlines()[0][:120]}"
    best = min(seconds, key=lambda way: seconds[way])
    set_up(best)
    return {**figures, "fastest": f"attention={best[0]} compile={best[1]}", "forward_s": seconds[best]}


@torch.no_grad()
def measure_network(sizes: dict[str, Any], size: tuple[int, int], device: torch.device, tiny: bool) -> dict[str, Any]:
    """Seconds, TFLOP/s and memory of a forward pass; plain, offloaded, offloaded and stored as fp8."""
    figures: dict[str, Any] = {"matrix_tflops": matrix_tflops(device, 256 if tiny else 8192)}
    net = random_network(sizes, device)
    given = random_inputs(net, size, device)
    figures["parameters"] = sum(p.numel() for p in net.parameters())
    figures["flops"] = count_flops(sizes, size)
    wanted, figures["plain_peak_gib"] = peak_gib(device, lambda: net(*given))
    config = Lyra2Config(random_weights=RandomWeights(), device=str(device))
    ways = tuple(way for way in WAYS if not (way[1] and shutil.which("g++") is None))
    figures |= fastest_way(net, given, config, ways if device.type == "cuda" else ways[::2])
    figures["tflops"] = figures["flops"] / figures["forward_s"] / 1e12
    figures["share_of_matrix_peak"] = figures["tflops"] / figures["matrix_tflops"]
    state = {name: value.to("cpu", copy=True) for name, value in net.state_dict().items()}
    figures |= measure_segments(net.float() if tiny else net, size, device, tiny)
    figures["steps_4_beside_forwards_s"] = figures["steps_4_s"] - 4 * figures["forward_s"]
    del net
    for name in ("offload", "offload_fp8"):
        lean = empty_transformer(sizes)
        lean.load_state_dict(state, assign=True)
        lean.eval().requires_grad_(requires_grad=False)
        place(lean, config.model_copy(update={"memory": name}))
        made, figures[f"{name}_peak_gib"] = peak_gib(device, lambda lean=lean: lean(*given))
        figures[f"{name}_s"] = timed(lambda lean=lean: lean(*given), device, 1)
        off = torch.linalg.norm(made.float() - wanted.float()) / torch.linalg.norm(wanted.float())
        figures[f"{name}_error"] = float(off)
        del lean
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--out", type=Path, help="write all figures here as JSON")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() and not options.tiny else "cpu")
    if device.type == "cpu" and not options.tiny:
        print("no CUDA device: only --tiny can run here", file=sys.stderr)
        return 2
    size = tuple(options.size or ((64, 96) if options.tiny else (480, 832)))
    sizes = {**(TINY if options.tiny else {}), "framepack_type": RELEASED}
    figures = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "torch": torch.__version__,
        "size": list(size),
        **measure_network(sizes, size, device, options.tiny),
    }
    for name, value in figures.items():
        print(json.dumps({name: round(value, 4) if isinstance(value, float) else value}), flush=True)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    if options.tiny:
        return 0
    missed = [n for n, bar in BARS.items() if (figures[n] < bar if n.startswith("share") else figures[n] > bar)]
    print(f"bars missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
