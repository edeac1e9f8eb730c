"""Flats: two to five furnished rooms behind doors that a robot can pass, with windows, lamps and different floors."""

from collections.abc import Callable

import numpy as np

from lyra_sim.core.records import Label
from lyra_sim.procedural.furniture import PIECES
from lyra_sim.procedural.layout import Layout
from lyra_sim.procedural.level_changes import BUMP_M, STEP_M, THRESHOLD_M, Rect, podium, podium_size, raised
from lyra_sim.procedural.plan import INNER_WALL_M, OUTER_WALL_M, Opening, Plan, Room, draw_plan
from lyra_sim.procedural.scene import LevelChange, Lights, Pattern, ProceduralScene
from lyra_sim.procedural.shapes import MeshBuilder, Placed, linear

WISHES = {
    "living": ("sofa", "tv_stand", "shelf", "plant", "dining_table", "armchair", "sideboard", "floor_lamp", "toy_box"),
    "bed": ("bed", "wardrobe", "cabinet", "shelf", "plant", "armchair", "toy_box"),
    "kitchen": ("kitchen", "dining_table", "cabinet", "plant", "sideboard"),
    "study": ("desk", "shelf", "cabinet", "armchair", "plant", "floor_lamp", "shelf"),
}
FREE_STANDING = ("dining_table", "coffee_table")
FLOORS = [
    (Pattern.PLANKS, "a9794c", "8a5d36", 0.12),
    (Pattern.PLANKS, "d2b48a", "bd9a6c", 0.16),
    (Pattern.PLANKS, "6e4a30", "573823", 0.09),
    (Pattern.TILES, "d8d3c8", "8f8a80", 0.33),
    (Pattern.TILES, "9aa0a3", "6b7073", 0.45),
    (Pattern.CARPET, "8b8378", "6f685f", 0.1),
    (Pattern.CARPET, "65707c", "4f5964", 0.1),
]
WALLS = [
    (Pattern.PLASTER, "ece7dd", "e4ded2", 0.1),
    (Pattern.PLASTER, "cfd9d6", "c6d1ce", 0.1),
    (Pattern.PLASTER, "e6d5b8", "dfccab", 0.1),
    (Pattern.WALLPAPER, "dfd6c4", "cfc3ab", 0.18),
    (Pattern.WALLPAPER, "c3cbd6", "b3bccb", 0.12),
    (Pattern.BRICK, "9c5a41", "b8aea2", 0.24),
]


def make_flat(
    seed: int, *, rooms: int | None = None, cable_duct: bool = False, level_changes: bool = False
) -> ProceduralScene:
    """A furnished flat. The same arguments give the same flat.

    Args:
        rooms: 2 to 5; drawn from the seed where None.
        cable_duct: lay a duct 3 cm high and 5 cm wide across part of the floor of the largest room.
        level_changes: the thresholds of the doors are 2 cm high; the largest room has a ramp of 5 degrees up to a deck
            with kerbs of 10 cm, the others steps of 15 cm and bumps of 1 cm. Needs two rooms.
    """
    rng = np.random.default_rng([seed, 1])
    count = int(rng.integers(2, 6)) if rooms is None else rooms
    plan = draw_plan(rng, count)
    b = MeshBuilder()
    trim = b.paint(Pattern.PLAIN, linear("f2f0ea"))
    for room in plan.rooms:
        _shell(b, rng, room, plan.ceiling_m, trim)
    biggest = max(range(count), key=lambda i: plan.rooms[i].area_m2)
    changes = _thresholds(b, plan, trim, THRESHOLD_M if level_changes else 0.0)
    layouts = [Layout(room) for room in plan.rooms]
    if level_changes:
        for i, layout in enumerate(layouts):
            changes += _level_changes(b, np.random.default_rng([seed, 7, i]), layout, i == biggest)
    kinds = [("bed", "kitchen", "study", "bed")[i % 4] for i in rng.permutation(4).tolist()]
    for i in range(count):
        _furnish(b, rng, layouts[i], "living" if i == biggest else kinds[i % 4], cable_duct and i == biggest)
    rect = [[r.x0, r.y0, r.x1, r.y1] for r in plan.rooms]
    given = (("rooms", rooms), ("cable_duct", cable_duct), ("level_changes", level_changes))
    options = {k: v for k, v in given if v}
    lights = _lights(b, rng, plan)
    return ProceduralScene(
        name=f"flat-{seed}",
        kind="flat",
        seed=seed,
        options=options,
        paints=b.paints(),
        lights=lights,
        floor_rect_m=np.array(rect + [list(t) for t in plan.thresholds], float),
        floor_z_m=np.zeros(count + len(plan.thresholds)),
        rooms_m=np.array(rect, float),
        doors_m=np.array([list(t) for t in plan.thresholds], float),
        level_changes=tuple(changes) if level_changes else (),
        **b.mesh(),
    )


