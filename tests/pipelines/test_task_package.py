"""OUT/isaaclab is as the worlds, the profiles, the rules and this package say, and is left alone where it is."""

import json
import shutil
from pathlib import Path

import pytest

from lyra_sim.config.envs import EnvConfig
from lyra_sim.config.tasks import TasksConfig
from pipelines import isaaclab
from pipelines.isaaclab import write_task_package
from pipelines.store import Store
from tests.robot_tasks import rooms


def test_a_run_offers_robots_that_some_world_trains(tmp_path: Path) -> None:
    store = Store(tmp_path / ".lyra")
    store.root.mkdir()
    rows: list[dict] = [{"robots": [], "path": "a"}]
    (tmp_path / "worlds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_task_package(tmp_path, store, TasksConfig(robots=("jetbot",)))
    assert not (tmp_path / "isaaclab").exists()
    rows = [{"robots": ["jetbot", "spot"], "path": "a"}, {"robots": ["jetbot", "my_own"], "path": "b"}]
    (tmp_path / "worlds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_task_package(tmp_path, store, TasksConfig(robots=("jetbot", "nova_carter")))
    tree = json.loads((tmp_path / "isaaclab" / "task.json").read_text())
    assert set(tree["robots"]) == {"jetbot", "spot"}
    assert EnvConfig.model_validate(tree["env"]) == EnvConfig()
    before = (tmp_path / "isaaclab").stat().st_ino
    write_task_package(tmp_path, store, TasksConfig(robots=("jetbot", "nova_carter")))
    assert (tmp_path / "isaaclab").stat().st_ino == before
    shutil.rmtree(tmp_path / "isaaclab")
    write_task_package(tmp_path, store, TasksConfig(robots=("jetbot", "nova_carter")))
    assert (tmp_path / "isaaclab" / "task.json").exists()


@pytest.fixture
def run(tmp_path: Path):
    """What a finished run does about the package, with a robot of the user in its one world."""
    store, profile = Store(tmp_path / ".lyra"), tmp_path / "mine.yaml"
    store.root.mkdir()
    tree = {**rooms.JETBOT.model_dump(mode="json"), "name": "mine"}

    def again(robots: list[str], **changes) -> Path:
        profile.write_text(json.dumps({**tree, **changes}))
        (tmp_path / "worlds.jsonl").write_text(json.dumps({"robots": robots, "path": "a"}) + "\n")
        write_task_package(tmp_path, store, TasksConfig(robots=(str(profile), "jetbot")))
        return tmp_path / "isaaclab"

    return again


def test_the_package_follows_profiles_rules_and_its_own_files(run, tmp_path: Path, monkeypatch) -> None:
    package = run(["mine"])

    def told() -> dict:
        return json.loads((package / "task.json").read_text())

    first = package.stat().st_ino
    assert run(["mine"]).stat().st_ino == first
    (package / "logs").mkdir()
    (package / "logs" / "of_mine.txt").write_text("")
    run(["mine"])
    assert (package / "logs" / "of_mine.txt").exists()  # nothing changed, nothing is touched
    run(["mine"], speed_m_s=0.15)
    assert told()["robots"]["mine"]["speed_m_s"] == 0.15
    (package / "task.json").unlink()
    (package / "smoke_isaac.py").write_text("")
    run(["mine"], speed_m_s=0.15)
    assert told()["robots"]["mine"]["speed_m_s"] == 0.15 and (package / "smoke_isaac.py").read_text()
    source = tmp_path / "source"
    shutil.copytree(isaaclab._source(), source)
    monkeypatch.setattr(isaaclab, "_source", lambda: source)
    marker = tmp_path / ".lyra" / "isaaclab.json"
    written = [marker.read_text()]
    (source / "package" / "README.md").write_text("another version")
    run(["mine"], speed_m_s=0.15)
    written.append(marker.read_text())
    monkeypatch.setattr(isaaclab, "EnvConfig", lambda: EnvConfig(success_m=0.5))
    run(["mine"], speed_m_s=0.15)
    written.append(marker.read_text())
    assert len(set(written)) == 3  # either is a reason to write it again


def test_without_a_robot_the_package_goes_and_folders_of_others_stay(run) -> None:
    package = run(["mine"])
    assert package.is_dir()
    run([])
    assert not package.exists()
    package.mkdir()
    (package / "theirs.py").write_text("")
    run([])
    assert (package / "theirs.py").exists()
