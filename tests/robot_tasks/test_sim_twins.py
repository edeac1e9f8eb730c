"""What runs on a GPU does the same as what runs on a CPU; here both run on the CPU."""

import dataclasses

import numpy as np
import pytest

from lyra_sim.config.envs import EnvConfig, RandomConfig
from lyra_sim.geometry.rays import RayScene
from robot_tasks.envs import kernels
from robot_tasks.envs.depth import DepthCamera
from robot_tasks.envs.vector import VectorNav
from robot_tasks.sensors import camera_rays
from tests.robot_tasks import flats, rooms
from tests.robot_tasks.flats import core, put
from tests.robot_tasks.twins import differences

warp_engine = pytest.importorskip("robot_tasks.envs.warp_engine")

ALL = RandomConfig(
    scale=True, footprint=0.1, speed=0.1, accel=0.1, latency_steps=2, goal_noise_m=0.05, drift_m=0.05, mirror=True,
    lidar_noise_m=0.01,
)  # fmt: skip
OMNI = rooms.CARTER.model_copy(update={"drive": "omni", "side_m_s": 0.5})


def compared(robot, steps: int, engine) -> tuple[float, int, int]:
    """Numba against another engine over random steps."""
    flat = flats.flat("jetbot" if robot.name == "jetbot" else "nova_carter")
    world = dataclasses.replace(flat, scale_sigma=0.3)
    settings = EnvConfig(random=ALL, time_factor=1.5)
    a, b = VectorNav([world], robot, settings, 16), VectorNav([world], robot, settings, 16, engine=engine)
    return differences(a, b, steps, seed=3)


@pytest.mark.parametrize("robot", [rooms.JETBOT, rooms.CARTER, OMNI], ids=["jetbot", "carter", "omni"])
def test_both_kernels_agree_over_a_thousand_random_steps(robot):
    worst, ends, hits = compared(robot, 1000, warp_engine.WarpEngine("cpu"))
    assert worst <= 1e-4
    assert ends > 50 and hits > 500


@pytest.mark.parametrize("engine", [kernels, warp_engine.WarpEngine("cpu")], ids=["numba", "warp"])
def test_a_robot_that_slides_sideways_has_not_stopped(engine):
    world = flats.flat("nova_carter")
    env = VectorNav([world], OMNI, EnvConfig(stop_share=0.5), 3, seed=0, engine=engine)
    env.reset(quota=np.arange(3))
    sideways = np.array([0.0, 0.25, 0.4])
    env.state.pose[:, :2] = env.pool.goal[:3]
    env.state.velocity[:, 1] = sideways * OMNI.side_m_s
    action = np.zeros((3, 3))
    action[:, 1] = sideways + 0.2
    stopped = env.step(action)[2]
    np.testing.assert_array_equal(stopped, [True, True, False])


@pytest.mark.slow
def test_both_kernels_agree_over_ten_thousand_random_steps():
    assert compared(rooms.CARTER, 10_000, warp_engine.WarpEngine("cpu"))[0] <= 1e-4


def test_a_wrong_twin_is_noticed():
    class Wrong(warp_engine.WarpEngine):
        def move(self, atlas, state, command, rules, order, out):
            super().move(atlas, state, command * np.float32(1.001), rules, order, out)

    assert compared(rooms.CARTER, 50, Wrong("cpu"))[0] > 1e-4


def camera_of(caster, envs: int = 6) -> DepthCamera:
    return DepthCamera(
        [flats.flat("nova_carter")], rooms.CARTER, envs, soup_of=lambda _: flats.FLAT.soup, caster=caster
    )


def test_depth_pictures_of_both_casters_agree():
    env = core(envs=24)
    one, two = (camera_of(c, 24).see(env.state, np.arange(24)) for c in (RayScene, warp_engine.WarpRays))
    assert np.abs(one - two).max() <= 1e-4
    assert one.std() > 0.3


