"""What stands in a street: cars, vans, trees, lamp posts, bins, bollards, benches, people and house fronts.

Everything stands on z = 0 of its own frame; cars head along x; house fronts lie in y = 0 and face -y.
"""

import numpy as np

from lyra_sim.core.records import Label
from lyra_sim.procedural.scene import Pattern
from lyra_sim.procedural.shapes import Placed, linear

Rng = np.random.Generator
OBJECT = Label.OBJECT
CAR_COLORS = ["b3b7bb", "2b2f36", "e8e8e6", "7a1f1f", "1f3b63", "4c5458", "6b7f5a", "c9b28f"]
CLOTHES = ["2f3e55", "7a2e2e", "3b3b3b", "8a7a5c", "4f6b4f", "c4c0b8", "5a4a6f"]
FRONTS = [
    (Pattern.BRICK, "8f4f3a", "b3a898", 0.24),
    (Pattern.BRICK, "a98a68", "c2b8a6", 0.24),
    (Pattern.PLASTER, "d9cdb4", "d1c4a8", 0.1),
    (Pattern.PLASTER, "c5ccd0", "bac2c7", 0.1),
    (Pattern.PLASTER, "d3b39a", "cba98e", 0.1),
    (Pattern.SLABS, "b9b3a6", "8f897d", 0.6),
]


def _plain(p: Placed, color: str) -> int:
    return p.paint(Pattern.PLAIN, linear(color))


def _wheels(p: Placed, xs: tuple[float, float], half: float, radius: float) -> None:
    tyre, hub = _plain(p, "1b1b1c"), _plain(p, "8e9297")
    for x in xs:
        for y in (-half, half):
            p.wheel((x, y, radius), 0.2, radius, OBJECT, tyre)
            p.wheel((x, y, radius), 0.215, 0.6 * radius, OBJECT, hub, n=12)


def car(p: Placed, rng: Rng) -> None:
    """A parked car, 3.9 to 4.6 m long."""
    k = rng.uniform(0.93, 1.08)
    half, rise = 0.86, rng.uniform(0.96, 1.08)
    paint, glass = _plain(p, CAR_COLORS[rng.integers(len(CAR_COLORS))]), p.paint(Pattern.GLASS, (0.1, 0.1, 0.1))
    dark = _plain(p, "222326")
    body = [(-2.08, 0.28), (2.05, 0.28), (2.14, 0.42), (2.12, 0.62), (1.95, 0.74), (0.9, 0.88 * rise),
            (-1.75, 0.92 * rise), (-2.05, 0.84), (-2.14, 0.55)]  # fmt: skip
    p.extrude([(x * k, z) for x, z in body], -half, half, OBJECT, paint)
    p.box((-1.9 * k, -half + 0.06, 0.18), (1.9 * k, half - 0.06, 0.28), OBJECT, dark)
    roof = 1.44 * rise
    estate = rng.random() < 0.4
    tail = (-1.95 if estate else -1.72) * k
    p.frustum((tail, -half + 0.05, 1.0 * k, half - 0.05), (tail + 0.35, -half + 0.19, 0.3 * k, half - 0.19),
              0.87 * rise, roof, OBJECT, glass, paint)  # fmt: skip
    p.box((tail + 0.33, -half + 0.18, roof), (0.32 * k, half - 0.18, roof + 0.03), OBJECT, paint)
    for x in (-0.55 * k,):
        for y in (-half + 0.06, half - 0.10):
            p.box((x - 0.04, y, 0.87 * rise), (x + 0.04, y + 0.04, 1.1 * rise), OBJECT, paint)
    _wheels(p, (-1.28 * k, 1.32 * k), half - 0.08, 0.32)
    light, red, plate = _plain(p, "f2f2ee"), _plain(p, "a01818"), _plain(p, "e8e6d8")
    for y in (-half + 0.04, half - 0.34):
        p.box((2.04 * k, y, 0.60), (2.13 * k, y + 0.30, 0.70), OBJECT, light)
        p.box((-2.13 * k, y, 0.66), (-2.04 * k, y + 0.30, 0.80), OBJECT, red)
    p.box((2.10 * k, -0.26, 0.42), (2.15 * k, 0.26, 0.53), OBJECT, plate)
    p.box((-2.15 * k, -0.26, 0.46), (-2.10 * k, 0.26, 0.57), OBJECT, plate)


