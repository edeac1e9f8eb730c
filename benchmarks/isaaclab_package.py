"""Holds the Isaac Lab package against the real sources of Isaac Lab 2.3.2, without Isaac Sim or a GPU.

    python benchmarks/isaaclab_package.py OUT [--venv DIR]

OUT is an output folder with published worlds for jetbot and nova_carter. Makes a virtual environment, gets Isaac Lab's
wheel from PyPI and puts stand-ins in place of Kit's modules only. There, every registered configuration is loaded by
Isaac Lab's own loader and validated, in both scene modes; wrong fields must be refused, in the call and in the
package's text; drives recorded in the light simulation go through Isaac Lab's own managers with the package's terms,
which must give the same observations, rewards and ends; rsl-rl takes two steps with its configuration; and Isaac Lab's
lidar pattern and ray caster see nav_collision.usdc from the starts of episodes as the light simulation's lidar sees the
world. Proves names, numbers and frames, not physics. Exits 1 when a bar is missed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lyra_sim.config.envs import EnvConfig
from lyra_sim.config.robots import load_robots
from robot_tasks.isaaclab import write_isaaclab_package
from robot_tasks.worlds import read_worlds
from tests.robot_tasks.isaac_reference import record_drives

HERE = Path(__file__).resolve().parent
PACKAGES = (
    "torch==2.13.0 numpy<2 gymnasium==1.2.0 prettytable==3.3.0 toml trimesh einops usd-core warp-lang scipy pillow "
    "pyyaml packaging hydra-core flatdict hidapi lazy_loader h5py onnx matplotlib opencv-python-headless<4.12 "
    "tensordict GitPython"
).split()
WHEEL, RSL_RL = "isaaclab==2.3.2", "rsl-rl-lib==3.1.2"
ROBOTS = ("jetbot", "nova_carter", "go2")
ENVS, STEPS = 32, 400
BARS = {"policy": 2e-4, "critic": 2e-3, "reward": 2e-4, "terminated": 0.0, "truncated": 0.0, "level": 0.0}
"""Absolute. Environments of their own lie hundreds of metres from the origin, where float32 resolves 0.03 mm."""
RAY_BARS = {"p50": 0.001, "p90": 0.01, "far apart": 0.01}
"""|ray in the mesh - beam of the light simulation|, metres, and the share of beams more than 0.25 m apart: those that
graze an edge."""


def environment(folder: Path) -> tuple[Path, Path]:
    """The Python of an environment for Isaac Lab, made where it is not there, and Isaac Lab's sources."""
    python, sources = folder / "bin" / "python", folder / "isaaclab" / "isaaclab" / "source"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    if not sources.exists():
        pip = [python, "-m", "pip"]
        subprocess.run([*pip, "install", "-q", *PACKAGES], check=True)
        subprocess.run([*pip, "install", "-q", "--no-deps", RSL_RL], check=True)
        subprocess.run([*pip, "download", "-q", "--no-deps", "-d", folder, WHEEL], check=True)
        (wheel,) = folder.glob("isaaclab-*.whl")
        shutil.unpack_archive(wheel, folder / "isaaclab", "zip")
    return python, sources


def prepare(out: Path, folder: Path) -> None:
    """A folder with links to the worlds of `out`, a fresh package, and drives to compare with."""
    for path in out.iterdir():
        if path.is_dir() and (path / "scene.usda").exists():
            (folder / path.name).symlink_to(path.resolve(), target_is_directory=True)
    shutil.copy(out / "worlds.jsonl", folder)
    robots = load_robots(ROBOTS)
    write_isaaclab_package(folder, robots)
    (folder / "drives").mkdir()
    for robot in robots[:2]:
        worlds = read_worlds(folder, robot, "train")
        for mode, chosen in (("per_env", worlds), ("shared", worlds[:1])):
            drives = record_drives(chosen, robot, EnvConfig(), ENVS, STEPS)
            np.savez(folder / "drives" / f"{robot.name}-{mode}.npz", **drives)
            goals, late, hits = (drives[name].sum() for name in ("terminated", "truncated", "hit"))
            ran = f"{len(chosen)} worlds, {ENVS} robots, {STEPS} steps"
            print(f"{robot.name} {mode}: {ran}, {goals} goals, {late} times up, {hits} contacts", flush=True)


def ask(python: Path, sources: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the child."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("LYRA_SIM_")}
    command = [python, HERE / "isaaclab_child.py", sources, folder, folder / "drives"]
    variables["PYTHONPATH"] = str(HERE.parent)
    return subprocess.run([str(c) for c in command], env=variables, capture_output=True, text=True, check=False)


def judge(found: dict[str, Any]) -> bool:
    """Print figures; True when the bars are kept."""
    good = found["validated"] == 20 and found["refused"] == 4 and found["yaml"] == 24 and found["misspelt"] == 3
    good = good and found["learns"] == "ActorCriticRecurrent"
    print(
        f"Isaac Lab core {found['version']}: {found['validated']} configurations and {found['yaml']} files loaded and "
        f"validated, {found['refused']} of a robot without drive refused, {found['misspelt']} of 3 wrong fields refused"
    )
    print(f"{RSL_RL} trains {found['learns']}")
    for name, worst in found["replays"].items():
        if name.endswith("rays"):
            kept = all(worst[key] <= bar for key, bar in RAY_BARS.items())
            kept = kept and worst["p50"] < min(worst["mirrored"], worst["one on"])
        else:
            kept = all(worst[key] <= bar for key, bar in BARS.items())
        print(f"{name}: " + ", ".join(f"{k} {v:.2g}" for k, v in worst.items()) + ("" if kept else "  MISSED"))
        good = good and kept
    return good


def misspelt_text(python: Path, sources: Path, folder: Path) -> bool:
    """Whether a field that is misspelt in the package's own text is found."""
    file = folder / "isaaclab/source/lyra_sim_nav/lyra_sim_nav/tasks/nav/scene_cfg.py"
    text = file.read_text()
    file.write_text(text.replace('"max_distance"', '"max_distanse"'))
    run = ask(python, sources, folder)
    file.write_text(text)
    found = run.returncode != 0 and "TypeError" in run.stderr and "max_distanse" in run.stderr
    print(f"a misspelt field in the package's text: {run.stderr.strip().splitlines()[-1] if found else 'NOT FOUND'}")
    return found


def main() -> int:
    """Print figures and the verdict; 0 when all bars are kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--venv", type=Path, help="keep the virtual environment here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python, sources = environment((options.venv or folder / "venv").absolute())
        (work := folder / "out").mkdir()
        prepare(options.out, work)
        run = ask(python, sources, work)
        lines = [line for line in run.stdout.splitlines() if line.startswith("FOUND ")]
        if not lines:
            print(run.stderr[-3000:], file=sys.stderr)
            return 1
        good = judge(json.loads(lines[0].removeprefix("FOUND ")))
        good = misspelt_text(python, sources, work) and good
    print("all bars kept" if good else "a bar is MISSED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
