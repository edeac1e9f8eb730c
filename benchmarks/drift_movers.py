"""What a drifting exposure and moving people do to the fused mesh of procedural walks, beside the same walks without.

    python benchmarks/drift_movers.py [--flats 4] [--streets 4] [--drift 0.2] [--share 0.05]

Walks go through flats of two rooms (40 frames) and along streets (80 frames). Each walk is written three times, with
the noise of a sensor in colour and depth, and fused as the command does it. *Drift*: image values are multiplied by a
gain that grows steadily from the first frame to the last, by 20 % in all, about a mean of 1. *Movers*: persons (striped
cylinders 1.7 m high, 0.5 m wide) go round the camera's own way at a steady pace, once in the whole walk, rendered with
their depth, occluding and occluded; persons are added at other places of the way until `--share` of all pixels shows
them.

Colour error: mean absolute difference (0..255) of the fused vertices within 2 cm of a true surface from what exact
frames without noise, drift and people show there. Ghost area: triangles whose centre is more than 5 cm off every true
surface. Exits 1 where the sum over the walks of one kind, flats or streets, exceeds 1.2 times that of its clean walks.
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import trimesh

from lyra_sim.config.capture import CaptureConfig
from lyra_sim.config.geometry3d import TsdfConfig
from lyra_sim.config.observe import SensorConfig
from lyra_sim.core.records import Intrinsics, Label, World
from lyra_sim.depth.build import build as observer
from lyra_sim.geometry.camera import invert, pixel_rays, project, transform
from lyra_sim.geometry.rays import RayScene
from lyra_sim.procedural.cameras import pinhole, walk_cameras
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import Rendered, render
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.street import make_street
from lyra_sim.procedural.truth import floor_height, truth_distance
from lyra_sim.procedural.write import DepthNoise, scene_of, write_walk
from lyra_sim.reconstruct.build import build as fuser
from lyra_sim.sources.capture import read_capture
from lyra_sim.sources.discover import discover

MOST_RATIO = 1.2
ROOMS = 2
FRAMES = {"flat": 40, "street": 80}
HEIGHT_M, RADIUS_M = 1.7, 0.25
NEAR_M, GHOST_M, SEEN_M = 0.02, 0.05, 0.02
STARTS = np.arange(1, 20) / 20
Alter = Callable[[int, Rendered], Rendered]


def drift(frames: int, amount: float) -> Alter:
    """Images whose values are multiplied by a gain that rises by `amount` over the walk."""
    gain = (1.0 + amount) ** np.linspace(-0.5, 0.5, frames)

    def alter(k: int, view: Rendered) -> Rendered:
        return dataclasses.replace(view, image=np.clip(np.rint(view.image * gain[k]), 0, 255).astype(np.uint8))

    return alter


class People:
    """Persons who go once round the way of the camera, which is closed, from different places of it."""

    def __init__(self, scene: ProceduralScene, cameras: np.ndarray, camera: Intrinsics, share: float) -> None:
        self._cameras, self._rays = cameras, pixel_rays(camera)
        xy = np.concatenate([cameras[:, :2, 3], cameras[:1, :2, 3]])
        way = np.concatenate([[0.0], np.linalg.norm(np.diff(xy, axis=0), axis=1).cumsum()])
        gone = np.arange(len(cameras)) / len(cameras)
        depth = [render(scene, pose, camera, colour=False).depth_m for pose in cameras]
        found = []
        for start in STARTS:
            at = (gone + start) % 1.0 * way[-1]
            feet = np.stack([np.interp(at, way, xy[:, k]) for k in range(2)], 1)
            feet = np.column_stack([feet, np.nan_to_num(floor_height(scene, feet))])
            found.append((float(np.mean([self._look(k, feet[k], d)[0] for k, d in enumerate(depth)])), feet))
        self._persons: list[np.ndarray] = []
        self.share = 0.0
        for shown, feet in sorted(found, key=lambda person: -person[0]):
            if self.share + shown <= share * 1.1:
                self._persons.append(feet)
                self.share += shown

    def alter(self, k: int, view: Rendered) -> Rendered:
        """The frame with everybody in it."""
        image, depth, normal = view.image.copy(), view.depth_m.copy(), view.normal.copy()
        valid, label = view.valid.copy(), view.label.copy()
        for feet in self._persons:
            front, z, facing, height = self._look(k, feet[k], np.where(valid, depth, 0))
            stripe = (height[front] / 0.15).astype(int) % 2
            light = 0.4 + 0.6 * np.abs(facing[front] @ np.array([0.6, 0.8, 0.0]))
            image[front] = (np.array([[190, 60, 50], [60, 70, 160]])[stripe] * light[:, None]).astype(np.uint8)
            depth[front], normal[front], valid[front] = z[front], facing[front], True
            label[front] = int(Label.OBJECT)
        return Rendered(image=image, depth_m=depth, valid=valid, normal=normal, label=label)

    def _look(self, k: int, foot: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, ...]:
        """Where a person at `foot` is in front, its z-depth, normal and height there."""
        pose = self._cameras[k]
        body = trimesh.creation.cylinder(RADIUS_M, HEIGHT_M, sections=48)
        body.apply_translation(foot + np.array([0, 0, HEIGHT_M / 2]))
        way = self._rays @ pose[:3, :3].T
        flat = way.reshape(-1, 3)
        t, face, _ = RayScene(body.vertices, body.faces).cast(np.broadcast_to(pose[:3, 3], flat.shape), flat)
        t, face = t.reshape(depth.shape), face.reshape(depth.shape)
        front = (face >= 0) & ((depth == 0) | (t < depth)) & (np.linalg.norm(foot[:2] - pose[:2, 3]) > 0.6)
        normal = np.where(front[..., None], body.face_normals[face], 0).astype(np.float32)
        return front, t.astype(np.float32), normal, pose[2, 3] + way[..., 2] * np.where(front, t, 0) - foot[2]


@dataclasses.dataclass(frozen=True)
class Truth:
    """Exact frames of a place, as colours of points."""

    scene: ProceduralScene
    cameras: np.ndarray
    camera: Intrinsics
    views: list[Rendered]

    def colours(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean colour (N, 3) of the exact pixels that see each point, near ones most, and whether there is any."""
        total, weight = np.zeros((len(points), 3)), np.zeros(len(points))
        for pose, view in zip(self.cameras, self.views, strict=True):
            uv, z = project(transform(invert(pose), points), self.camera)
            inside = (z > 0.05) & (uv >= 0).all(1) & (uv < (self.camera.width, self.camera.height)).all(1)
            who = np.flatnonzero(inside)
            u, v = uv[who].astype(int).T
            sees = view.valid[v, u] & (np.abs(view.depth_m[v, u] - z[who]) < SEEN_M)
            who, u, v = who[sees], u[sees], v[sees]
            total[who] += view.image[v, u] / z[who, None] ** 2
            weight[who] += 1 / z[who] ** 2
        return total / np.maximum(weight, 1e-9)[:, None], weight > 0


