"""A finished world of one slanted flat as a run leaves it, for tests of the export formats: the floor rises with y, so
that a wrong axis or sign shows."""

import json
from pathlib import Path

import numpy as np

from lyra_sim.core.records import TexturedMesh, TriMesh
from lyra_sim.io.meshes import write_glb
from robot_tasks.build import build_nav_of_soups
from robot_tasks.colliders import Soup, Thing
from tests.robot_tasks import rooms

FLAT = rooms.Flat()
RISE = 0.04
"""Of the floor, per metre of y."""
NAME = "flat-0-0123abcd"
LINE = {"path": NAME, "world": NAME, "robots": ["jetbot", "nova_carter"], "split": "val"}
STAGE = '#usda 1.0\n(\n    defaultPrim = "World"\n    upAxis = "Z"\n)\ndef Xform "World"\n{\n    def Xform "scene" (references = @./scene.usda@)\n    {\n    }\n}\n'  # fmt: skip  # noqa: E501


def slanted_soup() -> Soup:
    soup = FLAT.soup
    triangles = soup.triangles.copy()
    triangles[..., 2] += RISE * triangles[..., 1]
    return Soup(triangles=triangles, hull=soup.hull)


def floor():
    return rooms.floor_grid(*FLAT.size, holes=FLAT.rectangles, height_m=lambda x, y: RISE * y)


def write_mesh(path: Path, triangles: np.ndarray) -> None:
    corners = len(triangles) * 3
    faces = np.arange(corners, dtype=np.int32).reshape(-1, 3)
    mesh = TriMesh(
        vertices=triangles.reshape(-1, 3).astype(np.float32),
        faces=faces,
        vertex_color=np.full((corners, 3), 200, np.uint8),
        face_label=np.zeros(len(faces), np.uint8),
        face_origin=np.zeros(len(faces), np.uint8),
    )
    uv = np.zeros((len(triangles), 3, 2), np.float32)
    write_glb(path, TexturedMesh(mesh=mesh, uv=uv, texture=np.full((8, 8, 3), 200, np.uint8)))


def make(out: Path, config=rooms.FEW, robots=(rooms.JETBOT, rooms.CARTER), seed: int = 3) -> Path:
    """`out/<world>` with what the stages usd and tasks write, and `out/worlds.jsonl`; returns the world's folder."""
    world = out / NAME
    world.mkdir(parents=True)
    rooms.write_usd(world / "scene.usda", FLAT.boxes)
    (world / "stage.usda").write_text(STAGE)
    write_mesh(world / "mesh.glb", slanted_soup().triangles)
    seen = slanted_soup()
    things = [Thing(prim="/World/Crate", category="crate", triangles=seen.triangles[-12:].copy())]
    build_nav_of_soups(
        [seen], world, floor=floor(), robots=robots, config=config, seed=seed, visual=seen, things=things
    )
    (out / "worlds.jsonl").write_text(json.dumps(LINE) + "\n")
    return world
