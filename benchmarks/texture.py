"""Texture baking beside Open3D's, on the same mesh and images, judged by images that neither was given.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/texture.py [WALK...] [--open3d PYTHON]
        [--triangles 30000] [--repeats 3]

A noisy walk of 60 frames through a procedural flat, and each RGB-D walk given. Every fourth frame is held out. The mesh
is our fused surface of the others, decimated. Open3D (`project_images_to_albedo`, in an environment of its own as for
`tsdf.py`) gets the images that our baking chooses from, once with our texture coordinates and once with an atlas of its
own (`compute_uvatlas`, included in its time; it refuses meshes that are not manifold). Every way runs in a process of
its own, Open3D's ended after `--patience` CPU seconds a bake; seconds and CPU seconds are the median of the repeats
after one that compiles. Memory is the most that the process held, libraries included.

PSNR: held-out images at the pixels of the mesh that have colour, after one gain and offset per channel and image, and
without; evened: divided by what Open3D makes of white images, as its blend leaves texels dark that the images show
coarsely. Bare: share of the mesh's area without texture of its own (black, or a single plain colour). Seam: mean
step of colour (of 255) across edges of the mesh where the texture is cut. Used: share of the texture inside triangles.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _peak import peak_mb
from rerender import Walk, psnr, squared_error
from truth_flat import write_flat_walk
from tsdf import FRAMES, OPEN3D, ROOMS, SEED, frames_of, made_environment

from lyra_sim.config.geometry3d import TsdfConfig
from lyra_sim.core.records import Frames, Intrinsics, PosedFrames, Provenance, TriMesh, World, WorldFrame
from lyra_sim.geometry.camera import invert
from lyra_sim.procedural.flat import make_flat
from lyra_sim.reconstruct.build import build
from lyra_sim.surface.clean import clean, face_normals_areas
from lyra_sim.surface.decimate import decimate
from lyra_sim.surface.texture import paint
from lyra_sim.surface.views import View, candidate_views
from usd_export.appearance import Appearance
from usd_export.records import SceneGeometry, VisualMesh

HELD_OUT = 4
TEXTURE_PX = 4096
GREY = np.full(3, 0.5, np.float32)
WAYS = ("ours", "given", "atlas")
COLUMNS = ("seconds", "cpu s", "memory MB", "PSNR dB", "as it is dB", "evened dB", "covered %", "bare %", "seam",
           "cut edges %", "used %")  # fmt: skip


def picked(frames: Frames, which: np.ndarray) -> Frames:
    """Some of the frames."""
    names = ("images", "depth_m", "valid", "origin", "label", "cam_to_world")
    return Frames(**{name: getattr(frames, name)[which] for name in names}, intrinsics=frames.intrinsics)


def world_of(frames: Frames) -> World:
    """Frames as a world in their own frame."""
    frame = WorldFrame(
        metric="sensor", gravity="planes", gravity_sigma_rad=0.001, scale_sigma=0.01, T_world_source=np.eye(4)
    )
    made = Provenance(backend="benchmark", version="1", config_hash="", seed=0, inputs=(), licences=())
    return World(start=PosedFrames(frames=frames, frame=frame, environment="indoor", provenance=made), segments=())


def surface_of(world: World, triangles: int) -> TriMesh:
    """Our fused surface, decimated."""
    fused = build(TsdfConfig())(world)
    return decimate(clean(fused.mesh, min_component_cm2=200.0, min_faces=20), triangles)


def child(folder: Path, repeats: int) -> None:
    """Our way, in a process of its own."""
    given = dict(np.load(folder / "input.npz"))
    names = ("vertices", "faces", "vertex_color", "face_label", "face_origin")
    mesh = TriMesh(**{name: given[name] for name in names})
    views = views_of(given)
    paint(mesh, views[:2], 256)
    times, cpu = [], []
    for _ in range(repeats):
        wall, used = time.perf_counter(), time.process_time()
        found = paint(mesh, views, TEXTURE_PX)
        times.append(time.perf_counter() - wall)
        cpu.append(time.process_time() - used)
    np.savez(folder / "ours.npz", uv=found.uv, texture=found.texture, seconds=times, cpu=cpu, peak_mb=peak_mb())


def views_of(given: dict[str, np.ndarray]) -> list[View]:
    """The images that both get."""
    height, width = given["images"].shape[1:3]
    fx, fy, cx, cy = (float(n) for n in given["lens"])
    camera = Intrinsics(fx=fx, fy=fy, cx=cx, cy=cy, width=width, height=height)
    rows = zip(given["images"], given["origin"], invert(given["T_cam_world"]), given["depth_m"], strict=True)
    return [View(image=i, origin=o, camera=camera, cam_to_world=T, depth_m=d) for i, o, T, d in rows]


def bake_all(folder: Path, mesh: TriMesh, views: list[View], python: Path, repeats: int, patience: int) -> list[str]:
    """Leave one .npz per way in the folder; says which ways came to an end."""
    camera = views[0].camera
    given = {
        "vertices": mesh.vertices, "faces": mesh.faces, "vertex_color": mesh.vertex_color,
        "face_label": mesh.face_label, "face_origin": mesh.face_origin, "texture_px": TEXTURE_PX,
        "images": np.stack([v.image for v in views]), "origin": np.stack([v.origin for v in views]),
        "depth_m": np.stack([v.depth_m for v in views]), "lens": [camera.fx, camera.fy, camera.cx, camera.cy],
        "T_cam_world": invert(np.stack([v.cam_to_world for v in views])),
    }  # fmt: skip
    np.savez(folder / "input.npz", **given)
    subprocess.run([sys.executable, __file__, "--child", str(folder), "--repeats", str(repeats)], check=True)
    ours = np.load(folder / "ours.npz")
    np.savez(folder / "input.npz", **(given | {"uv": ours["uv"], "texture_px": max(ours["texture"].shape[:2])}))
    script, ended = Path(__file__).with_name("_open3d_texture.py"), ["ours"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for way in WAYS[1:]:
        command = [python, script, way, folder / "input.npz", folder / f"{way}.npz", str(repeats), str(patience)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            ended.append(way)
        else:
            print(f"{way}: {why_not(done, patience)}")
    return ended


def why_not(done: subprocess.CompletedProcess[str], patience: int) -> str:
    """Why a way came to no end; Open3D can end without a word."""
    if done.returncode == -signal.SIGXCPU:
        return f"not done in {patience} CPU s a bake"
    words = done.stderr.strip().splitlines()
    return words[-1][:110] if words else f"ended with status {done.returncode}"


def judge(found: dict[str, np.ndarray], mesh: TriMesh, held: Frames) -> dict[str, float]:
    """The figures of one texture."""
    uv, texture = found["uv"].astype(np.float32), found["texture"]
    adjusted, plain, covered = likeness(mesh, uv, texture, held)
    even = adjusted
    if "white" in found:
        share = np.maximum(found["white"].astype(float), 1.0) / 255
        even, _, _ = likeness(mesh, uv, np.clip(np.rint(texture / share), 0, 255).astype(np.uint8), held)
    _, area = face_normals_areas(mesh.vertices, mesh.faces)
    size = np.array([texture.shape[1], texture.shape[0]])
    corners = uv * size
    edges = corners[:, 1:] - corners[:, :1]
    extent = 0.5 * np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0])
    bare = (extent < 1e-3) | (sampled(texture, uv.mean(axis=1)) == 0).all(axis=1)
    step, cut = seams(mesh, uv, texture, bare)
    return {
        "seconds": float(np.median(found["seconds"])),
        "cpu s": float(np.median(found["cpu"])),
        "memory MB": float(found["peak_mb"]),
        "PSNR dB": adjusted,
        "as it is dB": plain,
        "evened dB": even,
        "covered %": 100 * covered,
        "bare %": 100 * float(area[bare].sum() / area.sum()),
        "seam": step,
        "cut edges %": cut,
        "used %": 100 * float(extent.sum() / size.prod()),
    }


def likeness(mesh: TriMesh, uv: np.ndarray, texture: np.ndarray, held: Frames) -> tuple[float, float, float]:
    """PSNR of held-out images, adjusted and as it is, and the share of their measured pixels that have colour."""
    visual = VisualMesh(
        path="/mesh",
        label="",
        labelled="",
        vertices=mesh.vertices,
        faces=mesh.faces,
        uv=uv,
        texture=texture,
        color=GREY,
    )
    look = Appearance(SceneGeometry(visuals=(visual,), colliders=()))
    sums, pixels, measured = {True: 0.0, False: 0.0}, 0, 0
    for image, valid, T in zip(held.images, held.valid, held.cam_to_world, strict=True):
        shown, hit = look.look(held.intrinsics, T)
        where = hit & valid & (shown > 0).any(axis=2)
        for adjusted in sums:
            sums[adjusted] += squared_error(shown[where], image[where], adjusted=adjusted)
        pixels, measured = pixels + int(where.sum()), measured + int(valid.sum())
    return psnr(sums[True], pixels), psnr(sums[False], pixels), pixels / measured


def sampled(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Nearest texel at (N, 2) coordinates."""
    height, width = texture.shape[:2]
    x = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    y = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    return texture[y, x].astype(float)


