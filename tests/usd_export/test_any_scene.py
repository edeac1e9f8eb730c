"""Anybody's scene: each fault of a public issue is found under its identifier and no other, and mended where it can."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics, UsdShade, UsdUtils

from lyra_sim.core.errors import ConfigError, InputError
from lyra_sim.geometry.rays import RayScene
from tests.usd_export import foreign
from usd_export import read_scene
from usd_export.validate.any_scene import validate_any
from usd_export.validate.columns import Columns
from usd_export.validate.mend import mend_scene
from usd_export.validate.rule_table import BY_ID, RULES, table_markdown

ROOT = Path(__file__).parents[2]
HEAVY = ("newton", "warp", "open3d", "numba", "torch", "ray", "coacd", "cv2")


def ids(path: Path, severity: str) -> set[str]:
    return {found.rule.id for found in validate_any(path).findings if found.rule.severity == severity}


def file_hashes(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines", "validate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("case", foreign.CASES, ids=[case.issue for case in foreign.CASES])
def test_the_fault_of_a_public_issue_is_found_and_no_other(case: foreign.Case, tmp_path: Path):
    scene = case.make(tmp_path)
    assert case.issue in BY_ID[case.id].issues and BY_ID[case.id].severity == case.severity
    assert case.id in ids(scene, case.severity)
    assert ids(scene, "error") == ({case.id} if case.severity == "error" else set())
    assert ids(scene, "warning") == ({case.id} if case.severity == "warning" else set())


@pytest.mark.parametrize("case", foreign.CASES, ids=[case.issue for case in foreign.CASES])
def test_what_is_mechanical_is_clean_after_fix_and_the_original_untouched(case: foreign.Case, tmp_path: Path):
    source = tmp_path / "source"
    source.mkdir()
    scene = case.make(source)
    before = file_hashes(source)
    mended = mend_scene(scene, tmp_path / "out")
    assert file_hashes(source) == before
    after = validate_any(mended.file)
    assert BY_ID[case.id].fixed == case.fixed
    assert after.ok == case.fixed, after
    assert (case.id in {found.rule.id for found, _ in mended.done}) == case.fixed
    if not case.fixed:
        assert case.id in {found.rule.id for found in after.findings}


@pytest.mark.parametrize("name", ["scene.usda", "scene.usdc"])
def test_a_clean_scene_has_no_error_and_no_warning(name: str, tmp_path: Path):
    scene = foreign.clean(tmp_path / name)
    assert validate_any(scene).ok and not ids(scene, "error") | ids(scene, "warning")
    assert mend_scene(scene, tmp_path / "out").done == ()


@pytest.mark.parametrize("name", ["scene.usda", "stage.usda", "scene.usdz"])
def test_a_scene_of_ours_has_no_error(room_folder: Path, name: str):
    assert validate_any(room_folder / name).ok and not ids(room_folder / name, "error")


@pytest.mark.parametrize("make", [foreign.y_up, foreign.centimetres])
def test_the_mended_frame_holds_the_same_place_in_metres(make, tmp_path: Path):
    scene = make(tmp_path)
    stage = Usd.Stage.Open(str(scene))
    UsdGeom.Xformable(stage.GetDefaultPrim()).AddTranslateOp().Set(Gf.Vec3d(3, 5, 7))
    stage.Save()
    expected = read_scene(scene).collider_mesh()[0]  # the reader brings units and up axis to ours by its own way
    mended = Usd.Stage.Open(str(mend_scene(scene, tmp_path / "out").file))
    cache = UsdGeom.XformCache()
    floor = mended.GetPrimAtPath("/World/Floor")
    points = np.array(UsdGeom.Mesh(floor).GetPointsAttr().Get())
    matrix = np.array(cache.GetLocalToWorldTransform(floor))
    np.testing.assert_allclose(points @ matrix[:3, :3] + matrix[3, :3], expected, atol=1e-5)
    assert cache.GetLocalToWorldTransform(mended.GetDefaultPrim()) == Gf.Matrix4d(1), "Isaac Lab overwrites the root's"


def test_gravity_turns_with_the_scene(tmp_path: Path):
    scene = foreign.y_up(tmp_path)
    stage = Usd.Stage.Open(str(scene))
    UsdPhysics.Scene.Define(stage, "/Physics").CreateGravityDirectionAttr(Gf.Vec3f(0, -1, 0))
    stage.Save()
    mended = Usd.Stage.Open(str(mend_scene(scene, tmp_path / "out").file))
    direction = UsdPhysics.Scene(mended.GetPrimAtPath("/Physics")).GetGravityDirectionAttr().Get()
    np.testing.assert_allclose(direction, [0, 0, -1], atol=1e-6)


def test_many_faults_at_once_are_mended(tmp_path: Path):
    (tmp_path / "far").mkdir()
    source = tmp_path / "source"
    source.mkdir()
    texture = tmp_path / "far" / "wood.png"
    texture.write_bytes(b"not looked into")
    part = Usd.Stage.CreateNew(str(tmp_path / "far" / "part.usda"))
    root = UsdGeom.Xform.Define(part, "/Part").GetPrim()
    part.SetDefaultPrim(root)
    foreign.box(part, "/Part/Box", 1.0, 1.5).GetAttribute("extent").Clear()  # 24 indices in a text layer, no extent
    shader = UsdShade.Shader.Define(part, "/Part/Wood")
    shader.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(Sdf.AssetPath(str(texture)))
    part.Save()
    stage = Usd.Stage.CreateNew(str(source / "scene.usda"))  # no units, no default prim: Y up and centimetres
    UsdGeom.Xform.Define(stage, "/World")
    stage.DefinePrim("/World/Part").GetReferences().AddReference("../far/part.usda")
    foreign.floor(stage, size=400, up="Y")
    stage.Save()
    del stage, part
    before = file_hashes(tmp_path)
    expected = "UNIT-001 UNIT-002 UNIT-003 STG-001 PATH-001 PATH-002 LAY-001 COL-001 MSH-005"
    assert ids(source / "scene.usda", "error") >= {f"LYRA-{name}" for name in expected.split()}
    mended = mend_scene(source / "scene.usda", tmp_path / "out")
    assert {path: digest for path, digest in file_hashes(tmp_path).items() if path in before} == before
    assert ids(mended.file, "error") == set()
    assert {found.rule.id for found, _ in mended.done} >= {f"LYRA-{name}" for name in expected.split()}
    assert len(read_scene(mended.file, textures=False).colliders) == 2


def test_a_path_may_climb_within_the_scene(tmp_path: Path):
    (tmp_path / "parts").mkdir()
    foreign.clean(tmp_path / "floor.usdc")
    part = foreign.new_stage(tmp_path / "parts" / "part.usda")
    part.DefinePrim("/World/Floor").GetReferences().AddReference("../floor.usdc")
    part.Save()
    stage = foreign.new_stage(tmp_path / "scene.usda")
    stage.DefinePrim("/World/Part").GetReferences().AddReference("./parts/part.usda")
    stage.Save()
    assert validate_any(tmp_path / "scene.usda").ok
    mended = mend_scene(tmp_path / "scene.usda", tmp_path / "out").file
    assert validate_any(mended).ok and (tmp_path / "out" / "parts" / "part.usda").is_file()


def test_a_switched_off_collider_is_told(tmp_path: Path):
    stage = Usd.Stage.Open(str(foreign.clean(tmp_path / "scene.usda")))
    UsdPhysics.CollisionAPI(stage.GetPrimAtPath("/World/Floor")).CreateCollisionEnabledAttr(False)
    stage.Save()
    assert ids(tmp_path / "scene.usda", "warning") == {"LYRA-COL-011"}
    assert not validate_any(tmp_path / "scene.usda").ok, "no collider under the floor"


def test_a_fix_never_writes_over_files(tmp_path: Path):
    scene = foreign.no_collider(tmp_path)
    with pytest.raises(ConfigError, match="new or empty folder"):
        mend_scene(scene, tmp_path)


def test_a_package_with_unsafe_names_is_refused(tmp_path: Path):
    layer = foreign.clean(tmp_path / "scene.usdc")
    package = foreign.package(tmp_path / "scene.usdz", {"scene.usdc": layer, "../outside.usdc": layer})
    with pytest.raises(InputError, match="outside"):
        mend_scene(package, tmp_path / "deep" / "out")
    assert not (tmp_path / "outside.usdc").exists() and not (tmp_path / "deep" / "outside.usdc").exists()


def test_a_package_made_by_openusd_is_clean(tmp_path: Path):
    layer = foreign.clean(tmp_path / "scene.usdc")
    assert UsdUtils.CreateNewUsdzPackage(str(layer), str(tmp_path / "scene.usdz"))
    assert validate_any(tmp_path / "scene.usdz").ok


def test_identifiers_are_unique_and_whole():
    for rule in RULES:
        assert rule.id.startswith("LYRA-") and rule.why and rule.mend and rule.wrong, rule.id
    cited = {issue for rule in RULES for issue in rule.issues}
    assert {case.issue for case in foreign.CASES} == cited
    assert len(BY_ID) == len(RULES)


def test_the_readme_has_the_table_of_the_rules():
    assert table_markdown() in (ROOT / "README.md").read_text(), "paste the output of table_markdown()"


def test_the_command_prints_text_or_json_and_its_exit_code(tmp_path: Path):
    scene = foreign.no_collider(tmp_path)
    told = cli(scene)
    assert told.returncode == 3 and "error LYRA-COL-001" in told.stdout and "IsaacLab#3780" in told.stdout
    found = json.loads(cli(scene, "--json").stdout)
    assert [f["id"] for f in found["findings"] if f["severity"] == "error"] == ["LYRA-COL-001"]
    assert found["findings"][0].keys() == {"id", "severity", "path", "what", "why", "issues", "mend", "fix"}
    assert [gate["name"] for gate in found["gates"]] == ["usd_errors", "collider_count", "floor_under_spawns"]
    fixed = cli(scene, "--fix", "--json")
    assert fixed.returncode == 0 and json.loads(fixed.stdout)["fixed"]["done"][0]["id"] == "LYRA-COL-001"
    assert (tmp_path / "scene_fixed" / "scene.usda").is_file()
    assert cli(scene, "--fix").returncode == 2, "the folder of the first copy is not written over"
    assert cli(scene, "--out", tmp_path / "x").returncode == 2


@pytest.mark.parametrize("content", [None, b"", b"#usda 1.0\ndef Xform {", b"PXR-USDC\0\0", b"PK\x03\x04rubbish"])
@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usdz"])
def test_a_broken_or_absent_file_is_told_in_four_parts(content: bytes | None, suffix: str, tmp_path: Path):
    scene = tmp_path / f"scene{suffix}"
    if content is not None:
        scene.write_bytes(content)
    for act in (validate_any, lambda path: mend_scene(path, tmp_path / "out")):
        with pytest.raises(InputError) as caught:
            act(scene)
        assert all((caught.value.where, caught.value.expected, caught.value.got, caught.value.todo))


def test_an_absent_file_exits_with_three_and_no_traceback(tmp_path: Path):
    told = cli(tmp_path / "absent.usda")
    assert told.returncode == 3 and "Traceback" not in told.stderr and "expected a USD file" in told.stderr


def test_nothing_heavy_is_imported(tmp_path: Path):
    scene = foreign.no_collider(tmp_path)
    code = (
        "import sys; from pathlib import Path; from pipelines.verdict import judge_scene; "
        f"judge_scene(Path({str(scene)!r}), physics=False, as_json=True, fix=True, out=None); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert told.stderr.strip().splitlines()[-1] == "[]"


def test_columns_agree_with_embree():
    rng = np.random.default_rng(3)
    corners = rng.uniform(-2, 2, (300, 1, 3)) + rng.normal(0, 0.4, (300, 3, 3))
    vertices, faces = corners.reshape(-1, 3), np.arange(900).reshape(-1, 3)
    points = rng.uniform(-2.5, 2.5, (400, 3))
    mine, embree = Columns(vertices, faces), RayScene(vertices, faces)
    for found, sign in ((mine.below(points), -1.0), (mine.above(points), 1.0)):
        expected = embree.cast(points, np.tile([0.0, 0.0, sign], (400, 1)))[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)
    distance = embree.distance(points)
    for radius in (0.05, 0.12, 0.5):
        sure = np.abs(distance - radius) > 1e-5
        np.testing.assert_array_equal(mine.touched(points, radius)[sure], (distance < radius)[sure])
    nothing = Columns(np.zeros((0, 3)), np.zeros((0, 3), int))
    assert np.isinf(nothing.below(points)).all() and not nothing.touched(points, 1.0).any()
