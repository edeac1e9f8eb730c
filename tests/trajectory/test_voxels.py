"""Voxels against a room known on paper: no matter is free, no air is occupied, what is hidden is unknown."""

import dataclasses

import numpy as np
import pytest

from lyra_sim.core.records import Frames, Label, PixelOrigin
from lyra_sim.trajectory.gain import bin_of, known_share
from lyra_sim.trajectory.returns import first_surface
from lyra_sim.trajectory.voxels import BLOCK, FREE, OCCUPIED, UNKNOWN, VOXEL_M, VoxelMap
from tests.trajectory.box_room import BOX_HIGH, BOX_LOW, HIGH, LOW, pose_at, room_frames

HOME = pose_at(0.2, 0.1, 1.4)


@pytest.fixture(scope="module")
def seen() -> VoxelMap:
    space = VoxelMap(HOME[:3, 3])
    space.see(room_frames(HOME[None]))
    return space


def inside(points: np.ndarray, margin: float) -> np.ndarray:
    """Points in the air, at least `margin` from walls and box."""
    room = ((points > LOW + margin) & (points < HIGH - margin)).all(1)
    return room & ~((points > BOX_LOW - margin) & (points < BOX_HIGH + margin)).all(1)


def everywhere() -> np.ndarray:
    axes = [np.arange(a - 0.5, b + 0.5, 0.07) for a, b in zip(LOW, HIGH, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def test_free_is_air_and_occupied_is_surface(seen):
    points = everywhere()
    state = seen.states(points)
    off = VOXEL_M * np.sqrt(3)
    assert (state == FREE).sum() > 2000 and (state == OCCUPIED).sum() > 1000
    assert inside(points[state == FREE], -off).all()
    deep = inside(points, off)
    assert not (state[deep] == OCCUPIED).any()
    solid = ((points > BOX_LOW + off) & (points < BOX_HIGH - off)).all(1)
    assert (state[solid] == UNKNOWN).all() and solid.sum() > 20


def test_what_the_picture_does_not_show_is_unknown(seen):
    behind_camera = np.array([[-0.4, 0.0, 1.4], [0.0, 0.0, 0.1], [0.0, -1.0, 2.0]])
    behind_box = np.array([[3.5, -1.4, 0.3], [3.4, -1.2, 0.1]])
    beyond = np.array([[5.4, 0.0, 1.0], [90.0, 0.0, 1.0], [0.0, 0.0, -9.0]])
    for points in (behind_camera, behind_box, beyond):
        assert (seen.states(points) == UNKNOWN).all()


def changed(frames: Frames, **fields: np.ndarray) -> Frames:
    return dataclasses.replace(frames, **fields)


def test_filled_and_cut_out_pixels_say_nothing():
    frames = room_frames(HOME[None])
    space = VoxelMap(HOME[:3, 3])
    space.see(changed(frames, origin=np.full_like(frames.origin, int(PixelOrigin.FILLED))))
    cut_out = {"origin": np.full_like(frames.origin, int(PixelOrigin.NONE)), "valid": np.zeros_like(frames.valid)}
    space.see(changed(frames, **cut_out))
    assert space.count == 0


def test_where_pixels_without_depth_looked_is_unknown_and_no_surprise():
    frames = room_frames(HOME[None])
    far = frames.depth_m > 3.0
    space, whole = VoxelMap(HOME[:3, 3]), VoxelMap(HOME[:3, 3])
    space.see(changed(frames, valid=frames.valid & ~far, depth_m=np.where(far, np.float32(0), frames.depth_m)))
    whole.see(frames)
    ahead = HOME[:3, 3] + np.arange(1.5, 4.0, 0.5)[:, None] * HOME[:3, 2]
    assert far[0, far.shape[1] // 2, far.shape[2] // 2]
    assert (space.states(ahead) == UNKNOWN).all() and (whole.states(ahead) == FREE).all()
    heading = bin_of(0.0)
    assert known_share(space, HOME[:3, 3])[heading] > 0.8
    _, kind = first_surface(space, HOME[:3, 3], HOME[None, :3, 2], through_blind=True)
    assert kind[0] == FREE
    space.blind[:] = 0
    assert known_share(space, HOME[:3, 3])[heading] < 0.7
    _, kind = first_surface(space, HOME[:3, 3], HOME[None, :3, 2], through_blind=True)
    assert kind[0] == UNKNOWN


def test_pixels_without_depth_do_not_look_through_known_walls():
    frames = room_frames(HOME[None])
    space = VoxelMap(HOME[:3, 3])
    space.see(frames)
    none = np.zeros_like(frames.valid)
    space.see(changed(frames, valid=none, depth_m=np.zeros_like(frames.depth_m)))
    beyond = np.array([[HIGH[0] + 0.6, y, 1.4] for y in (-0.5, 0.0, 0.5)])
    assert (space.states(beyond) == UNKNOWN).all()
    _, kind = first_surface(space, HOME[:3, 3], (beyond - HOME[:3, 3]) / 6.0, through_blind=True)
    assert (kind == OCCUPIED).all()


def test_the_nearest_view_and_its_side_are_kept():
    space = VoxelMap(HOME[:3, 3])
    wall = np.array([[4.95, 0.05, 1.41], [5.05, 0.05, 1.41]])  # on the border of two voxels
    places = np.floor((wall - space.origin_m) / VOXEL_M).astype(int)

    def kept() -> tuple[int, int]:
        at = [(space.index[tuple(place // BLOCK)], *(place % BLOCK)) for place in places]
        return min(int(space.nearest_dm[a]) for a in at), int(space.sides[at[0]] | space.sides[at[1]])

    space.see(room_frames(pose_at(1.0, 0.9, 1.4, -0.2, 0.0)[None]))
    far = kept()
    assert far[0] == pytest.approx(41, abs=1) and bin(far[1]).count("1") == 1
    space.see(room_frames(pose_at(3.0, 0.9, 1.4, -0.3, 0.0)[None]))
    assert kept()[0] == pytest.approx(22, abs=1)
    space.see(room_frames(pose_at(4.0, -1.9, 1.4, np.pi / 3, 0.0)[None]))
    assert bin(kept()[1]).count("1") == 2, "from another side too"


def test_memory_follows_the_volume_that_was_seen(seen):
    volume = float(np.prod(np.ceil((HIGH - LOW) / (BLOCK * VOXEL_M)) + 1))
    assert 4 <= seen.count <= volume
    before = seen.bytes
    seen.see(room_frames(HOME[None]))
    assert seen.bytes == before


def test_same_frames_same_map():
    one, two = VoxelMap(HOME[:3, 3]), VoxelMap(HOME[:3, 3])
    for space in (one, two):
        space.see(room_frames(HOME[None]))
    assert one.hits.any() and (one.index == two.index).all() and (one.hits == two.hits).all()


def test_many_looks_keep_what_was_found():
    """Counts are halved before they overflow."""
    space, frames = VoxelMap(HOME[:3, 3]), room_frames(HOME[None])
    space.see(frames)
    points = everywhere()
    before = space.states(points)
    for _ in range(40):
        space.see(frames)
    assert (space.states(points) == before).mean() > 0.995


def test_the_sky_is_free():
    frames = room_frames(HOME[None])
    upper = np.zeros_like(frames.valid)
    upper[:, :60] = True
    label = np.where(upper, int(Label.SKY), frames.label).astype(np.uint8)
    space = VoxelMap(HOME[:3, 3])
    space.see(changed(frames, valid=frames.valid & ~upper, label=label))
    ray = HOME[:3, 3] + np.arange(1.0, 6.0)[:, None] * (HOME[:3, :3] @ np.array([0.0, -0.4, 1.0]))
    assert (space.states(ray) == FREE).all()