def _side_frame(b: MeshBuilder, room: Room, side: int) -> tuple[Placed, float, float]:
    """(frame whose y = 0 is the wall's plane and whose -y is the room, length, plan coordinate at x = 0 or at the
    far end where the wall runs backwards)."""
    x0, y0, x1, y1 = room.x0, room.y0, room.x1, room.y1
    if side == 0:
        return b.at(x1, y0, 0, np.pi), x1 - x0, x1
    if side == 1:
        return b.at(x1, y1, 0, -np.pi / 2), y1 - y0, y1
    if side == 2:
        return b.at(x0, y1, 0, 0.0), x1 - x0, x0
    return b.at(x0, y0, 0, np.pi / 2), y1 - y0, y0


def _along(side: int, start: float, o: Opening) -> tuple[float, float]:
    return (start - o.s1, start - o.s0) if side in (0, 1) else (o.s0 - start, o.s1 - start)


def _shell(b: MeshBuilder, rng: np.random.Generator, room: Room, ceiling: float, trim: int) -> None:
    """Floor, ceiling, walls with their openings, skirting, windows and door frames of one room."""
    pattern, a, c, scale = FLOORS[rng.integers(len(FLOORS))]
    turn = 0.0 if rng.random() < 0.5 else np.pi / 2
    floor = b.paint(pattern, linear(a), linear(c), scale=scale, origin=(room.x0, room.y0, 0), yaw=turn)
    white = b.paint(Pattern.PLASTER, linear("f4f3ef"), linear("eeede8"))
    base, lo, hi = b.at(), (room.x0, room.y0), (room.x1, room.y1)
    base.quad([(*lo, 0), (hi[0], lo[1], 0), (*hi, 0), (lo[0], hi[1], 0)], Label.FLOOR, floor)
    base.quad([(*lo, ceiling), (lo[0], hi[1], ceiling), (*hi, ceiling), (hi[0], lo[1], ceiling)], Label.CEILING, white)
    main = WALLS[rng.integers(len(WALLS) - 1)]
    accent = WALLS[rng.integers(len(WALLS))] if rng.random() < 0.4 else main
    special = int(rng.integers(4))
    skirt = trim if rng.random() < 0.7 else b.paint(Pattern.PLAIN, linear("7a5a3c"))
    for side in range(4):
        frame, length, start = _side_frame(b, room, side)
        pattern, a, c, scale = accent if side == special else main
        paint = frame.paint(pattern, linear(a), linear(c), scale=scale)
        found = [(o, *_along(side, start, o)) for o in room.openings if o.side == side]
        frame.wall(length, ceiling, [(s0, o.z0, s1, o.z1) for o, s0, s1 in found], paint)
        edges = [0.0, *(v for o, s0, s1 in sorted(found, key=lambda f: f[1]) if o.door for v in (s0, s1)), length]
        for s0, s1 in zip(edges[::2], edges[1::2], strict=True):
            low, high = s0 + (0.06 if s0 > 0 else 0), s1 - (0.06 if s1 < length else 0)
            if high - low > 0.02:
                frame.box((low, -0.012, 0), (high, 0, 0.08), Label.WALL, skirt, bottom=False)
        for o, s0, s1 in found:
            (_door_trim if o.door else _window)(frame, o, s0, s1, trim)
        if rng.random() < 0.5:
            _picture(frame, rng, length, [(s0, s1) for _, s0, s1 in found])


def _door_trim(frame: Placed, o: Opening, s0: float, s1: float, trim: int) -> None:
    w, t = 0.06, 0.015
    frame.box((s0 - w, -t, 0), (s0, 0, o.z1 + w), Label.WALL, trim, bottom=False)
    frame.box((s1, -t, 0), (s1 + w, 0, o.z1 + w), Label.WALL, trim, bottom=False)
    frame.box((s0, -t, o.z1), (s1, 0, o.z1 + w), Label.WALL, trim)


