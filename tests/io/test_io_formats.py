"""Images, video, GLB and PLY: the same bytes every time, read back by other programs with the same content."""

import struct

import imageio_ffmpeg
import numpy as np
import pytest
import trimesh
from PIL import Image

from lyra_sim.core.errors import InputError, ResourceError
from lyra_sim.core.records import GaussianSplats, TexturedMesh, TriMesh
from lyra_sim.io import video
from lyra_sim.io.images import read_rgb, write_jpeg, write_png
from lyra_sim.io.meshes import read_splats_ply, write_glb, write_points_ply, write_splats_ply
from lyra_sim.io.video import write_mp4


def frames(count=9, height=61, width=83):
    y, x = np.mgrid[:height, :width]
    for t in range(count):
        yield np.stack([x * 3, y * 4, np.full_like(x, 20 * t)], axis=2).clip(0, 255).astype(np.uint8)


def test_video_has_the_same_bytes_twice_and_the_right_frames(tmp_path):
    assert write_mp4(tmp_path / "a.mp4", frames(), fps=12) == 9
    write_mp4(tmp_path / "b.mp4", frames(), fps=12)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "a.mp4"))
    meta = next(reader)
    assert meta["size"] == (84, 62) and meta["fps"] == 12 and "yuv420p" in meta["pix_fmt"]
    decoded = [np.frombuffer(data, np.uint8).reshape(62, 84, 3) for data in reader]
    assert len(decoded) == 9
    for got, sent in zip(decoded, frames(), strict=True):
        assert np.abs(got[:61, :83].astype(int) - sent).mean() < 5


def test_video_without_ffmpeg_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(video.imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(tmp_path / "absent"))
    with pytest.raises(ResourceError, match="pip install imageio-ffmpeg"):
        write_mp4(tmp_path / "a.mp4", frames())


def test_failing_ffmpeg_is_reported(tmp_path):
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(ResourceError, match="directory"):
        write_mp4(tmp_path / "a.mp4", frames(40))


def test_png_and_jpeg_are_read_by_pillow_and_repeat(tmp_path):
    pixels = next(frames())
    for path, writer in ((tmp_path / "a.png", write_png), (tmp_path / "b.jpg", write_jpeg)):
        writer(path, pixels)
        first = path.read_bytes()
        writer(path, pixels)
        assert path.read_bytes() == first
        assert np.abs(np.asarray(Image.open(path)).astype(int) - pixels).max() < (1 if path.suffix == ".png" else 20)
        np.testing.assert_array_equal(read_rgb(path), np.asarray(Image.open(path)))
    deep = (np.arange(60 * 80).reshape(60, 80) * 13).astype(np.uint16)
    write_png(tmp_path / "d.png", deep)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "d.png")), deep)
    (tmp_path / "d.png").write_text("x")
    with pytest.raises(InputError):
        read_rgb(tmp_path / "d.png")


def box_with_seams() -> TexturedMesh:
    box = trimesh.creation.box((1.0, 2.0, 3.0))
    count = len(box.faces)
    mesh = TriMesh(
        vertices=box.vertices.astype(np.float32),
        faces=box.faces.astype(np.int32),
        vertex_color=np.full((8, 3), 200, np.uint8),
        face_label=np.ones(count, np.uint8),
        face_origin=np.ones(count, np.uint8),
    )
    uv = np.random.default_rng(0).random((count, 3, 2)).astype(np.float32)
    return TexturedMesh(mesh=mesh, uv=uv, texture=next(frames(1, 64, 64)))


