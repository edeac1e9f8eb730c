"""Streets: a road between pavements with kerbs, house fronts or a park beside it, parked cars, trees and people."""

from collections.abc import Callable

import numpy as np

from lyra_sim.core.records import Label
from lyra_sim.procedural import street_objects as things
from lyra_sim.procedural.level_changes import KERB_M, Rect, street_changes
from lyra_sim.procedural.scene import Lights, Pattern, ProceduralScene
from lyra_sim.procedural.shapes import MeshBuilder, Placed, linear

HALF_LENGTH_M = 60.0
CROSS_M = 9.0
"""At both ends the street meets a crossing street of this width with houses behind it."""


def make_street(seed: int, *, parked: bool = True, level_changes: bool = False) -> ProceduralScene:
    """A street along x, the road's surface at z = 0. The same arguments give the same street.

    Args:
        parked: with parked cars.
        level_changes: kerbs are 10 cm high, and each side has a ramp of 5 degrees from the road to the kerb, a step of
            15 cm, a threshold of 2 cm and a bump of 1 cm (`level_changes.street_changes`).
    """
    rng = np.random.default_rng([seed, 2])
    b = MeshBuilder()
    half = round(rng.uniform(3.2, 4.4), 2)
    kerb = round(rng.uniform(0.10, 0.15), 3)
    kerb = KERB_M if level_changes else kerb
    widths = [round(rng.uniform(2.3, 3.6), 2) for _ in range(2)]
    park = rng.random() < 0.35
    rects, heights, strips = _ground(b, rng, half, kerb, widths, park)
    for side in (0, 1):
        if park and side == 1:
            _park(b, rng, half + widths[side], kerb)
        else:
            _houses(b, rng, side, half + widths[side], kerb)
    _ends(b, rng)
    changes, blocked = street_changes(b, half, widths, kerb) if level_changes else ([], [])
    taken = list(blocked)
    if parked:
        _parked(b, rng, half, taken)
    for side in (0, 1):
        _furniture(b, rng, side, half, widths[side], kerb, taken, blocked)
    _people(b, rng, strips, kerb, taken)
    lights = _lights(rng)
    return ProceduralScene(
        name=f"street-{seed}",
        kind="street",
        seed=seed,
        options={**({} if parked else {"parked": False}), **({"level_changes": True} if level_changes else {})},
        paints=b.paints(),
        lights=lights,
        floor_rect_m=np.array(rects, float),
        floor_z_m=np.array(heights, float),
        rooms_m=np.array(strips, float),
        doors_m=np.zeros((0, 4)),
        level_changes=tuple(changes),
        **b.mesh(),
    )


def _flat_quad(p: Placed, r: Rect, z: float, paint: int) -> None:
    p.quad([(r[0], r[1], z), (r[2], r[1], z), (r[2], r[3], z), (r[0], r[3], z)], Label.FLOOR, paint)


def _ground(
    b: MeshBuilder, rng: np.random.Generator, half: float, kerb: float, widths: list[float], park: bool
) -> tuple[list[Rect], list[float], list[Rect]]:
    """Road, pavements, kerbs, markings. Returns (ground rectangles, their heights, [pavement, pavement, road])."""
    base, long = b.at(), HALF_LENGTH_M
    tone = rng.uniform(0.8, 1.2)
    asphalt = b.paint(Pattern.ASPHALT, [0.085 * tone] * 3, [0.12 * tone, 0.12 * tone, 0.115 * tone])
    stone = b.paint(Pattern.SLABS, linear("a7a49c"), linear("86837c"), scale=1.0)
    slab = [("a9a59b", "77736b", 0.5), ("9c9b98", "6f6e6b", 0.3), ("b3aa9b", "8a8174", 0.4)][rng.integers(3)]
    paving = b.paint(Pattern.SLABS, linear(slab[0]), linear(slab[1]), scale=slab[2])
    road: Rect = (-long - CROSS_M, -half, long + CROSS_M, half)
    rects, heights = [road], [0.0]
    _flat_quad(base, road, 0.0, asphalt)
    for x0, x1 in ((-long - CROSS_M, -long), (long, long + CROSS_M)):
        for y0, y1 in ((-40.0, -half), (half, 40.0)):
            rects.append((x0, y0, x1, y1))
            heights.append(0.0)
            _flat_quad(base, rects[-1], 0.0, asphalt)
    strips: list[Rect] = []
    edge = 0.13
    for side, width in enumerate(widths):
        sign = 1 if side == 0 else -1
        y0, y1 = sorted((sign * half, sign * (half + edge)))
        _flat_quad(base, (-long, y0, long, y1), kerb, stone)
        inner = sorted((sign * (half + edge), sign * (half + width)))
        _flat_quad(base, (-long, inner[0], long, inner[1]), kerb, paving)
        frame = b.at(-long, half, 0, 0.0) if side == 0 else b.at(long, -half, 0, np.pi)
        frame.quad([(0, 0, 0), (2 * long, 0, 0), (2 * long, 0, kerb), (0, 0, kerb)], Label.OBSTACLE, stone)
        low, high = sorted((sign * half, sign * (half + width)))
        for x, step in ((-long, -1), (long, 1)):
            order = [(x, low, 0), (x, high, 0), (x, high, kerb), (x, low, kerb)]
            base.quad(order if step > 0 else order[::-1], Label.OBSTACLE, stone)
        rects.append((-long, low, long, high))
        heights.append(kerb)
        strips.append((-long, low, long, high))
    if park:
        rects.append((-long, -40.0, long, -(half + widths[1])))
        heights.append(kerb)
    _markings(b, rng, half)
    return rects, heights, [*strips, (-long, -half, long, half)]