def _window(frame: Placed, o: Opening, s0: float, s1: float, trim: int) -> None:
    """Reveal, pane, bars and sill."""
    d = OUTER_WALL_M * 0.6
    pane = frame.at(0, d, o.z0).paint(Pattern.PANE, (1, 1, 1))
    frame.quad([(s0, d, o.z0), (s1, d, o.z0), (s1, d, o.z1), (s0, d, o.z1)], Label.WALL, pane)
    frame.quad([(s0, 0, o.z0), (s1, 0, o.z0), (s1, d, o.z0), (s0, d, o.z0)], Label.WALL, trim)
    frame.quad([(s0, d, o.z1), (s1, d, o.z1), (s1, 0, o.z1), (s0, 0, o.z1)], Label.WALL, trim)
    frame.quad([(s0, 0, o.z0), (s0, d, o.z0), (s0, d, o.z1), (s0, 0, o.z1)], Label.WALL, trim)
    frame.quad([(s1, d, o.z0), (s1, 0, o.z0), (s1, 0, o.z1), (s1, d, o.z1)], Label.WALL, trim)
    bar, n = 0.05, max(1, round((s1 - s0) / 0.8))
    for k in range(n + 1):
        x = s0 + k * (s1 - s0 - bar) / n
        frame.box((x, d - 0.05, o.z0), (x + bar, d, o.z1), Label.WALL, trim)
    frame.box((s0, d - 0.05, o.z0), (s1, d, o.z0 + bar), Label.WALL, trim)
    frame.box((s0, d - 0.05, o.z1 - bar), (s1, d, o.z1), Label.WALL, trim)
    frame.box((s0 - 0.05, -0.06, o.z0 - 0.03), (s1 + 0.05, 0, o.z0), Label.WALL, trim)


def _picture(frame: Placed, rng: np.random.Generator, length: float, taken: list[tuple[float, float]]) -> None:
    w, h = rng.uniform(0.4, 0.9), rng.uniform(0.35, 0.7)
    s = rng.uniform(0.3, max(0.31, length - 0.3 - w))
    if s + w > length - 0.1 or any(a - 0.15 < s + w and s < c + 0.15 for a, c in taken):
        return
    q = frame.at(s, 0, 1.35)
    q.box((0, -0.03, 0), (w, 0, h), Label.WALL, q.paint(Pattern.PLAIN, linear("33271d")))
    art = q.paint(Pattern.PICTURE, (1, 1, 1), (1, 0.9, 0.8), scale=float(rng.uniform(0.06, 0.2)))
    q.quad([(0.03, -0.031, 0.03), (w - 0.03, -0.031, 0.03), (w - 0.03, -0.031, h - 0.03), (0.03, -0.031, h - 0.03)],
           Label.WALL, art)  # fmt: skip


def _thresholds(b: MeshBuilder, plan: Plan, trim: int, height: float) -> list[LevelChange]:
    """The tunnels through the walls: floor strip, jambs and lintel of every door."""
    found = []
    wood = b.paint(Pattern.WOOD, linear("6b4a2e"), linear("54381f"))
    base = b.at()
    for (x0, y0, x1, y1), h in zip(plan.thresholds, plan.door_height_m, strict=True):
        if height:
            found.append(raised(b, "threshold", (x0, y0, x1, y1), height, wood))
        else:
            base.quad([(x0, y0, 0), (x1, y0, 0), (x1, y1, 0), (x0, y1, 0)], Label.FLOOR, wood)
        base.quad([(x0, y0, h), (x0, y1, h), (x1, y1, h), (x1, y0, h)], Label.WALL, trim)
        if abs(x1 - x0 - INNER_WALL_M) < 1e-6:
            base.quad([(x1, y0, 0), (x0, y0, 0), (x0, y0, h), (x1, y0, h)], Label.WALL, trim)
            base.quad([(x0, y1, 0), (x1, y1, 0), (x1, y1, h), (x0, y1, h)], Label.WALL, trim)
        else:
            base.quad([(x0, y0, 0), (x0, y1, 0), (x0, y1, h), (x0, y0, h)], Label.WALL, trim)
            base.quad([(x1, y1, 0), (x1, y0, 0), (x1, y0, h), (x1, y1, h)], Label.WALL, trim)
    return found


