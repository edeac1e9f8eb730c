"""The forward warp against answers known without it: shifts, homographies, a slow loop."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from lyra_sim.core.records import Intrinsics
from lyra_sim.geometry.camera import pixel_rays
from lyra_sim.memory.warp import continuity_mask, forward_warp, integer_matrix


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    image = cv2.GaussianBlur(rng.uniform(-1, 1, (height, width, 3)).astype(np.float32), (0, 0), 3)
    return np.moveaxis(image / np.abs(image).max(), -1, 0)[None]


def _pose(shift=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0)) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = cv2.Rodrigues(np.array(turn))[0]
    T[:3, 3] = shift
    return T


def _matrix(height: int, width: int, focal: float) -> np.ndarray:
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])


def test_sideways_step_before_a_wall_is_an_integer_shift():
    image = _texture(np.random.default_rng(1), 40, 64)
    K, depth = _matrix(40, 64, 64.0), np.full((1, 40, 64), 2.0)
    made = forward_warp(image, depth, np.eye(4)[None], K[None], _pose((5 * 2 / 64, 0, 0))[None], K[None])
    inner = (slice(4, -4), slice(8, -4))
    assert made.mask[0][inner].all()
    assert np.abs(made.images[0][:, 4:-4, 8:-4] - image[0][:, 4:-4, 3:-9]).max() < 1e-4
    assert np.allclose(made.depth[0][inner], 2.0)
    assert not made.mask[0][:, :4].any()  # the fifth column is a hair beside a pixel centre
    assert (made.images[0][:, :, :4] == -1).all()


def test_pure_rotation_is_a_homography():
    image = _texture(np.random.default_rng(2), 96, 128)
    K, turn = _matrix(96, 128, 110.0), _pose(turn=(0.05, -0.08, 0.03))
    made = forward_warp(image, np.full((1, 96, 128), 3.0), np.eye(4)[None], K[None], turn[None], K[None])
    expected = cv2.warpPerspective(
        np.moveaxis(image[0], 0, -1), K @ turn[:3, :3] @ np.linalg.inv(K), (128, 96), flags=cv2.INTER_CUBIC
    )
    inner = cv2.erode(made.mask[0].astype(np.uint8), np.ones((15, 15))) > 0
    assert inner.sum() > 6000
    error = np.abs(np.moveaxis(made.images[0], 0, -1) - expected).max(-1)[inner]
    assert error.mean() < 0.02
    assert error.max() < 0.15


def _slow(image, depth, source, K, targets, target_K, keep):
    """A plain loop over pixels, written from the description."""
    channels, height, width = image.shape
    flat = []
    for T in targets:
        pts = np.zeros((height, width, 3))
        for v in range(height):
            for u in range(width):
                p = np.zeros(3)
                if keep[v, u]:
                    cam = np.linalg.solve(K, [u, v, 1.0]) * depth[v, u]
                    p = (np.linalg.inv(source) @ [*cam, 1])[:3]
                pts[v, u] = target_K @ (T @ [*p, 1])[:3]
        flat.append(pts)
    far = max(np.log1p(np.maximum(p[..., 2], 0)).max() for p in flat) + 1e-7
    out = []
    for pts in flat:
        canvas, weight = np.zeros((channels, height + 2, width + 2)), np.zeros((height + 2, width + 2))
        for v, u in zip(*np.nonzero(keep & (pts[..., 2] > 0)), strict=True):
            x, y, z = pts[v, u]
            x, y = x / (z + 1e-7) + 1, y / (z + 1e-7) + 1
            near = 1 / (np.exp(np.clip(50 * np.log1p(z) / far, None, 80)) + 1e-7)
            for yy in (np.floor(y), np.ceil(y)):
                for xx in (np.floor(x), np.ceil(x)):
                    w = near * (1 - abs(x - xx)) * (1 - abs(y - yy))
                    j, i = int(np.clip(yy, 0, height + 1)), int(np.clip(xx, 0, width + 1))
                    canvas[:, j, i] += w * image[:, v, u]
                    weight[j, i] += w
        mask = weight[1:-1, 1:-1] > 0
        out.append((np.where(mask, canvas[:, 1:-1, 1:-1] / np.maximum(weight[1:-1, 1:-1], 1e-300), -1), mask))
    return out


@pytest.mark.parametrize(("height", "width", "seed"), [(17, 23, 5), (24, 16, 6)])
def test_equals_a_slow_loop(height, width, seed):
    rng = np.random.default_rng(seed)
    depth = 2 + cv2.GaussianBlur(rng.uniform(-2, 2, (height, width)), (0, 0), 4) + (rng.random((height, width)) < 0.05)
    depth[rng.random((height, width)) < 0.03] = 0.0
    keep = (depth > 0) & continuity_mask(depth[None], ratio=0.6)[0]
    assert 0.2 < keep.mean() < 0.98
    image = rng.uniform(-1, 1, (1, 4, height, width)).astype(np.float32)
    source = _pose((0.1, 0, 0.2), (0, 0.1, 0))
    targets = np.stack([_pose(rng.normal(0, 0.3, 3), rng.normal(0, 0.1, 3)) for _ in range(3)])
    K, other = _matrix(height, width, 20.0), _matrix(height, width, 25.0)
    cameras = (source[None], K[None], targets, np.repeat(other[None], 3, 0))
    made = forward_warp(image, depth[None], *cameras, source_mask=keep[None])
    for i, (expected, mask) in enumerate(_slow(image[0], depth, source, K, targets, other, keep)):
        assert np.array_equal(made.mask[i], mask)
        assert np.abs(made.images[i] - expected).max() < 1e-5


def test_chunks_decide_the_depth_range():
    rng = np.random.default_rng(3)
    depth = np.tile(np.linspace(1, 1.2, 24), (16, 1))[None]
    targets = np.stack([_pose(), _pose((0.3, 0, 30.0))])
    K = np.repeat(_matrix(16, 24, 20.0)[None], 2, 0)
    image = rng.uniform(-1, 1, (1, 1, 16, 24))
    together = forward_warp(image, depth, np.eye(4)[None], K[:1], targets + _pose((0.01, 0, 0)) - np.eye(4), K)
    alone = forward_warp(image, depth, np.eye(4)[None], K[:1], targets + _pose((0.01, 0, 0)) - np.eye(4), K, chunk=1)
    assert np.array_equal(together.mask, alone.mask)
    assert np.array_equal(together.images[1], alone.images[1])
    assert not np.array_equal(together.images[0], alone.images[0])


def test_pieces_of_a_view_together_are_the_view():
    rng = np.random.default_rng(7)
    depth = 2 + cv2.GaussianBlur(rng.uniform(-1, 1, (20, 30)), (0, 0), 4)
    image, keep = rng.uniform(-1, 1, (1, 2, 20, 30)), continuity_mask(depth[None])
    left = np.arange(30) < 15
    pieces = np.concatenate([keep & left, keep & ~left])
    K, targets = np.repeat(_matrix(20, 30, 25.0)[None], 2, 0), np.stack([_pose((0.2, 0, 0)), _pose((0, 0, -0.5))])
    whole = forward_warp(image, depth[None], np.eye(4)[None], K[:1], targets, K, source_mask=keep)
    both = [np.repeat(x, 2, 0) for x in (image, depth[None], np.eye(4)[None])]
    made = forward_warp(*both, K, targets, K, source_mask=pieces, together=True)
    assert 0.3 < whole.mask.mean() < 1
    assert np.array_equal(made.mask, whole.mask)
    assert np.abs(made.images - whole.images).max() < 1e-6
    assert np.abs(made.depth - whole.depth).max() < 1e-6


def test_same_bytes_for_any_number_of_threads():
    code = (
        "import hashlib, numpy as np; from lyra_sim.memory.warp import forward_warp; r = np.random.default_rng(0);"
        "K = np.diag([20.0, 20, 1])[None]; T = np.tile(np.eye(4), (9, 1, 1)); T[:, 0, 3] = np.arange(9) / 10;"
        "m = forward_warp(r.random((1, 3, 24, 32)), 2 + r.random((1, 24, 32)) / 20, T[:1], K, T, np.repeat(K, 9, 0));"
        "print(hashlib.sha256(m.images.tobytes() + m.depth.tobytes()).hexdigest(), m.mask.any())"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"NUMBA_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(prints) == 1
    assert "True" in prints.pop()


def test_continuity_counts_zeros_beyond_the_border_in_its_mean_only():
    plane = np.tile(np.linspace(1.0, 1.15, 12)[None], (12, 1))[None]  # inside: 0.055 / 1.07 = 0.051
    gentle = np.tile(np.linspace(1.0, 1.12, 12)[None], (12, 1))[None]
    assert not continuity_mask(plane)[0, 2:-2, 2:-6].any()
    assert continuity_mask(gentle)[0, 2:-2, 2:-2].all()
    assert not continuity_mask(gentle)[0, 0, 2:-2].any()
    assert continuity_mask(np.full((1, 12, 12), 3.0)).all()


def test_unknown_depth_moves_nothing():
    K = _matrix(8, 8, 8.0)[None]
    depth = np.full((1, 8, 8), np.nan)
    depth[0, :, :4] = 0.0
    made = forward_warp(
        np.ones((1, 3, 8, 8)), depth, np.eye(4)[None], K, np.eye(4)[None], K, source_mask=depth[0:1] == 0
    )
    assert not made.mask.any()
    assert (made.images == -1).all()
    assert (made.depth == 0).all()


def test_integer_matrix_projects_like_the_half_pixel_camera():
    camera = Intrinsics(fx=50.0, fy=52.0, cx=20.0, cy=15.5, width=40, height=30)
    pixel = integer_matrix(camera) @ pixel_rays(camera)[7, 11]
    assert np.allclose(pixel, [11, 7, 1])
