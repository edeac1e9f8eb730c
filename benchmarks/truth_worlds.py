"""Worlds made from walks of depth frames through places with changes of floor level, against the exact places.

    python benchmarks/truth_worlds.py [--flats 10] [--streets 5] [--first-flat 41] [--first-street 31] [--keep FOLDER]

Each place has thresholds of 2 cm, kerbs of 10 cm, steps of 15 cm, ramps of 5 degrees and bumps of 1 cm. The stages up
to the colliders run in this process with the default configuration, on frames of 320 x 240 with a depth camera's noise
(`DepthNoise`; `--slope 0.0019` for that of the first Kinect). Prints every figure with its bar:

- visual mesh without what was filled to the true surfaces, and seen true points to it: median <= 1 cm, p95 <= 3 cm;
- floaters: components of the visual mesh most of whose area lies more than 5 cm off every true surface: <= 0.02 m2;
- recorded floor to the true floor: p95 <= 5 mm;
- thresholds, kerbs, steps, ramps in the collider: height within 1 cm, of ramps the slope within 1 degree; of each kind
  the worst one that was seen;
- bumps: lower than 5 mm in the collider, 1 cm within 5 mm in the visual mesh.

Exits 1 when a bar is missed. Without a bar: area of all single triangles that lie 5 cm off, of the points on the
changes the share that is right within 1 cm, and what the other colliders make of the changes.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _collider_truth import stages_of
from _flat_truth import FlatTruth
from _level_truth import Kept, kept
from truth_flat import Table

from lyra_sim.collision.build import merged
from lyra_sim.collision.measure import area_samples
from lyra_sim.core.records import ColliderPart, Colliders, FaceOrigin, FloorGrid, Surface, TriMesh
from lyra_sim.geometry.camera import transform
from lyra_sim.geometry.rays import RayScene
from lyra_sim.io.records import load_record
from lyra_sim.procedural.cameras import pinhole, walk_cameras
from lyra_sim.procedural.example import random_rotation
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.street import make_street
from lyra_sim.procedural.truth import floor_height, truth_distance
from lyra_sim.procedural.write import DepthNoise, write_walk
from lyra_sim.surface.clean import face_components, face_normals_areas, select_faces

ROOMS = 3
FRAMES = {"flat": 60, "street": 80}
SAMPLES = 100_000
OFF_M = 0.05
KINDS = ("threshold", "kerb", "step", "ramp")


def write(path: Path, scene: ProceduralScene, noise: DepthNoise) -> None:
    """A walk through the place, its frame turned at random."""
    turn = random_rotation(np.random.default_rng([scene.seed, 9]))
    cameras = walk_cameras(scene, 0, FRAMES[scene.kind])
    write_walk(path, scene, cameras, pinhole(320, 240, 78.0), depth_noise=noise, rotate=turn, seed=scene.seed)


def visual_lines(name: str, truth: FlatTruth, visual: TriMesh, table: Table) -> None:
    """Distances between visual mesh and truth, and what floats."""
    seen = select_faces(visual, visual.face_origin != FaceOrigin.FILLED)
    forth = truth_distance(truth.scene, area_samples(seen.vertices, seen.faces, SAMPLES, seed=0))
    pick = np.random.default_rng(0).permutation(len(truth.seen_points))[:SAMPLES]
    back = RayScene(visual.vertices, visual.faces).distance(truth.seen_points[pick])
    for what, way in (("visual to truth", forth), ("seen truth to visual", back)):
        table.line(name, f"{what} median m", float(np.median(way)), most=0.01)
        table.line(name, f"{what} p95 m", float(np.percentile(way, 95)), most=0.03)
    _, area = face_normals_areas(visual.vertices, visual.faces)
    off = truth_distance(truth.scene, visual.vertices[visual.faces].mean(1)) > OFF_M
    _, corner = np.unique(visual.vertices, axis=0, return_inverse=True)
    component = face_components(corner.reshape(-1)[visual.faces].astype(np.int32), len(visual.vertices))
    total, away = np.bincount(component, area), np.bincount(component, area * off)
    table.line(name, "floaters m2", float(total[away > 0.5 * total].sum()), most=0.02)
    table.line(name, "triangles off truth m2", float(area[off].sum()))


def floor_lines(name: str, truth: FlatTruth, grid: FloorGrid, table: Table) -> None:
    """The recorded floor against the true floor."""
    i, j = np.nonzero(grid.state > 0)
    xy = grid.origin_m + (np.stack([i, j], 1) + 0.5) * grid.cell_m
    points = transform(truth.T_scene_world, np.column_stack([xy, grid.height_m[i, j].astype(np.float64)]))
    off = np.abs(points[:, 2] - floor_height(truth.scene, points[:, :2]))
    there = np.isfinite(off)
    table.line(name, "floor to true floor p95 m", float(np.percentile(off[there], 95)), most=0.005)
    table.line(name, "floor to true floor median m", float(np.median(off[there])))
    table.line(name, "floor where there is none", float(1 - there.mean()))


def in_scene(truth: FlatTruth, vertices: np.ndarray, faces: np.ndarray) -> RayScene:
    """A mesh of the world, in the frame of the true place."""
    return RayScene(transform(truth.T_scene_world, vertices.astype(np.float64)), faces)


def change_lines(name: str, truth: FlatTruth, colliders: Colliders, visual: TriMesh, table: Table) -> None:
    """What colliders and visual mesh make of the changes of level."""
    others: dict[str, tuple[ColliderPart, ...]] = colliders.others
    meshes = {colliders.backend: merged(colliders.parts), **{k: merged(parts) for k, parts in others.items()}}
    for number, (backend, mesh) in enumerate(meshes.items()):
        rays = in_scene(truth, *mesh)
        judged = number == 0
        for kind in KINDS:
            found = _of_kind(name, kind, truth, rays, backend)
            if not found:
                continue
            error, slope = max(abs(k.error_m) for k in found), max(k.slope_error_deg for k in found)
            table.line(name, f"{backend} {kind} height m", error, most=0.01 if judged else None)
            table.line(name, f"{backend} {kind} within 1 cm", min(k.kept for k in found))
            if kind == "ramp":
                table.line(name, f"{backend} ramp slope deg", slope, most=1.0 if judged else None)
        bumps = [0.01 + k.error_m for k in _of_kind(name, "bump", truth, rays, backend)]
        if bumps:
            table.line(name, f"{backend} bump m", max(bumps, key=abs), most=0.005 if judged else None)
    bumps = _of_kind(name, "bump", truth, in_scene(truth, visual.vertices, visual.faces), "visual")
    if bumps:
        table.line(name, "visual bump height error m", max(abs(k.error_m) for k in bumps), most=0.005)


def _of_kind(name: str, kind: str, truth: FlatTruth, rays: RayScene, what: str) -> list[Kept]:
    """All seen changes of a kind in a mesh; says so where one was not seen."""
    changes = [c for c in truth.scene.level_changes if c.kind == kind]
    found = [kept(c, truth.scene, truth.seen_points, rays) for c in changes]
    seen = [k for k in found if not np.isnan(k.error_m)]
    if len(seen) < len(found):
        print(f"{name:18s} {what} {kind}: {len(found) - len(seen)} of {len(found)} not seen")
    return seen


def judge(walk: Path, stages: dict[str, Path], table: Table) -> None:
    """All figures of one world."""
    truth, name = FlatTruth(walk, stages), walk.name
    surface, colliders = load_record(Surface, stages["surface"]), load_record(Colliders, stages["collide"])
    visual = surface.visual.mesh
    placed = TriMesh(
        vertices=transform(truth.T_scene_world, visual.vertices.astype(np.float64)).astype(np.float32),
        faces=visual.faces, vertex_color=visual.vertex_color, face_label=visual.face_label,
        face_origin=visual.face_origin,
    )  # fmt: skip
    visual_lines(name, truth, placed, table)
    floor_lines(name, truth, surface.floor, table)
    change_lines(name, truth, colliders, visual, table)


def main() -> int:
    """Print the table; 0 when every bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flats", type=int, default=10)
    parser.add_argument("--streets", type=int, default=5)
    parser.add_argument("--first-flat", type=int, default=41, help="seed")
    parser.add_argument("--first-street", type=int, default=31, help="seed")
    parser.add_argument("--slope", type=float, default=DepthNoise().slope, help="of the depth noise, 1/m")
    parser.add_argument("--keep", type=Path, help="leave walks and worlds in this folder, and use those it has")
    args = parser.parse_args()
    table = Table()
    noise = DepthNoise(slope=args.slope)
    scenes = [make_flat(args.first_flat + n, rooms=ROOMS, level_changes=True) for n in range(args.flats)]
    scenes += [make_street(args.first_street + n, level_changes=True) for n in range(args.streets)]
    with tempfile.TemporaryDirectory() as temporary:
        place = args.keep or Path(temporary)
        for scene in scenes:
            walk, start = place / "walks" / scene.name, time.perf_counter()
            if not walk.exists():
                write(walk, scene, noise)
            judge(walk, stages_of(walk, place / "worlds" / scene.name, "collide"), table)
            print(f"{scene.name:18s} {time.perf_counter() - start:.0f} s", flush=True)
    print("bars missed: " + (", ".join(table.missed) or "none"))
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