def test_first_hits_name_the_same_triangle_and_place():
    soup = flats.FLAT.soup.triangles.reshape(-1, 3)
    rng = np.random.default_rng(0)
    start, way = rng.uniform([0.6, 0.8, 0.2], [1.8, 2.8, 1.8], (500, 3)), rng.standard_normal((500, 3))
    found = [c(soup, np.arange(len(soup)).reshape(-1, 3)).cast(start, way) for c in (RayScene, warp_engine.WarpRays)]
    np.testing.assert_array_equal(np.isfinite(found[0][0]), np.isfinite(found[1][0]))
    hit = np.isfinite(found[0][0])
    assert 100 < hit.sum() < 500
    np.testing.assert_allclose(found[1][0][hit], found[0][0][hit], atol=1e-4)
    for depth, face, bary in found:
        corner = soup.reshape(-1, 3, 3)[face[hit]]
        at = (
            corner[:, 0] + bary[hit, :1] * (corner[:, 1] - corner[:, 0]) + bary[hit, 1:] * (corner[:, 2] - corner[:, 0])
        )
        np.testing.assert_allclose(at, start[hit] + depth[hit, None] * way[hit], atol=1e-3)


def test_depth_is_z_depth_of_wall_and_floor():
    env = core(envs=1)
    put(env, 1.2, 1.3, np.pi)  # looks at the wall x = 0 through nothing
    camera = rooms.CARTER.camera
    seen = camera_of(RayScene, 1).see(env.state, np.array([0]))[0]
    rays = camera_rays(camera)
    to_wall, to_floor = 1.2 - camera.forward_m, camera.height_m / np.maximum(-rays[..., 2], 1e-9)
    side = np.abs(rays[..., 1]) * to_wall < 0.55  # else the crate or another wall
    np.testing.assert_allclose(seen[side], np.minimum(to_wall, to_floor)[side], atol=1e-4)
    assert rays[0, 0, 1] == pytest.approx((1 - 1 / camera.width) * np.tan(np.radians(camera.hfov_deg) / 2))
    assert rays[0, 0, 2] > 0 > rays[-1, 0, 2]


def test_pictures_are_observed_mirrored_and_stretched_where_the_world_is():
    world = dataclasses.replace(flats.flat("nova_carter"), scale_sigma=0.0)
    settings = EnvConfig(depth=True, random=RandomConfig(mirror=True))
    env = VectorNav([world], rooms.CARTER, settings, 8, camera=camera_of(RayScene, 8))
    picture = env.reset(0, quota=np.arange(8))["depth"]
    assert picture.shape == (8, 1, *(getattr(rooms.CARTER.camera, n) for n in ("height", "width")))
    assert env.shapes["depth"] == picture.shape[1:]
    plain = camera_of(RayScene, 8).see(env.state, np.arange(8)) / rooms.CARTER.camera.range_m
    left = env.noise.mirror < 0
    assert 0 < left.sum() < 8
    np.testing.assert_array_equal(picture[~left, 0], plain[~left])
    np.testing.assert_array_equal(picture[left, 0], plain[left, :, ::-1])
    env.state.scale[:] *= 2
    env.state.pose[:, :2] *= 2
    bottom = camera_of(RayScene, 8).see(env.state, np.arange(8))[:, -1] / rooms.CARTER.camera.range_m
    floor = rooms.CARTER.camera.height_m / -camera_rays(rooms.CARTER.camera)[-1, 0, 2] / rooms.CARTER.camera.range_m
    saw_floor = np.abs(plain[:, -1] - floor) < 1e-5
    assert saw_floor.mean() > 0.3
    np.testing.assert_allclose(bottom[saw_floor], floor, atol=1e-5)  # the camera's height is not stretched


def test_the_camera_follows_the_floor():
    env = core(envs=1)
    put(env, 1.2, 1.3, np.pi)
    step = [((-0.1, -0.1, -0.1), (4.1, 3.1, 0.08)), *flats.FLAT.boxes[1:]]
    worlds = [flats.flat("nova_carter")]
    camera = DepthCamera(worlds, rooms.CARTER, 1, soup_of=lambda _: rooms.soup(*step))
    camera.see(env.state, np.array([0]))
    assert camera.floor_m[0] == pytest.approx(0.08, abs=1e-5)
