"""Gates about looks: the written visual mesh, seen from the input cameras, against the input images."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from lyra_sim.config.validate import ValidateConfig
from lyra_sim.core.records import Frames, Label, PixelOrigin
from usd_export.appearance import Appearance

_PEAK = 255.0


@dataclass(frozen=True)
class Seen:
    """How well the inputs are met."""

    psnr_db: float | None
    """None where no compared pixel is covered."""
    coverage: float | None
    """None where there is no pixel to cover."""


def compare_views(look: Appearance, frames: Frames, *, photo: bool, config: ValidateConfig) -> Seen:
    """PSNR over the compared pixels that the mesh covers, after one gain and offset per channel and frame; and the
    share of the pixels to be covered that it covers.

    Measured depth: both over pixels with measured depth. Photos: PSNR over valid pixels, coverage over pixels that
    are not sky and not known to be beyond `config.range_m`.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), config.view_frames)).round().astype(int))
    pixels = frames.intrinsics.width * frames.intrinsics.height
    stride = max(1, round((pixels / config.view_pixels) ** 0.5))
    error, compared, covered, wanted = 0.0, 0, 0, 0
    for t in chosen:
        color, hit = look.look(frames.intrinsics, frames.cam_to_world[t], stride)
        valid, expected = (mask[::stride, ::stride] for mask in _masks(frames, int(t), photo, config.range_m))
        here = valid & hit
        if here.any():
            error += _squared_error(color[here], frames.images[t][::stride, ::stride][here].astype(np.float64))
            compared += 3 * int(here.sum())
        covered += int((expected & hit).sum())
        wanted += int(expected.sum())
    psnr = 10 * np.log10(_PEAK**2 / max(error / compared, 1e-9)) if compared else None
    return Seen(None if psnr is None else float(psnr), covered / wanted if wanted else None)


def _masks(
    frames: Frames, t: int, photo: bool, range_m: float
) -> tuple[Bool[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]:
    """Pixels whose colour is compared, and pixels that must be covered."""
    given = frames.origin[t] == PixelOrigin.MEASURED
    valid = frames.valid[t] & given
    if not photo:
        return valid, valid
    beyond = frames.valid[t] & (frames.depth_m[t] > range_m)
    return valid, given & (frames.label[t] != Label.SKY) & ~beyond


def _squared_error(rendered: np.ndarray, image: np.ndarray) -> float:
    """Sum of squared differences after the best gain and offset of each channel."""
    total = 0.0
    for channel in range(3):
        x, y = rendered[:, channel].astype(np.float64), image[:, channel]
        spread = float(((x - x.mean()) ** 2).sum())
        gain = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread > 0 else 0.0
        total += float((((x - x.mean()) * gain + y.mean() - y) ** 2).sum())
    return total
