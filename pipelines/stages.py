"""The work of each stage: load what came before, call the package that knows how, save the result.

Imported by workers only; every heavy import is inside the function that needs it, so that a worker that only
captures stays small.
"""

import dataclasses
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from lyra_sim import __version__
from lyra_sim.config.robots import load_robots
from lyra_sim.config.world import WorldConfig
from lyra_sim.core.licence import Licence
from lyra_sim.core.records import Colliders, Fused, PosedFrames, Provenance, Segment, Surface, World
from lyra_sim.io.records import load_plain, load_record, save_record
from lyra_sim.io.world import SEGMENTS, save_segment, segment_folder, stored_segments
from pipelines.graph import reads_captions
from pipelines.stage import Job, digest

GENERATED = "generated.json"
"""Beside the segments: rights in what generated them, and the generator's notes on each."""


def _config(job: Job) -> WorldConfig:
    return WorldConfig.model_validate(job.config)


def stored_world(inputs: Mapping[str, Path]) -> World:
    """What was observed and generated, with the licences that are known from these finished stages."""
    start = load_record(PosedFrames, inputs["observe"])
    explored = inputs["explore"]
    licences = tuple(Licence(**line) for line in json.loads((explored / GENERATED).read_text())["licences"])
    fused = inputs.get("reconstruct")
    splats = () if fused is None else tuple(Licence(**line) for line in load_plain(fused, "licences"))
    return World(start=start, segments=stored_segments(explored), generator=licences, reconstructor=splats)


def capture(job: Job) -> None:
    """Decode the source."""
    from lyra_sim.sources.capture import read_capture
    from pipelines.inputs import source_from

    config = _config(job)
    made = read_capture(
        source_from(job.source), config.capture, config_hash=digest(job.config["capture"]), seed=config.seed
    )
    save_record(made, job.out)


def observe(job: Job) -> None:
    """Depth, gravity and scale."""
    from lyra_sim.core.records import Capture
    from lyra_sim.depth.build import build

    config = _config(job)
    made = load_record(Capture, job.inputs["capture"])
    backend = config.observe.rgbd if made.depth_m is not None else config.observe.photo
    save_record(build(backend)(made), job.out)


def plan(job: Job) -> None:
    """What explore would do, as figures and as a picture; generates nothing."""
    from lyra_sim.explore.outline import outline
    from pipelines.report.plan import plan_figures
    from pipelines.report.plan_picture import plan_picture

    start = load_record(PosedFrames, job.inputs["observe"])
    made = outline(start, _config(job).explore, source_dir=Path(job.source["path"]))
    (job.out / "plan.json").write_text(json.dumps(plan_figures(made), indent=1, sort_keys=True) + "\n")
    (job.out / "plan.png").write_bytes(plan_picture(start, made))


def explore(job: Job) -> None:
    """Plan and generate further segments; each is committed by itself, so that a killed run goes on where it was."""
    from lyra_sim.explore import PLANNED
    from lyra_sim.explore import explore as run_loop
    from lyra_sim.sources.captions import captions_beside

    config, source = _config(job), Path(job.source["path"])
    captions = captions_beside(source) if reads_captions(job.config, job.source["kind"]) else {}
    start = load_record(PosedFrames, job.inputs["observe"])

    def commit(segment: Segment) -> None:
        beside = save_segment(job.partial / f"unfinished-{uuid.uuid4().hex}", segment)
        final = segment_folder(job.partial, segment.index)
        final.parent.mkdir(parents=True, exist_ok=True)
        beside.rename(final)
        job.piece_done(segment.index)

    made = run_loop(
        start,
        config.explore,
        seed=config.seed,
        source_dir=source,
        captions=captions,
        done=stored_segments(job.partial),
        commit=commit,
        progress=job.report,
    )
    (job.out / SEGMENTS).mkdir()
    if (job.partial / SEGMENTS).exists():  # linked, not moved: until the stage is committed they stay findable
        shutil.copytree(job.partial / SEGMENTS, job.out / SEGMENTS, copy_function=os.link, dirs_exist_ok=True)
    notes = {name.name: load_plain(name, "notes") for name in sorted((job.out / SEGMENTS).iterdir())}
    for note in notes.values():
        note.pop(PLANNED, None)  # for the loop alone
    licences = [dataclasses.asdict(line) for line in made.licences]
    told = {"licences": licences, "weights": made.weights, "segments": notes, "end": made.end}
    (job.out / GENERATED).write_text(json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def reconstruct(job: Job) -> None:
    """One fused surface and what space was seen."""
    from lyra_sim.reconstruct.build import build

    save_record(build(_config(job).reconstruct)(stored_world(job.inputs)), job.out, compress=True)


def surface(job: Job) -> None:
    """Clean, repair, label and texture the surface."""
    from lyra_sim.surface import build_surface

    fused = load_record(Fused, job.inputs["reconstruct"])
    save_record(build_surface(stored_world(job.inputs), fused, _config(job).surface), job.out, compress=True)


def collide(job: Job) -> None:
    """What physics sees."""
    from lyra_sim.collision import collide as run_collide

    made = load_record(Surface, job.inputs["surface"])
    fused = load_record(Fused, job.inputs["reconstruct"])
    save_record(run_collide(made, stored_world(job.inputs), fused, _config(job).collide), job.out)


def usd(job: Job) -> None:
    """The scene folder."""
    from usd_export import write_scene

    world = stored_world(job.inputs)
    write_scene(
        job.out,
        surface=load_record(Surface, job.inputs["surface"]),
        colliders=load_record(Colliders, job.inputs["collide"]),
        world=world,
        provenance=_provenance(job, world),
        name=job.world,
    )


def _provenance(job: Job, world: World) -> Provenance:
    return Provenance(
        backend="lyra-sim",
        version=__version__,
        config_hash=digest(job.config),
        seed=job.config["seed"],
        inputs=(job.source["digest"],),
        licences=world.licences,
    )


def tasks(job: Job) -> None:
    """Maps and episodes for every robot."""
    from robot_tasks import build_nav

    config = _config(job)
    nav = build_nav(
        job.inputs["usd"] / "scene.usda",
        job.out,
        floor=load_record(Surface, job.inputs["surface"]).floor,
        robots=load_robots(config.tasks.robots),
        config=config.tasks,
        seed=config.seed,
    )
    (job.out / "nav" / "summary.json").write_text(json.dumps(nav, indent=1, sort_keys=True) + "\n")


def validate(job: Job) -> None:
    """The gates, from the written files, and the world's report."""
    from pipelines.report.world import validate_world

    validate_world(job, stored_world(job.inputs), load_record(Surface, job.inputs["surface"]), _config(job))
