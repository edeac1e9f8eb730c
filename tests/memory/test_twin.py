"""The torch twin against the numpy reference, at several sizes and in both precisions."""

import cv2
import numpy as np
import pytest
import torch

from lyra_sim.memory import warp
from lyra_sim.memory.spatial import SpatialMemory
from lyra_sim.memory.twin import Twin

SIZES = [(17, 23, 1), (32, 40, 2), (41, 30, 3)]


def _views(height: int, width: int, seed: int, count: int):
    """Depth with steps, holes, NaN and infinity; poses near each other; another focal length for each."""
    rng = np.random.default_rng(seed)
    depth = 2 + np.stack([cv2.GaussianBlur(rng.uniform(-1, 1, (height, width)), (0, 0), 4) for _ in range(count)])
    depth[:, :, width // 2 :] += 0.4
    depth[rng.random(depth.shape) < 0.01] = 0.0
    depth[0, :2, :2] = [[np.nan, np.inf], [np.nan, -1]]
    w2c = np.tile(np.eye(4), (count, 1, 1))
    for T in w2c:
        T[:3, :3], T[:3, 3] = cv2.Rodrigues(rng.normal(0, 0.05, 3))[0], rng.normal(0, 0.2, 3)
    K = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]]) * np.ones((count, 1, 1))
    K[:, [0, 1], [0, 1]] *= rng.uniform(0.9, 1.1, (count, 1))
    return depth, w2c, K, rng


def _same(made, wanted: warp.Warped, tolerance: float) -> None:
    assert np.array_equal(made.mask.numpy(), wanted.mask)
    assert np.abs(made.images.numpy() - wanted.images).max() < tolerance
    assert np.allclose(made.depth.numpy(), wanted.depth, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("height", "width", "seed"), SIZES)
def test_warps_of_one_several_and_together(height, width, seed):
    depth, w2c, K, rng = _views(height, width, seed, 7)
    images = rng.uniform(-1, 1, (7, 4, height, width)).astype(np.float32)
    mask = rng.random((7, height, width)) < 0.8
    one, pairs, all_ = slice(0, 1), slice(0, 5), slice(0, 3)
    cases = [
        (one, slice(2, 7), {"chunk": 2}),
        (pairs, slice(2, 7), {"source_mask": mask[pairs]}),
        (all_, slice(3, 7), {"together": True, "size": (height + 5, width - 3)}),
    ]
    for source, target, settings in cases:
        cameras = (images[source], depth[source], w2c[source], K[source], w2c[target], K[target])
        wanted = warp.forward_warp(*cameras, **settings)
        assert wanted.mask.any() and not wanted.mask.all()
        _same(Twin().forward_warp(*cameras, **settings), wanted, 1e-6)
        single = Twin(dtype=torch.float32).forward_warp(*cameras, **settings)
        off = np.abs(single.images.numpy() - wanted.images).max(1)
        assert single.images.dtype == torch.float32
        assert (off > 1e-3).mean() < 0.01
        assert (single.mask.numpy() != wanted.mask).mean() < 0.01


@pytest.mark.parametrize(("height", "width", "seed"), SIZES)
def test_masks_coordinates_and_rays(height, width, seed):
    depth, w2c, K, _ = _views(height, width, seed, 3)
    known = warp.known_depth(depth)
    twin = Twin()
    assert np.array_equal(twin.known_depth(depth).numpy(), known)
    mask = warp.continuity_mask(known)
    assert mask.any() and not mask.all()
    assert np.array_equal(twin.continuity_mask(known).numpy(), mask)
    assert np.array_equal(twin.continuity_mask(known, 3, 0.3).numpy(), warp.continuity_mask(known, 3, 0.3))
    for slots in (1, 4):
        wanted = warp.canonical_coords(height, width, slots)
        assert np.array_equal(twin.canonical_coords(height, width, slots).numpy(), wanted)
    for given in (K, K[:1]):
        wanted = warp.ray_maps(w2c, given, height, width)
        assert np.abs(twin.ray_maps(w2c, given, height, width).numpy() - wanted).max() < 1e-6


@pytest.mark.parametrize(("height", "width", "seed"), SIZES)
def test_retrieval(height, width, seed):
    depth, w2c, K, _ = _views(height, width, seed, 12)
    depth[0] = 2.0
    memory = SpatialMemory(downsample=2)
    assert Twin().retrieve(memory, w2c[:1], K[:1], (height, width)) == []
    for i in range(9):
        memory.add(8 * i, np.nan_to_num(depth[i]), w2c[i], K[i])
    for settings in ({"count": 3}, {"exclude_recent": False}):
        target = (w2c[9:], K[9:], (height, width))
        wanted = memory.retrieve(*target, **settings)
        assert len(wanted) > 1
        assert Twin().retrieve(memory, *target, **settings) == wanted
