"""Words beside an input: they re-run what reads them and nothing else, and are an error only where they are read."""

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
READ = [("default", [], False), ("lyra2_tiny", [], True), ("lyra2_tiny", [PROMPT], False)]


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "in" / "a.png"
    path.parent.mkdir()
    Image.effect_noise((96, 80), 50).convert("RGB").save(path)
    return path


def keys(photo, config: dict) -> dict[str, str]:
    """Key of every stage, all of whose inputs are the same."""
    (source,) = discover([photo]).sources
    world = WorldRun("a", plain_source(source), [], contents={stage.name: "same" for stage in STAGES})
    drive = Scheduler(
        Store(photo.parent), lambda: None, config, [world], lambda *_: None, lambda: None, stages_for(config)
    )
    return {stage.name: digest(drive.key_fields(world, stage)) for stage in drive.stages}


def job(photo, config: dict) -> Job:
    """Of a stage that gets no further than the captions."""
    source = plain_source(discover([photo]).sources[0])
    return Job("any", "", "a", source, config, {}, photo.parent, photo.parent, lambda _: None, lambda _: None)


@pytest.mark.parametrize(("name", "sets", "read"), READ)
def test_captions_run_again_only_what_reads_them(photo, name, sets, read):
    config = load_config(name, sets).model_dump(mode="json")
    seen = [keys(photo, config)]
    for text in ("a door", "a hall"):
        photo.with_suffix(".txt").write_text(text)
        seen.append(keys(photo, config))
    for stage in STAGES:
        reader = stage.name == ("explore" if read else "validate")
        assert len({found[stage.name] for found in seen}) == (3 if reader else 1), stage.name
    assert reads_captions(config) == read


@pytest.mark.parametrize(("name", "sets", "read"), READ)
def test_broken_captions_are_an_error_where_they_are_read_and_else_a_warning(photo, name, sets, read):
    config = load_config(name, sets).model_dump(mode="json")
    assert caption_warnings(job(photo, config)) == []
    photo.with_name("a.captions.json").write_text('{"0": ""}')
    warnings = caption_warnings(job(photo, config))
    if read:
        assert warnings == []
        with pytest.raises(InputError, match=r"a\.captions\.json: expected frame numbers with sentences"):
            explore(job(photo, config))
    else:
        assert len(warnings) == 1 and "a.captions.json: expected frame numbers with sentences" in warnings[0]
        assert str(photo.parent) not in warnings[0]
        with pytest.raises(KeyError, match="observe"):  # it goes on
            explore(job(photo, config))
