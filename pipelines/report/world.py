"""The validate stage: assemble the world as it will be published, judge it, and write report.json, report.html."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from lyra_sim.config.world import WorldConfig
from lyra_sim.core.errors import InputError
from lyra_sim.core.records import Capture, Colliders, Fused, Gate, Surface, World
from lyra_sim.io.records import load_plain, load_record
from lyra_sim.memory.revisits import Returned, returns
from lyra_sim.sources.captions import captions_beside
from pipelines.graph import reads_captions
from pipelines.report.html import world_page
from pipelines.report.pictures import world_pictures
from pipelines.report.retrieval import retrieval_picture
from pipelines.stage import Job
from robot_tasks import map_gate, map_gates
from robot_tasks.gates import with_world
from usd_export.validate import gates as scene_gates
from usd_export.validate.limits import holds_back


def validate_world(job: Job, world: World, surface: Surface, config: WorldConfig) -> None:
    """Write report.json, report.html, preview.png and each robot's gates.json of one world into the job's folder."""
    nav = json.loads((job.inputs["tasks"] / "nav" / "summary.json").read_bytes())
    assembled = job.out / "assembled"
    for stage in ("usd", "tasks"):
        shutil.copytree(job.inputs[stage], assembled, dirs_exist_ok=True)
    job.report("gates")
    colliders = load_record(Colliders, job.inputs["collide"])
    maps: dict[str, Gate] = {}
    space = load_record(Fused, job.inputs["reconstruct"]).space
    returned = returns(world)

    def reraster() -> Gate:
        maps.update(map_gates(assembled, floor=surface.floor, config=config.tasks, colliders=colliders))
        return map_gate(maps)

    found = scene_gates(assembled, world=world, surface=surface, space=space, reraster=reraster, returned=returned)
    _write_robot_gates(assembled, job.out, found, maps)
    capture = load_record(Capture, job.inputs["capture"])
    pictures = world_pictures(assembled, capture, world)
    shutil.rmtree(assembled)
    report = _report(job, world, found, nav, capture, returned)
    (job.out / "report.json").write_text(json.dumps(report, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    (job.out / "report.html").write_text(world_page(report, pictures.panels, retrieval_picture(world)))
    (job.out / "preview.png").write_bytes(pictures.overview)


def _write_robot_gates(assembled: Path, out: Path, found: tuple[Gate, ...], maps: dict[str, Gate]) -> None:
    """`nav/<robot>/gates.json` of the tasks stage, with what is known of the robot's world only now."""
    loads = next(gate for gate in found if gate.name == "usd_errors")
    for robot, same_map in maps.items():
        name = Path("nav", robot, "gates.json")
        tree = with_world(json.loads((assembled / name).read_bytes()), (loads, same_map))
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text(json.dumps(tree, indent=1, sort_keys=True) + "\n")


def caption_warnings(job: Job) -> list[str]:
    """What is wrong with the words beside the input, where no generator has read them."""
    if reads_captions(job.config, job.source["kind"]):
        return []
    try:
        captions_beside(Path(job.source["path"]))
    except InputError as error:
        file = Path(error.where).name  # no path of this machine in a world
        return [
            f"captions, not read by this generator: {file}: expected {error.expected}, got {error.got}. {error.todo}"
        ]
    return []


def quarantine_reason(gates: tuple[Gate, ...]) -> str:
    """What keeps a world from being published; empty where nothing does."""
    return "; ".join(f"{gate.name}: {gate.why}" for gate in gates if holds_back(gate))


def _report(
    job: Job,
    world: World,
    gates: tuple[Gate, ...],
    nav: dict[str, Any],
    capture: Capture,
    returned: Returned | None,
) -> dict[str, Any]:
    reason = quarantine_reason(gates)
    frame = world.start.frame
    keys = [{"name": path_stage, "key": path.name} for path_stage, path in sorted(job.inputs.items())]
    return {
        "world": job.world,
        "status": "quarantined" if reason else "published",
        "reason": reason,
        "warnings": caption_warnings(job),
        "stage": "validate" if reason else None,
        "gates": [dataclasses.asdict(gate) for gate in gates],
        "stages": [*keys, {"name": "validate", "key": job.key[:32]}],
        "frame": {
            "metric": frame.metric,
            "gravity": frame.gravity,
            "gravity_sigma_rad": frame.gravity_sigma_rad,
            "scale_sigma": frame.scale_sigma,
            "scale_range": [round(v, 4) for v in frame.scale_range],
            "shift": list(frame.shift),
        },
        "environment": world.start.environment,
        "observed": world.start.notes,
        "nav": nav,
        "provenance": {
            "source": job.source["name"],
            "digest": job.source["digest"],
            "kind": capture.kind,
            "focal": capture.focal_source,
            "backend": world.start.provenance.backend,
            "version": world.start.provenance.version,
            "place": capture.facts.get("place"),
        },
        "generated": json.loads((job.inputs["explore"] / "generated.json").read_bytes()),
        "revisits": None if returned is None else dataclasses.asdict(returned),
        "reconstruction": load_plain(job.inputs["reconstruct"], "notes"),
        "licences": [dataclasses.asdict(line) for line in world.licences],
    }
