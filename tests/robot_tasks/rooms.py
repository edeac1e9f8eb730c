"""Small worlds of boxes whose free space, distances and shortest paths are known on paper."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lyra_sim.config.robots import load_robots
from lyra_sim.config.tasks import RobotConfig, TasksConfig
from lyra_sim.core.records import FloorGrid
from robot_tasks.colliders import Soup

JETBOT, CARTER = load_robots(("jetbot", "nova_carter"))
FEW = TasksConfig(episodes=40, goals=8)
_QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def box(low, high) -> np.ndarray:
    """(12, 3, 3) triangles of an axis-aligned box, outward winding."""
    ends = np.array([low, high], float)
    corner = np.array([[ends[i, 0], ends[j, 1], ends[k, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    return np.array([corner[list(f)] for a, b, c, d in _QUADS for f in ((a, b, c), (a, c, d))])


def soup(*boxes, hull: bool = False) -> Soup:
    """Boxes given as (low corner, high corner)."""
    triangles = np.concatenate([box(*b) for b in boxes])
    number = np.repeat(np.arange(len(boxes)), 12) if hull else np.full(len(triangles), -1)
    return Soup(triangles=triangles, hull=number.astype(np.int32))


def floor_grid(x: float, y: float, holes=(), height_m=None) -> FloorGrid:
    """Seen floor over [0, x] x [0, y] but for rectangles (x0, y0, x1, y1); `height_m(x, y)` gives its height."""
    cell = 0.025
    shape = (round(x / cell), round(y / cell))
    cx, cy = np.meshgrid(*((np.arange(n) + 0.5) * cell for n in shape), indexing="ij")
    state = np.ones(shape, np.uint8)
    for x0, y0, x1, y1 in holes:
        state[(cx > x0) & (cx < x1) & (cy > y0) & (cy < y1)] = 0
    height = np.zeros(shape, np.float32) if height_m is None else height_m(cx, cy).astype(np.float32)
    return FloorGrid(origin_m=np.zeros(2), cell_m=cell, state=state, height_m=height)


@dataclass
class Flat:
    """Two rooms of 1.95 x 3 m with a 0.9 m door; solids are (x0, y0, x1, y1) rectangles 2 m high."""

    size = (4.0, 3.0)
    door = (1.05, 1.95)
    wall = (1.95, 2.05)
    crate = (0.2, 0.3, 0.5, 0.7)
    rectangles = (
        (-0.1, -0.1, 0.0, 3.1), (4.0, -0.1, 4.1, 3.1), (-0.1, -0.1, 4.1, 0.0), (-0.1, 3.0, 4.1, 3.1),
        (1.95, 0.0, 2.05, 1.05), (1.95, 1.95, 2.05, 3.0), crate,
    )  # fmt: skip

    @property
    def boxes(self) -> list:
        solids = [((x0, y0, -0.05), (x1, y1, 2.0)) for x0, y0, x1, y1 in self.rectangles]
        return [((-0.1, -0.1, -0.1), (4.1, 3.1, 0.0)), *solids]

    @property
    def soup(self) -> Soup:
        return soup(*self.boxes)

    @property
    def floor(self) -> FloorGrid:
        return floor_grid(*self.size, holes=self.rectangles)

    def clearance(self, points: np.ndarray) -> np.ndarray:
        """Exact distance of points (..., 2) to the solids' rectangles; 0 inside."""
        found = np.full(points.shape[:-1], np.inf)
        for x0, y0, x1, y1 in self.rectangles:
            dx = np.maximum(np.maximum(x0 - points[..., 0], points[..., 0] - x1), 0)
            dy = np.maximum(np.maximum(y0 - points[..., 1], points[..., 1] - y1), 0)
            found = np.minimum(found, np.hypot(dx, dy))
        return found


def around_the_door(radius: float) -> float:
    """Shortest way of a disc from (0.6, 2.5) to (3.4, 2.5) in `Flat`: tangent, arc round a door post, the wall's
    thickness, and the same again."""
    x, y = 0.6 - 1.95, 2.5 - 1.95
    d = float(np.hypot(x, y))
    touch = np.arctan2(y, x) + np.arccos(radius / d)
    return 2 * (np.sqrt(d * d - radius * radius) + radius * (1.5 * np.pi - touch)) + 0.1


def write_usd(path: Path, boxes, *, approximation: str = "none") -> None:
    """A minimal scene that satisfies the checkers: every box a visible collider mesh."""
    from pxr import Gf, Usd, UsdGeom, UsdPhysics, UsdShade

    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, "Z")
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    world = UsdGeom.Xform.Define(stage, "/World")
    stage.SetDefaultPrim(world.GetPrim())
    UsdGeom.Scope.Define(stage, "/World/Looks")
    material = UsdShade.Material.Define(stage, "/World/Looks/Physics")
    physics = UsdPhysics.MaterialAPI.Apply(material.GetPrim())
    physics.CreateStaticFrictionAttr(0.8)
    physics.CreateDynamicFrictionAttr(0.6)
    for number, (low, high) in enumerate(boxes):
        triangles = box(low, high)
        points, faces = np.unique(triangles.reshape(-1, 3), axis=0, return_inverse=True)
        mesh = UsdGeom.Mesh.Define(stage, f"/World/Box_{number}")
        mesh.CreatePointsAttr([Gf.Vec3f(*map(float, p)) for p in points])
        mesh.CreateFaceVertexCountsAttr([3] * len(triangles))
        mesh.CreateFaceVertexIndicesAttr(faces.ravel().tolist())
        mesh.CreateSubdivisionSchemeAttr("none")
        mesh.CreateExtentAttr([Gf.Vec3f(*map(float, low)), Gf.Vec3f(*map(float, high))])
        UsdPhysics.CollisionAPI.Apply(mesh.GetPrim())
        UsdPhysics.MeshCollisionAPI.Apply(mesh.GetPrim()).CreateApproximationAttr(approximation)
        binding = UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim())
        binding.Bind(material, UsdShade.Tokens.weakerThanDescendants, "physics")
    stage.GetRootLayer().Save()


def tall_robot(step_m: float) -> RobotConfig:
    """A robot like Nova Carter with another step."""
    return CARTER.model_copy(update={"step_m": step_m})
