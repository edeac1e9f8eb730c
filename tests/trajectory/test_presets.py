"""Known motions: limits that are never exceeded, smooth ends, and the geometry each one promises."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from lyra_sim.config.path import (
    DollyPath,
    LawnMowerPath,
    LookAroundPath,
    OrbitPath,
    SpiralPath,
    ZoomPath,
)
from lyra_sim.core.errors import ConfigError
from lyra_sim.trajectory.motion import heading_of
from lyra_sim.trajectory.presets import preset_poses
from lyra_sim.trajectory.timing import EASE_FRAMES
from tests.trajectory.box_room import pose_at

STEP_M, TURN_RAD = 0.1, np.deg2rad(3.0)
HOME = pose_at(1.0, 2.0, 1.5, 0.7, 0.3)
CONFIGS = [
    OrbitPath(),
    OrbitPath(radius_m=0.2, angle_deg=-200),
    OrbitPath(radius_m=20, angle_deg=40),
    SpiralPath(),
    SpiralPath(radius_m=0.5, end_radius_m=4, rise_deg=-60, angle_deg=-500),
    SpiralPath(rise_deg=89, angle_deg=10),
    DollyPath(),
    DollyPath(forward_m=-0.03, right_m=0, up_m=0.01),
    DollyPath(forward_m=9, right_m=-2, up_m=1),
    ZoomPath(),
    ZoomPath(distance_m=-3),
    LookAroundPath(),
    LookAroundPath(angle_deg=-1),
    LawnMowerPath(),
    LawnMowerPath(length_m=3, width_m=1, spacing_m=0.3, side="right"),
    LawnMowerPath(length_m=1.2, width_m=1, spacing_m=1),
]


def rolled(home: np.ndarray, roll_rad: float) -> np.ndarray:
    out = home.copy()
    out[:3, :3] = home[:3, :3] @ Rotation.from_rotvec([0, 0, roll_rad]).as_matrix()
    return out


def motion(home: np.ndarray, poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Metres and radians from each frame to the next, the start included."""
    every = np.concatenate([home[None], poses])
    turns = Rotation.from_matrix(every[:, :3, :3])
    return np.linalg.norm(np.diff(every[:, :3, 3], axis=0), axis=1), (turns[:-1].inv() * turns[1:]).magnitude()


def made(config, home: np.ndarray = HOME, step_m: float = STEP_M, turn_rad: float = TURN_RAD) -> np.ndarray:
    return preset_poses(config, home, step_m, turn_rad)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.kind)
@pytest.mark.parametrize(
    ("home", "step_m", "turn_deg"),
    [
        (HOME, 0.1, 3.0),
        (rolled(HOME, 0.4), 0.02, 8.0),
        (rolled(pose_at(0, 0, 1.2, -3.0, -0.8), -2.9), 0.5, 0.7),
        (pose_at(0, 0, 2.0, 2.0, np.pi / 2), 0.1, 3.0),
    ],
)
def test_limits_hold_and_it_starts_and_stops_smoothly(config, home, step_m, turn_deg):
    poses = made(config, home, step_m, np.deg2rad(turn_deg))
    steps, turns = motion(home, poses)
    assert steps.max() <= step_m and turns.max() <= np.deg2rad(turn_deg)
    assert max(steps.max() / step_m, turns.max() / np.deg2rad(turn_deg)) > 0.08, "and something moves"
    for ends in (steps[[0, -1]] / step_m, turns[[0, -1]] / np.deg2rad(turn_deg)):
        assert (ends <= 1.05 / EASE_FRAMES).all(), "from rest and to rest"
    assert np.abs(np.diff(steps)).max() <= 1.05 * step_m / EASE_FRAMES
    jerk = 1.7 if config.kind == "lawn_mower" else 1.05  # at full speed its way bends faster than it would turn
    assert np.abs(np.diff(turns)).max() <= jerk * np.deg2rad(turn_deg) / EASE_FRAMES
    assert np.allclose(poses[:, :3, :3] @ np.swapaxes(poses[:, :3, :3], 1, 2), np.eye(3))
    assert abs(poses[-1][2, 0]) < 1e-9 and poses[-1][2, 1] < 1e-9, "level, not upside down"


@pytest.mark.parametrize(
    ("config", "frames"),
    [
        (ZoomPath(distance_m=5), 50),
        (DollyPath(right_m=-3, up_m=4), 50),
        (OrbitPath(radius_m=0.5), 120),
        (OrbitPath(radius_m=8), 2 * np.pi * 80 * np.cos(0.3)),
        (LookAroundPath(angle_deg=-720), 240),
    ],
)
def test_it_goes_as_fast_as_the_limits_allow(config, frames):
    """Distance or angle over its limit, and what starting and stopping cost: half of each ramp."""
    assert frames + EASE_FRAMES <= len(made(config)) <= 1.02 * frames + EASE_FRAMES + 2


def test_roll_is_let_go_on_the_spot_and_then_it_moves_as_without():
    home = rolled(HOME, 0.5)
    plain, poses = made(OrbitPath()), made(OrbitPath(), home)
    settling = len(poses) - len(plain)
    assert settling >= 0.5 / TURN_RAD
    assert np.allclose(poses[:settling, :3, 3], HOME[:3, 3]) and np.allclose(poses[:settling, :3, 2], HOME[:3, 2])
    assert np.allclose(poses[settling - 1], HOME) and np.allclose(poses[settling:], plain)


