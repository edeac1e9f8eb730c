"""The generator that needs no network: shows the best remembered views from the new cameras and fills what none of
them saw. It adds no geometry; what it paints into holes is marked and has no depth."""

import cv2
import numpy as np

from lyra_sim.config.explore import ReprojectConfig
from lyra_sim.core.records import Frames, Label, PixelOrigin
from lyra_sim.worldgen.fill import push_pull
from lyra_sim.worldgen.request import Drawn, Request, Stateless, View
from lyra_sim.worldgen.sheet import Sheet, make_sheet, show

_SPECK_PX = 9


class Reproject(Stateless):
    """Forward warp of retrieved views, best first, later ones into the remaining holes; then colour with guessed depth
    (sky, surfaces the sensor missed), then push-pull. The last two are FILLED."""

    def __init__(self, config: ReprojectConfig) -> None:
        self.config, self.views = config, config.views

    def generate(self, request: Request) -> Drawn:
        """See `Generator.generate`. Views with measured pixels go before generated ones, which can only repeat them
        less sharply."""
        camera = request.intrinsics
        sheets = {view.frame_id: make_sheet(view, camera.height) for view in request.views}
        second_hand = {view.frame_id: _second_hand(view) for view in request.views}
        shape = (len(request.cam_to_world), camera.height, camera.width)
        images, depth = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.float32)
        label = np.full(shape, int(Label.UNKNOWN), np.uint8)
        for i, names in enumerate(request.chosen):
            order = sorted(names, key=lambda name: second_hand[name])[: self.config.views]
            _draw([sheets[name] for name in order], request, i, images[i], depth[i], label[i])
        valid = depth > 0
        origin = np.where(valid, int(PixelOrigin.GENERATED), int(PixelOrigin.FILLED)).astype(np.uint8)
        frames = Frames(
            images=images,
            depth_m=depth,
            valid=valid,
            origin=origin,
            label=label,
            cam_to_world=request.cam_to_world,
            intrinsics=camera,
        )
        return Drawn(frames=frames, warped=True)


def _second_hand(view: View) -> bool:
    return bool((view.origin == PixelOrigin.MEASURED).mean() < 0.5)


def _draw(
    sheets: list[Sheet], request: Request, i: int, image: np.ndarray, depth: np.ndarray, label: np.ndarray
) -> None:
    """Compose frame `i` in place: geometry of all views, then their guesses, then fill."""
    known = np.zeros(depth.shape, bool)
    for guessing in (False, True):
        # A speck amid known surface is better filled from around it than with a colour at a guessed depth.
        speck = cv2.blur(known.astype(np.float32), (_SPECK_PX, _SPECK_PX)) >= 0.5 if guessing else np.zeros_like(known)
        for sheet in sheets:
            if (known | speck).all():
                break
            quads = sheet.guess if guessing else sheet.known
            shown = show(sheet, quads, request.cam_to_world[i], request.intrinsics)
            new = (shown.depth_m > 0) & ~known & ~speck
            image[new], label[new] = shown.image[new], shown.label[new]
            if guessing:
                label[new & (label != Label.SKY)] = int(Label.UNKNOWN)
            else:
                depth[new] = shown.depth_m[new]
            known |= new
    filled = push_pull(image.astype(np.float32), known)
    image[~known] = np.clip(filled[~known] + 0.5, 0, 255).astype(np.uint8)
