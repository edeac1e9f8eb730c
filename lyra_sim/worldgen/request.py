"""What a generator is asked for and what it is given: cameras to draw, and remembered views that see the same place."""

from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from lyra_sim.core.record import record
from lyra_sim.core.records import Frames, Intrinsics


@record
class View:
    """One remembered frame; views of one request may differ in size."""

    frame_id: int
    """Position in the whole walk: start frames first, then generated ones."""
    image: UInt8[np.ndarray, "H W 3"]
    depth_m: Float32[np.ndarray, "H W"]
    valid: Bool[np.ndarray, "H W"]
    origin: UInt8[np.ndarray, "H W"]
    label: UInt8[np.ndarray, "H W"]
    cam_to_world: Float64[np.ndarray, "4 4"]
    intrinsics: Intrinsics


@record
class Request:
    """Frames to draw."""

    cam_to_world: Float64[np.ndarray, "T 4 4"]
    intrinsics: Intrinsics
    views: tuple[View, ...]
    """Everything retrieved for this request, by frame id."""
    chosen: tuple[tuple[int, ...], ...]
    """For each target the frame ids retrieved for it, best first."""
    seed: int
    """For generators that draw at random."""

    def check(self) -> None:
        assert len(self.chosen) == len(self.cam_to_world)


class Generator(Protocol):
    """Draws frames that were never seen. Same request, same bytes."""

    def generate(self, request: Request) -> Frames:
        """The requested frames in order: colours GENERATED where the generator knows them and FILLED where it paints
        over a hole; depth is valid where it is geometry, and never where the colour is FILLED."""
        ...


def view_of(frames: Frames, index: int, frame_id: int) -> View:
    """Frame `index` of `frames` as a view."""
    return View(
        frame_id=frame_id,
        image=frames.images[index],
        depth_m=frames.depth_m[index],
        valid=frames.valid[index],
        origin=frames.origin[index],
        label=frames.label[index],
        cam_to_world=frames.cam_to_world[index],
        intrinsics=frames.intrinsics,
    )