def _markings(b: MeshBuilder, rng: np.random.Generator, half: float) -> None:
    white = b.paint(Pattern.MARKING, linear("dcdad2"), (0.14, 0.14, 0.14))
    base = b.at()
    for x in np.arange(-54.0, 54.0, 6.0).tolist():
        _flat_quad(base, (x, -0.06, x + 3.0, 0.06), 0.002, white)
    if rng.random() < 0.5:
        x = rng.uniform(-14, 14)
        for y in np.arange(-half + 0.3, half - 0.5, 1.0).tolist():
            _flat_quad(base, (x, y, x + 3.0, y + 0.5), 0.003, white)
    iron = b.paint(Pattern.TILES, linear("4a4845"), linear("2c2b2a"), scale=0.05)
    for x in rng.uniform(-40, 40, 5).tolist():
        y = float(rng.uniform(-0.6, 0.6)) * half
        b.at(x, y, 0).cylinder((0, 0, -0.01), 0.013, 0.31, Label.FLOOR, iron, n=28)


def _houses(b: MeshBuilder, rng: np.random.Generator, side: int, y: float, kerb: float) -> None:
    """A row of house fronts with a gap here and there, closed by a wall."""
    x, end = -HALF_LENGTH_M, HALF_LENGTH_M
    storeys = int(rng.integers(2, 5))
    while end - x > 0.5:
        width = round(min(rng.uniform(6.0, 12.0), end - x), 2)
        if end - x - width < 4.0:
            width = round(end - x, 2)
        frame = b.at(x, y, kerb, 0.0) if side == 0 else b.at(x + width, -y, kerb, np.pi)
        if rng.random() < 0.12 and width < 9:
            wall = frame.paint(Pattern.BRICK, linear("94614a"), linear("b3a898"), scale=0.24)
            frame.box((0, 0, 0), (width, 0.3, 2.2), Label.WALL, wall, bottom=False)
            things.tree(frame.at(width / 2, 3.0), rng)
            _flat_quad(frame, (0, 0.3, width, 9), 0.0, frame.paint(Pattern.GRASS, linear("4d6b33"), linear("7a8f4a")))
        else:
            things.house(frame, rng, width, max(1, storeys + int(rng.integers(-1, 2))))
        x += width


def _park(b: MeshBuilder, rng: np.random.Generator, y: float, kerb: float) -> None:
    """Grass with trees and a line of trees at its far end, on the side of negative y."""
    grass = b.paint(Pattern.GRASS, linear("46682c"), linear("7f9a4a"))
    long = HALF_LENGTH_M
    _flat_quad(b.at(), (-long, -40.0, long, -y), kerb, grass)
    for _ in range(14):
        things.tree(b.at(rng.uniform(-45, 45), -y - rng.uniform(1.5, 22), kerb), rng)
    leaves = b.paint(Pattern.LEAVES, linear("22481d"), linear("5f8540"))
    for x in np.arange(-long, long + 1, 5.0).tolist():
        size = rng.uniform(3.5, 6.0)
        b.at(x, -40 + rng.uniform(-1, 1), kerb).ellipsoid(
            (0, 0, 0.6 * size), (size, 3, size), Label.OBJECT, leaves, n=24
        )
    if rng.random() < 0.5:
        hedge = b.paint(Pattern.LEAVES, linear("2a4f22"), linear("567a38"))
        for x in np.arange(-50.0, 50.0, 10.0).tolist():
            if rng.random() < 0.7:
                b.at().box((x, -y - 1.1, kerb), (x + 8.0, -y - 0.5, kerb + 0.9), Label.OBJECT, hedge, bottom=False)


def _ends(b: MeshBuilder, rng: np.random.Generator) -> None:
    """Houses across both ends of the street."""
    for sign in (-1, 1):
        y = -40.0
        while y < 39.0:
            width = min(rng.uniform(8, 12), 40.0 - y)
            x = sign * (HALF_LENGTH_M + CROSS_M)
            frame = b.at(x, y + width, 0, -np.pi / 2) if sign > 0 else b.at(x, y, 0, np.pi / 2)
            things.house(frame, rng, width, int(rng.integers(2, 5)))
            y += width


