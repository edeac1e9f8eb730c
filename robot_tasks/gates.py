"""What a robot must find in a world to be trained there: the limits, and the verdict with its reason.

Gates that decide say whether the robot is `trainable`; the others are told, with what was expected, and warn.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lyra_sim.core.record import record
from lyra_sim.core.records import Gate

ORIGIN_FLOOR_M = 0.01
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
    "usd_errors map_reraster_iou nav_area_m2 end_clearance_m spawn_overlap_count path_overlap_count "
    "follower_success follower_spl episodes".split()
)


@record
class Findings:
    """What was measured for one robot in one world."""

    origin_floor_m: float | None
    """Height of the collider floor at the world's origin; None where there is none within 0.1 m."""
    origin_away_m: float | None
    """Of the origin from the largest island; None where the robot fits nowhere."""
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
    visual_iou: float | None
    """None where nothing is seen."""
    door_margin_m: float | None
    """Of the narrowest door that an episode leads through, beyond the robot's width; None without doors."""
    episodes: int
    min_episodes: int


def robot_gates(found: Findings) -> tuple[Gate, ...]:
    """The gates of one robot in one world."""
    none = "" if found.episodes else "no episode to drive"
    floor = None if found.origin_floor_m is None else abs(found.origin_floor_m)
    hard = found.rooms >= MANY_ROOMS
    unreached = ", ".join(map(str, found.unreached))
    share = 1 - len(found.unreached) / found.rooms if found.rooms else None
    return (
        _most("origin_floor_m", floor, ORIGIN_FLOOR_M, "m", "the floor at the world's origin is not at height 0"),
        _most("origin_away_m", found.origin_away_m, found.cell_m, "m", "the robot cannot stand at the world's origin"),
        _least("nav_area_m2", found.area_m2, NAV_AREA_M2, "m2", "too little room"),
        _least("floor_share", found.floor_share, FLOOR_SHARE, "1", "most of the free floor is out of reach"),
        _least("largest_island_share", found.largest_share, ISLAND_SHARE, "1", "the free space is in pieces"),
        _least("rooms_reached_share", share, 1.0, "1", f"out of reach: room {unreached}", without="no room was found"),
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
        _least(
            "visual_map_iou", found.visual_iou, VISUAL_IOU, "1", "colliders and what is seen block other places",
            without="no visual mesh",
        ),
        _least(
            "door_margin_m", found.door_margin_m, 0.0, "m", "a door is narrower than the robot",
            without="no door on any route",
        ),
        _least(
            "episodes", found.episodes, found.min_episodes, "1",
            f"{found.episodes} verified episodes, {found.min_episodes} needed",
        ),
    )  # fmt: skip


def _least(name: str, value: float | None, limit: float, unit: str, why: str, *, without: str = "") -> Gate:
    return _gate(name, value, limit, unit, value is not None and value >= limit - 1e-9, why, without)


def _most(name: str, value: float | None, limit: float, unit: str, why: str) -> Gate:
    return _gate(name, value, limit, unit, value is not None and value <= limit, why, "")


def _gate(name: str, value: float | None, limit: float, unit: str, kept: bool, why: str, without: str) -> Gate:
    """A gate without a value is missed, unless there is nothing to measure for a good reason, `without`."""
    reason = "" if kept else why
    if value is None and without:
        kept, reason = True, without
    shown = None if value is None else round(float(value), 4)
    return Gate(name=name, value=shown, limit=float(limit), unit=unit, ok=kept, why=reason)


def verdict(gates: Sequence[Gate], longest_m: float) -> dict[str, Any]:
    """`trainable`, `why` (empty when trainable, else the reasons with the size of the place), `warnings`, and every
    gate's value.

    Args:
        longest_m: longest geodesic of the largest island.
    """
    value = {gate.name: gate.value for gate in gates}
    reasons = list(dict.fromkeys(gate.why for gate in gates if gate.name in DECIDING and not gate.ok))
    warnings = [
        f"{gate.name} {'-' if gate.value is None else format(gate.value, 'g')}: {gate.why}"
        for gate in gates
        if gate.name not in DECIDING and not gate.ok
    ]
    size = f"the largest island has {value['nav_area_m2']:.2f} m2, its longest way is {longest_m:.2f} m"
    why = "; ".join([*reasons, size]) if reasons else ""
    return {"trainable": not reasons, "why": why, "warnings": warnings, **value}


def as_rows(gates: Sequence[Gate]) -> list[dict[str, Any]]:
    """Gates as plain JSON values; `decides` says whether the gate makes a robot trainable or only warns."""
    fields = ("name", "value", "limit", "unit", "ok", "why")
    return [{**{k: getattr(g, k) for k in fields}, "decides": g.name in DECIDING} for g in gates]


def with_world(tree: Mapping[str, Any], gates: Sequence[Gate]) -> dict[str, Any]:
    """The content of a robot's `gates.json`, with gates that were measured on the finished world before its own."""
    return {**tree, **{gate.name: gate.value for gate in gates}, "gates": [*as_rows(gates), *tree["gates"]]}
