"""A world made from a procedural flat, held against that flat: what the robot would meet is what is there."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks._flat_truth import FlatTruth
from lyra_sim.config.robots import load_robots
from lyra_sim.config.world import WorldConfig
from lyra_sim.procedural.cameras import pinhole, walk_cameras
from lyra_sim.procedural.example import random_rotation
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.write import DepthNoise, write_walk
from lyra_sim.sources.discover import discover
from pipelines.graph import STAGES
from pipelines.inputs import plain_source
from pipelines.stage import Job

pytestmark = pytest.mark.slow


def run_stages(walk: Path, out: Path) -> dict[str, Path]:
    """All stages up to the tasks, one after the other in this process, with the collider that is judged here only."""
    (source,) = discover([walk], "rgbd").sources
    config, done = WorldConfig().model_dump(mode="json"), {}
    config["collide"]["backends"] = [{"backend": "static_mesh"}]
    for stage in STAGES:
        if stage.name == "validate":
            break
        folder = out / stage.name
        folder.mkdir(parents=True)
        job = Job(
            stage=stage.name,
            key=stage.name,
            world="flat",
            source=plain_source(source),
            config=config,
            inputs={name: done[name] for name in stage.upstream},
            out=folder,
            partial=out / "partial",
            report=lambda text: None,
            piece_done=lambda number: None,
        )
        stage.open()(job)
        done[stage.name] = folder
    return done


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> FlatTruth:
    """A flat of two rooms with a cable duct on its floor, walked through with a noisy depth camera."""
    folder = tmp_path_factory.mktemp("truth")
    scene = make_flat(23, rooms=2, cable_duct=True)
    turn = random_rotation(np.random.default_rng(5))
    cameras = walk_cameras(scene, 0, 32)
    write_walk(folder / "walk", scene, cameras, pinhole(320, 240, 78.0), depth_noise=DepthNoise(), rotate=turn)
    return FlatTruth(folder / "walk", run_stages(folder / "walk", folder / "stages"))


def test_collider_is_where_the_surfaces_are(truth):
    forth, back = truth.collider_errors(n=30_000)
    assert np.percentile(forth, 95) <= 0.03
    assert np.percentile(back, 95) <= 0.03


def test_thin_duct_on_the_floor_is_still_there(truth):
    kept, length = truth.duct_kept()
    assert length >= 0.5
    assert kept >= 0.9


@pytest.mark.parametrize("name", ["jetbot", "nova_carter"])
def test_map_is_free_where_the_floor_is(truth, name):
    found = truth.judge(load_robots((name,))[0])
    assert found.map_iou >= 0.9
    assert found.success >= 0.99
