"""A MobilityGen recording without steps yet: what its `load_scenario` opens to drive a robot in this world.

    nav/<robot>/mobility_gen/config.json  stage.usd  occupancy_map/map.yaml  occupancy_map/map.png

Source: Isaac Sim's `isaacsim.replicator.mobility_gen` and NVlabs/MobilityGen (`reader.py`, `config.py`,
`occupancy_map.py`, `build.py`): stage.usd must hold the scene below /World; the robot is added at /World/robot.
"""

import json
import shutil

from lyra_sim.config.tasks import RobotConfig
from robot_tasks.export.written import WrittenNav

ROBOTS = {"jetbot": "JetbotRobot", "nova_carter": "CarterRobot", "h1": "H1Robot", "spot": "SpotRobot"}
"""MobilityGen's robot classes. It has none for our other robots, which therefore get no such folder."""
_UP = "../../.."
_STAGE = f"""#usda 1.0
(
    defaultPrim = "World"
    kilogramsPerUnit = 1
    metersPerUnit = 1
    subLayers = [
        @{_UP}/stage.usda@
    ]
    upAxis = "Z"
)
"""


def write(nav: WrittenNav, robot: RobotConfig) -> None:
    """The folder, for robots that MobilityGen knows. `scene_usd` is relative to the folder: MobilityGen uses it only
    when it builds a new scenario, and then as seen from where it was started."""
    if robot.name not in ROBOTS:
        return
    folder = nav.folder / "mobility_gen"
    maps = folder / "occupancy_map"
    maps.mkdir(parents=True, exist_ok=True)
    config = {
        "scenario_type": "RandomPathFollowingScenario",
        "robot_type": ROBOTS[robot.name],
        "scene_usd": f"{_UP}/scene.usda",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "stage.usd").write_text(_STAGE)
    for name in ("map.yaml", "map.png"):
        shutil.copyfile(nav.folder / name, maps / name)
