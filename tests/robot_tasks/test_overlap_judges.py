"""What judges our episodes without us (benchmarks/episode_overlaps.py) finds what is there, on boxes known on paper."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks._stage_solids import Boxes, Solids
from benchmarks._written_episodes import WrittenMap, read_written, sweep
from robot_tasks import build_nav
from tests.robot_tasks import rooms

LEG, PANEL, CRATE = ((1.0, 1.0, 0.0), (1.015, 1.015, 0.8)), ((2.0, 0.5, 0.0), (2.01, 2.5, 1.0)), ((3, 1, 0), (4, 2, 1))
HALF = np.array([0.35, 0.2, 0.25])


def apart(low: np.ndarray, high: np.ndarray, centre: np.ndarray, yaw: float, half: np.ndarray) -> float:
    """Gap between an axis-aligned and an upright box by separating axes, negative where they overlap (exact sign)."""
    c, s = np.cos(yaw), np.sin(yaw)
    middle, side = (low + high)[:2] / 2 - centre[:2], (high - low)[:2] / 2
    gaps = [abs(middle @ n) - np.abs(side * n).sum() - half[:2] @ np.abs([n @ (c, s), n @ (-s, c)])
            for n in (np.array([1, 0]), np.array([0, 1]), np.array([c, s]), np.array([-s, c]))]  # fmt: skip
    return max(*gaps, abs((low + high)[2] / 2 - centre[2]) - (high - low)[2] / 2 - half[2])


@pytest.mark.parametrize("approximation", ["none", "convexHull"])
def test_boxes_meet_what_they_meet(tmp_path, approximation):
    """A leg of 15 mm between the lines of any lattice, a panel, and a crate that swallows a robot whole."""
    rooms.write_usd(tmp_path / "scene.usda", (LEG, PANEL, CRATE), approximation=approximation)
    rng = np.random.default_rng(0)
    solids = [np.array(ends, float) for ends in (LEG, PANEL, CRATE)]
    centre = rng.uniform([0, 0, 0.3], [5, 3, 1.2], (3000, 3))
    centre[:400, :2] = solids[0].mean(0)[:2] + rng.uniform(-0.4, 0.4, (400, 2))
    centre[-1] = 3.5, 1.5, 0.5
    boxes = Boxes(centre, rng.uniform(-np.pi, np.pi, 3000), HALF)
    gap = np.array([min(apart(*s, c, y, HALF) for s in solids) for c, y in zip(centre, boxes.yaw, strict=True)])
    sure = np.abs(gap) > 1e-3
    found = Solids(tmp_path / "scene.usda").hit(boxes, lattice_m=0.1)
    np.testing.assert_array_equal(found[sure], gap[sure] < 0)
    assert 300 < found.sum() < 2700 and found[-1]
    whole = Boxes(np.array([[3.5, 1.5, 0.5]]), np.array([0.3]), np.array([0.1, 0.1, 0.1]))
    assert Solids(tmp_path / "scene.usda").hit(whole).all()  # inside, far from every face


def test_maps_are_read_as_anybody_would(tmp_path):
    grey = np.full((40, 60), 255, np.uint8)
    grey[30, 10], grey[5, 50] = 0, 127  # rows from above
    Image.fromarray(grey).save(tmp_path / "map.png")
    (tmp_path / "map.yaml").write_text("image: map.png\nresolution: 0.1\norigin: [-1.0, 2.0, 0.0]\n")
    plan = WrittenMap(tmp_path)
    low = np.array([-1 + 10 * 0.1, 2 + 9 * 0.1])  # of the occupied cell
    points = low + np.array([(0.05, 0.05), (-0.3, -0.4), (0.5, 0.05)])
    np.testing.assert_allclose(plan.clearance(points), [0, 0.5, 0.4], atol=1e-9)
    robot = rooms.CARTER  # 0.725 x 0.5
    at = low + np.array([0.05, 0.1 + 0.25])
    assert plan.outline_free(np.array([at[0], at[1] + 0.01, 0, 0]), robot)
    assert not plan.outline_free(np.array([at[0], at[1] - 0.01, 0, 0]), robot)
    assert not plan.outline_free(np.array([at[0], at[1] + 0.01, 0, 0.4]), robot)


def test_sweeps_leave_no_gap():
    path = np.array([[0, 0], [1, 0], [1, 1.5]], float)
    poses = sweep(path, -3.0)
    step, turn = np.diff(poses[:, :2], axis=0), np.diff(np.unwrap(poses[:, 2]))
    assert np.hypot(*step.T).max() <= 0.02 + 1e-9 and np.abs(turn).max() <= np.radians(3) + 1e-9
    assert np.hypot(*step.T).sum() == pytest.approx(2.5)
    np.testing.assert_allclose(poses[-1], [1, 1.5, np.pi / 2])


def test_robots_start_and_end_on_the_highest_floor_under_them(tmp_path):
    """A room whose floor is 2.1 cm higher in one half: Nova Carter climbs that, and its box begins 2 cm above where it
    stands, so at the height of the floor under its centre it would be in the other half."""
    flat = rooms.Flat()
    plate, walls = ((2.0, 0.0, -0.05), (4.0, 3.0, 0.021)), flat.boxes[1:5]
    rooms.write_usd(tmp_path / "scene.usda", (flat.boxes[0], plate, *walls))
    floor = rooms.floor_grid(*flat.size, height_m=lambda x, y: np.where(x > 2.0, 0.021, 0.0))
    config = rooms.FEW.model_copy(update={"episodes": 150})
    build_nav(tmp_path / "scene.usda", tmp_path, floor=floor, robots=(rooms.CARTER,), config=config, seed=0)
    written = read_written(tmp_path / "nav" / "nova_carter")
    poses = np.concatenate([written.start, written.goal])
    half, middle = np.array([0.725, 0.5, 0.6]) / 2, 0.02 + 0.3
    solids = Solids(tmp_path / "scene.usda")
    assert not solids.hit(Boxes(poses[:, :3] + (0, 0, middle), poses[:, 3], half)).any()
    gates = json.loads((tmp_path / "nav" / "nova_carter" / "gates.json").read_text())
    assert gates["path_overlap_count"] == 0 and gates["spawn_overlap_count"] == 0
    low = np.column_stack([poses[:, :2], np.where(poses[:, 0] > 2.0, 0.021, 0.0) + middle])
    assert solids.hit(Boxes(low, poses[:, 3], half)).any()
    for pose in poses[:20]:
        flat_m = 0.021 if pose[0] > 2.0 else 0.0
        at = np.array([pose[0], pose[1], flat_m, pose[3]])
        assert flat_m - 1e-4 <= solids.stand(at, (0.725, 0.5), 0.02, np.tan(np.radians(5))) <= pose[2] + 1e-4
