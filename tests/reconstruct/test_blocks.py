"""Blocks of voxels near surfaces only: the same surface as with blocks everywhere, in less memory."""

import numpy as np
import pytest

from lyra_sim.config.geometry3d import TsdfConfig
from lyra_sim.core.records import Fused, PixelOrigin, Segment
from lyra_sim.reconstruct import blocks, tsdf
from lyra_sim.reconstruct.volume import Volume
from tests.reconstruct.test_tsdf import ROOM, VOXEL, fused, posed, walk


def noisy_world() -> tuple[Fused, Fused]:
    """Grazing views with noise and holes; a measured walk, and one whose generated frames overlap with its start."""
    depth, poses = walk(6)
    rng = np.random.default_rng(5)
    depth = depth * (1 + 0.01 * rng.standard_normal(depth.shape)) * (rng.random(depth.shape) > 0.1)
    new = posed(depth[2:], poses[2:], origin=np.full(depth[2:].shape, PixelOrigin.GENERATED, np.uint8))
    return fused(posed(depth, poses)), fused(posed(depth[:2], poses[:2]), Segment(index=0, frames=new.frames))


def everywhere(wanted: np.ndarray, *_: object) -> None:
    wanted[:] = True


def test_no_evidence_is_lost_where_there_are_no_blocks(monkeypatch: pytest.MonkeyPatch):
    sparse = noisy_world()
    monkeypatch.setattr(blocks, "mark_frame", everywhere)
    monkeypatch.setattr(tsdf, "mark_frame", everywhere)
    for one, other in zip(sparse, noisy_world(), strict=True):
        assert len(one.mesh.faces) > 10_000
        assert np.array_equal(one.space.state, other.space.state)
        assert np.array_equal(one.mesh.vertices, other.mesh.vertices)
        assert np.array_equal(one.mesh.faces, other.mesh.faces)
        assert np.array_equal(one.mesh.face_origin, other.mesh.face_origin)


def test_blocks_lie_near_surfaces_only():
    start = posed(*walk())
    volume = blocks.allocate(lambda: [start.frames], TsdfConfig(voxel_m=VOXEL))
    there = volume.slot >= 0
    assert len(volume.weight) == there.sum() + 1
    centre = volume.origin + (np.argwhere(there) + 0.5) * blocks.BLOCK * VOXEL
    far = ROOM.distance(centre) > (np.sqrt(3) * blocks.BLOCK / 2 + 5) * VOXEL
    assert far.mean() < 0.02 and there.mean() < 0.35
    limited = blocks.allocate(lambda: [start.frames], TsdfConfig(voxel_m=VOXEL, max_memory_gib=0.01))
    arrays = (limited.seen, limited.slot, limited.distance, limited.weight, limited.free)
    assert 0.003 * 2**30 < sum(array.nbytes for array in arrays) < 0.01 * 2**30 and limited.voxel_m < 2 * VOXEL


def test_blocks_added_later_know_what_rays_have_seen():
    volume = Volume.empty(np.zeros(3), 0.1, np.array([2, 2, 2]))
    volume.seen[9, 1, 15] = 1
    wanted = np.zeros((2, 2, 2), bool)
    wanted[0, 0, 0] = True
    volume.reserve(wanted)
    volume.weight[0] = 7.0
    wanted[1, 0, 1] = True
    volume.reserve(wanted)
    assert volume.slot[0, 0, 0] == 0 and volume.slot[1, 0, 1] == 1 and (volume.slot >= 0).sum() == 2
    assert volume.at(volume.free, np.array([[0.95, 0.15, 1.55], [0.85, 0.15, 1.55]])).tolist() == [1.0, 0.0]
    dense = volume.dense(volume.weight, 0, 2)
    assert (dense[:8, :8, :8] == 7).all() and dense.sum() == 7 * 512
    state = volume.seen.copy()
    volume.spread(np.full(volume.free.shape, 5, np.uint8), state)
    assert (state == 5).sum() == 2 * 512 and (state == 1).sum() == 0
