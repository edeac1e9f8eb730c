"""What a survey keeps: floor of any height, air that was looked through, grids that grow with the walk."""

from dataclasses import replace

import numpy as np

from lyra_sim.core.records import Frames, Label, PixelOrigin
from lyra_sim.geometry.camera import pixel_rays
from lyra_sim.trajectory.freemap import ALL_AIR, CELL_M, blocked
from lyra_sim.trajectory.gain import FAR_M
from lyra_sim.trajectory.survey import Survey
from tests.trajectory.box_room import CAMERA, pose_at, room_frames


def _ground(height: float, label: Label, eye: np.ndarray) -> Frames:
    """An endless plane at a height, and sky."""
    way = pixel_rays(CAMERA) @ eye[:3, :3].T
    with np.errstate(divide="ignore"):
        depth = (height - eye[2, 3]) / way[..., 2]
    valid = (depth > 0) & (depth < 20)
    return Frames(
        images=np.zeros((1, *depth.shape, 3), np.uint8),
        depth_m=np.where(valid, depth, 0).astype(np.float32)[None],
        valid=valid[None],
        origin=np.full((1, *depth.shape), int(PixelOrigin.MEASURED), np.uint8),
        label=np.where(valid, int(label), int(Label.SKY) if label else 0).astype(np.uint8)[None],
        cam_to_world=eye[None],
        intrinsics=CAMERA,
    )


def _seen(height: float, label: Label) -> Survey:
    eye = pose_at(0, 0, 0.6, 0.4, 0.2)
    survey = Survey(eye[:3, 3], 0.6)
    survey.see(_ground(height, label, eye))
    return survey


def test_labelled_floor_counts_where_it_lies_higher_or_lower():
    pitch, half = 0.2, np.arctan(120 / 240)
    for height in (0.0, 0.12, -0.1):
        survey = _seen(height, Label.FLOOR)
        nearest, side = (0.6 - height) / np.tan(pitch + half), np.arctan(160 / 240)
        cells = survey.origin_m + (np.argwhere(survey.near) + 0.5) * CELL_M
        far = np.linalg.norm(cells, axis=1)
        bearing = np.abs(np.angle(np.exp(1j * (np.arctan2(cells[:, 1], cells[:, 0]) - 0.4))))
        assert far.min() > nearest - 0.1 and bearing.max() < side + 0.15
        area = side * (FAR_M**2 - nearest**2)  # of the sector, roughly: z-depth ends the picture, not distance
        assert 0.85 * area < len(cells) * CELL_M**2 < 1.35 * area
        assert not survey.blocked.any()


def test_other_surfaces_that_high_are_no_floor():
    for label in (Label.OBSTACLE, Label.UNKNOWN):
        survey = _seen(0.12, label)
        assert not survey.near.any() and survey.blocked.any()
    assert _seen(0.0, Label.UNKNOWN).near.any(), "without labels height 0 is floor"
    assert not _seen(0.5, Label.FLOOR).near.any() and _seen(0.5, Label.FLOOR).blocked.any()


def test_a_kerb_does_not_block_but_what_stands_elsewhere_does():
    eye = pose_at(0, 0, 0.6, 0.0, 0.2)
    way = pixel_rays(CAMERA) @ eye[:3, :3].T
    with np.errstate(divide="ignore"):
        road, pavement, face = -0.6 / way[..., 2], (0.12 - 0.6) / way[..., 2], 3.0 / way[..., 0]
    down, high = way[..., 2] < 0, 0.6 + way[..., 2] * face
    road, pavement = np.where(down, road, np.inf), np.where(down, pavement, np.inf)
    onto = way[..., 0] * pavement > 3.0
    depth = np.where(road < face, road, np.where(onto, pavement, np.where(high < 0.12, face, np.inf)))
    kerb = (road >= face) & ~onto & (high < 0.12)
    for label, upper in ((Label.FLOOR, 1), (Label.OBSTACLE, 0)):
        valid = np.isfinite(depth) & (depth < 20)
        kind = np.where(valid, int(Label.FLOOR), int(Label.SKY)).astype(np.uint8)
        kind[onto & valid], kind[kerb] = int(label), int(Label.OBSTACLE)
        frames = replace(
            _ground(0.0, Label.FLOOR, eye),
            depth_m=np.where(valid, depth, 0).astype(np.float32)[None], valid=valid[None], label=kind[None],
        )  # fmt: skip
        assert kerb.sum() > 500
        survey = Survey(eye[:3, 3], 0.6)
        survey.see(frames)
        i, j = np.floor((np.array([3.0, 0.3]) - survey.origin_m) / CELL_M).astype(int)
        assert bool(survey.blocked[i - 1 : i + 1, j].any()) == (not upper)
        assert bool(survey.free_map(0.1).known[i - 3 : i + 4, j].all()) == bool(upper)


