"""The gates of a world, computed from its written files. Names, definitions and order are those of the design; limits
lie in `limits.py`."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from lyra_sim.collision.measure import (
    View,
    blocked_share,
    depth_distance,
    floor_views,
    measured_views,
    seen_in,
    surface_distance,
)
from lyra_sim.config.validate import ValidateConfig
from lyra_sim.core.errors import InputError
from lyra_sim.core.records import Gate, SpaceGrid, Surface, World
from lyra_sim.geometry.rays import RayScene
from lyra_sim.memory.revisits import Returned
from usd_export.appearance import Appearance
from usd_export.reader import read_variants
from usd_export.records import SceneGeometry
from usd_export.validate import limits
from usd_export.validate.drop import drop_balls
from usd_export.validate.generated_gates import Agreement, compare_generated, has_generated
from usd_export.validate.limits import judged, not_computed
from usd_export.validate.rules import Role, scene_problems
from usd_export.validate.shape_gates import floor_fit_p95_m, floor_holes_m2
from usd_export.validate.view_gates import Seen, compare_views

FILES: tuple[tuple[str, Role], ...] = (("scene.usda", "asset"), ("stage.usda", "stage"), ("scene.usdz", "asset"))
_SHOWN = 3
"""How many findings a reason quotes."""
_SEED = 0
_OF_FILES = ("usd_errors", "map_reraster_iou", "licence_complete")
"""Gates about files as such; shapes in memory have none."""
_LICENCE_FIELDS = ("subject", "name", "holder", "source")


class NotComputableError(Exception):
    """A gate has nothing to measure; the message says what is absent."""


_Found = tuple[float | bool, str]
"""A gate's value, and what is wrong where the limit is not kept."""


@dataclass
class _Judge:
    """One world under judgement; what several gates need is made once."""

    folder: Path
    world: World
    surface: Surface
    space: SpaceGrid
    config: ValidateConfig
    given: Mapping[str, SceneGeometry] | None = None
    returned: Returned | None = None
    photo: bool = field(init=False)

    def __post_init__(self) -> None:
        self.photo = not self.world.start.frame.measured

    @cached_property
    def scenes(self) -> Mapping[str, SceneGeometry]:
        """The scene with each of its colliders, the default first."""
        return self.given or read_variants(self.folder / "scene.usda")

    @property
    def scene(self) -> SceneGeometry:
        return next(iter(self.scenes.values()))

    @cached_property
    def collider(self) -> tuple[np.ndarray, np.ndarray]:
        vertices, faces = self.scene.collider_mesh()
        if len(faces) == 0:
            raise NotComputableError("scene.usda has no collider")
        return vertices, faces

    @cached_property
    def rays(self) -> RayScene:
        return RayScene(*self.collider)

    @cached_property
    def views(self) -> tuple[View, ...]:
        return measured_views(self.world)

    @cached_property
    def surface_apart(self) -> dict[str, float]:
        near = self.surface.near
        if len(near.faces) == 0:
            raise NotComputableError("the surface has no near field")
        seen = seen_in(self.space)
        return surface_distance(*self.collider, near.vertices, near.faces, _SEED, seen=seen)

    @cached_property
    def views_again(self) -> Seen:
        if not self.scene.visuals:
            raise NotComputableError("scene.usda has no visible mesh")
        look = Appearance(self.scene)
        return compare_views(look, self.world.start.frames, photo=self.photo, config=self.config)

    @cached_property
    def generated(self) -> Agreement:
        return compare_generated(self.world)

    def usd_errors(self) -> _Found:
        found = [f"{file}: {problem}" for file, role in FILES for problem in scene_problems(self.folder / file, role)]
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        return float(len(found)), "; ".join(found[:_SHOWN]) + more

    def collider_surface_median_m(self) -> _Found:
        return self.surface_apart["median_m"], ""

    def collider_surface_p95_m(self) -> _Found:
        return self.surface_apart["p95_m"], ""

    def collider_surface_max_m(self) -> _Found:
        return self.surface_apart["max_m"], ""

    def collider_depth_p95_m(self) -> _Found:
        if self.photo:
            raise NotComputableError("depth was not measured")
        value = depth_distance(*self.collider, self.views)["p95_m"]
        if not np.isfinite(value):
            raise NotComputableError("no input pixel has measured depth")
        return value, ""

    def free_blocked_share(self) -> _Found:
        return blocked_share(*self.collider, self.views), ""

    def floor_hole_m2(self) -> _Found:
        if not (self.surface.floor.state > 0).any():
            raise NotComputableError("there is no floor")
        area, spot = floor_holes_m2(self.rays, self.surface.floor)
        where = f", first at {spot[0]:.2f}, {spot[1]:.2f}" if spot else ""
        return area, f"{area:.4f} m2 of floor have no collider{where}"

    def floor_fit_p95_m(self) -> _Found:
        value = floor_fit_p95_m(self.rays, self.surface.floor, floor_views(self.world))
        if value is None:
            raise NotComputableError("no floor tile has enough measured points")
        return value, ""

    def scale_sigma(self) -> _Found:
        return self.world.start.frame.scale_sigma, ""

    def drop_rest_share(self) -> _Found:
        points = free_points(self.folder, self.surface, self.config.drop_balls)
        if len(points) == 0:
            raise NotComputableError("no robot has a free point")
        drops = drop_balls(tuple(self.scenes.values()), points, self.config.drop_deadline_s)
        name, worst = min(zip(self.scenes, drops, strict=True), key=lambda item: item[1].rested.mean())
        told = "; ".join(worst.faults[:_SHOWN])
        return float(worst.rested.mean()), f"{len(worst.faults)} of {len(points)} balls on {name} colliders, {told}"

    def reprojection_psnr_db(self) -> _Found:
        if self.views_again.psnr_db is None:
            raise NotComputableError("the visual mesh covers no compared pixel")
        return self.views_again.psnr_db, ""

    def input_coverage_share(self) -> _Found:
        if self.views_again.coverage is None:
            raise NotComputableError("no input pixel is to be covered")
        return self.views_again.coverage, ""

    def generated_likeness(self) -> _Found:
        if self.generated.likeness is None:
            raise NotComputableError("generated frames hardly see what the input saw")
        return self.generated.likeness, ""

    def generated_depth_off_median(self) -> _Found:
        if self.generated.depth_off_median is None:
            raise NotComputableError("generated frames have hardly any depth where the input has")
        return self.generated.depth_off_median, ""

    def revisit_psnr_db(self) -> _Found:
        assert self.returned is not None, "asked only of walks that return"
        low = self.returned.lowest
        told = f"{self.returned.psnr_db:.1f} dB over {self.returned.pairs} pairs of frames"
        return self.returned.psnr_db, f"{told}, lowest frame {low.newer} against {low.older} ({low.psnr_db:.1f} dB)"

    def licence_complete(self) -> _Found:
        told = json.loads((self.folder / "ATTRIBUTION.json").read_text())
        lines = [line for line in told["licences"] if all(str(line.get(key, "")).strip() for key in _LICENCE_FIELDS)]
        whole = len(lines) == len(told["licences"]) and len(lines) >= max(1, len(told["inputs"]))
        return whole, f"{len(lines)} complete licence lines for {len(told['inputs'])} inputs"


