"""View points of labelled objects: room, reach and line of sight on paper, pictures by the slab method, ways by
scikit-fmm; labels from a USD scene."""

import numpy as np
import pytest
import skfmm
from pxr import Usd, UsdGeom, UsdSemantics

from lyra_sim.core.errors import InputError
from robot_tasks import build_nav
from robot_tasks.build import build_nav_of_soups
from robot_tasks.colliders import Thing, soups_of_scene
from robot_tasks.objects import OBJECTS, read_objects
from tests.robot_tasks import rooms

FLAT = rooms.Flat()
CHEST = (2.15, 0.25, 2.5, 0.6)
"""Behind the wall from the crate: some places within a metre of it do not see it."""
SOLIDS = (*FLAT.rectangles, CHEST)
BOXES = [*FLAT.boxes, ((*CHEST[:2], -0.05), (*CHEST[2:], 2.0))]
REACH_M, STEP_M = 1.0, 0.25


def thing(prim: str, category: str, *boxes) -> Thing:
    return Thing(prim=prim, category=category, triangles=rooms.soup(*boxes).triangles)


THINGS = (
    thing("/World/Chest", "chest", BOXES[-1]),
    thing("/World/Crate", "box", BOXES[-2]),
    thing("/World/Walls", "wall", *BOXES[1:5]),
)


def made(folder, things, robot=rooms.CARTER):
    nav = build_nav_of_soups(
        [rooms.soup(*BOXES)], folder, visual=rooms.soup(*BOXES), things=things,
        floor=rooms.floor_grid(*FLAT.size, holes=SOLIDS), robots=(robot,), config=rooms.FEW, seed=1,
    )  # fmt: skip
    return nav[robot.name]["objects"], folder / "nav" / robot.name / OBJECTS


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    told, path = made(tmp_path_factory.mktemp("objects"), THINGS)
    return told, read_objects(path)


def nearest(rectangle, points) -> np.ndarray:
    x0, y0, x1, y1 = rectangle
    return np.column_stack([np.clip(points[:, 0], x0, x1), np.clip(points[:, 1], y0, y1)])


def free_line(a, b, target) -> bool:
    """Nothing but the target on the straight line, 2 mm apart."""
    spots = a + np.linspace(0, 1, max(int(np.hypot(*(b - a)) / 0.002), 2))[:, None] * (b - a)
    return not any(
        ((spots > r[:2]) & (spots < r[2:])).all(1).any() for r in map(np.array, SOLIDS) if tuple(r) != target
    )


@pytest.mark.parametrize(("category", "rectangle"), [("box", FLAT.crate), ("chest", CHEST)])
def test_view_points_are_where_the_object_can_be_seen_from(written, category, rectangle):
    (goal,) = (row for row in written[1]["objects"] if row["object_category"] == category)
    feet = np.array([view["position"] for view in goal["view_points"]])
    solid = rooms.Flat()
    solid.rectangles = SOLIDS
    near = nearest(rectangle, feet[:, :2])
    assert len(feet) > 5 and np.abs(feet[:, 2]).max() == 0
    assert solid.clearance(feet[:, :2]).min() >= rooms.CARTER.radius_m - 1e-3
    assert np.hypot(*(near - feet[:, :2]).T).max() <= REACH_M
    assert all(free_line(a, b, rectangle) for a, b in zip(feet[:, :2], near, strict=True))
    for view, a, b in zip(goal["view_points"], feet, near, strict=True):
        w, _, _, z = view["rotation"]
        assert np.arctan2(*(b - a[:2])[::-1]) == pytest.approx(2 * np.arctan2(z, w), abs=1e-3)
    x, y = np.meshgrid(np.arange(0.05, 4, 0.1), np.arange(0.05, 3, 0.1), indexing="ij")
    places = np.column_stack([x.ravel(), y.ravel()])
    way = nearest(rectangle, places) - places
    good = (solid.clearance(places) >= rooms.CARTER.radius_m + 0.1) & (np.hypot(*way.T) <= REACH_M - 0.1)
    good &= np.hypot(*way.T) >= 0.5
    seen = [p for p, v in zip(places[good], way[good], strict=True) if free_line(p, p + v, rectangle)]
    away = np.hypot(*(np.array(seen)[:, None] - feet[None, :, :2]).transpose(2, 0, 1)).min(1)
    assert len(seen) > 20 and away.max() <= 1.5 * STEP_M, "a place from which it can be seen has no view point near"
    corner = [np.array(rectangle[:2]), np.array(rectangle[2:])]
    assert ((goal["position"][:2] >= corner[0] - 1e-3) & (goal["position"][:2] <= corner[1] + 1e-3)).all()


def test_a_wall_hides_what_is_near_behind_it(written):
    (goal,) = (row for row in written[1]["objects"] if row["object_category"] == "chest")
    feet = np.array([view["position"] for view in goal["view_points"]])
    assert not ((feet[:, 0] < 1.95) & (feet[:, 1] < 1.05)).any()
    assert np.hypot(*(nearest(CHEST, np.array([[1.6, 0.5]])) - [1.6, 0.5]).T)[0] < REACH_M  # although it is near


def first_hits(eye, rays) -> np.ndarray:
    """Which box each ray meets first, by slabs."""
    low, high = (np.array([box[k] for box in BOXES], float) for k in (0, 1))
    with np.errstate(divide="ignore"):
        a, b = (low - eye)[None] / rays[:, None], (high - eye)[None] / rays[:, None]
    enter, leave = np.minimum(a, b).max(2), np.maximum(a, b).min(2)
    depth = np.where((enter <= leave) & (leave > 0), np.maximum(enter, 0), np.inf)
    return depth.argmin(1)