def test_low_things_block_on_raised_floor_and_where_floor_is_mistaken():
    things = np.zeros((60, 60), np.uint8)
    things[:30], things[30:] = 8, 4  # level and raised floor that meet along a line
    things[29:31, :50] |= 2  # the face of the kerb, ...
    things[45:48, 20:23] = 2  # ... a thing on the pavement, ...
    things[10:13, 20:23] = 2  # ... and one on the road, one cell of which is taken for raised floor
    things[13, 21] = 4
    found = blocked(things)
    assert not found[28:32].any() and found[45:48, 20:23].all() and found[10:13, 20:23].all()
    things[29, 10] |= 1
    assert blocked(things)[29, 10], "what stands on the kerb does"


def test_air_is_what_rays_pass_about_the_camera_height():
    survey = _seen(0.0, Label.FLOOR)
    cells = survey.origin_m + (np.argwhere(survey.air == ALL_AIR) + 0.5) * CELL_M
    bearing = np.abs(np.angle(np.exp(1j * (np.arctan2(cells[:, 1], cells[:, 0]) - 0.4))))
    assert (
        len(cells) * CELL_M**2 > 20 and bearing[np.linalg.norm(cells, axis=1) > 0.5].max() < np.arctan(160 / 240) + 0.1
    )
    room = Survey(np.array([0.4, 0.6, 0.6]), 0.6)
    room.see(room_frames(pose_at(0.4, 0.6, 0.6, -0.55, 0.0)[None]))  # at the box: nothing is known behind it
    x, y = np.array([(3.6, -1.4), (3.5, -1.25)]).T
    behind = np.floor((np.stack([x, y], 1) - room.origin_m) / CELL_M).astype(int)
    assert not (room.air[tuple(behind.T)] == ALL_AIR).any()


def test_grids_grow_and_keep_what_they_hold():
    away = np.array([31.0, -17.5, 0.0])
    one, two = Survey(np.array([0.4, 0.6, 0.6]), 0.6), Survey(np.array([0.4, 0.6, 0.6]) + away, 0.6)
    for pose in (pose_at(0.4, 0.6, 0.6, 0.3, 0.12), pose_at(2.0, 1.0, 0.6, -1.0, 0.12)):
        shown = room_frames(pose[None])
        moved = Frames(
            **{**{k: getattr(shown, k) for k in Frames.__dataclass_fields__}, "cam_to_world": _moved(pose, away)}
        )
        one.see(shown)
        two.see(moved)
    before = one.floor.shape
    one.see(_ground(0.0, Label.FLOOR, pose_at(40.0, 30.0, 0.6, 0.0, 0.2)))
    assert one.floor.shape[0] > before[0] + 400 and one.floor.shape[1] > before[1] + 300
    for name in ("floor", "near", "blocked"):
        here, there = (_places(survey, name) for survey in (one, two))
        here = here[(here[:, 0] < 20) & (here[:, 1] < 15)]
        common = {tuple(p) for p in (here + away[:2]).round(3)} & {tuple(p) for p in there.round(3)}
        assert len(common) > 0.99 * max(len(here), len(there)) > 50, name  # rounding decides at the borders of pixels
    assert one.near.sum() > two.near.sum() + 1000, "and the new place is there too"


def test_a_camera_below_the_floor_shows_none():
    survey = Survey(np.array([0.0, 0.0, 0.6]), 0.6)
    for height in (-0.4, 0.0, 0.05):
        survey.see(_ground(-2.0, Label.OBSTACLE, pose_at(0, 0, height, 0.4, 0.2)))
    assert not survey.near.any() and (survey.hope == 1).all()


def _moved(pose: np.ndarray, away: np.ndarray) -> np.ndarray:
    out = pose.copy()
    out[:3, 3] += away
    return out[None]


def _places(survey: Survey, name: str) -> np.ndarray:
    return survey.origin_m + (np.argwhere(getattr(survey, name)) + 0.5) * CELL_M