def fused(folder: Path, truth: Truth, seed: int, alter: Alter | None) -> tuple[float, float, float]:
    """Colour error, ghost area in square metres, reported share of moving pixels of a walk."""
    write_walk(
        folder, truth.scene, truth.cameras, truth.camera, depth_noise=DepthNoise(), seed=seed, alter=alter
    )  # fmt: skip
    (source,) = discover([folder], "rgbd").sources
    start = observer(SensorConfig())(read_capture(source, CaptureConfig()))
    mesh = fuser(TsdfConfig())(World(start=start, segments=())).mesh
    T_scene_world = scene_of(folder)[1] @ invert(start.frame.T_world_source)
    points = transform(T_scene_world, mesh.vertices.astype(np.float64))
    expected, seen = truth.colours(points)
    seen &= truth_distance(truth.scene, points) < NEAR_M
    error = float(np.abs(mesh.vertex_color[seen] - expected[seen]).mean())
    corners = points[mesh.faces]
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    ghost = truth_distance(truth.scene, corners.mean(1)) > GHOST_M
    return error, float(area[ghost].sum()), float(start.notes.get("moving_share", 0.0))


def of_place(scene: ProceduralScene, amount: float, share: float) -> np.ndarray:
    """(clean, drift, movers) x (colour error, ghost area) of one place's walk; prints a line for each."""
    camera, cameras = pinhole(320, 240, 78.0), walk_cameras(scene, 0, FRAMES[scene.kind])
    truth = Truth(scene, cameras, camera, [render(scene, pose, camera) for pose in cameras])
    people = People(scene, cameras, camera, share)
    runs = (("clean", None, 0.0), ("drift", drift(len(cameras), amount), 0.0), ("movers", people.alter, people.share))
    found = []
    with tempfile.TemporaryDirectory() as place:
        for name, alter, moving in runs:
            error, ghost, told = fused(Path(place) / name, truth, scene.seed, alter)
            found.append((error, ghost))
            print(f"{scene.name:10s} {name:8s} {error:7.2f} {ghost:9.4f} {moving:7.3f} {told:9.3f}", flush=True)
    return np.array(found)


def main() -> int:
    """Print three lines per walk and one per kind; 0 when both bars are met by flats and by streets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flats", type=int, default=4)
    parser.add_argument("--streets", type=int, default=4)
    parser.add_argument("--drift", type=float, default=0.2)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=50, help="of the first flat and the first street")
    args = parser.parse_args()
    kinds = {
        "flats": [make_flat(args.seed + n, rooms=ROOMS) for n in range(args.flats)],
        "streets": [make_street(args.seed + n) for n in range(args.streets)],
    }
    print(f"{'walk':10s} {'':8s} {'colour':>7s} {'ghost m2':>9s} {'moving':>7s} {'reported':>9s}")
    worst = 0.0
    for kind, scenes in kinds.items():
        if not scenes:
            continue
        sums = np.sum([of_place(scene, args.drift, args.share) for scene in scenes], axis=0)
        _, drifting, moving = sums / sums[0]
        print(f"{kind}, of the clean walks: drift colour {drifting[0]:.2f}, ghosts {drifting[1]:.2f}; "
              f"movers colour {moving[0]:.2f}, ghosts {moving[1]:.2f}; bar {MOST_RATIO}", flush=True)  # fmt: skip
        worst = max(worst, *drifting, *moving)
    return 1 if worst > MOST_RATIO else 0


if __name__ == "__main__":
    sys.exit(main())
