"""Depth of frames that were just generated: every 8th of them at once, with their known cameras, at the world's scale.

Source: nv-tlabs/lyra, inference/lyra2_ar_inference.py (`_update_depth_cache`), as described publicly. Other than there
a scale that the cameras do not determine is refused (`depth.align.judge`): then the scale of the last window that had
one is kept, or the network's metres as they are; a network without metres stops with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from lyra_sim.core.errors import SceneError
from lyra_sim.depth.align import Verdict, fit_centres, judge, separate_centres
from lyra_sim.depth.networks.prediction import DepthNetwork, DepthPrediction

STRIDE, MOST = 8, 10
_FARTHEST_M = np.float32(1e4)


@dataclass(frozen=True)
class NewDepth:
    """Depth of some frames at the scale of the cameras that were given."""

    frame_ids: tuple[int, ...]
    depth_m: Float32[np.ndarray, "V H W"]
    """z-depth in the unit of the given cameras; 0 where not valid."""
    valid: Bool[np.ndarray, "V H W"]
    dense_m: Float32[np.ndarray, "V H W"]
    """What the generator is conditioned on: the same without gaps, sky far away, as in the original."""
    scale: float
    """What the network's depth was divided by."""
    verdict: Verdict
    """Of this window's own fit."""
    trusted_scale: float | None
    """Last scale that cameras determined, this window's or an earlier one's; to be given with the next window."""

    @property
    def notes(self) -> dict[str, Any]:
        """JSON values for reports."""
        sigma = self.verdict.sigma if np.isfinite(self.verdict.sigma) else None
        notes = {"frames": list(self.frame_ids), "scale": self.scale, "from_cameras": self.verdict.trusted}
        return {**notes, "scale_sigma": sigma, "why": self.verdict.why, "trusted_scale": self.trusted_scale}


class DepthUpdate:
    """Estimates the depth of new frames with one network.

    Args:
        stride: frames between those that get depth.
        most: most frames in one window, if the new ones leave room.
    """

    def __init__(self, network: DepthNetwork, *, stride: int = STRIDE, most: int = MOST) -> None:
        assert stride > 0
        assert most > 0
        self.network, self.stride, self.most = network, stride, most

    def choose(self, begin: int, last: int) -> list[int]:
        """Ids of the frames of one window, in order of time, when frames `begin` to `last` are new.

        The new ones on the stride, which are those that the memory keeps, and the last; then earlier ones on the stride
        until there are `most`. In segments of a multiple of the stride, as in the release, that is the published choice
        (the last, the one `stride` before it, and so on). The order is not published; in order of time the first view,
        to which the network's cameras and unit refer, is the one that is known longest.
        """
        new = {*range(-(-begin // self.stride) * self.stride, last + 1, self.stride), last}
        earlier = range((begin - 1) // self.stride * self.stride, -1, -self.stride)
        return sorted({*new, *earlier[: max(0, self.most - len(new))]})

    def estimate(
        self,
        frame_ids: Sequence[int],
        images: UInt8[np.ndarray, "V H W 3"],
        w2c: Float[np.ndarray, "V 4 4"],
        K: Float[np.ndarray, "V 3 3"],
        *,
        trusted_scale: float | None = None,
    ) -> NewDepth:
        """Depth of the chosen frames.

        Args:
            images, w2c, K: of these frames, in their order; the cameras in the world's unit.
            trusted_scale: that of the window before, if it had one.

        Raises:
            SceneError: nothing valid was predicted, or nothing says how large it is.
        """
        made = self.network.predict(images, w2c, K)
        if not made.valid.any():
            raise SceneError(
                "depth of new frames",
                expected=f"depth from {self.network.name}",
                got=f"no valid pixel in frames {list(frame_ids)}",
                todo="Look at the generated frames; they may be blank.",
            )
        scale, verdict = _fit(made, w2c)
        if not verdict.trusted:
            scale = self._kept(verdict, trusted_scale)
        return NewDepth(
            frame_ids=tuple(frame_ids),
            depth_m=np.where(made.valid, made.depth / np.float32(scale), np.float32(0)),
            valid=made.valid,
            dense_m=np.clip((made.depth if made.dense is None else made.dense) / np.float32(scale), 0, _FARTHEST_M),
            scale=scale,
            verdict=verdict,
            trusted_scale=scale if verdict.trusted else trusted_scale,
        )

    def _kept(self, verdict: Verdict, trusted_scale: float | None) -> float:
        """The scale where a window has none of its own; that of other windows says nothing of a network that has
        another unit in each."""
        if self.network.metric:
            return 1.0 if trusted_scale is None else trusted_scale
        raise SceneError(
            "depth of new frames",
            expected="cameras that determine the scale of depth, or a network that tells metres",
            got=f"{self.network.name}, which tells no metres; {verdict.why}",
            todo="Take a metric network (the nested Depth Anything 3), or a path that moves the camera.",
        )


def _fit(made: DepthPrediction, w2c: np.ndarray) -> tuple[float, Verdict]:
    if made.w2c is None:
        return 1.0, Verdict(False, float("inf"), "the network predicts no cameras")
    fit = fit_centres(separate_centres(w2c), made.w2c)
    return (1.0 if fit is None else fit.sim3.scale), judge(fit, w2c, made.w2c, made.depth)
