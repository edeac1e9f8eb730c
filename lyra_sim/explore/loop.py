"""The exploration of one world: plan a piece of walk, retrieve what remembers it best, generate, remember, commit.

A walk of N new frames is cut into segments of at most `segment_frames`, whole strides of the memory, or into segments
of as many frames as the generator always draws. Each is planned from all that came before. Everything is rebuilt from
the start record and the committed segments at the beginning, so a killed run continues with the same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lyra_sim.config.explore import ExploreConfig
from lyra_sim.core.licence import Licence
from lyra_sim.core.records import PosedFrames, Segment
from lyra_sim.explore.course import Given, Planned, held
from lyra_sim.explore.past import Past
from lyra_sim.memory.spatial import STRIDE
from lyra_sim.worldgen import build


@dataclass(frozen=True)
class Explored:
    """What became of an exploration."""

    licences: tuple[Licence, ...]
    """Rights in the generator's weights."""
    weights: dict[str, str]
    """Which these are: file -> sha256."""
    end: str
    """Why it ended there."""


def explore(
    start: PosedFrames,
    config: ExploreConfig,
    *,
    seed: int,
    source_dir: Path | None,
    captions: Mapping[int, str],
    done: Sequence[Segment],
    commit: Callable[[Segment], None],
    progress: Callable[[str], None],
) -> Explored:
    """Explore further from `start` until the frame count is reached or nothing is left to gain; what became of it.

    Args:
        seed: segment i is generated with seed + i.
        source_dir: the input itself (folder of a walk, file of a photo); only the `truth` generator reads it.
        captions: what the world shows, for generators that read; see `worldgen.request.Generator.begin`.
        done: segments an earlier run committed, in order.
        commit: called once for every new segment, in order.
        progress: called with one sentence before each segment.

    Raises:
        ConfigError: the generator cannot work on this input.
        InputError: a given path would collide with what was seen.
    """
    frames = config.rgbd_frames if start.frame.measured else config.photo_frames
    planned = config.path.kind == "planned"
    if planned and frames == 0:
        return Explored((), {}, "no new frames were asked for")
    generator = build(config.generator, source=source_dir, T_world_source=start.frame.T_world_source)
    past = Past(start.frames, generator.camera(start.frames.intrinsics, config.height_px), config.robot_height_m)
    course = Planned(config, past, frames, generator.frames) if planned else Given(config, past)
    where = "the start"
    generator.begin(start, captions, lambda line: progress(f"{where}, {line}"))
    for index, segment in enumerate(done):
        assert segment.index == index, "segments are committed in order"
        generator.remember(segment)
        past.add(segment)
    for line in course.remarks:
        progress(line)
    index = len(done)
    while past.generated < course.frames:
        most = generator.frames or config.segment_frames // STRIDE * STRIDE
        pieces = -(-(course.frames - past.generated) // most)
        count = generator.frames or min(most, course.frames - past.generated)
        where = f"segment {index + 1} of at most {index + pieces}"
        progress(where)
        poses = course.poses(count)
        if not len(poses):
            break
        poses = held(poses, generator.frames or len(poses))
        request = past.request(poses, generator.views, seed + index)
        drawn = generator.generate(request)
        notes = {**drawn.notes, **past.retrieval_notes(request, drawn), **course.notes}
        segment = Segment(index=index, frames=drawn.frames, warped=drawn.warped, latents=drawn.latents, notes=notes)
        commit(segment)
        generator.remember(segment)
        past.add(segment)
        index += 1
    return Explored(generator.licences, dict(generator.weights), course.end)
