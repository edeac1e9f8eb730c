"""Colliders of worlds made from procedural flats against the exact flats, beside CoACD and V-HACD on the whole mesh.

    python benchmarks/colliders.py [--flats 10] [--whole 10] [--keep FOLDER]

For each flat a noisy walk is written, the stages make a world of it, and the world's surface is turned into the
triangle collider, the all-convex one, and (on the first --whole flats) what CoACD and V-HACD make of the whole surface
without its ceiling; V-HACD needs the package vhacdx. All are held against the exact flat with the rasteriser of the
project's maps: 2.5 cm cells, robot of 0.25 m radius, seen floor only. Prints hardware, a table, and the mean and the
worst of each column; exits 1 where the worst flat misses a bar. Bars: triangles block <= 0.5 % and keep >= 97 %; convex
parts block <= 1.5 %, keep >= 93 %, <= 800 parts of <= 60 vertices, none thinner than 2 cm or longer than 100 times its
inscribed ball's radius, <= 60 s (the bar was set for 200,000 triangles; these surfaces have 500,000 and more).
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import numpy as np
from _collider_truth import OpenSpace, shapes, stages_of
from _flat_truth import FlatTruth
from truth_flat import write_flat_walk

from lyra_sim.collision.build import build, measure
from lyra_sim.collision.measure import measured_views
from lyra_sim.config.geometry3d import ConvexConfig, StaticMeshConfig
from lyra_sim.config.robots import load_robots
from lyra_sim.core.records import ColliderPart, Fused, Label, PosedFrames, Surface, World
from lyra_sim.io.records import load_record
from lyra_sim.procedural.flat import make_flat
from lyra_sim.surface.clean import select_faces
from lyra_sim.surface.decimate import simplify

FLATS = ((41, 3), (42, 3), (43, 4), (44, 3), (45, 3), (46, 4), (47, 3), (48, 3), (49, 4), (50, 5))
"""Seed and rooms."""
FRAMES_PER_ROOM = 20
VHACD_TRIANGLES, COACD_TRIANGLES = 20_000, 4_000
"""CoACD takes minutes for so many, and does not come to an end on 20,000."""
COLUMNS = (
    "seconds", "cpu s", "blocked %", "kept %", "wrong %", "parts", "triangles", "vertices", "thinnest cm", "long/ball",
    "surface p95 cm", "depth p95 cm", "rays blocked %",
)  # fmt: skip
BARS: dict[str, dict[str, tuple[float, float]]] = {
    "triangles": {"blocked %": (0, 0.5), "kept %": (97, 100)},
    "convex": {
        "blocked %": (0, 1.5),
        "kept %": (93, 100),
        "parts": (1, 800),
        "vertices": (4, 60),
        "thinnest cm": (2, np.inf),
        "long/ball": (0, 100),
        "seconds": (0, 60),
    },
}


def ways(surface: Surface, fused: Fused, alone: bool) -> dict[str, Callable[[], tuple[ColliderPart, ...]]]:
    """What is compared."""
    ours: dict[str, Callable[[], tuple[ColliderPart, ...]]] = {
        "triangles": lambda: build(StaticMeshConfig(), surface, fused),
        "convex": lambda: build(ConvexConfig(), surface, fused),
    }
    return ours if alone else ours | {"CoACD": lambda: whole_coacd(surface), "V-HACD": lambda: whole_vhacd(surface)}


def whole(surface: Surface, triangles: int) -> tuple[np.ndarray, np.ndarray]:
    """The near surface as it is given to a decomposition: without the ceiling (a closed flat is a solid block to
    both), decimated."""
    near = surface.near
    vertices, faces = simplify(select_faces(near, near.face_label != Label.CEILING), triangles)
    return vertices.astype(np.float64), faces


def whole_coacd(surface: Surface) -> tuple[ColliderPart, ...]:
    """CoACD with its defaults, but for a threshold of 0.05 and 60 vertices."""
    import coacd

    coacd.set_log_level("error")
    mesh = coacd.Mesh(*whole(surface, COACD_TRIANGLES))
    return _parts(coacd.run_coacd(mesh, threshold=0.05, decimate=True, max_ch_vertex=60, seed=0))


def whole_vhacd(surface: Surface) -> tuple[ColliderPart, ...]:
    """V-HACD with up to 800 hulls of 60 vertices, the surface's voxels taken as the body."""
    import vhacdx

    vertices, faces = whole(surface, VHACD_TRIANGLES)
    quads = np.column_stack([np.full(len(faces), 3), faces]).astype(np.uint32).ravel()
    return _parts(
        vhacdx.compute_vhacd(
            vertices, quads, maxConvexHulls=800, resolution=1_000_000, fillMode="surface", maxNumVerticesPerCH=60
        )
    )


