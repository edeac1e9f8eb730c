"""The written scene: sound for OpenUSD's validators, the same geometry as went in, the same bytes every time."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pxr import Usd, UsdGeom, UsdPhysics, UsdSemantics, UsdVol
from scipy.spatial import ConvexHull

from lyra_sim.core.records import Label
from tests.usd_export import rooms
from usd_export import read_scene
from usd_export.colliders import VARIANT_OF
from usd_export.reader import read_variants
from usd_export.validate.rules import Role, scene_problems

FILES: tuple[tuple[str, Role], ...] = (("scene.usda", "asset"), ("stage.usda", "stage"), ("scene.usdz", "asset"))
WRITE = """
import sys; from pathlib import Path; from tests.usd_export import rooms; from usd_export import write_scene
write_scene(Path(sys.argv[1]), surface=rooms.surface(), colliders=rooms.colliders(), world=rooms.world(),
            provenance=rooms.PROVENANCE, name="room-00000000")
"""


@pytest.mark.parametrize(("file", "role"), FILES)
def test_a_written_scene_has_no_problem(room_folder: Path, file: str, role: Role):
    assert scene_problems(room_folder / file, role) == ()


@pytest.mark.parametrize("file", [file for file, _ in FILES])
def test_reading_gives_back_what_was_written(room_folder: Path, file: str):
    scene = read_scene(room_folder / file)
    for label, part in (("floor", Label.FLOOR), ("wall", Label.WALL), ("obstacle", Label.OBSTACLE)):
        (visual,) = [v for v in scene.visuals if v.label == label]
        made = rooms.textured(rooms.mesh_of(rooms.surfaces()))
        chosen = made.mesh.face_label == part
        np.testing.assert_array_equal(
            visual.vertices[visual.faces], made.mesh.vertices[made.mesh.faces[chosen]], err_msg=label
        )
        assert visual.uv is not None and visual.texture is not None
        np.testing.assert_array_equal(visual.uv, made.uv[chosen])
        assert np.abs(visual.texture.astype(int) - made.texture).max() <= 12  # JPEG
    shell, box = scene.colliders
    expected = rooms.colliders().parts[0]
    np.testing.assert_array_equal(shell.vertices[shell.faces], expected.vertices[expected.faces])
    assert (shell.kind, shell.approximation, box.kind, box.approximation) == ("trimesh", "none", "hull", "convexHull")
    assert box.label == Label.OBSTACLE and box.dynamic_friction == pytest.approx(0.7)


def test_a_hull_is_the_hull_of_its_points(room_folder: Path):
    box = read_scene(room_folder / "scene.usda", textures=False).colliders[1]
    oracle = ConvexHull(rooms.box(rooms.BOX_LOW, rooms.BOX_HIGH)[0])
    assert ConvexHull(box.vertices).volume == pytest.approx(oracle.volume, rel=1e-6)
    corners = box.vertices[box.faces].astype(float)
    signed = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert signed == pytest.approx(oracle.volume, rel=1e-5)  # positive: outward winding


def test_the_asset_governs_nothing_and_the_stage_adds_gravity_and_light(room_folder: Path):
    asset = Usd.Stage.Open(str(room_folder / "scene.usda"))
    assert not [p for p in asset.Traverse() if p.IsA(UsdPhysics.Scene) or p.GetTypeName() == "DomeLight"]
    stage = Usd.Stage.Open(str(room_folder / "stage.usda"))
    types = [str(p.GetTypeName()) for p in stage.Traverse()]
    assert types.count("PhysicsScene") == 1 and types.count("DomeLight") == 1
    counts = [sum(p.HasAPI(UsdPhysics.CollisionAPI) for p in s.Traverse()) for s in (asset, stage)]
    assert counts == [2, 2]


def test_splats_are_written_after_activation(room_folder: Path):
    stage = Usd.Stage.Open(str(room_folder / "scene.usda"))
    field = UsdVol.ParticleField3DGaussianSplat(stage.GetPrimAtPath("/World/Splats"))
    made = rooms.surface().splats
    np.testing.assert_array_equal(np.array(field.GetPositionsAttr().Get()), made.means)
    first = field.GetOrientationsAttr().Get()[0]
    np.testing.assert_array_equal([first.GetReal(), *first.GetImaginary()], made.quaternions[0])
    assert field.GetRadianceSphericalHarmonicsDegreeAttr().Get() == 0
    assert field.GetRadianceSphericalHarmonicsCoefficientsAttr().GetMetadata("interpolation") == "vertex"


def test_what_is_looked_at_can_be_switched(room_folder: Path):
    stage = Usd.Stage.Open(str(room_folder / "scene.usda"))
    seen = {}
    for variant in ("mesh", "splats", "both", "none"):
        stage.GetDefaultPrim().GetVariantSet("visual").SetVariantSelection(variant)
        prims = (stage.GetPrimAtPath(p) for p in ("/World/Geometry/Floor", "/World/Splats"))
        seen[variant] = [UsdGeom.Imageable(p).ComputeVisibility() != "invisible" for p in prims]
    assert seen == {"mesh": [True, False], "splats": [False, True], "both": [True, True], "none": [False, False]}


@pytest.mark.parametrize("file", [file for file, _ in FILES])
def test_what_physics_sees_can_be_switched(room_folder: Path, file: str):
    stage = Usd.Stage.Open(str(room_folder / file))
    root = next(prim for prim in stage.Traverse() if prim.GetVariantSets().HasVariantSet("collider"))
    found = {}
    for variant in (None, "convex", "mesh"):
        if variant:
            root.GetVariantSet("collider").SetVariantSelection(variant)
        shapes = [prim for prim in stage.Traverse() if prim.HasAPI(UsdPhysics.CollisionAPI)]
        labels = [UsdSemantics.LabelsAPI(prim, "class").GetLabelsAttr().Get()[0] for prim in shapes]
        kinds = [UsdPhysics.MeshCollisionAPI(prim).GetApproximationAttr().Get() for prim in shapes]
        for prim in shapes:  # PhysX chooses its own where these are not stated
            assert "PhysxCollisionAPI" in prim.GetPrimTypeInfo().GetAppliedAPISchemas()
            offsets = [prim.GetAttribute(f"physxCollision:{name}Offset").Get() for name in ("contact", "rest")]
            assert offsets == [pytest.approx(0.02), 0.0]
        found[variant] = dict(zip((prim.GetName() for prim in shapes), zip(labels, kinds, strict=True), strict=True))
    mesh = {"shell": ("wall", "none"), "box_1": ("obstacle", "convexHull")}
    slabs = {f"slab_{n}": ("floor" if n == 0 else "wall", "convexHull") for n in range(6)}
    assert found == {None: mesh, "mesh": mesh, "convex": {**slabs, "box_1": ("obstacle", "convexHull")}}
    again = read_variants(room_folder / file, textures=False)
    assert {name: len(scene.colliders) for name, scene in again.items()} == {"mesh": 2, "convex": 7}


def test_the_merged_mesh_is_one_mesh_without_physics(room_folder: Path):
    stage = Usd.Stage.Open(str(room_folder / "nav_collision.usdc"))
    (mesh,) = [p for p in stage.Traverse() if p.IsA(UsdGeom.Mesh)]
    assert not mesh.HasAPI(UsdPhysics.CollisionAPI)
    total = sum(len(part.faces) for part in read_scene(room_folder / "scene.usda", textures=False).colliders)
    assert len(UsdGeom.Mesh(mesh).GetFaceVertexCountsAttr().Get()) == total


def test_the_package_is_stored_and_aligned(room_folder: Path):
    with zipfile.ZipFile(room_folder / "scene.usdz") as package:
        infos = package.infolist()
        assert infos[0].filename == "scene.usda"
        for info in infos:
            assert info.compress_type == zipfile.ZIP_STORED
            content = (room_folder / info.filename).read_bytes()
            raw = (room_folder / "scene.usdz").read_bytes()
            offset = raw.index(content, info.header_offset)
            assert offset % 64 == 0, info.filename


def test_licences_travel_with_the_scene(room_folder: Path):
    told = json.loads((room_folder / "ATTRIBUTION.json").read_text())
    assert told["licences"] == [{"subject": "walk", "name": "CC0-1.0", "holder": "nobody", "source": "test"}]
    stage = Usd.Stage.Open(str(room_folder / "scene.usda"))
    data = stage.GetRootLayer().customLayerData["lyra_sim"]
    assert data["licences"]["item_000"]["name"] == "CC0-1.0"


def test_the_list_of_colliders_names_every_part(room_folder: Path):
    told = json.loads((room_folder / "colliders.json").read_text())
    scenes = read_variants(room_folder / "scene.usda", textures=False)
    assert VARIANT_OF[told["backend"]] == next(iter(scenes))
    assert {VARIANT_OF[name] for name in told["parts"]} == set(scenes)
    for name, parts in told["parts"].items():
        listed = [(part["kind"], part["class"], part["triangles"]) for part in parts]
        written = scenes[VARIANT_OF[name]].colliders
        assert listed == [(c.kind, Label(c.label).name.lower(), len(c.faces)) for c in written]


def test_bytes_depend_on_neither_process_nor_folder(room_folder: Path, tmp_path: Path):
    other = tmp_path / "another name"
    subprocess.run([sys.executable, "-c", WRITE, str(other)], check=True, cwd=Path(__file__).parents[2])
    names = sorted(p.relative_to(room_folder) for p in room_folder.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(other) for p in other.rglob("*") if p.is_file())
    assert len(names) == 18
    different = [str(name) for name in names if (room_folder / name).read_bytes() != (other / name).read_bytes()]
    assert different == []
