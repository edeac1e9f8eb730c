"""What a robot must find in a world to be trained there: the limits, and the verdict with its reason.

Gates that decide say whether the robot is `trainable`; the others are told, with what was expected, and warn.
"""

from collections.abc import Sequence
from typing import Any

from lyra_sim.core.record import record
from lyra_sim.core.records import Gate

NAV_AREA_M2 = 2.0
FOLLOWER_SUCCESS = 0.99
FOLLOWER_SPL = 0.95
FLOOR_SHARE = 0.5
ISLAND_SHARE = 0.9
RANDOM_SUCCESS = 0.05
STRAIGHT_SUCCESS = 0.5
VISUAL_IOU = 0.9
MANY_ROOMS = 3
"""Simple policies are judged only in worlds with so many rooms."""
DECIDING = frozenset(
    "nav_area_m2 end_clearance_m spawn_overlap_count path_overlap_count follower_success follower_spl episodes".split()
)


@record
class Findings:
    """What was measured for one robot in one world."""

    area_m2: float
    """Of the largest island of places for the robot's centre."""
    floor_share: float
    """Of the free floor, what the robot covers from there."""
    largest_share: float
    rooms: int
    unreached: tuple[int, ...]
    """Rooms of which the largest island holds next to nothing."""
    end_clearance_m: float
    """Least room of any start or goal beyond the map radius, on the written map."""
    cell_m: float
    overlaps: int
    """Start and goal poses that touch a collider."""
    path_overlaps: int
    """Episodes whose swept box touches one."""
    success: float
    spl: float
    """Of the follower."""
    random_success: float
    straight_success: float
    visual_iou: float
    door_margin_m: float | None
    """Of the narrowest door that an episode leads through, beyond the robot's width; None without doors."""
    episodes: int
    min_episodes: int


def robot_gates(found: Findings) -> tuple[Gate, ...]:
    """The gates of one robot in one world."""
    none = "" if found.episodes else "no episode to drive"
    hard = found.rooms >= MANY_ROOMS
    unreached = ", ".join(map(str, found.unreached))
    share = 1 - len(found.unreached) / found.rooms if found.rooms else 1.0
    return (
        _least("nav_area_m2", found.area_m2, NAV_AREA_M2, "m2", "too little room"),
        _least("floor_share", found.floor_share, FLOOR_SHARE, "1", "most of the free floor is out of reach"),
        _least("largest_island_share", found.largest_share, ISLAND_SHARE, "1", "the free space is in pieces"),
        _least("rooms_reached_share", share, 1.0, "1", f"out of reach: room {unreached}"),
        _least(
            "end_clearance_m", found.end_clearance_m, found.cell_m, "m",
            none or "a start or goal is nearer to something than the radius and a cell",
        ),
        _most(
            "spawn_overlap_count", found.overlaps, 0, "1", f"{found.overlaps} start or goal poses touch a collider"
        ),
        _most("path_overlap_count", found.path_overlaps, 0, "1", f"{found.path_overlaps} paths touch a collider"),
        _least(
            "follower_success", found.success, FOLLOWER_SUCCESS, "1",
            none or f"only {found.success:.1%} of the episodes could be driven",
        ),
        _least(
            "follower_spl", found.spl, FOLLOWER_SPL, "1", none or f"driven ways are too long, SPL {found.spl:.3f}"
        ),
        _most(
            "random_success", found.random_success, RANDOM_SUCCESS if hard else 1.0, "1", "a random drive gets there"
        ),
        _most(
            "straight_success", found.straight_success, STRAIGHT_SUCCESS if hard else 1.0, "1",
            "a drive straight at the goal gets there",
        ),
        _least("visual_map_iou", found.visual_iou, VISUAL_IOU, "1", "colliders and what is seen block other places"),
        _least(
            "door_margin_m", 9.0 if found.door_margin_m is None else found.door_margin_m, 0.0, "m",
            "a door is narrower than the robot",
        ),
        _least(
            "episodes", found.episodes, found.min_episodes, "1",
            f"{found.episodes} verified episodes, {found.min_episodes} needed",
        ),
    )  # fmt: skip


def _least(name: str, value: float, limit: float, unit: str, why: str) -> Gate:
    ok = value >= limit - 1e-9
    return Gate(name=name, value=round(float(value), 4), limit=float(limit), unit=unit, ok=ok, why="" if ok else why)


def _most(name: str, value: float, limit: float, unit: str, why: str) -> Gate:
    ok = value <= limit
    return Gate(name=name, value=round(float(value), 4), limit=float(limit), unit=unit, ok=ok, why="" if ok else why)


def verdict(gates: Sequence[Gate], longest_m: float) -> dict[str, Any]:
    """`trainable`, `why` (empty when trainable, else the reasons with the size of the place), `warnings`, and every
    gate's value.

    Args:
        longest_m: longest geodesic of the largest island.
    """
    value = {gate.name: gate.value for gate in gates}
    reasons = list(dict.fromkeys(gate.why for gate in gates if gate.name in DECIDING and not gate.ok))
    warnings = [
        f"{gate.name} {gate.value:g}: {gate.why}" for gate in gates if gate.name not in DECIDING and not gate.ok
    ]
    size = f"the largest island has {value['nav_area_m2']:.2f} m2, its longest way is {longest_m:.2f} m"
    why = "; ".join([*reasons, size]) if reasons else ""
    return {"trainable": not reasons, "why": why, "warnings": warnings, **value}


def as_rows(gates: Sequence[Gate]) -> list[dict[str, Any]]:
    """Gates as plain JSON values; `decides` says whether the gate makes a robot trainable or only warns."""
    fields = ("name", "value", "limit", "unit", "ok", "why")
    return [{**{k: getattr(g, k) for k in fields}, "decides": g.name in DECIDING} for g in gates]
