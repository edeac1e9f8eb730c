"""Worlds stretched as far as a published one may be unsure of its scale: no robot starts in a wall or is shut in, and
rewards stay those of the way that was driven."""

import dataclasses

import numpy as np
import pytest

from lyra_sim.config.envs import EnvConfig, RandomConfig
from robot_tasks.envs import baselines, kernels
from robot_tasks.envs.atlas import NO_WAY
from robot_tasks.envs.evaluate import run_quota
from robot_tasks.envs.room import largest_bodies, widest
from robot_tasks.envs.vector import VectorNav
from tests.robot_tasks import flats, rooms

SIGMA = 0.3
"""The most that is published: usd_export/validate/limits.py."""
ROBOTS = pytest.mark.parametrize("robot", [rooms.JETBOT, rooms.CARTER], ids=lambda r: r.name)


def stretched(robot, envs: int, sigma: float = SIGMA, **settings) -> VectorNav:
    world = dataclasses.replace(flats.flat(robot.name), scale_sigma=sigma)
    env = VectorNav([world], robot, EnvConfig(random=RandomConfig(scale=True, **settings)), envs, seed=0)
    env.reset(1)
    return env


@ROBOTS
def test_rewards_stay_those_of_the_way_driven(robot):
    env, rng = stretched(robot, 64, footprint=0.1), np.random.default_rng(0)
    pay, action, contacts = env.config.reward, np.zeros((64, 2)), 0
    for _ in range(400):
        action = np.clip(0.9 * action + 0.5 * rng.standard_normal(action.shape) + [0.05, 0], -1, 1)
        driven, hits = env.state.driven.copy(), env.state.contacts.copy()
        _, reward, terminated, truncated, _ = env.step(action)
        going = ~(terminated | truncated)
        hit = (env.state.contacts - hits)[going]
        progress = reward[going] - pay.time - hit * pay.contact
        contacts += hit.sum()
        assert (np.abs(progress) <= 2 * (env.state.driven - driven)[going] + 0.1).all()
    assert contacts > 1000
    assert env.state.geodesic.max() < 2 * env.pool.geodesic_m.max() + 5


@ROBOTS
@pytest.mark.parametrize("footprint", [0.0, 0.1])
def test_no_robot_starts_in_a_wall_or_is_shut_in(robot, footprint):
    env = stretched(robot, 600, footprint=footprint)
    state = env.state
    assert np.abs(np.log(state.scale)).max() <= 2 * SIGMA + 1e-6
    assert state.scale.min() < 0.8 and state.scale.max() > 1.5
    off = env.rules.offsets * state.radius[:, None]
    yaw = state.pose[:, 2:]
    at = state.pose[:, None, :2] + np.stack([off * np.cos(yaw), off * np.sin(yaw)], -1)
    room = flats.FLAT.clearance(at / state.scale[:, None, None]) * state.scale[:, None]
    assert (room - state.radius[:, None]).min() > -0.01
    few = stretched(robot, 16, footprint=footprint)
    table = run_quota(few, lambda _: baselines.oracle_action(few), np.tile(np.arange(len(few.pool.world)), 3))
    assert table["success"].mean() >= 0.97


def test_scales_of_a_robot_without_room_are_held_back():
    env = stretched(rooms.CARTER, 600)
    room, against = env._room[env.row], 1 / env.state.scale
    assert room.min() < 1.6 and (against <= room + 1e-4).all()
    assert (np.abs(against - room) < 1e-4).sum() > 5


def test_the_widest_way_is_that_through_the_wider_door():
    clearance = np.full((21, 21), 5.0, np.float32)
    clearance[:, 10] = 0  # a wall, with a door on the way and a wider one beside it
    clearance[5, 10], clearance[7, 10] = 0.3, 0.4
    away = np.hypot(*np.meshgrid(np.arange(21) - 5.0, np.arange(21) - 2.0, indexing="ij")).astype(np.float32)
    wide = widest(away, clearance, 1.5)
    assert wide[5, 2] == wide[20, 0] == 5
    assert wide[7, 15] == wide[5, 15] == np.float32(0.4)
    clearance[7, 10] = 0
    assert widest(away, clearance, 1.5)[5, 15] == np.float32(0.3)
    clearance[5, 10] = 0
    assert widest(away, clearance, 1.5)[5, 15] == 0


def test_verified_episodes_allow_the_robot_itself_and_no_more_than_asked():
    world = flats.flat("nova_carter")
    for most in (1.0, 1.2):
        found = largest_bodies(world, 0.25, np.zeros(1), slack_m=0.015, most=most, reach_m=0.2)
        assert found.min() >= 1 and found.max() == np.float32(most)


@pytest.mark.parametrize("engine", ["numba", "warp"])
def test_where_no_way_is_known_the_last_one_is_left(engine):
    which = kernels if engine == "numba" else pytest.importorskip("robot_tasks.envs.warp_engine").WarpEngine("cpu")
    env = VectorNav([flats.flat("jetbot")], rooms.JETBOT, EnvConfig(), 2, seed=0, engine=which)
    env.reset(quota=np.arange(2))
    left = env.state.geodesic.copy()
    i, j = np.floor((env.state.pose[0, :2] - env.atlas.origin[0]) / env.atlas.cell[0]).astype(int)
    env.atlas.distance[0, :, i, j] = NO_WAY
    observed, reward, _, _, _ = env.step(np.zeros((2, 2)))
    np.testing.assert_allclose(env.state.geodesic, left, atol=1e-5)
    np.testing.assert_allclose(reward, env.config.reward.time, atol=1e-5)
    assert (observed["critic"][0, -2:] == 0).any() and np.isfinite(observed["critic"]).all()
    assert np.hypot(*observed["critic"][1, -2:]) > 0.5