def test_iou_is_that_of_the_object_with_the_middle_of_the_picture(written):
    camera = rooms.CARTER.camera
    rows = max(round(32 * camera.height / camera.width), 2)
    focal = 16 / np.tan(np.radians(camera.hfov_deg) / 2)
    i, j = np.meshgrid(np.arange(rows) + 0.5, np.arange(32) + 0.5, indexing="ij")
    middle = (abs(i - rows / 2) < rows / 4) & (abs(j - 16) < 8)
    found = []
    for goal, number in ((written[1]["objects"][0], -1), (written[1]["objects"][1], -2)):
        for view in goal["view_points"]:
            yaw = 2 * np.arctan2(view["rotation"][3], view["rotation"][0])
            c, s = np.cos(yaw), np.sin(yaw)
            left, up = (16 - j) / focal, (rows / 2 - i) / focal
            rays = np.stack([c - s * left, s + c * left, up], -1).reshape(-1, 3)
            eye = view["position"] + np.array([c * camera.forward_m, s * camera.forward_m, camera.height_m])
            shown = (first_hits(eye, rays) == len(BOXES) + number).reshape(middle.shape)
            found.append((view["iou"], (shown & middle).sum() / (shown | middle).sum()))
    ours, theirs = np.array(found).T
    assert np.abs(ours - theirs).max() <= 0.05 and np.abs(ours - theirs).mean() <= 0.005
    assert ours.min() > 0 and np.ptp(ours) > 0.2


def test_ways_to_the_nearest_view_point(written):
    told, tree = written
    cell = 0.01
    x, y = np.meshgrid(np.arange(0.005, 4, cell), np.arange(0.005, 3, cell), indexing="ij")
    solid = rooms.Flat()
    solid.rectangles = SOLIDS
    free = solid.clearance(np.stack([x, y], -1)) >= rooms.CARTER.radius_m
    for category in ("box", "chest"):
        rows = [row for row in tree["episodes"] if row["object_category"] == category]
        (goal,) = (row for row in tree["objects"] if row["object_category"] == category)
        feet = np.array([view["position"][:2] for view in goal["view_points"]])
        away = np.hypot(x[..., None] - feet[:, 0], y[..., None] - feet[:, 1]).min(-1)
        field = skfmm.distance(np.ma.MaskedArray(away - 0.02, ~free), dx=cell) + 0.02
        start = np.array([row["start_position"] for row in rows])
        at = np.floor(start[:, :2] / cell).astype(int)
        oracle = field.filled(np.nan)[at[:, 0], at[:, 1]]
        ours = np.array([row["info"]["geodesic_distance"] for row in rows])
        assert len(rows) == told["categories"][category]["episodes"] >= 8 and ours.min() >= rooms.FEW.min_geodesic_m
        assert np.nanmax(np.abs(ours - oracle)) <= 0.1 and np.isfinite(oracle).mean() > 0.9


def test_what_is_no_object_is_no_goal(tmp_path):
    told, path = made(tmp_path, THINGS[2:], rooms.JETBOT)
    assert told == {"categories": {}, "why": "nothing seen has a label but floor, wall and ceiling"}
    assert not path.exists()
    told, path = made(tmp_path, [thing("/World/Lamp", "lamp", ((0.2, 0.3, 9.0), (0.5, 0.7, 9.1)))], rooms.JETBOT)
    assert told["categories"] == {} and "in sight" in told["why"] and not path.exists()
    with pytest.raises(InputError, match=r"objects\.json\.gz"):
        read_objects(path)


def test_things_are_the_prims_that_carry_a_label(tmp_path):
    rooms.write_usd(tmp_path / "scene.usda", BOXES)
    stage = Usd.Stage.Open(str(tmp_path / "scene.usda"))
    UsdGeom.Xform.Define(stage, "/World/Chair")
    for number, low in enumerate((0.0, 0.2)):
        mesh = stage.DefinePrim(f"/World/Chair/Part_{number}")
        mesh.GetReferences().AddInternalReference(f"/World/Box_{len(BOXES) - 1 - number}")
        UsdGeom.Xformable(mesh).AddTranslateOp().Set((0.0, 0.0, low))
    for path, label in (
        ("/World/Chair", "chair"),
        ("/World/Box_0", "floor"),
        (f"/World/Box_{len(BOXES) - 1}", "chest"),
    ):
        UsdSemantics.LabelsAPI.Apply(stage.GetPrimAtPath(path), "class").CreateLabelsAttr([label])
    stage.GetRootLayer().Save()
    _, seen, things = soups_of_scene(tmp_path / "scene.usda")
    assert [(t.prim, t.category, len(t.triangles)) for t in things] == [
        ("/World/Box_0", "floor", 12), (f"/World/Box_{len(BOXES) - 1}", "chest", 12), ("/World/Chair", "chair", 12),
        ("/World/Chair/Part_0", "chest", 12),
    ]  # fmt: skip
    assert len(seen.triangles) == 12 * (len(BOXES) + 2)
    nav = build_nav(
        tmp_path / "scene.usda", tmp_path, floor=rooms.floor_grid(*FLAT.size, holes=SOLIDS), robots=(rooms.JETBOT,),
        config=rooms.FEW, seed=0,
    )  # fmt: skip
    assert set(nav["jetbot"]["objects"]["categories"]) == {"chair", "chest"}
