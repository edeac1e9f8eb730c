"""Retrieval against a slow loop, and its rules one by one."""

import time

import numpy as np
import pytest

from benchmarks.retrieval import FRAMES, remember, retrieve_plainly, walk
from benchmarks.retrieval import SIZE as ROOM_SIZE
from benchmarks.retrieval import K as ROOM_K
from lyra_sim.memory.packing import Packing
from lyra_sim.memory.spatial import SpatialMemory, excluded_in_training


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


def test_thousand_frames_in_time_and_as_the_plain_reference():
    w2c = walk(FRAMES)
    memory = remember(w2c)
    for targets in (w2c[[250]], w2c[[186, 202, 250]]):
        target = (targets, np.tile(ROOM_K, (len(targets), 1, 1)), ROOM_SIZE)
        memory.retrieve(*target)
        begin = time.process_time()
        got = memory.retrieve(*target)
        assert time.process_time() - begin < 0.4
        wanted = retrieve_plainly(memory, targets)
        assert [frame_id for _, frame_id in got] == wanted
        assert len(wanted) == 5


def _scores(memory: SpatialMemory, entries: list[int], w2c, K, size) -> np.ndarray:
    """How many pixels' nearest point is each entry's, by a loop over pixels."""
    nearest: dict = {}
    for rank, entry in enumerate(entries):
        for p in memory.points[entry]:
            cam = (w2c @ [*p.astype(np.float64), 1])[:3]
            u, v = np.rint((np.diag([0.25, 0.25, 1]) @ K @ cam)[:2] / (cam[2] + 1e-7))
            inside = cam[2] > 0 and 0 <= u < -(-size[1] // 4) and 0 <= v < -(-size[0] // 4)
            if inside and cam[2] < nearest.get((u, v), (np.inf, 0))[0]:
                nearest[u, v] = (cam[2], rank)
    return np.bincount([rank for _, rank in nearest.values()], minlength=len(entries))


def test_training_draws_by_score():
    depth, w2c, K = _scene(5, 9, 40, 56)
    memory = SpatialMemory()
    for i in range(8):
        memory.add(8 * i, depth[i], w2c[i], K)
    memory.add(64, depth[0], w2c[0], K)  # the same as entry 0 and later, so it owns nothing
    target = (w2c[8:], K[None], (40, 56))
    scores = _scores(memory, list(range(9)), w2c[8], K, (40, 56))
    assert scores[8] == 0 < scores[0]
    weights = scores + 0.02 * scores.max()
    rng = np.random.default_rng(0)
    first = [memory.sample(*target, rng, count=1, drop_rate=0)[0][1] // 8 for _ in range(4000)]
    expected = 4000 * weights / weights.sum()
    assert (np.abs(np.bincount(first, minlength=9) - expected) < 5 * np.sqrt(expected) + 3).all()
    five = [[i // 8 for _, i in memory.sample(*target, rng, drop_rate=0)] for _ in range(50)]
    assert all(len(set(ids)) == 5 and list(scores[ids]) == sorted(scores[ids]) for ids in five)
    assert len({tuple(ids) for ids in five}) > 5


def test_training_leaves_out_and_drops():
    depth, w2c, K = _scene(6, 8, 24, 32)
    memory = SpatialMemory()
    for i in range(7):
        memory.add(8 * i, depth[i], w2c[i], K)
    target, rng = (w2c[7:], K[None], (24, 32)), np.random.default_rng(1)
    left_out = excluded_in_training(40, 48)
    assert left_out == {0, *range(24, 64)}
    drawn = {i for _ in range(20) for _, i in memory.sample(*target, rng, exclude=left_out, drop_rate=0)}
    assert drawn == {8, 16}
    assert memory.sample(*target, rng, exclude=range(0, 64)) == []
    kept = [len(memory.sample(*target, rng, drop_rate=1.0)) for _ in range(300)]
    assert set(kept) == {0, 1, 2, 3, 4}
    assert 0.8 < np.mean([len(memory.sample(*target, rng)) == 5 for _ in range(300)]) < 0.97
    back = w2c[7:] @ np.diag([-1.0, 1, -1, 1])
    behind = np.diag([1.0, 1, -1, 1])[None]
    assert SpatialMemory().sample(back, K[None], (24, 32), rng) == []
    alone = SpatialMemory()
    alone.add(0, depth[0], np.eye(4), K)
    assert alone.sample(behind, K[None], (24, 32), rng) == []
