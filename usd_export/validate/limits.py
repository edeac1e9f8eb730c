"""The limits of all world gates, the one table of the code. A limit changes only here, the reason in the commit."""

from dataclasses import dataclass
from typing import Literal

from lyra_sim.core.records import Gate

RADIUS_M, DROP_M = 0.1, 0.3
"""The ball of the drop test, and how far above the floor it starts."""


@dataclass(frozen=True)
class Limit:
    """When a gate lets a world be published."""

    unit: str
    rule: Literal["at most", "at least", "is true", "reported", "does not apply"]
    value: float | bool | None = None
    decides: bool = True
    """False: a miss is reported and the world is published all the same."""


_REPORTED_M = Limit("m", "reported")

_BOTH: dict[str, Limit] = {
    "usd_errors": Limit("1", "at most", 0.0),
    "collider_surface_median_m": _REPORTED_M,
    "collider_surface_p95_m": Limit("m", "at most", 0.04),
    "collider_surface_max_m": _REPORTED_M,
    "collider_depth_p95_m": Limit("m", "at most", 0.05),
    "free_blocked_share": Limit("1", "at most", 0.01),
    "floor_hole_m2": Limit("m2", "at most", 0.0),
    "floor_fit_p95_m": Limit("m", "at most", 0.03),
    "scale_sigma": Limit("1", "at most", 0.3),
    "drop_rest_share": Limit("1", "at least", 1.0),
    "map_reraster_iou": Limit("1", "at least", 0.99),
    "reprojection_psnr_db": Limit("dB", "at least", 18.0),
    "input_coverage_share": Limit("1", "at least", 0.85),
    "licence_complete": Limit("bool", "is true", True),
}
SENSOR = _BOTH
"""Worlds from measured depth, in the order of the report."""
PHOTO = {
    **_BOTH,
    "collider_surface_p95_m": Limit("m", "at most", 0.08),
    "collider_depth_p95_m": Limit("m", "does not apply"),
    "input_coverage_share": Limit("1", "at least", 0.9),
}
"""Worlds from photos: depth was estimated, so there is no measured depth to compare with."""
GENERATED = {
    "generated_likeness": Limit("1", "at least", 0.5),
    "generated_depth_off_median": Limit("1", "at most", 0.1),
}
"""Beside those, for worlds with frames that a generator drew."""
RETURNED = {"revisit_psnr_db": Limit("dB", "at least", 28.0, decides=False)}
"""Beside those, for worlds whose walk returns to what it saw. It decides nothing: colours that drift by 10 % in 80
frames miss it, and a robot can be trained there all the same."""
ANY = {
    "collider_count": Limit("1", "at least", 1.0),
    "floor_under_spawns": Limit("1", "at least", 1.0),
}
"""Scenes that others made, beside `usd_errors` and `drop_rest_share`."""


def holds_back(gate: Gate) -> bool:
    """Whether a world is not published because of this gate."""
    return not gate.ok and not (gate.name in RETURNED and not RETURNED[gate.name].decides)


def judged(name: str, limit: Limit, value: float | bool, fault: str = "") -> Gate:
    """The gate of a value that could be computed; `fault` says what is wrong where the limit is not kept."""
    assert limit.value is None or isinstance(limit.value, bool) == isinstance(value, bool), name
    match limit.rule:
        case "at most":
            ok = limit.value is not None and value <= limit.value
        case "at least":
            ok = limit.value is not None and value >= limit.value
        case "is true":
            ok = value is True
        case _:
            ok = True
    shown = value if isinstance(value, bool) else round(float(value), 6)
    why = "" if ok else fault or f"{shown} {limit.unit}, must be {limit.rule} {limit.value}"
    return Gate(name=name, value=shown, limit=limit.value, unit=limit.unit, ok=bool(ok), why=why)


def not_computed(name: str, limit: Limit, reason: str) -> Gate:
    """The gate of a value that could not be computed: it fails, unless nothing depends on it."""
    if limit.rule == "does not apply":
        return Gate(name=name, value=None, limit=None, unit=limit.unit, ok=True, why="")
    return Gate(name=name, value=None, limit=limit.value, unit=limit.unit, ok=False, why=f"not computed: {reason}")