def van(p: Placed, rng: Rng) -> None:
    """A delivery van."""
    half = 0.98
    paint = _plain(p, ["ecebe7", "dcdcda", "28486f", "c99a2e"][rng.integers(4)])
    glass = p.paint(Pattern.GLASS, (0.1, 0.1, 0.1))
    body = [(-2.6, 0.32), (2.5, 0.32), (2.6, 0.5), (2.55, 0.95), (1.95, 1.15), (1.35, 2.2), (-2.5, 2.25), (-2.6, 2.1)]
    p.extrude(body, -half, half, OBJECT, paint)
    p.quad([(1.93, -0.85, 1.22), (1.93, 0.85, 1.22), (1.46, 0.8, 2.04), (1.46, -0.8, 2.04)], OBJECT, glass)
    for y, order in ((-half - 0.004, 1), (half + 0.004, -1)):
        p.quad([(0.75, y, 1.2), (1.72, y, 1.2), (1.32, y, 1.9), (0.75, y, 1.9)][::order], OBJECT, glass)
    p.box((-2.4, -half + 0.1, 0.22), (2.3, half - 0.1, 0.32), OBJECT, _plain(p, "1e1e20"))
    _wheels(p, (-1.6, 1.65), half - 0.08, 0.36)


def tree(p: Placed, rng: Rng) -> None:
    """A street tree, 5 to 8 m high."""
    bark = p.paint(Pattern.GRASS, linear("66543f"), linear("3f3225"))
    leaves = p.paint(Pattern.LEAVES, linear("22481d"), linear("6e9440"))
    h, r = rng.uniform(2.6, 3.4), rng.uniform(0.11, 0.18)
    p.cylinder((0, 0, 0), h + 0.8, r, OBJECT, bark, top=0.6 * r)
    for _ in range(9):
        angle, out, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 1.2), rng.uniform(0.7, 1.2)
        z = h + rng.uniform(0.3, 2.3)
        p.ellipsoid((out * np.cos(angle), out * np.sin(angle), z), (size, size, 0.8 * size), OBJECT, leaves, n=20)


def lamp_post(p: Placed, rng: Rng) -> None:
    """A lamp post with its arm towards -y."""
    metal = _plain(p, "4b5054")
    h = rng.uniform(4.5, 6.0)
    p.cylinder((0, 0, 0), 0.9, 0.09, OBJECT, metal)
    p.cylinder((0, 0, 0.9), h - 0.9, 0.06, OBJECT, metal, top=0.04, n=12)
    p.box((-0.04, -1.0, h), (0.04, 0.05, h + 0.07), OBJECT, metal)
    p.box((-0.1, -1.2, h - 0.03), (0.1, -0.6, h), OBJECT, _plain(p, "dcdcd6"))


def bin_(p: Placed, rng: Rng) -> None:
    """A wheeled or a round litter bin."""
    if rng.random() < 0.5:
        color = _plain(p, ["2f4f36", "3d3f42", "2b4a73", "6b3a2a"][rng.integers(4)])
        p.frustum((-0.25, -0.28, 0.25, 0.28), (-0.29, -0.35, 0.29, 0.35), 0.0, 0.95, OBJECT, color, color)
        p.box((-0.31, -0.38, 0.95), (0.31, 0.38, 1.04), OBJECT, color)
    else:
        p.cylinder((0, 0, 0), 0.85, 0.24, OBJECT, _plain(p, "44484a"))
        p.cylinder((0, 0, 0.85), 0.05, 0.26, OBJECT, _plain(p, "2c2e2f"))


def bollard(p: Placed, rng: Rng) -> None:
    """A bollard."""
    p.cylinder((0, 0, 0), 0.85, 0.07, OBJECT, _plain(p, "3a3d40"))
    p.ellipsoid((0, 0, 0.87), (0.08, 0.08, 0.07), OBJECT, _plain(p, "b8b4a6"), n=14)


def bench(p: Placed, rng: Rng) -> None:
    """A bench that looks towards -y."""
    wood, iron = p.paint(Pattern.WOOD, linear("8a6440"), linear("74522f")), _plain(p, "303335")
    for k in range(3):
        p.box((-0.8, -0.42 + 0.15 * k, 0.42), (0.8, -0.30 + 0.15 * k, 0.46), OBJECT, wood)
    for k in range(2):
        p.box((-0.8, 0.02, 0.56 + 0.16 * k), (0.8, 0.05, 0.68 + 0.16 * k), OBJECT, wood)
    for x in (-0.7, 0.64):
        p.box((x, -0.42, 0), (x + 0.06, -0.36, 0.42), OBJECT, iron, bottom=False)
        p.box((x, -0.01, 0), (x + 0.06, 0.05, 0.86), OBJECT, iron, bottom=False)


