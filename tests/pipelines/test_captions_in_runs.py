"""Words beside an input: they re-run what reads them and nothing else, and are an error only where they are read."""

from pathlib import Path

import pytest
from PIL import Image

from lyra_sim.config.load import load_config
from lyra_sim.core.errors import InputError
from lyra_sim.sources.discover import discover
from pipelines.graph import STAGES, reads_captions, stages_for
from pipelines.inputs import plain_source
from pipelines.report.world import caption_warnings
from pipelines.scheduler import Scheduler, WorldRun
from pipelines.stage import Job, digest
from pipelines.stages import explore
from pipelines.store import Store

PROMPT = "explore.generator.prompt=a hall"
READ = [
    ("default", "photo", [], False), ("lyra2_tiny", "photo", [], True), ("lyra2_tiny", "photo", [PROMPT], False),
    ("lyra2_tiny", "photo", ["explore.photo_frames=0"], False), ("lyra2_tiny", "rgbd", [], True),
    ("lyra2_tiny", "rgbd", ["explore.rgbd_frames=0"], False),
    ("lyra2_tiny", "rgbd", ["explore.rgbd_frames=0", "observe.rgbd={backend: tiny_depth}"], True),
]  # fmt: skip
"""Configuration, kind of input, settings, whether a generator reads the words."""


def made(folder: Path, kind: str) -> Path:
    """An input of this kind: the file of a photo, or the folder of a walk of one frame."""
    folder.mkdir()
    image = Image.effect_noise((96, 80), 50)
    if kind == "photo":
        image.convert("RGB").save(folder / "a.png")
        return folder / "a.png"
    image.convert("RGB").save(folder / "rgb.png")
    image.convert("I;16").save(folder / "depth.png")
    (folder / "camera.json").write_text("{}")
    return folder


def keys(path: Path, config: dict) -> dict[str, str]:
    """Key of every stage, all of whose inputs are the same."""
    (source,) = discover([path]).sources
    world = WorldRun("a", plain_source(source), [], contents={stage.name: "same" for stage in STAGES})
    drive = Scheduler(
        Store(path.parent), lambda: None, config, [world], lambda *_: None, lambda: None, stages_for(config)
    )
    return {stage.name: digest(drive.key_fields(world, stage)) for stage in drive.stages}


def job(path: Path, config: dict) -> Job:
    """Of a stage that gets no further than the captions."""
    source = plain_source(discover([path]).sources[0])
    return Job("any", "", "a", source, config, {}, path.parent, path.parent, lambda _: None, lambda _: None)


@pytest.mark.parametrize(("name", "kind", "sets", "read"), READ)
def test_captions_run_again_only_what_reads_them(tmp_path, name, kind, sets, read):
    config, path = load_config(name, sets).model_dump(mode="json"), made(tmp_path / "in", kind)
    seen = [keys(path, config)]
    for text in ("a door", "a hall"):
        (path / "caption.txt" if path.is_dir() else path.with_suffix(".txt")).write_text(text)
        seen.append(keys(path, config))
    for stage in STAGES:
        reader = stage.name == ("explore" if read else "validate")
        assert len({found[stage.name] for found in seen}) == (3 if reader else 1), stage.name
    assert reads_captions(config, kind) == read


@pytest.mark.parametrize(("name", "kind", "sets", "read"), READ)
def test_broken_captions_are_an_error_where_they_are_read_and_else_a_warning(tmp_path, name, kind, sets, read):
    config, path = load_config(name, sets).model_dump(mode="json"), made(tmp_path / "in", kind)
    assert caption_warnings(job(path, config)) == []
    (path / "captions.json" if path.is_dir() else path.with_name("a.captions.json")).write_text('{"0": ""}')
    warnings = caption_warnings(job(path, config))
    if read:
        assert warnings == []
        with pytest.raises(InputError, match=r"captions\.json: expected frame numbers with sentences"):
            explore(job(path, config))
    else:
        (warning,) = warnings
        assert "captions.json: expected frame numbers with sentences" in warning and str(tmp_path) not in warning
        with pytest.raises(KeyError, match="observe"):  # it goes on
            explore(job(path, config))
