"""Faults of a video generator: as large as they are configured, the same however a walk is cut, none by default."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lyra_sim.config.explore import CorruptionConfig, TruthConfig
from lyra_sim.config.load import load_config
from lyra_sim.core.records import Segment
from lyra_sim.procedural.cameras import photo_camera, pinhole
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.write import write_photo
from lyra_sim.worldgen import build
from lyra_sim.worldgen.corrupt import DRIFT_FRAMES, Corruption
from lyra_sim.worldgen.request import Request

FLAT = np.full((120, 208), 3.0, np.float32)
GREY = np.full((120, 208, 3), 120, np.uint8)


def test_depth_is_off_by_the_configured_sigmas_and_waves_are_slow():
    waves = Corruption(CorruptionConfig(depth_waves=0.05), 1)
    off = np.stack([np.log(waves.depth(FLAT, n) / 3) for n in range(0, 1600, 8)])
    assert off.std() == pytest.approx(0.05, rel=0.05)
    assert np.abs(np.diff(off, axis=2)).mean() < 0.1 * off.std(), "low-frequency in the picture"

    def alike(apart: int) -> float:
        return float(np.mean(np.log(waves.depth(FLAT, 32) / 3) * np.log(waves.depth(FLAT, 32 + apart) / 3)) / 0.05**2)

    assert alike(1) > 0.5 and abs(alike(40)) < 0.5 * alike(1), "and in time"
    noise = Corruption(CorruptionConfig(depth_noise=0.02), 1)
    off = np.log(noise.depth(FLAT, 5) / 3)
    assert off.std() == pytest.approx(0.02, rel=0.03)
    assert abs(np.corrcoef(off[:, 1:].ravel(), off[:, :-1].ravel())[0, 1]) < 0.05
    hole = FLAT.copy()
    hole[:10] = 0
    assert (waves.depth(hole, 3)[:10] == 0).all()


def test_colours_drift_apart_and_come_back():
    drift = Corruption(CorruptionConfig(gain_drift=0.1), 1)
    gain = np.array([drift.image(GREY, n)[0, 0] for n in range(5 * DRIFT_FRAMES)]) / 120
    assert gain[0] == pytest.approx(1.0) and gain[DRIFT_FRAMES, 0] == pytest.approx(1.1, abs=0.01)
    assert gain.max() < 1.11 and gain.min() > 0.90, "bounded however long the walk"
    assert np.abs(np.diff(gain, axis=0)).max() < 0.015
    assert gain[4 * DRIFT_FRAMES] == pytest.approx(gain[0])
    assert np.ptp(gain[DRIFT_FRAMES]) > 0.1


def test_cameras_miss_their_poses_by_the_configured_root_mean_square():
    jitter = Corruption(CorruptionConfig(jitter_m=0.01, jitter_deg=0.3), 1)
    poses = np.stack([jitter.pose(np.eye(4), n) for n in range(2000)])
    away = np.linalg.norm(poses[:, :3, 3], axis=1)
    angle = np.degrees(Rotation.from_matrix(poses[:, :3, :3]).magnitude())
    assert np.sqrt((away**2).mean()) == pytest.approx(0.01, rel=0.05)
    assert np.sqrt((angle**2).mean()) == pytest.approx(0.3, rel=0.05)


def test_ghosts_cover_their_share_and_stand_in_front():
    ghosts = Corruption(CorruptionConfig(ghost_share=0.05), 1)
    picture = np.random.default_rng(0).integers(0, 255, GREY.shape).astype(np.uint8)
    for number in range(20):
        image, depth = ghosts.ghosts(picture, FLAT, number)
        new = depth != FLAT
        assert new.mean() == pytest.approx(0.05, abs=0.01)
        assert (depth[new] < 0.95 * 3).all() and (image[~new] == picture[~new]).all()
        assert (image[new] != picture[new]).any(axis=-1).mean() > 0.9
    sky, nothing = ghosts.ghosts(picture, np.zeros_like(FLAT), 0)
    assert not nothing.any() and (sky == picture).all(), "in front of nothing there is none"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    scene, camera = make_flat(4), pinhole(96, 72, 70.0)
    pose = photo_camera(scene, 4, height_m=1.5, pitch_deg=15.0, intrinsics=camera)
    path = tmp_path_factory.mktemp("truth") / "photo.jpg"
    write_photo(path, scene, pose, camera)
    return camera, path


def drawn(place, config: TruthConfig, cuts: list[int]):
    """Depth and images of ten frames that stand still, in pieces."""
    camera, path = place
    generator, depth, images = build(config, source=path), [], []
    for index, count in enumerate(cuts):
        poses = np.repeat(np.eye(4)[None], count, 0)
        request = Request(cam_to_world=poses, intrinsics=camera, views=(), chosen=((),) * count, seed=index)
        frames = generator.generate(request).frames
        frames.cam_to_world.tobytes()
        assert (frames.cam_to_world == poses).all(), "the stated poses stay"
        generator.remember(Segment(index=index, frames=frames))
        depth.append(frames.depth_m)
        images.append(frames.images)
    return np.concatenate(depth), np.concatenate(images)


def test_the_packaged_faults_reach_the_frames_and_do_not_depend_on_the_cut(place):
    config = load_config("corruption/video").explore.generator
    assert isinstance(config, TruthConfig) and config.corruption.ghost_share == 0.05
    one, two = drawn(place, config, [10]), drawn(place, config, [3, 7])
    assert one[0].tobytes() == two[0].tobytes() and one[1].tobytes() == two[1].tobytes()
    exact = drawn(place, TruthConfig(), [10])
    assert (exact[0] == exact[0][:1]).all(), "by default nothing is off"
    both = (one[0] > 0) & (exact[0] > 0)
    off = np.log(one[0][both] / exact[0][both])
    assert 0.03 < 1.48 * np.median(np.abs(off - np.median(off))) < 0.12
    assert (np.abs(one[1].astype(int) - exact[1]).mean() > 1) and not (one[1] == exact[1]).all()