def seams(mesh: TriMesh, uv: np.ndarray, texture: np.ndarray, bare: np.ndarray) -> tuple[float, float]:
    """Mean step of colour across the edges where the texture is cut, and their share of all edges, in percent."""
    face = np.repeat(np.arange(len(mesh.faces)), 3)
    corner = np.tile(np.arange(3), len(mesh.faces))
    ends = np.stack([mesh.faces, np.roll(mesh.faces, -1, axis=1)], axis=2).reshape(-1, 2)
    flipped = ends[:, 0] > ends[:, 1]
    order = np.lexsort(np.sort(ends, axis=1).T)
    key = np.sort(ends, axis=1)[order]
    pair = np.flatnonzero((key[1:] == key[:-1]).all(axis=1))
    a, b = order[pair], order[pair + 1]
    at = [np.stack([uv[face, corner], uv[face, (corner + 1) % 3]], axis=1)[side] for side in (a, b)]
    turn = flipped[a] != flipped[b]
    at[1][turn] = at[1][turn, ::-1]
    both = ~bare[face[a]] & ~bare[face[b]]
    cut = (np.abs(at[0] - at[1]).max(axis=(1, 2)) > 1e-6) & both
    across = [sampled(texture, side[cut].mean(axis=1)) for side in at]
    return float(np.abs(across[0] - across[1]).mean()), 100 * float(cut.sum() / max(both.sum(), 1))