def _parts(hulls: list) -> tuple[ColliderPart, ...]:
    return tuple(
        ColliderPart(
            name=str(n), kind="hull", label=0, vertices=np.asarray(v, np.float32),
            faces=np.asarray(f, np.int32).reshape(-1, 3),
        )
        for n, (v, f) in enumerate(hulls)
    )  # fmt: skip


def judge(walk: Path, stages: dict[str, Path], alone: bool) -> dict[str, dict[str, float]]:
    """Figures of one flat by way and column, printed as they come."""
    space = OpenSpace(FlatTruth(walk, stages), load_robots(("nova_carter",))[0])
    surface, fused = load_record(Surface, stages["surface"]), load_record(Fused, stages["reconstruct"])
    world = World(start=load_record(PosedFrames, stages["observe"]), segments=())
    views = measured_views(world)
    table: dict[str, dict[str, float]] = {}
    for name, make in ways(surface, fused, alone).items():
        start, used = time.perf_counter(), time.process_time()
        parts = make()
        seconds, used = time.perf_counter() - start, time.process_time() - used
        opened, form, apart = space.judge(parts), shapes(parts), measure(parts, surface, fused, views)
        row = [seconds, used, *(100 * share for share in astuple(opened)), *astuple(form)]
        row += [100 * apart[key] for key in ("surface_p95_m", "depth_p95_m", "free_blocked_share")]
        table[name] = dict(zip(COLUMNS, row, strict=True))
        table[name]["thinnest cm"] *= 100
        _print(walk.name, name, table[name])
    return table


def _print(flat: str, way: str, row: dict[str, float]) -> None:
    print(f"{flat:10s} {way:10s} " + " ".join(f"{row[c]:>{max(len(c), 7)}.4g}" for c in COLUMNS), flush=True)


def summary(tables: list[dict[str, dict[str, float]]]) -> list[str]:
    """Print mean and worst of all flats; what missed its bar."""
    missed = []
    for way in tables[0]:
        column = {c: np.array([table[way][c] for table in tables if way in table]) for c in tables[0][way]}
        _print("mean", way, {c: float(v.mean()) for c, v in column.items()})
        lowest = ("kept %", "thinnest cm")
        _print("worst", way, {c: float(v.min() if c in lowest else v.max()) for c, v in column.items()})
        for name, (least, most) in BARS.get(way, {}).items():
            if not ((column[name] >= least) & (column[name] <= most)).all():
                missed.append(f"{way}: {name}")
    return missed


def main() -> int:
    """Print the table; 0 when every bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flats", type=int, default=len(FLATS), help="so many of the ten")
    parser.add_argument("--keep", type=Path, help="leave walks and worlds in this folder, and use those in it")
    parser.add_argument("--whole", type=int, default=len(FLATS), help="CoACD and V-HACD on so many of them")
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'':21s} " + " ".join(f"{c:>7s}" for c in COLUMNS))
    tables = []
    with tempfile.TemporaryDirectory() as temporary:
        place = args.keep or Path(temporary)
        for number, (seed, rooms) in enumerate(FLATS[: args.flats]):
            walk = place / "walks" / f"flat_{seed}"
            if not (walk / "poses.txt").exists():
                write_flat_walk(walk, make_flat(seed, rooms=rooms), FRAMES_PER_ROOM * rooms, seed)
            tables.append(judge(walk, stages_of(walk, place / "stages" / walk.name), number >= args.whole))
        missed = summary(tables)
    print("bars missed: " + (", ".join(missed) or "none"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
