"""What exploring costs: as earlier runs of the same folder tell, else as it was measured once, else nobody knows."""

import dataclasses
import json
import statistics
from typing import Any

from lyra_sim.config.explore import ExploreConfig
from lyra_sim.config.lyra2 import Lyra2Config
from pipelines.store import Store

MEASURED_PX = 240
"""Height of the frames of which `MEASURED_S` tells."""
MEASURED_S = {"reproject": 0.14, "truth": 0.25}
"""Seconds of one core per frame, planning included."""
# `explore` of the two photos in examples/, 121 frames of 360 x 240 each: 0.126 and 0.157 CPU seconds a frame with
# reproject, 0.242 and 0.258 with truth. Intel Xeon (x86-64), 2 cores at a load of 3 to 5, one thread, 2026-11-27.


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of exploring one input."""

    seconds: float | None
    """None where nobody measured it."""
    source: str
    """Where the seconds come from."""
    steps: int | None = None
    """Of denoising, for a generator that does so."""

    @property
    def short(self) -> str:
        """For a cell of a table."""
        if self.seconds is None:
            return "not measured" + (f", {self.steps} denoising steps" if self.steps else "")
        return f"{self.seconds:.0f}"


def cost_of(frames: int, segments: int, config: ExploreConfig, store: Store) -> Cost:
    """Seconds that the explore stage takes for so many frames, planning included."""
    generator = config.generator
    steps = segments * generator.steps if isinstance(generator, Lyra2Config) else None
    if not frames:
        return Cost(0.0, "nothing to explore", steps)
    per_frame = recorded_s(config, store)
    if per_frame:
        runs = f"{len(per_frame)} earlier world{'s' if len(per_frame) > 1 else ''} in this folder"
        return Cost(round(frames * statistics.median(per_frame), 1), f"{runs}, median seconds per frame", steps)
    if generator.backend in MEASURED_S and config.height_px == MEASURED_PX and _plain(generator):
        rate = MEASURED_S[generator.backend]
        return Cost(
            round(frames * rate, 1), f"{rate:g} s per frame, measured once on one core of another machine", steps
        )
    return Cost(None, "not measured with these settings; a finished run in this folder tells", steps)


def _plain(generator: Any) -> bool:
    """Whether it is set as it was when `MEASURED_S` was measured."""
    return generator == type(generator)()


def recorded_s(config: ExploreConfig, store: Store) -> list[float]:
    """Seconds per frame of every explore stage in the store with the same generator and the same size of frames."""
    from lyra_sim.io.world import stored_frames

    wanted, found = config.model_dump(mode="json"), []
    for path in sorted((store.root / "store" / "explore").glob("*/COMMIT.json")):
        commit = json.loads(path.read_bytes())
        settings = commit["key_fields"]["config"]["explore"]
        if all(settings[name] == wanted[name] for name in ("generator", "height_px")):
            frames = stored_frames(path.parent)
            found += [commit["seconds"] / frames] if frames else []
    return found