def _lights(b: MeshBuilder, rng: np.random.Generator, plan: Plan) -> Lights:
    """Lamps under the ceilings (switched on in some flats), windows as sky light, the sun from a random side."""
    evening = rng.random() < 0.3
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 0.9)
    sun = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    lamps, windows, normals, areas, zones = [], [], [], [], []
    for i, r in enumerate(plan.rooms):
        x, y, z = (r.x0 + r.x1) / 2, (r.y0 + r.y1) / 2, plan.ceiling_m
        q = b.at(x, y, z)
        q.cylinder((0, 0, -0.09), 0.09, 0.14, Label.CEILING, q.paint(Pattern.GLOW, (1.2, 1.15, 1.0)), top=0.17)
        lamps.append((x, y, z - 0.14))
        for o in r.openings:
            if not o.door:
                s, mid = (o.s0 + o.s1) / 2, (o.z0 + o.z1) / 2
                at = [(s, r.y0), (r.x1, s), (s, r.y1), (r.x0, s)][o.side]
                windows.append((*at, mid))
                normals.append([(0, 1, 0), (-1, 0, 0), (0, -1, 0), (1, 0, 0)][o.side])
                areas.append((o.s1 - o.s0) * (o.z1 - o.z0))
                zones.append(i)
    power = 1.6 if evening else rng.uniform(0.5, 1.2)
    warm = np.array([1.0, 0.9, 0.76]) if evening else np.array([1.0, 0.96, 0.9])
    return Lights(
        to_sun=sun,
        sun=np.zeros(3) if rng.random() < 0.4 else np.array([1.5, 1.4, 1.2]),
        sky=np.array([0.30, 0.31, 0.32]) * rng.uniform(0.8, 1.2),
        ground=np.array([0.24, 0.23, 0.21]),
        lamp_m=np.array(lamps, float),
        lamp=np.tile(power * warm, (len(lamps), 1)),
        zone_m=np.array([[r.x0, r.y0, r.x1, r.y1] for r in plan.rooms], float),
        window_m=np.array(windows, float).reshape(-1, 3),
        window_normal=np.array(normals, float).reshape(-1, 3),
        window_area_m2=np.array(areas, float),
        window_zone=np.array(zones, np.int32),
    )


def _level_changes(b: MeshBuilder, rng: np.random.Generator, layout: Layout, biggest: bool) -> list[LevelChange]:
    """The room's changes of level, each where furniture could stand, so that doors stay reachable round them."""
    stone = b.paint(Pattern.TILES, linear("b5a48c"), linear("8d7f6c"), scale=0.2)
    if biggest:
        along_x = layout.room.x1 - layout.room.x0 > layout.room.y1 - layout.room.y0
        x0, y0, _, _ = _spot(rng, layout, *podium_size(along_x), layout.fits)
        return podium(b, x0, y0, along_x, stone)
    step = raised(b, "step", _spot(rng, layout, 0.7, 0.6, layout.fits), STEP_M, stone)
    return [step, raised(b, "bump", _spot(rng, layout, 0.3, 0.3, layout.clear), BUMP_M, stone)]


def _spot(rng: np.random.Generator, layout: Layout, w: float, d: float, fits: Callable[[Rect, float], bool]) -> Rect:
    """A free rectangle of this size in a room, from then on taken with 0.3 m around it."""
    r = layout.room
    for _ in range(2000):
        x, y = rng.uniform(r.x0 + 0.02, r.x1 - w - 0.02), rng.uniform(r.y0 + 0.02, r.y1 - d - 0.02)
        rect = (x, y, x + w, y + d)
        if fits(rect, 0.05):
            layout.taken.append((x - 0.3, y - 0.3, x + w + 0.3, y + d + 0.3))
            return rect
    raise ValueError(f"no room of {r.area_m2:.1f} m2 for a change of level of {w:.2f} x {d:.2f} m")


def _furnish(b: MeshBuilder, rng: np.random.Generator, layout: Layout, kind: str, duct: bool) -> None:
    room, levels = layout.room, bool(layout.taken)
    if duct:
        _cable_duct(b, rng, room)
    for name in WISHES[kind]:
        build, widths, depths = PIECES[name]
        for _ in range(25):
            w, d = rng.uniform(*widths), rng.uniform(*depths)
            if name in FREE_STANDING:
                yaw = float(rng.integers(4)) * np.pi / 2
                across, along = (w, d) if round(yaw / (np.pi / 2)) % 2 == 0 else (d, w)
                x = rng.uniform(room.x0 + across / 2, max(room.x1 - across / 2, room.x0 + across / 2 + 0.01))
                y = rng.uniform(room.y0 + along / 2, max(room.y1 - along / 2, room.y0 + along / 2 + 0.01))
                rect = (x - across / 2, y - along / 2, x + across / 2, y + along / 2)
                frame = b.at(x, y, 0, yaw).at(0, -d / 2)
            else:
                rect, frame = _against_wall(b, rng, room, name, w, d)
            if rect is not None and layout.fits(rect, 0.04):
                build(frame, rng, w, d)
                layout.taken.append(rect)
                if name == "sofa":
                    _before_sofa(frame, rng, layout, d)
                break
    if rng.random() < 0.6 and not duct and not levels:
        _rug(b, rng, room)