def test_glb_is_read_by_trimesh_with_the_same_shape_texture_and_uv(tmp_path):
    textured = box_with_seams()
    write_glb(tmp_path / "a.glb", textured)
    write_glb(tmp_path / "b.glb", textured)
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()
    (got,) = trimesh.load(tmp_path / "a.glb", process=False).geometry.values()
    np.testing.assert_allclose(got.extents, (1.0, 3.0, 2.0), atol=1e-6)  # Y up
    x, y, z = got.vertices.T
    turned = np.stack([x, -z, y], axis=1)
    corners = textured.mesh.vertices[textured.mesh.faces]
    np.testing.assert_allclose(turned[got.faces], corners, atol=1e-6)
    # trimesh turns glTF's v upside down again, into the lower-left convention of our record
    np.testing.assert_allclose(got.visual.uv[got.faces], textured.uv, atol=1e-6)
    texture = np.asarray(got.visual.material.baseColorTexture.convert("RGB")).astype(int)
    assert np.abs(texture - textured.texture).mean() < 3
    assert trimesh.Trimesh(turned, got.faces).volume == pytest.approx(6.0)  # winding is kept


def parsed(path):
    """Header and rows of a PLY, by hand."""
    head, _, body = path.read_bytes().partition(b"end_header\n")
    names = [line.split()[2] for line in head.decode().splitlines() if line.startswith("property")]
    assert all(line.split()[1] == "float" for line in head.decode().splitlines() if line.startswith("property"))
    return names, list(struct.iter_unpack(f"<{len(names)}f", body))


def splats(terms) -> GaussianSplats:
    rng = np.random.default_rng(2)
    turn = rng.normal(size=(5, 4))
    return GaussianSplats(
        means=rng.normal(size=(5, 3)).astype(np.float32),
        quaternions=(turn / np.linalg.norm(turn, axis=1, keepdims=True)).astype(np.float32),
        scales_m=rng.uniform(0.001, 0.1, (5, 3)).astype(np.float32),
        opacity=np.array([0.0, 0.25, 0.5, 0.9, 1.0], np.float32),
        sh=rng.normal(size=(5, terms, 3)).astype(np.float32),
    )


@pytest.mark.parametrize("terms", [1, 4, 16])
def test_splats_follow_the_3dgs_layout_and_come_back(tmp_path, terms):
    given = splats(terms)
    write_splats_ply(tmp_path / "s.ply", given)
    names, rows = parsed(tmp_path / "s.ply")
    expected = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    expected += [f"f_rest_{i}" for i in range(3 * (terms - 1))]
    expected += ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    assert names == expected and len(rows) == 5
    row = dict(zip(names, rows[1], strict=True))
    assert row["opacity"] == pytest.approx(np.log(0.25 / 0.75), rel=1e-6)
    assert row["scale_1"] == pytest.approx(np.log(given.scales_m[1, 1]), rel=1e-6)
    assert row["rot_0"] == given.quaternions[1, 0] and row["f_dc_2"] == given.sh[1, 0, 2]
    if terms > 1:
        assert row["f_rest_1"] == (given.sh[1, 2, 0] if terms > 2 else given.sh[1, 1, 1])
        assert row[f"f_rest_{terms - 1}"] == given.sh[1, 1, 1], "green follows all of red"
    back = read_splats_ply(tmp_path / "s.ply")
    for name in ("means", "quaternions", "scales_m", "opacity", "sh"):
        np.testing.assert_allclose(getattr(back, name), getattr(given, name), atol=1e-6, rtol=1e-5)


def test_points_are_read_by_trimesh(tmp_path):
    points, colors = np.random.default_rng(0).normal(size=(7, 3)), np.arange(21, dtype=np.uint8).reshape(7, 3)
    write_points_ply(tmp_path / "p.ply", points, colors)
    got = trimesh.load(tmp_path / "p.ply")
    np.testing.assert_allclose(got.vertices, points, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(got.visual.vertex_colors)[:, :3], colors)


@pytest.mark.parametrize("content", [b"", b"ply\nformat ascii 1.0\nend_header\n", b"ply", b"\xff" * 50])
def test_foreign_ply_files_are_refused(tmp_path, content):
    (tmp_path / "s.ply").write_bytes(content)
    with pytest.raises(InputError):
        read_splats_ply(tmp_path / "s.ply")
