"""The figures of a plan, as they go into plan.json and into the table of `lyra-sim plan`."""

from typing import Any

from lyra_sim.explore.outline import Outline
from lyra_sim.trajectory.freemap import CELL_M


def plan_figures(made: Outline) -> dict[str, Any]:
    """JSON values; metres, square metres and numbers of frames."""
    return {
        "frames": sum(made.segments),
        "segments": len(made.segments),
        "path_m": round(made.length_m, 2),
        "new_floor_m2": round(float(made.curve_m2[-1]), 2),
        "seen_floor_m2": round(made.seen_m2, 2),
        "reachable_m2": round(float(made.reachable.sum()) * CELL_M**2, 2),
        "end": made.end,
        "refused": made.refused,
        "collisions": made.collisions.tolist(),
        "remarks": list(made.remarks),
        "curve": [[int(n), round(float(m2), 3)] for n, m2 in zip(made.curve_frames, made.curve_m2, strict=True)],
    }
