"""Worlds are read as they were made, and a missing or broken folder is told apart from an empty choice."""

import dataclasses
import gzip
import json
import shutil

import numpy as np
import pytest

from lyra_sim.core.errors import InputError
from robot_tasks.worlds import read_worlds
from tests.robot_tasks import flats
from tests.robot_tasks.rooms import CARTER, JETBOT


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    flats.write_output(folder)
    return folder


@pytest.mark.parametrize("robot", [JETBOT, CARTER], ids=lambda r: r.name)
def test_files_give_the_world_that_memory_gives(out, robot):
    read = read_worlds(out, robot, "train")[0]
    made = flats.flat(robot.name)
    for field in dataclasses.fields(read):
        a, b = getattr(read, field.name), getattr(made, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        elif field.name not in ("folder", "episodes"):
            assert a == b
    assert read.folder == out / "flat"
    for field in dataclasses.fields(read.episodes):
        a, b = getattr(read.episodes, field.name), getattr(made.episodes, field.name)
        np.testing.assert_allclose(a, b, atol=1e-4, err_msg=field.name)  # written with four digits


def test_robots_and_splits_choose_worlds(out):
    assert [w.name for w in read_worlds(out, JETBOT)] == ["flat", "flat_b"]
    assert [w.name for w in read_worlds(out, JETBOT, "test")] == ["flat_b"]
    assert [w.name for w in read_worlds(out, CARTER)] == ["flat"]
    with pytest.raises(InputError, match="jetbot \\(test\\)"):
        read_worlds(out, CARTER, "test")
    with pytest.raises(InputError, match=r"worlds\.jsonl"):
        read_worlds(out / "none", JETBOT)


def _no_fields(nav):
    (nav / "fields.npz").unlink()


def _cut_fields(nav):
    (nav / "fields.npz").write_bytes((nav / "fields.npz").read_bytes()[:1000])


def _no_picture(nav):
    (nav / "map.png").unlink()


def _other_map(nav):
    (nav / "map.yaml").write_text((nav / "map.yaml").read_text().replace("0.05", "0.1"))


def _cut_episodes(nav):
    path = nav / "episodes.json.gz"
    path.write_bytes(path.read_bytes()[:50])


def _cut_profile(nav):
    (nav / "robot.json").write_bytes((nav / "robot.json").read_bytes()[:20])


def _goal_elsewhere(nav):
    path = nav / "episodes.json.gz"
    tree = json.loads(gzip.decompress(path.read_bytes()))
    tree["episodes"][0]["goals"][0]["position"][0] += 0.1
    path.write_bytes(gzip.compress(json.dumps(tree).encode()))


def _no_lidar(nav):
    (nav / "lidar.npz").unlink()


def _cut_lidar(nav):
    (nav / "lidar.npz").write_bytes((nav / "lidar.npz").read_bytes()[:200])


FAULTS = (
    _no_lidar,
    _cut_lidar,
    _no_fields,
    _cut_fields,
    _no_picture,
    _other_map,
    _cut_episodes,
    _cut_profile,
    _goal_elsewhere,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_broken_world_is_an_input_error_that_names_it(out, tmp_path, fault):
    shutil.copytree(out, tmp_path / "out")
    fault(tmp_path / "out" / "flat" / "nav" / "jetbot")
    with pytest.raises(InputError, match="flat/nav/jetbot"):
        read_worlds(tmp_path / "out", JETBOT)
    read_worlds(tmp_path / "out", CARTER)


def test_maps_made_for_another_profile_are_refused(out, tmp_path):
    wide = JETBOT.model_copy(update={"radius_m": 0.3, "step_m": 0.005})
    with pytest.raises(InputError, match=r"nav/jetbot/robot\.json.*radius_m 0\.12, not 0\.3; step_m 0\.01, not 0\.005"):
        read_worlds(out, wide)
    far = JETBOT.lidar.model_copy(update={"range_m": 9.0})
    read_worlds(out, JETBOT.model_copy(update={"lidar": far, "asset": "elsewhere"}))  # the maps are the same for it
    shutil.copytree(out, tmp_path / "out")
    for name in ("flat", "flat_b"):
        (tmp_path / "out" / name / "nav" / "jetbot" / "robot.json").unlink()
    read_worlds(tmp_path / "out", wide)  # worlds of earlier versions do not tell


def test_a_world_from_before_lidars_had_a_file_says_how_to_get_one(out, tmp_path):
    shutil.copytree(out, tmp_path / "out")
    (tmp_path / "out" / "flat" / "nav" / "jetbot" / "lidar.npz").unlink()
    with pytest.raises(InputError, match=r"lidar\.npz.*lyra-sim run.*same --out"):
        read_worlds(tmp_path / "out", JETBOT)
