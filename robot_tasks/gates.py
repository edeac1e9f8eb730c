"""What a robot must find in a world to be trained there: the limits, and the verdict with its reason."""

from collections.abc import Sequence
from typing import Any

from lyra_sim.core.records import Gate

NAV_AREA_M2 = 2.0
SPAWN_OVERLAPS = 0.0
FOLLOWER_SUCCESS = 0.99
FOLLOWER_SPL = 0.95


def robot_gates(
    *,
    area_m2: float,
    largest_share: float,
    overlaps: int,
    success: float,
    spl: float,
    episodes: int,
    min_episodes: int,
) -> tuple[Gate, ...]:
    """The gates of one robot in one world. Area and share are of the largest island."""
    none = "" if episodes else "no episode to drive"
    return (
        _gate("nav_area_m2", area_m2, NAV_AREA_M2, "m2", area_m2 >= NAV_AREA_M2, "too little room"),
        _gate("largest_island_share", largest_share, 0.0, "1", True, ""),
        _gate(
            "spawn_overlap_count", float(overlaps), SPAWN_OVERLAPS, "1", overlaps == 0,
            f"{overlaps} start or goal poses touch a collider",
        ),
        _gate(
            "follower_success", success, FOLLOWER_SUCCESS, "1", success >= FOLLOWER_SUCCESS,
            none or f"only {success:.1%} of the episodes could be driven",
        ),
        _gate(
            "follower_spl", spl, FOLLOWER_SPL, "1", spl >= FOLLOWER_SPL,
            none or f"driven ways are too long, SPL {spl:.3f}",
        ),
        _gate(
            "episodes", float(episodes), float(min_episodes), "1", episodes >= min_episodes,
            f"{episodes} verified episodes, {min_episodes} needed",
        ),
    )  # fmt: skip


def _gate(name: str, value: float, limit: float, unit: str, ok: bool, why: str) -> Gate:
    return Gate(name=name, value=round(value, 4), limit=limit, unit=unit, ok=ok, why="" if ok else why)


def verdict(gates: Sequence[Gate], longest_m: float) -> dict[str, Any]:
    """`trainable`, `why` (empty when trainable, else the reasons with the size of the place), and every gate's value.

    Args:
        longest_m: longest geodesic of the largest island.
    """
    value = {gate.name: gate.value for gate in gates}
    reasons = list(dict.fromkeys(gate.why for gate in gates if not gate.ok))
    size = f"the largest island has {value['nav_area_m2']:.2f} m2, its longest way is {longest_m:.2f} m"
    return {"trainable": not reasons, "why": "; ".join([*reasons, size]) if reasons else "", **value}


def as_rows(gates: Sequence[Gate]) -> list[dict[str, Any]]:
    """Gates as plain JSON values."""
    return [{k: getattr(g, k) for k in ("name", "value", "limit", "unit", "ok", "why")} for g in gates]
