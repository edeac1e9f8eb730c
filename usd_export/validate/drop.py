"""The drop test: balls over free points must come to rest on the floor (Newton, XPBD, on the CPU)."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from lyra_sim.geometry.rays import RayScene
from usd_export.records import SceneGeometry
from usd_export.validate.limits import DROP_M, RADIUS_M

SECONDS = 3.0
_REST_M = 0.02
"""Largest gap between a resting ball and the collider below it."""
_DRIFT_M = 0.25
_SPEED_M_S = 0.1
_LEVEL_RAD = np.radians(0.3)
_GRAVITY = 9.81
_TOUCH_M = 1e-3


@dataclass(frozen=True)
class Drops:
    """What became of the balls."""

    rested: Bool[np.ndarray, "N"]
    faults: tuple[str, ...]
    """One sentence per ball that did not rest."""


def drop_balls(
    scenes: Sequence[SceneGeometry], points: Float[np.ndarray, "N 3"], deadline_s: float
) -> tuple[Drops, ...]:
    """Drop a ball of 0.1 m radius from 0.3 m over each point and see whether it rests on the collider below.

    Args:
        scenes: each gets balls of its own; one run of the engine holds all.
        points: x, y and the height of the floor, metres.
        deadline_s: longest time for the engine.

    Returns:
        What became of the balls in each scene.

    Raises:
        TimeoutError: the engine did not finish in time.
        ChildProcessError: the engine failed; the message holds its last words.
    """
    centres = points + np.array([0.0, 0.0, RADIUS_M + DROP_M])
    tests = [_Test(scene, centres) for scene in scenes]
    end = _simulate(tests, deadline_s) if any(len(test.start) for test in tests) else {}
    drops, first = [], 0
    for test in tests:
        last = first + len(test.start)
        drops.append(test.judge(points, {name: values[first:last] for name, values in end.items()}))
        first = last
    return tuple(drops)


class _Test:
    """One scene, and the balls that start outside its colliders."""

    def __init__(self, scene: SceneGeometry, centres: np.ndarray) -> None:
        self.parts = [part for part in scene.colliders if len(part.faces)]
        self._mesh = scene.collider_mesh()
        self._rays = RayScene(*self._mesh)
        self._blocked = _blocked(self._rays, *self._mesh, centres)
        self.start = centres[~self._blocked]

    def judge(self, points: np.ndarray, end: dict[str, np.ndarray]) -> Drops:
        faults = np.full(len(points), "starts inside a collider", object)
        if len(self.start):
            faults[~self._blocked] = _faults(self._rays, *self._mesh, self.start, end)
        told = tuple(f"at {x:.2f}, {y:.2f}: {why}" for (x, y, _), why in zip(points, faults, strict=True) if why)
        return Drops(rested=faults == "", faults=told)


def _blocked(rays: RayScene, vertices: np.ndarray, faces: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Balls that touch a collider at the start, or whose first face above looks up: they are inside a solid."""
    _, above, _ = rays.cast(centres, np.broadcast_to([0.0, 0.0, 1.0], centres.shape))
    inside = above >= 0
    if len(faces):
        inside &= _normals(vertices, faces)[above, 2] > 1e-6
    return inside | (rays.distance(centres) < RADIUS_M - _TOUCH_M)


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corners = vertices[faces].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)


def _simulate(tests: Sequence[_Test], deadline_s: float) -> dict[str, np.ndarray]:
    """The engine's figures of all balls, those of the first test first."""
    parts = [part for test in tests for part in test.parts]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(
            source,
            vertices=np.concatenate([np.zeros((0, 3), np.float32), *(part.vertices for part in parts)]),
            faces=np.concatenate([np.zeros((0, 3), np.int32), *(part.faces for part in parts)]),
            part_vertices=[len(part.vertices) for part in parts],
            part_faces=[len(part.faces) for part in parts],
            part_hull=[part.kind == "hull" for part in parts],
            world_parts=[len(test.parts) for test in tests],
            centres=np.concatenate([test.start for test in tests]),
            world_balls=[len(test.start) for test in tests],
            radius=RADIUS_M,
            seconds=SECONDS,
        )
        command = [sys.executable, "-m", "usd_export.validate.drop_child", str(os.getpid()), str(source), str(target)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=deadline_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"the physics engine did not finish in {deadline_s:.0f} s") from error
        if done.returncode != 0:
            words = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise ChildProcessError(f"the physics engine ended with {done.returncode}: {(words or ['no message'])[-1]}")
        with np.load(target) as stored:
            return {name: stored[name].astype(np.float64) for name in stored.files}


def _faults(
    rays: RayScene, vertices: np.ndarray, faces: np.ndarray, start: np.ndarray, end: dict[str, np.ndarray]
) -> np.ndarray:
    """Why each ball does not count as resting; empty where it does.

    A ball on level floor may drift 0.25 m (nothing damps rolling); on a slope as far again as it rolls in that time.
    """
    faults = np.full(len(start), "", object)
    last = end["centres"]
    finite = np.asarray(np.isfinite(last).all(axis=1))
    last = np.where(finite[:, None], last, start)
    gap, slope = _below(rays, vertices, faces, last)
    steep = np.fmax(_below(rays, vertices, faces, start)[1], slope)
    drift = np.hypot(*(last - start)[:, :2].T)
    rolls = np.where(steep > _LEVEL_RAD, 1.2 * 5 / 14 * _GRAVITY * np.sin(steep) * SECONDS**2, 0.0)
    top_speed = np.sqrt(2 * _GRAVITY * np.maximum(start[:, 2] - last[:, 2], DROP_M)) + 1.0
    lean = RADIUS_M * (1 / np.cos(np.minimum(slope, np.radians(60))) - 1)
    judgements: tuple[tuple[Any, str], ...] = (
        (~(end["speed"] <= _SPEED_M_S) & (steep <= _LEVEL_RAD), "still moves after 3 s"),
        (drift > _DRIFT_M + rolls, "rolled away"),
        (gap - RADIUS_M > _REST_M + lean + 0.01 * (steep > _LEVEL_RAD), "floats above the collider"),
        (gap - RADIUS_M < -_REST_M, "sank into the collider"),
        (end["fastest"] > top_speed, "was thrown"),
        (~np.isfinite(gap), "fell through the floor"),
        (~finite, "left the numbers"),
    )
    for wrong, why in judgements:
        faults[wrong] = why
    return faults


def _below(
    rays: RayScene, vertices: np.ndarray, faces: np.ndarray, centres: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Height over the first collider below each centre (inf where none) and its slope (rad)."""
    t, face, _ = rays.cast(centres, np.broadcast_to([0.0, 0.0, -1.0], centres.shape))
    if len(faces) == 0:
        return t, np.zeros(len(t))
    slope = np.arccos(np.clip(np.abs(_normals(vertices, faces)[face, 2]), 0, 1))
    return t, np.where(face >= 0, slope, 0.0)
