"""The generator that knows: renders the procedural place an input was made from, where a network would dream."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lyra_sim.config.explore import CorruptionConfig, TruthConfig
from lyra_sim.core.errors import ConfigError, InputError
from lyra_sim.core.records import Frames, PixelOrigin, Segment
from lyra_sim.geometry.camera import invert
from lyra_sim.procedural.render import Rendered, render
from lyra_sim.procedural.write import scene_of
from lyra_sim.worldgen.corrupt import Corruption
from lyra_sim.worldgen.request import Drawn, Request, Stateless


class Truth(Stateless):
    """Exact colour, depth and labels, or with the faults that the configuration asks for.

    Args:
        source: the input that was explored: folder of a walk or file of a photo, with its truth beside it.
        T_world_source: maps the input's own frame to the world (`WorldFrame.T_world_source`). Where the observer got
            the scale wrong the rendered place has the true one.

    Raises:
        ConfigError: no truth lies beside the input.
    """

    def __init__(self, config: TruthConfig, source: Path | None, T_world_source: Float[np.ndarray, "4 4"]) -> None:
        self.max_range_m, self.frames_before = config.max_range_m, 0
        try:
            if source is None:
                raise InputError("explore", expected="a source folder", got="none", todo="Give the source.")
            self.scene, T_scene_source = scene_of(source)
        except InputError as error:
            raise ConfigError(
                "explore.generator.backend",
                expected="an input rendered from a procedural world, for the backend 'truth'",
                got=f"{source} without its truth ({error.got})",
                todo="Use --set explore.generator.backend=reproject, or inputs from `lyra-sim example`.",
            ) from error
        self.T_scene_world = T_scene_source @ invert(T_world_source)
        self.corruption = None
        if config.corruption != CorruptionConfig():
            self.corruption = Corruption(config.corruption, self.scene.seed)

    def remember(self, segment: Segment) -> None:
        """Faults depend on the number of the frame."""
        self.frames_before += len(segment.frames)

    def generate(self, request: Request) -> Drawn:
        """See `Generator.generate`; nothing is ever FILLED. Sky has a colour and no depth."""
        shown = [self._shown(pose, request, self.frames_before + t) for t, pose in enumerate(request.cam_to_world)]
        depth = np.stack([view.depth_m for view in shown])
        valid = np.stack([view.valid for view in shown]) & (depth > 0) & (depth < self.max_range_m)
        frames = Frames(
            images=np.stack([view.image for view in shown]),
            depth_m=np.where(valid, depth, np.float32(0)),
            valid=valid,
            origin=np.full(depth.shape, int(PixelOrigin.GENERATED), np.uint8),
            label=np.stack([view.label for view in shown]),
            cam_to_world=request.cam_to_world,
            intrinsics=request.intrinsics,
        )
        return Drawn(frames=frames)

    def _shown(self, pose: np.ndarray, request: Request, number: int) -> Rendered:
        """Frame `number`, as the camera at `pose` sees it or is made to."""
        if self.corruption is None:
            return render(self.scene, self.T_scene_world @ pose, request.intrinsics)
        off = self.corruption
        view = render(self.scene, self.T_scene_world @ off.pose(pose, number), request.intrinsics)
        image, depth = off.ghosts(off.image(view.image, number), off.depth(view.depth_m, number), number)
        return replace(view, image=image, depth_m=depth, valid=depth > 0)
