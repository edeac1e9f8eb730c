"""The truth generator against rays cast by hand, and its refusal where there is no truth."""

import numpy as np
import pytest

from lyra_sim.config.explore import TruthConfig
from lyra_sim.core.errors import ConfigError
from lyra_sim.core.records import Label, PixelOrigin
from lyra_sim.geometry.camera import invert, pixel_rays
from lyra_sim.procedural.cameras import photo_camera, pinhole
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.write import write_photo
from lyra_sim.trajectory.motion import level_camera
from lyra_sim.worldgen import build
from lyra_sim.worldgen.request import Request


def _first_hit(eye: np.ndarray, way: np.ndarray, corners: np.ndarray) -> float:
    """Moeller and Trumbore 1997 over all triangles."""
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    p = np.cross(way, ac)
    det = (ab * p).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = ((eye - a) * p).sum(1) / det
        q = np.cross(eye - a, ab)
        v = (q @ way) / det
        t = (q * ac).sum(1) / det
    hit = (np.abs(det) > 1e-14) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-6)
    return float(t[hit].min()) if hit.any() else np.inf


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    scene, camera = make_flat(4), pinhole(96, 72, 70.0)
    pose = photo_camera(scene, 4, height_m=1.5, pitch_deg=15.0, intrinsics=camera)
    path = tmp_path_factory.mktemp("truth") / "photo.jpg"
    write_photo(path, scene, pose, camera)
    return scene, camera, pose, path


def test_truth_is_exact_in_the_world_frame(place):
    scene, camera, T_scene_cam, path = place
    T_world_source = np.eye(4)  # the photo's own frame is its camera; put the world somewhere else altogether
    T_world_source[:3, :3] = level_camera(0.4, 0.3)
    T_world_source[:3, 3] = [0.5, -1.0, 1.5]
    side = np.eye(4)
    side[:3, :3] = level_camera(0.8, 0.5)
    side[:3, 3] = [0.6, -0.9, 1.4]
    poses = np.stack([T_world_source, side])
    config = TruthConfig(max_range_m=3.0)
    made = (
        build(config, source=path, T_world_source=T_world_source)
        .generate(Request(cam_to_world=poses, intrinsics=camera, views=(), chosen=((), ()), seed=0))
        .frames
    )
    corners = scene.vertices[scene.faces].astype(np.float64)
    rng, checked = np.random.default_rng(0), 0
    for t, pose in enumerate(poses):
        T = T_scene_cam @ invert(T_world_source) @ pose
        for v, u in zip(rng.integers(0, 72, 25), rng.integers(0, 96, 25), strict=True):
            depth = _first_hit(T[:3, 3], T[:3, :3] @ pixel_rays(camera)[v, u], corners)
            if made.valid[t, v, u]:
                assert made.depth_m[t, v, u] == pytest.approx(depth, abs=2e-4)
                checked += 1
            else:
                assert depth > 3.0 - 1e-3
                assert made.depth_m[t, v, u] == 0
    assert checked > 15
    assert (made.origin == PixelOrigin.GENERATED).all()
    assert (made.label[made.valid] != Label.UNKNOWN).all()
    assert made.images.std() > 10


@pytest.mark.parametrize("name", [None, "plain.jpg"])
def test_without_truth_it_says_what_to_do(tmp_path, name):
    source = None
    if name:
        source = tmp_path / name
        source.write_bytes(b"not rendered")
    with pytest.raises(ConfigError, match="reproject"):
        build(TruthConfig(), source=source)
