"""Retrieval against a slow loop, and its rules one by one."""

import time

import numpy as np
import pytest

from lyra_sim.memory.packing import Packing
from lyra_sim.memory.spatial import SpatialMemory


def _scene(seed: int, entries: int, height: int, width: int):
    rng = np.random.default_rng(seed)
    depth = rng.uniform(1.5, 3.0, (entries, 1, 1)) + rng.uniform(0, 0.4, (entries, height, width))
    depth[rng.random(depth.shape) < 0.05] = 0.0
    w2c = np.tile(np.eye(4), (entries, 1, 1))
    for T, angle in zip(w2c, rng.uniform(-0.9, 0.9, entries), strict=True):
        c, s = np.cos(angle), np.sin(angle)
        T[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
        T[:3, 3] = rng.normal(0, 0.3, 3)
    K = np.array([[0.8 * width, 0, width / 2], [0, 0.8 * width, height / 2], [0, 0, 1.0]])
    return depth.astype(np.float32), w2c, K


def _slow(depth, ids, w2c, K, targets, size, count):
    """Coverage sets of (view, pixel) per entry, greedily picked; written from the description."""
    S = np.diag([0.25, 0.25, 1.0])
    hits: list[dict] = []
    for e in range(len(ids)):
        hit = {}
        for v, u in np.ndindex(*depth[e][::4, ::4].shape):
            d = depth[e][4 * v, 4 * u]
            p = np.linalg.inv(w2c[e]) @ np.append(np.linalg.inv(S @ K) @ [u, v, 1] * d, 1) if d > 0 else np.eye(4)[3]
            for t, T in enumerate(targets):
                cam = (T @ p)[:3]
                x, y, _ = S @ K @ cam / (cam[2] + 1e-7)
                if cam[2] > 0 and 0 <= round(x) < -(-size[1] // 4) and 0 <= round(y) < -(-size[0] // 4):
                    hit.setdefault((t, round(y), round(x)), []).append(cam[2])
        hits.append(hit)
    nearest: dict = {}
    for hit in hits:
        for key, zs in hit.items():
            nearest[key] = min([nearest.get(key, np.inf), *zs])
    seen = [{key for key, zs in hit.items() if min(zs) <= nearest[key] + 0.1} for hit in hits]
    latest = int(np.argmax(ids))
    covered, picked = set(seen[latest]) if ids[latest] > 0 else set(), []
    for _ in range(count):
        gains = [len(s - covered) for s in seen]
        if max(gains) == 0:
            break
        picked.append(ids[int(np.argmax(gains))])
        covered |= seen[int(np.argmax(gains))]
    return picked[::-1]


@pytest.mark.parametrize(
    ("seed", "entries", "size", "views"), [(0, 7, (30, 42), 1), (1, 9, (24, 36), 3), (2, 12, (41, 31), 2)]
)
def test_retrieval_equals_a_slow_loop(seed, entries, size, views):
    depth, w2c, K = _scene(seed, entries + views, *size)
    memory = SpatialMemory()
    ids = [8 * i for i in range(entries)]
    for i in ids:
        memory.add(i, depth[i // 8], w2c[i // 8], K)
    got = memory.retrieve(w2c[entries:], np.repeat(K[None], views, 0), size)
    assert [frame_id for _, frame_id in got] == _slow(depth, ids, w2c, K, w2c[entries:], size, 5)


def test_only_frames_on_the_stride_once_each():
    depth, w2c, K = _scene(3, 1, 8, 8)
    memory = SpatialMemory()
    assert [memory.add(i, depth[0], w2c[0], K) for i in (0, 4, 8, 8)] == [True, False, True, False]
    assert len(memory) == 2


def test_most_recent_frame_is_left_out_and_counts_as_seen():
    depth, K = np.full((16, 16), 2.0), np.array([[16.0, 0, 8], [0, 16, 8], [0, 0, 1]])
    memory = SpatialMemory()
    memory.add(0, depth, np.eye(4), K)
    assert memory.retrieve(np.eye(4)[None], K[None], (16, 16)) == [(0, 0)]
    memory.add(8, depth, np.eye(4), K)
    assert memory.retrieve(np.eye(4)[None], K[None], (16, 16)) == []
    assert memory.retrieve(np.eye(4)[None], K[None], (16, 16), exclude_recent=False) == [(0, 0)]


def test_hidden_behind_something_is_not_seen():
    K = np.array([[16.0, 0, 8], [0, 16, 8], [0, 0, 1]])
    memory = SpatialMemory()
    memory.add(0, np.full((16, 16), 2.2), np.eye(4), K)
    memory.add(8, np.full((16, 16), 2.0), np.eye(4), K)
    assert memory.retrieve(np.eye(4)[None], K[None], (16, 16), exclude_recent=False) == [(8, 8)]
    back = np.diag([-1.0, 1.0, -1.0, 1.0])
    assert memory.retrieve(back[None], K[None], (16, 16)) == []
    assert SpatialMemory().retrieve(back[None], K[None], (16, 16)) == []


def test_temporal_slots_follow_the_packing_string():
    assert Packing.parse("f1k1f4s2f1s1f4k4f2k2f1k1_g5").temporal(30) == [0, *range(23, 30)]


def test_large_memory_answers_in_time():
    depth, w2c, K = _scene(4, 25, 480, 832)
    memory = SpatialMemory()
    for i in range(125):
        memory.add(8 * i, depth[i % 25], w2c[i % 25], K)
    memory.retrieve(w2c[:1], K[None], (480, 832))
    begin = time.process_time()
    memory.retrieve(w2c[3:4], K[None], (480, 832))
    assert time.process_time() - begin < 0.4
