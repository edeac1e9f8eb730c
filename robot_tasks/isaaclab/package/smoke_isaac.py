"""Smoke test in Isaac Sim: 4 robots, 100 random steps. Rays must hit, nothing may be NaN, no robot may fall through the
floor, and the scanner must hang where the map says. Exits 1 and says why otherwise.

    LYRA_SIM_SCENES=shared ./isaaclab.sh -p smoke_isaac.py --task LyraSim-Nav-NovaCarter-Play-v0 --headless
"""

import argparse
import os
import sys

from isaaclab.app import AppLauncher

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--task", default="LyraSim-Nav-NovaCarter-Play-v0")
parser.add_argument("--steps", type=int, default=100)
AppLauncher.add_app_launcher_args(parser)
options = parser.parse_args()
app = AppLauncher(options).app

import gymnasium as gym  # noqa: E402  Kit must run before anything of Isaac Lab is imported
import lyra_sim_nav  # noqa: E402, F401
import torch  # noqa: E402
from isaaclab_tasks.utils.parse_cfg import load_cfg_from_registry  # noqa: E402
from lyra_sim_nav.compat import tensor  # noqa: E402

ENVS = 4
FALLEN_M, SCANNER_M = 0.3, 0.05


def main() -> list[str]:
    """What is wrong."""
    cfg = load_cfg_from_registry(options.task, "env_cfg_entry_point")
    cfg.scene.num_envs = ENVS
    cfg.sim.device = options.device
    env = gym.make(options.task, cfg=cfg).unwrapped
    observed, _ = env.reset()
    goal, wrong = env.command_manager.get_term("goal"), []
    still = torch.zeros(ENVS, env.action_manager.total_action_dim, device=env.device)
    for _ in range(5):  # let the robots fall onto their wheels
        env.step(still)
    floor = goal.origins[:, 2] + goal.tables.start[goal.episode, 2]
    base = tensor(goal.robot.data.root_pos_w)[:, 2] - floor
    want = cfg.events.start.params["base_height_m"]
    print(f"root above the floor: {base.tolist()} m, drives.py says {want}")
    if float((base - want).abs().max()) > SCANNER_M:
        wrong.append("the root stands at another height than base_height_m in drives.py: correct it there")
    lowest, hits, beams = 0.0, 0, 0
    for _ in range(options.steps):
        observed, reward, *_ = env.step(2 * torch.rand_like(still) - 1)
        height = tensor(goal.robot.data.root_pos_w)[:, 2] - goal.origins[:, 2]
        lowest = min(lowest, float((height - goal.tables.start[goal.episode, 2]).min()))
        seen = observed["policy"][:, : round(360.0 / cfg.scene.lidar.pattern_cfg.horizontal_res)]
        hits, beams = hits + int((seen < 1).sum()), beams + seen.numel()
        for name, value in {**observed, "reward": reward}.items():
            if not bool(torch.isfinite(value).all()):
                wrong.append(f"{name} is not finite")
        if wrong:
            break
    print(f"rays that hit: {hits / max(beams, 1):.1%}; lowest root against its start: {lowest:.3f} m")
    if hits < 0.2 * beams:
        wrong.append("hardly any ray hits: is nav_collision.usdc in the scene, and the environment where it should be?")
    if lowest < -FALLEN_M:
        wrong.append("a robot fell through the floor")
    env.close()
    return wrong


try:
    problems = main()
except Exception as error:  # said before Kit ends the process
    problems = [f"{type(error).__name__}: {error}"]
for problem in problems:
    print(f"SMOKE TEST FAILED: {problem}", file=sys.stderr)
if problems:  # closing Kit would end the process with 0
    sys.stderr.flush()
    os._exit(1)
print("smoke test passed", flush=True)
app.close()