@pytest.mark.parametrize("radius_m", [0.5, 2.0, 12.0])
@pytest.mark.parametrize("angle_deg", [360.0, -90.0])
def test_orbit_keeps_its_distance_and_looks_at_the_centre(radius_m, angle_deg):
    poses = made(OrbitPath(radius_m=radius_m, angle_deg=angle_deg))
    centre = HOME[:3, 3] + radius_m * HOME[:3, 2]
    away = centre - poses[:, :3, 3]
    assert np.allclose(np.linalg.norm(away, axis=1), radius_m)
    assert np.allclose(poses[:, :3, 2], away / radius_m)
    assert np.allclose(poses[:, 2, 3], HOME[2, 3]), "at one height"
    round_it = np.unwrap(np.arctan2(-away[:, 1], -away[:, 0]))
    assert (np.diff(round_it) * angle_deg > 0).all(), "to the side that the sign says"
    assert round_it[-1] - np.arctan2(*-HOME[[1, 0], 2]) == pytest.approx(np.deg2rad(angle_deg)) or angle_deg == 360
    assert np.allclose(poses[-1], HOME) == (angle_deg == 360), "a whole circle returns"


def test_spiral_ends_at_its_radius_and_steepness_and_looks_at_the_centre():
    poses = made(SpiralPath(radius_m=2, end_radius_m=0.8, rise_deg=30, angle_deg=450))
    away = HOME[:3, 3] + 2 * HOME[:3, 2] - poses[:, :3, 3]
    distance = np.linalg.norm(away, axis=1)
    assert np.allclose(poses[:, :3, 2], away / distance[:, None])
    assert (np.diff(distance) < 0).all() and distance[-1] == pytest.approx(0.8)
    heading, pitch = heading_of(poses[-1])
    assert pitch == pytest.approx(0.3 + np.deg2rad(30)) and heading == pytest.approx(0.7 + np.pi / 2)


@pytest.mark.parametrize("distance_m", [2.0, -1.5])
def test_zoom_moves_along_the_looking_direction_without_turning(distance_m):
    poses = made(ZoomPath(distance_m=distance_m))
    assert np.allclose(poses[:, :3, :3], HOME[:3, :3])
    moved = (poses[:, :3, 3] - HOME[:3, 3]) @ HOME[:3, :3]
    assert np.allclose(moved[:, :2], 0) and moved[-1, 2] == pytest.approx(distance_m)
    assert (np.diff(moved[:, 2]) * distance_m > 0).all()


def test_dolly_moves_along_level_axes_without_turning():
    poses = made(DollyPath(forward_m=1.0, right_m=-2.0, up_m=0.5))
    assert np.allclose(poses[:, :3, :3], HOME[:3, :3])
    ahead, right = np.array([np.cos(0.7), np.sin(0.7), 0]), HOME[:3, 0]
    assert np.allclose(poses[-1][:3, 3] - HOME[:3, 3], ahead - 2 * right + [0, 0, 0.5])


def test_look_around_turns_on_the_spot_and_returns():
    poses = made(LookAroundPath())
    assert np.allclose(poses[:, :3, 3], HOME[:3, 3]) and np.allclose(poses[-1], HOME)
    headings, pitches = np.array([heading_of(pose) for pose in poses]).T
    assert np.allclose(pitches, 0.3) and (np.diff(np.unwrap(headings)) > 0).all()
    quarter = made(LookAroundPath(angle_deg=-90))
    assert heading_of(quarter[-1])[0] == pytest.approx(0.7 - np.pi / 2)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("length", "width", "spacing"), [(8.0, 4.0, 2.0), (5.0, 3.0, 0.7), (2.0, 0.5, 2.0)])
def test_lawn_mower_covers_its_rectangle_and_looks_where_it_goes(side, length, width, spacing):
    poses = made(LawnMowerPath(length_m=length, width_m=width, spacing_m=spacing, side=side))
    every = np.concatenate([HOME[None], poses])
    assert np.allclose(every[:, 2, 3], HOME[2, 3])
    c, s = np.cos(0.7), np.sin(0.7)
    local = (every[:, :2, 3] - HOME[:2, 3]) @ np.array([[c, -s], [s, c]])
    y = local[:, 1] * (1 if side == "left" else -1)
    assert local[:, 0].min() > -1e-9 and local[:, 0].max() < length + 1e-9, "inside the rectangle"
    assert y.min() > -1e-9 and y.max() < width + 1e-9
    assert local[:, 0].max() > length - STEP_M and y.max() > width - STEP_M
    spots = np.stack(np.meshgrid(np.linspace(0, length, 60), np.linspace(0, width, 60)), -1).reshape(-1, 2)
    apart = width / np.ceil(width / spacing)
    far, _ = cKDTree(np.stack([local[:, 0], y], 1)).query(spots)
    assert far.max() < 0.64 * apart + STEP_M / 2, "farthest at the rim, midway between two turns"
    between = np.diff(every[:, :2, 3], axis=0)
    fast = np.linalg.norm(between, axis=1) > 0.01
    looks = every[1:, :2, 2] / np.linalg.norm(every[1:, :2, 2], axis=1, keepdims=True)
    along = (between * looks)[fast].sum(1) / np.linalg.norm(between, axis=1)[fast]
    assert along.min() > np.cos(1.01 * TURN_RAD), "within one frame's turn of where it goes"


def test_a_motion_longer_than_any_walk_is_refused():
    with pytest.raises(ConfigError, match=r"at most 10000 frames.*explore\.step_m"):
        made(LawnMowerPath(length_m=100, width_m=100, spacing_m=0.2))
