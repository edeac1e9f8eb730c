"""Warp, rays, coordinates and retrieval against numbers computed by the published code."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from lyra_sim.memory.packing import RELEASED, Packing
from lyra_sim.memory.spatial import SpatialMemory
from lyra_sim.memory.warp import Warped, canonical_coords, continuity_mask, forward_warp, ray_maps
from tests.data import shared_data


def _open(name: str):
    path = Path(shared_data()).parent / "vectors" / name
    if not path.exists():
        pytest.skip(f"reference vectors not on this machine: {name}")
    return safe_open(str(path), "np")


@pytest.fixture(scope="module")
def geometry():
    return _open("geometry.safetensors")


def _check(made: Warped, image: np.ndarray, depth: np.ndarray) -> None:
    assert np.abs(made.images - image).max() <= 1e-4
    assert np.abs(made.depth - depth).max() <= 1e-4


def test_warps_and_mask_equal_the_reference(geometry):
    g = geometry.get_tensor
    K, depth, w2c = g("intrinsics"), g("depths"), g("w2c")
    cameras = (depth[:1], w2c[:1], K, w2c[3:4], K)
    image = forward_warp(g("warp_source_image")[0], *cameras)
    _check(image, g("warped_image"), g("warped_depth"))
    assert np.array_equal(image.mask, g("warped_mask")[0].astype(bool))
    coords = forward_warp(canonical_coords(48, 80, 5)[2:3], *cameras)
    _check(coords, g("warped_coords"), g("warped_coords_depth"))
    assert np.array_equal(continuity_mask(depth[:1]), g("reliable_depth_mask")[0].astype(bool))


def test_coordinates_and_rays_equal_the_reference(geometry):
    g = geometry.get_tensor
    assert np.abs(canonical_coords(48, 80, 5) - g("canonical_coords")).max() <= 1e-6
    relative = g("w2c")[1].astype(np.float64) @ np.linalg.inv(g("w2c")[:4].astype(np.float64))
    assert np.abs(ray_maps(relative, g("intrinsics"), 48, 80) - g("rays")[0]).max() <= 1e-5


def test_retrieval_order_and_selections_are_exact(geometry):
    g, meta = geometry.get_tensor, geometry.metadata()
    K, w2c = g("intrinsics"), g("w2c")
    memory = SpatialMemory(downsample=int(meta["cache_downsample"]))
    for i, frame_id in enumerate(json.loads(meta["cache_frame_ids"])):
        assert memory.add(frame_id, g("depths")[i], w2c[i], K[0])
    for name, targets in json.loads(meta["targets"]).items():
        got = memory.retrieve(w2c[targets], np.repeat(K, len(targets), 0), (48, 80))
        assert [list(pair) for pair in got] == json.loads(meta[name]), name
    for history, slots in json.loads(meta["temporal_selection"]).items():
        assert Packing.parse(RELEASED).temporal(int(history)) == slots


@pytest.mark.parametrize("case", ["five", "two", "zero", "first"])
def test_conditioning_warp_and_retrieval(case):
    """Many targets from one source in chunks, unknown depths, intrinsics that change from frame to frame."""
    file = _open("conditioning.safetensors")
    meta = json.loads(file.metadata()[case])

    def g(name: str) -> np.ndarray:
        return file.get_tensor(f"{case}/{name}")

    w2c, K = g("in/w2c"), g("in/K")
    frames = g("in/frames_u8").astype(np.float32) / 127.5 - 1
    n = len(frames)
    cameras = (g("in/last_depth")[None], w2c[n - 1 : n], K[n - 1 : n], w2c[n:], K[n:])
    made = forward_warp(frames[-1:], *cameras, chunk=meta["warp_chunk_size"])
    wrong = np.abs(made.images - g("out/warped_last_frame")).ravel()
    wrong[file.get_tensor(f"{case}/unstable/warped_last_frame")] = 0
    assert wrong.max() <= 1e-4
    assert (made.mask != g("out/warped_last_mask").astype(bool)).mean() <= 1e-4
    memory = SpatialMemory()
    for frame_id, depth in zip(g("in/cache_ids"), g("in/cache_depth"), strict=True):
        memory.add(int(frame_id), depth, w2c[frame_id], K[frame_id])
    got = [frame_id for _, frame_id in memory.retrieve(w2c[-1:], K[-1:], frames.shape[2:])]
    assert got == meta["retrieved"]