def compare(walk: Path, folder: Path, python: Path, args: argparse.Namespace) -> None:
    """Print the table of one walk."""
    frames = frames_of(Walk.read(walk))
    held = np.arange(len(frames)) % HELD_OUT == HELD_OUT // 2
    world = world_of(picked(frames, ~held))
    mesh, views = surface_of(world, args.triangles), candidate_views(world)
    print(f"\n{walk.resolve().name}: {len(views)} images, {held.sum()} held out, {len(mesh.faces)} triangles")
    ended = bake_all(folder, mesh, views, python, args.repeats, args.patience)
    kept = picked(frames, held)
    rows = {way: judge(dict(np.load(folder / f"{way}.npz")), mesh, kept) for way in ended}
    print(f"{'':8s} " + " ".join(f"{c:>12s}" for c in COLUMNS))
    for way, row in rows.items():
        print(f"{way:8s} " + " ".join(f"{row[c]:12.4g}" for c in COLUMNS))
    for way in ended[1:]:
        ratios = (rows["ours"][c] / rows[way][c] if rows[way][c] else np.nan for c in COLUMNS)
        print(f"/{way:7s} " + " ".join(f"{ratio:12.2f}" for ratio in ratios), flush=True)


def main() -> None:
    """Print one table per walk."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("walks", nargs="*", type=Path)
    parser.add_argument("--open3d", type=Path, help=f"a Python with {OPEN3D}")
    parser.add_argument("--triangles", type=int, default=30_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--patience", type=int, default=300, help="CPU seconds for one bake of Open3D's")
    parser.add_argument("--keep", type=Path, help="leave meshes and textures in this folder")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.repeats)
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as temporary:
        place = args.keep or Path(temporary)
        python = args.open3d or made_environment(place / "open3d")
        flat = place / f"flat_{SEED}"
        write_flat_walk(flat, make_flat(SEED, rooms=ROOMS), FRAMES, SEED)
        for number, walk in enumerate([flat, *args.walks]):
            folder = place / str(number)
            folder.mkdir(parents=True)
            compare(walk, folder, python, args)


if __name__ == "__main__":
    main()
