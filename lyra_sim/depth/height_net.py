"""Camera height from one levelled photo by a small network: doors, furniture, kerbs and cars have known sizes.

Plain numpy in float64, so that no threads and no library decide the last digits. Trained on procedural places only
(`lyra_sim.training.height`): off by 12 % in such places it had not seen, by 15 to 50 % in frames of real walks.
"""

import functools
import importlib.resources
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.lib.stride_tricks import sliding_window_view

from lyra_sim.depth.familiar import statistics, strangeness

STEM = 12
BLOCKS = ((24, False), (48, True), (96, True), (128, True))
"""(channels, residual pair) of each block; every block halves the resolution."""
HEAD = 96
Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class HeightGuess:
    """ln of the camera height above the floor in metres, and one sigma of it."""

    log_m: float
    sigma: float
    strange: float = 0.0
    """How unlike the training photos the photo is (`familiar.strangeness`)."""


@functools.cache
def shipped_weights() -> Weights:
    """The weights that come with the package."""
    with importlib.resources.files("lyra_sim.depth").joinpath("height_net.npz").open("rb") as file:
        return {name: array.astype(np.float64) for name, array in np.load(file, allow_pickle=False).items()}


def guess_height(
    colours: UInt8[np.ndarray, "H W 3"], seen: Bool[np.ndarray, "H W"], weights: Weights | None = None
) -> HeightGuess:
    """Height from a view of `depth.levelled.level_view`; rounded to four digits, so that hosts agree."""
    w = shipped_weights() if weights is None else weights
    early = x = early_responses(colours, seen, w)
    for i, (_, residual) in enumerate(BLOCKS):
        x = x if i == 0 else _conv(x, w, f"{i}.down", 2)
        if residual:
            x = np.maximum(x + _conv(_conv(x, w, f"{i}.first", 1), w, f"{i}.second", 1, relu=False), 0)
    rows = x.mean(2).ravel()
    hidden = np.maximum(w["hidden.w"] @ rows + w["hidden.b"], 0)
    log_m, log_scale = w["out.w"] @ hidden + w["out.b"]
    sigma = math.sqrt(2) * math.exp(min(max(log_scale, -4.0), 1.0)) * float(w["spread"])
    known = {name.removeprefix("familiar."): array for name, array in w.items() if name.startswith("familiar.")}
    strange = strangeness(statistics(colours, seen, early), known)
    return HeightGuess(log_m=round(float(log_m), 4), sigma=round(sigma, 4), strange=round(strange, 3))


def early_responses(
    colours: UInt8[np.ndarray, "H W 3"], seen: Bool[np.ndarray, "H W"], weights: Weights
) -> Float[np.ndarray, "C h w"]:
    """What the stem and the first strided convolution make of a view."""
    return _conv(_conv(_inputs(colours, seen), weights, "stem", 2), weights, "0.down", 2)


def _inputs(colours: np.ndarray, seen: np.ndarray) -> Float[np.ndarray, "5 H W"]:
    shown = seen.astype(np.float64)
    rgb = (colours.transpose(2, 0, 1) / 255.0 - 0.5) * 2 * shown
    elevation = np.linspace(-1, 1, len(seen))[:, None] * shown
    return np.concatenate([rgb, shown[None], elevation[None]])


def _conv(
    x: Float[np.ndarray, "C H W"], weights: Weights, name: str, stride: int, *, relu: bool = True
) -> Float[np.ndarray, "D h w"]:
    """Convolution with zero padding of half the kernel, as torch counts it."""
    kernel, bias = weights[f"{name}.w"], weights[f"{name}.b"]
    half = kernel.shape[2] // 2
    padded = np.pad(x, ((0, 0), (half, half), (half, half)))
    windows = sliding_window_view(padded, kernel.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    out = np.tensordot(kernel, windows, axes=((1, 2, 3), (0, 3, 4))) + bias[:, None, None]
    return np.maximum(out, 0) if relu else out
