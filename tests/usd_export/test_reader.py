"""Foreign scenes: other units, other up axes, mirrored parts, instances, primitives."""

from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, Usd, UsdGeom, UsdPhysics

from lyra_sim.core.errors import InputError
from usd_export import read_scene
from usd_export.tessellate import triangulate

CENTIMETRES_Y_UP = """#usda 1.0
( defaultPrim = "Prop"
  metersPerUnit = 0.01
  upAxis = "Y" )
def Xform "Prop" {
  def Cube "box" ( prepend apiSchemas = ["PhysicsCollisionAPI"] ) {
    double size = 100
    double3 xformOp:translate = (0, 50, -200)
    uniform token[] xformOpOrder = ["xformOp:translate"]
  }
}
"""


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = vertices[faces].astype(float).swapaxes(0, 1)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def test_units_and_up_axis_are_brought_to_ours(tmp_path: Path):
    (tmp_path / "prop.usda").write_text(CENTIMETRES_Y_UP)
    scene = read_scene(tmp_path / "prop.usda")
    (box,) = scene.colliders
    np.testing.assert_allclose(box.vertices.min(0), [-0.5, 1.5, 0.0], atol=1e-6)
    np.testing.assert_allclose(box.vertices.max(0), [0.5, 2.5, 1.0], atol=1e-6)
    assert box.approximation == "Cube" and volume(box.vertices, box.faces) == pytest.approx(1.0)
    assert len(scene.visuals) == 1


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("left_handed", [False, True])
def test_winding_is_outward_whatever_the_transform(tmp_path: Path, mirrored: bool, left_handed: bool):
    stage = Usd.Stage.CreateNew(str(tmp_path / "a.usda"))
    UsdGeom.SetStageUpAxis(stage, "Z")
    UsdGeom.SetStageMetersPerUnit(stage, 1)
    mesh = UsdGeom.Mesh.Define(stage, "/World/mesh")
    mesh.CreatePointsAttr([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
    mesh.CreateFaceVertexCountsAttr([3, 3, 3, 3])
    outward = np.array([(0, 2, 1), (0, 1, 3), (1, 2, 3), (0, 3, 2)])
    mesh.CreateFaceVertexIndicesAttr((outward[:, ::-1] if left_handed else outward).ravel().tolist())
    mesh.CreateOrientationAttr("leftHanded" if left_handed else "rightHanded")
    if mirrored:
        mesh.AddScaleOp().Set(Gf.Vec3f(-2, 1, 1))
    stage.Save()
    (visual,) = read_scene(tmp_path / "a.usda").visuals
    assert volume(visual.vertices, visual.faces) == pytest.approx((2 if mirrored else 1) / 6)


def test_instances_and_approximations_are_realised(tmp_path: Path):
    stage = Usd.Stage.CreateNew(str(tmp_path / "a.usda"))
    UsdGeom.SetStageUpAxis(stage, "Z")
    UsdGeom.SetStageMetersPerUnit(stage, 1)
    mesh = UsdGeom.Mesh.Define(stage, "/Proto/mesh")
    # an L of two unit squares and a corner, extruded: its hull is larger than itself
    outline = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
    mesh.CreatePointsAttr([(x, y, z) for z in (0, 1) for x, y in outline])
    mesh.CreateFaceVertexCountsAttr([4] * 6)
    mesh.CreateFaceVertexIndicesAttr([i for k in range(6) for i in (k, (k + 1) % 6, (k + 1) % 6 + 6, k + 6)])
    UsdPhysics.CollisionAPI.Apply(mesh.GetPrim())
    UsdPhysics.MeshCollisionAPI.Apply(mesh.GetPrim()).CreateApproximationAttr("convexHull")
    for k in range(2):
        xform = UsdGeom.Xform.Define(stage, f"/World/copy{k}")
        xform.AddTranslateOp().Set((10 * k, 0, 0))
        xform.GetPrim().GetReferences().AddInternalReference("/Proto")
        xform.GetPrim().SetInstanceable(True)
    stage.Save()
    shapes = [s for s in read_scene(tmp_path / "a.usda").colliders if s.name.startswith("/World")]
    assert [s.name for s in shapes] == ["/World/copy0/mesh", "/World/copy1/mesh"]
    assert [volume(s.vertices, s.faces) for s in shapes] == pytest.approx([3.5, 3.5])
    assert shapes[1].vertices[:, 0].min() == pytest.approx(10)


def test_polygons_become_fans():
    faces, corners = triangulate(np.array([3, 4, 5]), np.arange(12) + 100)
    assert len(faces) == 1 + 2 + 3
    np.testing.assert_array_equal(faces[1:3], [(103, 104, 105), (103, 105, 106)])
    np.testing.assert_array_equal(faces - 100, corners)


@pytest.mark.parametrize("content", [None, b"", b"#usda 1.0\n(", b"not usd at all"])
def test_what_is_not_usd_is_refused_by_name(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "bad.usda").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.usda"):
        read_scene(tmp_path / "bad.usda")
