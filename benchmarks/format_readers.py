"""Episodes as habitat-lab itself reads them: its PointNavDatasetV1 and ObjectNavDatasetV1 on the data sets of output
folders, and what its point goal sensor says at each start, against our episodes. (Other readers, written from public
sources, are in tests/robot_tasks/test_export_habitat.py and test_export_maps.py.)

    python benchmarks/format_readers.py OUT... [--venvs DIR]

Makes a virtual environment, since habitat-lab needs other packages than we do. habitat-sim and magnum have no package
there that runs everywhere: they are empty names; nothing of the data set and its geometry comes from them. Prints one
line per data set; exits 1 where an episode is lost or a difference is above its bar.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from robot_tasks.episode_files import read_episodes
from robot_tasks.objects import OBJECTS, read_objects

HABITAT_LAB = "habitat-lab==0.3.320260507"
NEEDS = (
    "numpy<2", "attrs", "omegaconf", "hydra-core", "gym==0.23.0", "numpy-quaternion", "numba", "imageio",
    "imageio-ffmpeg", "opencv-python-headless", "tqdm",
)  # fmt: skip
BAR_M, BAR_RAD = 1e-6, 1e-6
"""The sensor computes in float32: a tenth of a micrometre per metre is added to the bars."""
READ = """
import importlib.abc, importlib.machinery, json, os, sys, types

class Name(type):
    def __getattr__(cls, key):
        if key.startswith("__"):
            raise AttributeError(key)
        setattr(cls, key, Name(key, (), {}))
        return cls.__dict__[key]
    def __call__(cls, *arguments, **named):
        return type.__call__(cls)

class Module(types.ModuleType):
    __path__ = []
    __getattr__ = Name.__getattr__

class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("habitat_sim", "magnum", "corrade"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        return Module(spec.name)
    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Finder())
import numpy as np
from omegaconf import OmegaConf
from habitat.datasets.object_nav.object_nav_dataset import ObjectNavDatasetV1
from habitat.datasets.pointnav.pointnav_dataset import PointNavDatasetV1
from habitat.tasks.nav.nav import PointGoalSensor
from habitat.utils.geometry_utils import quaternion_from_coeff

sensor = PointGoalSensor(None, OmegaConf.create({"goal_format": "POLAR", "dimensionality": 2}))
for out in sys.argv[1:]:
    with open(os.path.join(out, "habitat", "manifest.json")) as file:
        manifest = json.load(file)
    def datasets(kind, listed):
        for robot, data in manifest[listed].items():
            for split in data["splits"]:
                path = os.path.join(out, "habitat", data["data_path"])
                known = {"data_path": path, "split": split, "scenes_dir": out, "content_scenes": ["*"]}
                config = OmegaConf.create(known)
                assert kind.check_config_paths_exist(config)
                yield robot, split, kind(config).episodes

    def polar(e, goal):
        rotation = quaternion_from_coeff(e.start_rotation)
        return list(map(float, sensor._compute_pointgoal(np.array(e.start_position), rotation, np.array(goal))))

    for robot, split, episodes in datasets(PointNavDatasetV1, "datasets"):
        rows = [[e.scene_id, e.episode_id, *polar(e, e.goals[0].position)] for e in episodes]
        print(json.dumps([out, robot, split, "pointnav", rows]))
    for robot, split, episodes in datasets(ObjectNavDatasetV1, "objectnav"):
        ends = [e.goals[0].view_points[-1].agent_state.position for e in episodes]
        rows = [[e.scene_id, e.episode_id, *polar(e, end)] for e, end in zip(episodes, ends)]
        print(json.dumps([out, robot, split, "objectnav", rows]))
"""


def environment(folder: Path) -> Path:
    """The Python of a virtual environment with habitat-lab, made where it is not there."""
    python = folder / "habitat_lab" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        for packages in (NEEDS, ("--no-deps", HABITAT_LAB)):
            subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True, capture_output=True)
    return python


def ours(out: Path, robot: str, split: str, task: str) -> dict[tuple[str, str], tuple[float, float]]:
    """Distance and bearing (to the left, radians) of each goal from its start, by scene and episode; in object
    navigation those of the last view point of the category's first object."""
    found = {}
    lines = [json.loads(line) for line in (out / "worlds.jsonl").read_text().splitlines()]
    for line in lines:
        if line["split"] == split and robot in line["robots"]:
            folder = out / line["path"]
            for row, goal in goals_of(folder / "nav" / robot, task):
                way = np.array(goal) - row["start_position"]
                yaw = 2 * math.atan2(row["start_rotation"][3], row["start_rotation"][0])
                bearing = math.atan2(way[1], way[0]) - yaw
                found[str(folder / "mesh.glb"), row["episode_id"]] = (math.hypot(way[0], way[1]), bearing)
    return found


def goals_of(nav: Path, task: str) -> list[tuple[dict[str, Any], list[float]]]:
    """Our episodes of a robot in a world, each with the place that is compared."""
    if task == "pointnav":
        return [(row, row["goals"][0]["position"]) for row in read_episodes(nav / "episodes.json.gz")]
    if not (nav / OBJECTS).exists():
        return []
    tree = read_objects(nav / OBJECTS)
    first = {goal["object_category"]: goal["view_points"][-1]["position"] for goal in reversed(tree["objects"])}
    return [(row, first[row["object_category"]]) for row in tree["episodes"]]


def compare(expected: dict[tuple[str, str], tuple[float, float]], rows: list[Any]) -> tuple[int, float, float]:
    """Episodes that only one side has, and the worst differences relative to the bars."""
    theirs = {(scene, episode): (rho, phi) for scene, episode, rho, phi in rows}
    lost = len(expected.keys() ^ theirs.keys())
    far, turned = [0.0], [0.0]
    for key in expected.keys() & theirs.keys():
        (rho, phi), (other_rho, other_phi) = expected[key], theirs[key]
        far.append(abs(rho - other_rho) / (BAR_M + 1e-7 * rho))
        turned.append(abs(math.remainder(phi - other_phi, 2 * math.pi)) / (BAR_RAD + 1e-7 * math.pi))
    return lost, max(far), max(turned)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="+", type=Path, metavar="OUT", help="output folders with habitat/")
    parser.add_argument("--venvs", type=Path, help="keep the virtual environment here")
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as name:
        python = environment((options.venvs or Path(name)).absolute())
        command = [python, "-c", READ, *(str(path) for path in options.out)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    print(f"{HABITAT_LAB}: lost episodes, distance and bearing of goals in units of their bars")
    for line in text.splitlines():
        out, robot, split, task, rows = json.loads(line)
        lost, far, turned = compare(ours(Path(out), robot, split, task), rows)
        met = lost == 0 and len(rows) > 0 and far <= 1 and turned <= 1
        good &= met
        print(
            f"{task:9} {robot:12} {split:6} {len(rows):6} {lost:3} {far:6.3f} {turned:6.3f}  {'' if met else 'MISSED'}"
        )
    return 0 if good and text else 1


if __name__ == "__main__":
    sys.exit(main())