def _parked(b: MeshBuilder, rng: np.random.Generator, half: float, taken: list[Rect]) -> None:
    blocked = list(taken)
    for side in (0, 1):
        if side == 1 and half < 3.6:
            continue
        share, x = rng.uniform(0.35, 0.85), -52.0
        while x < 52:
            kept = [t for t in blocked if t[0] < x + 2.8 and x - 2.8 < t[2] and (t[1] > 0) == (side == 0)]
            if rng.random() < share and not kept:
                sign = 1 if side == 0 else -1
                y = sign * (half - 1.12 - rng.uniform(0, 0.12))
                yaw = (0.0 if rng.random() < 0.8 else np.pi) + (0 if side == 1 else np.pi) + rng.uniform(-0.03, 0.03)
                (things.van if rng.random() < 0.15 else things.car)(b.at(x, y, 0, yaw), rng)
                taken.append((x - 2.8, y - 1.1, x + 2.8, y + 1.1))
            x += rng.uniform(5.6, 6.8)


def _furniture(
    b: MeshBuilder,
    rng: np.random.Generator,
    side: int,
    half: float,
    width: float,
    kerb: float,
    taken: list[Rect],
    blocked: list[Rect],
) -> None:
    """Trees, lamps, bins, bollards and benches along the kerb and before the fronts, none where `blocked`; 1.2 m stay
    free between."""
    sign = 1 if side == 0 else -1
    trees = rng.random() < 0.6
    soil = b.paint(Pattern.GRASS, linear("4a3a2a"), linear("5f4c38"))
    x = -52.0 + rng.uniform(0, 4)
    while x < 52:
        y = sign * (half + 0.5)
        frame = b.at(x, y, kerb, 0.0 if side == 0 else np.pi)
        draw = rng.random() if _clear((x - 0.6, y - 0.6, x + 2.8, y + 0.6), blocked) else 1.0
        if trees and draw < 0.4:
            _flat_quad(frame, (-0.45, -0.3, 0.45, 0.45), 0.002, soil)
            things.tree(frame, rng)
        elif draw < 0.55:
            things.lamp_post(frame, rng)
        elif draw < 0.75:
            things.bin_(frame, rng)
        elif draw < 0.88:
            for k in range(3):
                things.bollard(frame.at(1.1 * k, -0.12), rng)
                taken.append((x - 2.5, y - 0.3, x + 2.5, y + 0.3))
        taken.append((x - 0.5, y - 0.5, x + 0.5, y + 0.5))
        x += rng.uniform(4.0, 7.5)
    if width > 2.8:
        for x in rng.uniform(-40, 40, 4).tolist():
            y = sign * (half + width - 0.25)
            build: Callable[[Placed, np.random.Generator], None] = things.bench if rng.random() < 0.5 else things.bin_
            if not _clear((x - 0.9, y - 0.8, x + 0.9, y + 0.8), blocked):
                continue
            build(b.at(x, y - sign * 0.25, kerb, 0.0 if side == 0 else np.pi), rng)
            taken.append((x - 0.9, y - 0.8, x + 0.9, y + 0.8))


def _clear(rect: Rect, blocked: list[Rect]) -> bool:
    return all(rect[2] <= t[0] or rect[0] >= t[2] or rect[3] <= t[1] or rect[1] >= t[3] for t in blocked)


def _people(b: MeshBuilder, rng: np.random.Generator, strips: list[Rect], kerb: float, taken: list[Rect]) -> None:
    for _ in range(int(rng.integers(3, 9))):
        k = int(rng.integers(2)) if rng.random() < 0.85 else 2
        r = strips[k]
        x, y = rng.uniform(-25, 25), rng.uniform(r[1] + 0.8, r[3] - 0.6)
        if all(x < t[0] - 0.4 or x > t[2] + 0.4 or y < t[1] - 0.4 or y > t[3] + 0.4 for t in taken):
            things.person(b.at(x, y, 0.0 if k == 2 else kerb, rng.uniform(-np.pi, np.pi)), rng)
            taken.append((x - 0.35, y - 0.35, x + 0.35, y + 0.35))


def _lights(rng: np.random.Generator) -> Lights:
    overcast = rng.random() < 0.3
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 1.0)
    sun = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    return Lights(
        to_sun=sun,
        sun=np.zeros(3) if overcast else np.array([1.5, 1.42, 1.25]),
        sky=np.array([0.72, 0.75, 0.79]) if overcast else np.array([0.36, 0.41, 0.50]),
        ground=np.array([0.30, 0.29, 0.27]) if overcast else np.array([0.24, 0.23, 0.21]),
        lamp_m=np.zeros((0, 3)),
        lamp=np.zeros((0, 3)),
        zone_m=np.zeros((0, 4)),
        window_m=np.zeros((0, 3)),
        window_normal=np.zeros((0, 3)),
        window_area_m2=np.zeros(0),
        window_zone=np.zeros(0, np.int32),
    )
