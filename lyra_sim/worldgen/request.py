"""What a generator is asked for and what it is given: cameras to draw, and remembered views that see the same place."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from lyra_sim.core.licence import Licence
from lyra_sim.core.record import record
from lyra_sim.core.records import Frames, Intrinsics, PosedFrames, Segment
from lyra_sim.geometry.camera import scaled


@record
class View:
    """One remembered frame; views of one request may differ in size."""

    frame_id: int
    """0 is the frame the walk begins at; start frames before it count down, generated ones up from 1."""
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


@record
class Drawn:
    """What a generator made of a request."""

    frames: Frames
    """The requested frames in order: colours GENERATED where the generator knows them and FILLED where it paints over a
    hole; depth is valid where it is geometry, and never where the colour is FILLED."""
    warped: bool = False
    """See `Segment.warped`, as the next two."""
    latents: Float32[np.ndarray, "C L Y X"] | None = None
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)


class Generator(Protocol):
    """Draws frames that were never seen. Same past and same request, same bytes."""

    frames: int | None
    """Exactly so many frames per request; None: any number."""
    views: int
    """Remembered views wanted per group of targets; 0 for generators that remember by themselves."""
    licences: tuple[Licence, ...]
    """Rights in its weights."""
    weights: Mapping[str, str]
    """File of its weights -> sha256."""

    def camera(self, start: Intrinsics, height_px: int) -> Intrinsics:
        """The camera of generated frames."""
        ...

    def begin(self, start: PosedFrames, captions: Mapping[int, str], progress: Callable[[str], None]) -> None:
        """What was observed, before anything is asked for.

        Args:
            captions: what the world shows, by the number of the generated frame from which on it holds.
            progress: called with a short line while something takes long.
        """
        ...

    def remember(self, segment: Segment) -> None:
        """A committed segment, of this run or an earlier one; called for all of them in order."""
        ...

    def generate(self, request: Request) -> Drawn:
        """Draw the requested frames."""
        ...


class Stateless:
    """Of a generator to which the request says everything."""

    frames: int | None = None
    views = 0
    licences: tuple[Licence, ...] = ()
    weights: Mapping[str, str] = MappingProxyType({})

    def camera(self, start: Intrinsics, height_px: int) -> Intrinsics:
        """That of the start, at most `height_px` high, with an even width and height."""
        height = min(height_px, start.height) // 2 * 2
        return scaled(start, max(2, 2 * round(start.width * height / start.height / 2)), height)

    def begin(self, start: PosedFrames, captions: Mapping[int, str], progress: Callable[[str], None]) -> None:
        """Nothing to do."""

    def remember(self, segment: Segment) -> None:
        """Nothing to do."""


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


def without_memory(request: Request, last: View) -> Request:
    """The same cameras for a generator that forgets: all it is shown is the frame just before them. Drawn beside the
    answer to `request`, it tells how much of what a walk sees again is owed to memory.

    Args:
        last: the frame before the first of `request`.
    """
    return dataclasses.replace(request, views=(last,), chosen=((last.frame_id,),) * len(request.chosen))