def _against_wall(b: MeshBuilder, rng: np.random.Generator, room: Room, name: str, w: float, d: float):
    """(footprint or None, frame) of a piece with its back 2 cm before a random wall."""
    side = int(rng.integers(4))
    length = (room.x1 - room.x0) if side in (0, 2) else (room.y1 - room.y0)
    if length < w + 0.1:
        return None, b.at()
    low = room.x0 if side in (0, 2) else room.y0
    s = low + rng.uniform(w / 2 + 0.02, length - w / 2 - 0.02)
    tall = name in ("wardrobe", "shelf", "kitchen", "tv_stand")
    for o in room.openings:
        if o.side == side and (o.door or tall or o.z0 < 0.8) and s - w / 2 < o.s1 + 0.08 and o.s0 - 0.08 < s + w / 2:
            return None, b.at()
    gap = 0.02
    x, y, yaw = [
        (s, room.y0 + gap, 0.0),
        (room.x1 - gap, s, np.pi / 2),
        (s, room.y1 - gap, np.pi),
        (room.x0 + gap, s, -np.pi / 2),
    ][side]
    rect = [
        (s - w / 2, y, s + w / 2, y + d),
        (x - d, s - w / 2, x, s + w / 2),
        (s - w / 2, y - d, s + w / 2, y),
        (x, s - w / 2, x + d, s + w / 2),
    ][side]
    return rect, b.at(x, y, 0, yaw)


def _before_sofa(frame: Placed, rng: np.random.Generator, layout: Layout, depth: float) -> None:
    """A coffee table in front of the sofa where there is room for it."""
    build, widths, depths = PIECES["coffee_table"]
    w, d = rng.uniform(*widths), rng.uniform(*depths)
    q = frame.at(0, depth + 0.38)
    corners = np.array([q.origin + q.rotation @ [x, y, 0] for x in (-w / 2, w / 2) for y in (0, d)])
    rect = (*corners[:, :2].min(0), *corners[:, :2].max(0))
    if layout.fits(rect, 0.2):
        build(q, rng, w, d)
        layout.taken.append(rect)


def _rug(b: MeshBuilder, rng: np.random.Generator, room: Room) -> None:
    """A flat rug of 6 mm, part of the floor."""
    w, d = rng.uniform(0.35, 0.6) * (room.x1 - room.x0), rng.uniform(0.35, 0.6) * (room.y1 - room.y0)
    x = rng.uniform(room.x0 + w / 2 + 0.1, room.x1 - w / 2 - 0.1)
    y = rng.uniform(room.y0 + d / 2 + 0.1, room.y1 - d / 2 - 0.1)
    q = b.at(x, y)
    colors = [("8c2f2b", "d8c7a0"), ("2f4a6b", "cfc7b4"), ("7d7a70", "b9b4a6"), ("45624f", "d9d2bd")][rng.integers(4)]
    paint = q.paint(Pattern.RUG, linear(colors[0]), linear(colors[1]), scale=float(rng.uniform(0.07, 0.2)))
    q.box((-w / 2, -d / 2, 0), (w / 2, d / 2, 0.006), Label.FLOOR, paint, bottom=False)


def _cable_duct(b: MeshBuilder, rng: np.random.Generator, room: Room) -> None:
    """A duct from one long wall to the middle of the room, 3 cm high, 5 cm wide."""
    grey = b.paint(Pattern.PLAIN, linear("8d9094"))
    if room.x1 - room.x0 > room.y1 - room.y0:
        x = room.x0 + rng.uniform(0.35, 0.65) * (room.x1 - room.x0)
        y = room.y0 + 0.55 * (room.y1 - room.y0)
        b.at().box((x - 0.025, room.y0, 0), (x + 0.025, y, 0.03), Label.OBJECT, grey, bottom=False)
    else:
        y = room.y0 + rng.uniform(0.35, 0.65) * (room.y1 - room.y0)
        x = room.x0 + 0.55 * (room.x1 - room.x0)
        b.at().box((room.x0, y - 0.025, 0), (x, y + 0.025, 0.03), Label.OBJECT, grey, bottom=False)