def gates(
    folder: Path,
    *,
    world: World,
    surface: Surface,
    space: SpaceGrid,
    reraster: Callable[[], Gate] | None = None,
    config: ValidateConfig | None = None,
    scenes: Mapping[str, SceneGeometry] | None = None,
    returned: Returned | None = None,
) -> tuple[Gate, ...]:
    """Judge a written world.

    Args:
        folder: holds what `write_scene` wrote, and nav/<robot>/free_points.csv.
        world: the inputs the written files are compared with.
        surface: the fused surface and the floor they are compared with.
        space: what of the space was seen; only there colliders are held against the surface.
        reraster: computes the gate `map_reraster_iou` for the owner of the maps; without it that gate fails.
        scenes: shapes by variant, the default first, to measure in place of those in scene.usda (`scenes_of` gives
            those that a scene was written from); gates about files are then left out.
        returned: what `memory.revisits.returns` found; the gates of `limits.RETURNED` are about that.

    Returns:
        All world gates in the order of `limits.SENSOR`, `limits.GENERATED` and `limits.RETURNED`. A gate that cannot be
        computed fails and says why.
    """
    judge = _Judge(folder, world, surface, space, config or ValidateConfig(), scenes, returned)
    table = {
        **(limits.PHOTO if judge.photo else limits.SENSOR),
        **(limits.GENERATED if has_generated(world) else {}),
        **(limits.RETURNED if returned else {}),
    }
    asked = {name: limit for name, limit in table.items() if scenes is None or name not in _OF_FILES}
    drop = "drop_rest_share"
    found: dict[str, Gate] = {}
    with ThreadPoolExecutor(1) as beside:  # the engine is a process of its own: everything else goes on meanwhile
        balls = beside.submit(_compute, drop, asked[drop], judge.drop_rest_share)
        for name, limit in asked.items():
            if name == "map_reraster_iou":
                found[name] = reraster() if reraster else not_computed(name, limit, "no map was compared")
            elif name != drop:
                found[name] = _compute(name, limit, getattr(judge, name))
        found[drop] = balls.result()
    return tuple(found[name] for name in asked)


def _compute(name: str, limit: limits.Limit, measure: Callable[[], _Found]) -> Gate:
    try:
        value, fault = measure()
    except (NotComputableError, InputError, OSError, KeyError, json.JSONDecodeError) as error:
        # OSError: a file that is absent, and the engine's TimeoutError and ChildProcessError
        return not_computed(name, limit, str(error) or type(error).__name__)
    if not np.isfinite(value):
        return not_computed(name, limit, f"the value is {value}")
    return judged(name, limit, value, fault)


def free_points(folder: Path, surface: Surface, count: int) -> np.ndarray:
    """(N, 3) points of every robot's free_points.csv with the floor's height, at most `count`, spread evenly."""
    rows = [
        [float(value) for value in line.split(",")[:2]]
        for file in sorted(folder.glob("nav/*/free_points.csv"))
        for line in file.read_text().splitlines()
        if line.strip()
    ]
    xy = np.unique(np.array(rows, np.float64).reshape(-1, 2), axis=0)
    if len(xy) > count:
        xy = xy[((np.arange(count) + 0.5) * len(xy) / count).astype(int)]
    floor = surface.floor
    cell = np.floor((xy - floor.origin_m) / floor.cell_m).astype(int)
    cell = np.clip(cell, 0, np.array(floor.state.shape) - 1)
    return np.column_stack([xy, floor.height_m[tuple(cell.T)].astype(np.float64)])