def person(p: Placed, rng: Rng) -> None:
    """A standing or walking figure."""
    k = rng.uniform(0.92, 1.06)
    coat, legs, skin = (_plain(p, CLOTHES[rng.integers(len(CLOTHES))]) for _ in range(3))
    skin = _plain(p, ["c99a7b", "8a5a3c", "e0b89a"][rng.integers(3)])
    stride = rng.uniform(0.0, 0.16)
    for side in (-1, 1):
        p.cylinder((side * stride, side * 0.09, 0), 0.86 * k, 0.065, OBJECT, legs, top=0.09, n=12)
        p.ellipsoid((side * stride + 0.06, side * 0.09, 0.045), (0.14, 0.055, 0.045), OBJECT, _plain(p, "2a2522"), n=12)
        p.ellipsoid((-side * stride * 0.6, side * 0.25, 1.12 * k), (0.07, 0.06, 0.33 * k), OBJECT, coat, n=12)
    p.ellipsoid((0, 0, 1.14 * k), (0.15, 0.22, 0.36 * k), OBJECT, coat)
    p.cylinder((0, 0, 1.42 * k), 0.12 * k, 0.05, OBJECT, skin, n=12)
    p.ellipsoid((0.01, 0, 1.62 * k), (0.10, 0.085, 0.125), OBJECT, skin)
    p.ellipsoid((-0.015, 0, 1.66 * k), (0.10, 0.09, 0.105), OBJECT, _plain(p, "2c211a"))


def house(p: Placed, rng: Rng, width: float, storeys: int) -> None:
    """A house front from x = 0 to `width` with recessed windows and a door, roof and side walls behind it."""
    pattern, a, b, scale = FRONTS[rng.integers(len(FRONTS))]
    front = p.paint(pattern, linear(a), linear(b), scale=scale)
    trim = _plain(p, ["efece4", "4a4640", "d8d2c4"][rng.integers(3)])
    height = 3.1 * storeys + 0.6
    bays = max(2, int(width / rng.uniform(1.9, 2.6)))
    w, sill = min(1.25, 0.55 * width / bays), rng.uniform(0.75, 1.0)
    entry = int(rng.integers(bays))
    holes, doors = [], []
    for k in range(bays):
        x = (k + 0.5) * width / bays
        for s in range(storeys):
            if s == 0 and k == entry:
                doors.append((x - 0.55, 0.0, x + 0.55, 2.25))
            else:
                z = 3.1 * s + sill + (0.2 if s else 0.0)
                holes.append((x - w / 2, z, x + w / 2, z + 1.55))
    p.wall(width, height, [*holes, *doors], front)
    for o in holes:
        _recess(p, o, 0.14, p.at(o[0], 0, o[1]).paint(Pattern.GLASS, (0.1, 0.1, 0.1)), trim, window=True)
    for o in doors:
        color = _plain(p, ["5a2a22", "21402f", "27364f", "4b4238"][rng.integers(4)])
        _recess(p, o, 0.22, color, trim, window=False)
    deep = 9.0
    side = p.paint(pattern, linear(a), linear(b), scale=scale)
    p.quad([(0, deep, 0), (0, 0, 0), (0, 0, height), (0, deep, height)], Label.WALL, side)
    p.quad([(width, 0, 0), (width, deep, 0), (width, deep, height), (width, 0, height)], Label.WALL, side)
    p.quad([(0, 0, height), (width, 0, height), (width, deep, height), (0, deep, height)], Label.WALL, side)
    p.box((0, -0.18, height - 0.35), (width, 0, height - 0.05), Label.WALL, trim)
    if rng.random() < 0.6:
        p.box((0, -0.05, 2.75), (width, 0, 2.95), Label.WALL, trim)
    x = 0.0
    for o in [*doors, (width, 0, width, 0)]:
        p.box((x, -0.04, 0), (o[0], 0, 0.45), Label.WALL, _plain(p, "6f6a62"), bottom=False)
        x = o[2]


def _recess(
    p: Placed, o: tuple[float, float, float, float], deep: float, back: int, trim: int, *, window: bool
) -> None:
    """The back plane and the four reveals of an opening, with bars and a sill for windows."""
    x0, z0, x1, z1 = o
    p.quad([(x0, deep, z0), (x1, deep, z0), (x1, deep, z1), (x0, deep, z1)], Label.WALL, back)
    bottom = Label.WALL if window else Label.OBSTACLE
    p.quad([(x0, 0, z0), (x1, 0, z0), (x1, deep, z0), (x0, deep, z0)], bottom, trim)
    p.quad([(x0, deep, z1), (x1, deep, z1), (x1, 0, z1), (x0, 0, z1)], Label.WALL, trim)
    p.quad([(x0, 0, z0), (x0, deep, z0), (x0, deep, z1), (x0, 0, z1)], Label.WALL, trim)
    p.quad([(x1, deep, z0), (x1, 0, z0), (x1, 0, z1), (x1, deep, z1)], Label.WALL, trim)
    if window:
        x, z = (x0 + x1) / 2, z0 + 0.62 * (z1 - z0)
        p.box((x - 0.03, deep - 0.04, z0), (x + 0.03, deep, z1), Label.WALL, trim)
        p.box((x0, deep - 0.04, z - 0.03), (x1, deep, z + 0.03), Label.WALL, trim)
        p.box((x0 - 0.06, -0.08, z0 - 0.07), (x1 + 0.06, 0, z0), Label.WALL, trim)
    else:
        p.box((x1 - 0.18, deep - 0.05, 1.0), (x1 - 0.12, deep, 1.06), Label.WALL, trim)
