"""The data sets over all worlds of an output folder: made once, and again only where something changed."""

import json
from pathlib import Path

import pytest

from lyra_sim.config.tasks import TasksConfig
from pipelines.store import Store
from pipelines.summary import write_datasets
from tests.robot_tasks import export_world


@pytest.fixture
def out(tmp_path) -> Path:
    export_world.make(tmp_path)
    marker = tmp_path / ".lyra" / "published" / f"{export_world.NAME}.json"
    marker.parent.mkdir(parents=True)
    marker.write_text('{"keys": ["a"]}')
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_made_once_and_again_where_something_changed(out):
    store, config = Store(out / ".lyra"), TasksConfig()
    folder, habitat = out / "habitat", lambda: (out / "habitat").stat().st_ino
    write_datasets(out, store, config)
    first, made = contents(folder), habitat()
    write_datasets(out, store, config)
    assert habitat() == made  # nothing was done
    (out / ".lyra/published" / f"{export_world.NAME}.json").write_text('{"keys": ["b"]}')
    write_datasets(out, store, config)
    assert habitat() != made and contents(folder) == first  # made again, the same bytes
    folder.rename(out / "moved")
    write_datasets(out, store, config)
    assert folder.is_dir()
    write_datasets(out, store, config.model_copy(update={"formats": ("isaac",)}))
    assert not folder.exists() and not (out / "compass").exists()
    assert not list((out / ".lyra" / "tmp").iterdir())


def test_a_folder_without_worlds_has_no_data_sets(tmp_path):
    (tmp_path / "worlds.jsonl").write_text("")
    (tmp_path / ".lyra").mkdir()
    write_datasets(tmp_path, Store(tmp_path / ".lyra"), TasksConfig())
    assert {p.name for p in tmp_path.iterdir()} == {"worlds.jsonl", ".lyra"}
    assert json.loads((tmp_path / ".lyra" / "datasets.json").read_text())["folders"] == []
