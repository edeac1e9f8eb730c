"""Furniture. Every piece stands in its own frame: x along its width, back against y = 0, front towards +y, on z = 0.

Each function returns nothing and builds into the given frame; `PIECES` holds the footprints (width, depth).
"""

from collections.abc import Callable

import numpy as np

from lyra_sim.core.records import Label
from lyra_sim.procedural.scene import Pattern
from lyra_sim.procedural.shapes import Placed, linear

Rng = np.random.Generator
OBJECT = Label.OBJECT

WOODS = [("8a5a33", "6b4223"), ("c89b66", "b08450"), ("d9c3a0", "c7ad86"), ("5b3a24", "472b18"), ("e4e0d8", "dad5cb")]
CLOTHS = ["5d6b7a", "7a4b3c", "8c8577", "3f5a4c", "b8a58c", "4a4e69", "a23b2a", "c9ba9b", "37474f", "6d597a"]
BRIGHT = ["d9482b", "2b6fd9", "e0b42c", "3c9d5b", "eeeeea", "242424", "b04a8c", "4fb3bf"]


def _wood(p: Placed, rng: Rng) -> int:
    a, b = WOODS[rng.integers(len(WOODS))]
    return p.paint(Pattern.WOOD, linear(a), linear(b))


def _cloth(p: Placed, rng: Rng) -> int:
    color = linear(CLOTHS[rng.integers(len(CLOTHS))])
    return p.paint(Pattern.FABRIC, color, [0.75 * c for c in color])


def _plain(p: Placed, color: str) -> int:
    return p.paint(Pattern.PLAIN, linear(color))


def table(p: Placed, rng: Rng, w: float, d: float, h: float = 0.74) -> None:
    """A table with four legs; y from 0 to d, x from -w/2 to w/2."""
    wood = _wood(p, rng)
    leg = 0.05 if h > 0.5 else 0.045
    p.box((-w / 2, 0, h - 0.035), (w / 2, d, h), OBJECT, wood)
    p.box((-w / 2 + 0.06, 0.06, h - 0.10), (w / 2 - 0.06, 0.08, h - 0.035), OBJECT, wood)
    p.box((-w / 2 + 0.06, d - 0.08, h - 0.10), (w / 2 - 0.06, d - 0.06, h - 0.035), OBJECT, wood)
    for x in (-w / 2 + 0.03, w / 2 - 0.03 - leg):
        for y in (0.03, d - 0.03 - leg):
            p.box((x, y, 0), (x + leg, y + leg, h - 0.035), OBJECT, wood, bottom=False)


def clutter(p: Placed, rng: Rng, w: float, d: float, h: float) -> None:
    """A few small things on a surface of w by d at height h."""
    for _ in range(rng.integers(1, 5)):
        x, y = rng.uniform(-w / 2 + 0.12, w / 2 - 0.12), rng.uniform(0.12, d - 0.12)
        q = p.at(x, y, h, rng.uniform(-3, 3))
        color = _plain(q, BRIGHT[rng.integers(len(BRIGHT))])
        kind = rng.integers(4)
        if kind == 0:
            q.cylinder((0, 0, 0), 0.09, 0.038, OBJECT, color)
        elif kind == 1:
            q.box((-0.10, -0.07, 0), (0.10, 0.07, 0.03), OBJECT, color)
            q.box((-0.09, -0.06, 0.03), (0.08, 0.07, 0.05), OBJECT, _plain(q, BRIGHT[rng.integers(len(BRIGHT))]))
        elif kind == 2:
            q.cylinder((0, 0, 0), 0.07, 0.06, OBJECT, color, top=0.12)
        else:
            q.cylinder((0, 0, 0), 0.16, 0.045, OBJECT, color, top=0.03)
            q.cylinder((0, 0, 0.16), 0.08, 0.015, OBJECT, color)


def dining_table(p: Placed, rng: Rng, w: float, d: float) -> None:
    """A table with chairs on both long sides; the footprint holds the chairs."""
    td = d - 0.9
    table(p.at(0, 0.45), rng, w, td)
    clutter(p.at(0, 0.45), rng, w, td, 0.74)
    n = 2 if w > 1.3 else 1
    style = int(rng.integers(1 << 30))
    for side in (0, 1):
        for k in range(n):
            x = (k + 0.5) * w / n - w / 2 + rng.uniform(-0.04, 0.04)
            if rng.random() < 0.85:
                turn = rng.uniform(-0.15, 0.15)
                y = 0.05 + rng.uniform(0, 0.12) if side == 0 else d - 0.05 - rng.uniform(0, 0.12)
                chair(p.at(x, y, 0, turn if side == 0 else np.pi + turn), np.random.default_rng(style))


def chair(p: Placed, rng: Rng, w: float = 0.44, d: float = 0.46) -> None:
    """A chair, its back at y = 0."""
    wood = _wood(p, rng)
    seat = _cloth(p, rng) if rng.random() < 0.6 else wood
    leg = 0.035
    p.box((-w / 2, 0, 0.42), (w / 2, d, 0.46), OBJECT, seat)
    for x in (-w / 2, w / 2 - leg):
        p.box((x, d - leg, 0), (x + leg, d, 0.42), OBJECT, wood, bottom=False)
        p.box((x, 0, 0), (x + leg, leg, 0.42), OBJECT, wood, bottom=False)
        p.box((x, 0, 0.46), (x + leg, leg, 0.90), OBJECT, wood)
    p.box((-w / 2 + leg, 0.005, 0.62), (w / 2 - leg, 0.03, 0.88), OBJECT, seat)


def sofa(p: Placed, rng: Rng, w: float, d: float) -> None:
    """A sofa or, where narrow, an armchair."""
    cloth = _cloth(p, rng)
    arm = 0.18
    p.box((-w / 2 + arm, 0.02, 0.06), (w / 2 - arm, d, 0.28), OBJECT, cloth)
    n = 1 if w < 1.2 else 2 if w < 2.0 else 3
    each = (w - 2 * arm) / n
    for k in range(n):
        x = -w / 2 + arm + k * each
        p.box((x + 0.008, 0.22, 0.28), (x + each - 0.008, d + 0.02, 0.43), OBJECT, cloth)
        p.box((x + 0.008, 0.2, 0.43), (x + each - 0.008, 0.34, 0.80), OBJECT, cloth)
    p.box((-w / 2 + arm, 0, 0.06), (w / 2 - arm, 0.2, 0.74), OBJECT, cloth)
    for x in (-w / 2, w / 2 - arm):
        p.box((x, 0, 0.06), (x + arm, d, 0.60), OBJECT, cloth)
    feet = _plain(p, "2a211a")
    for x in (-w / 2 + 0.04, w / 2 - 0.10):
        for y in (0.04, d - 0.10):
            p.box((x, y, 0), (x + 0.06, y + 0.06, 0.06), OBJECT, feet, bottom=False)
    if rng.random() < 0.7:
        pillow = _plain(p, BRIGHT[rng.integers(len(BRIGHT))])
        p.ellipsoid((rng.uniform(-0.3, 0.3) * (w - 0.8), 0.42, 0.58), (0.21, 0.09, 0.19), OBJECT, pillow)


def shelf(p: Placed, rng: Rng, w: float, d: float) -> None:
    """An open shelf with books."""
    wood, h = _wood(p, rng), round(rng.uniform(1.2, 2.0), 2)
    t = 0.025
    p.box((-w / 2, 0, 0), (-w / 2 + t, d, h), OBJECT, wood, bottom=False)
    p.box((w / 2 - t, 0, 0), (w / 2, d, h), OBJECT, wood, bottom=False)
    p.box((-w / 2 + t, 0, 0), (w / 2 - t, 0.012, h), OBJECT, wood, bottom=False)
    n = max(3, round(h / 0.36))
    for k in range(n + 1):
        z = 0.05 + k * (h - 0.05 - t) / n
        p.box((-w / 2 + t, 0.012, z), (w / 2 - t, d - 0.005, z + t), OBJECT, wood)
        if k < n and rng.random() < 0.8:
            x0 = -w / 2 + t + 0.01
            x1 = x0 + rng.uniform(0.4, 0.97) * (w - 2 * t - 0.02)
            books = p.paint(Pattern.BOOKS, linear("b09070"), scale=0.032)
            p.box((x0, 0.02, z + t), (x1, d - rng.uniform(0.04, 0.1), z + t + rng.uniform(0.18, 0.26)), OBJECT, books)


def bed(p: Placed, rng: Rng, w: float, d: float) -> None:
    """A bed with its head at y = 0."""
    wood, sheet, cover = _wood(p, rng), _plain(p, "eae6df"), _cloth(p, rng)
    p.box((-w / 2, 0, 0), (w / 2, 0.05, 0.95), OBJECT, wood, bottom=False)
    p.box((-w / 2, 0.05, 0.10), (w / 2, d, 0.30), OBJECT, wood)
    for x in (-w / 2, w / 2 - 0.07):
        p.box((x, d - 0.07, 0), (x + 0.07, d, 0.10), OBJECT, wood, bottom=False)
    p.box((-w / 2 + 0.02, 0.06, 0.30), (w / 2 - 0.02, d - 0.02, 0.48), OBJECT, sheet)
    p.box((-w / 2 + 0.005, 0.65, 0.26), (w / 2 - 0.005, d + 0.01, 0.52), OBJECT, cover)
    for x in (-0.25 * w, 0.25 * w) if w > 1.2 else (0.0,):
        p.ellipsoid((x, 0.32, 0.52), (0.30, 0.20, 0.10), OBJECT, sheet)


def cabinet(p: Placed, rng: Rng, w: float, d: float, h: float | None = None) -> None:
    """A closed cabinet, drawers or a wardrobe, with door gaps and handles."""
    wood = _wood(p, rng)
    height = round(rng.uniform(0.75, 1.1), 2) if h is None else h
    p.box((-w / 2, 0, 0), (w / 2, d - 0.02, height), OBJECT, wood, bottom=False)
    n = max(1, round(w / 0.5))
    grip = _plain(p, "4a4a4a")
    rows = 3 if height < 1.2 else 1
    for k in range(n):
        for r in range(rows):
            x0, x1 = -w / 2 + k * w / n + 0.006, -w / 2 + (k + 1) * w / n - 0.006
            z0, z1 = 0.06 + r * (height - 0.07) / rows + 0.005, 0.06 + (r + 1) * (height - 0.07) / rows - 0.005
            p.box((x0, d - 0.02, z0), (x1, d, z1), OBJECT, wood)
            x = (x0 + x1) / 2
            p.box((x - 0.05, d, (z0 + z1) / 2), (x + 0.05, d + 0.02, (z0 + z1) / 2 + 0.012), OBJECT, grip)


def wardrobe(p: Placed, rng: Rng, w: float, d: float) -> None:
    """A tall cabinet."""
    cabinet(p, rng, w, d, round(rng.uniform(1.9, 2.15), 2))


def sideboard(p: Placed, rng: Rng, w: float, d: float) -> None:
    """A cabinet with things on it."""
    cabinet(p, rng, w, d, 0.8)
    clutter(p, rng, w, d, 0.8)


def tv_stand(p: Placed, rng: Rng, w: float, d: float) -> None:
    """A low cabinet with a television."""
    cabinet(p, rng, w, d, 0.48)
    black = _plain(p, "121214")
    p.box((-0.15, 0.12, 0.48), (0.15, 0.30, 0.50), OBJECT, black)
    p.box((-0.03, 0.18, 0.50), (0.03, 0.22, 0.60), OBJECT, black)
    half = min(0.6, w / 2)
    p.box((-half, 0.18, 0.58), (half, 0.22, 0.58 + 1.13 * half), OBJECT, black)


def desk(p: Placed, rng: Rng, w: float, d: float) -> None:
    """A desk with a screen and a chair before it; the footprint holds the chair."""
    td = 0.65
    table(p, rng, w, td)
    black = _plain(p, "1a1a1c")
    p.box((-0.10, 0.18, 0.74), (0.10, 0.32, 0.755), OBJECT, black)
    p.box((-0.02, 0.24, 0.755), (0.02, 0.27, 0.90), OBJECT, black)
    p.box((-0.28, 0.25, 0.86), (0.28, 0.28, 1.19), OBJECT, black)
    p.box((-0.20, 0.42, 0.74), (0.20, 0.55, 0.755), OBJECT, _plain(p, "c8c8c8"))
    clutter(p.at(0.3 * w, 0), rng, 0.4 * w, td, 0.74)
    chair(p.at(rng.uniform(-0.1, 0.1), d - 0.02, 0, np.pi + rng.uniform(-0.5, 0.5)), rng)


def kitchen(p: Placed, rng: Rng, w: float, d: float) -> None:
    """A kitchen counter with wall cabinets above and a fridge at its end."""
    front, top = _plain(p, ["e8e6e1", "3d4a57", "c7d0c2"][rng.integers(3)]), _plain(p, "55504a")
    p.box((-w / 2, 0, 0), (w / 2 - 0.62, d - 0.06, 0.10), OBJECT, _plain(p, "2b2b2b"), bottom=False)
    p.box((-w / 2, 0, 0.10), (w / 2 - 0.62, d - 0.02, 0.87), OBJECT, front)
    p.box((-w / 2, 0, 0.87), (w / 2 - 0.62, d, 0.91), OBJECT, top)
    n = max(2, round((w - 0.62) / 0.6))
    gap = _plain(p, "6b6b6b")
    for k in range(1, n):
        x = -w / 2 + k * (w - 0.62) / n
        p.box((x - 0.003, d - 0.02, 0.12), (x + 0.003, d - 0.018, 0.86), OBJECT, gap)
    p.box((-w / 2, 0, 1.45), (w / 2 - 0.62, 0.34, 2.10), OBJECT, front)
    p.box((w / 2 - 0.60, 0, 0), (w / 2, d, 1.80), OBJECT, _plain(p, "dcdee0"), bottom=False)
    p.box((w / 2 - 0.56, d, 0.9), (w / 2 - 0.53, d + 0.03, 1.4), OBJECT, gap)
    clutter(p.at(-0.3, 0), rng, w - 1.0, d - 0.1, 0.91)


def plant(p: Placed, rng: Rng, w: float, d: float) -> None:
    """A plant in a pot; the footprint's centre is (0, d/2)."""
    q = p.at(0, d / 2)
    q.cylinder((0, 0, 0), 0.30, 0.13, OBJECT, _plain(q, ["b5633c", "e8e4dc", "44484c"][rng.integers(3)]), top=0.17)
    leaves = q.paint(Pattern.LEAVES, linear("1f4d22"), linear("5d9c48"))
    stem = _plain(q, "5a4630")
    h = rng.uniform(0.5, 0.9)
    q.cylinder((0, 0, 0.30), h - 0.1, 0.02, OBJECT, stem, n=8)
    for _ in range(7):
        angle, r = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.15)
        z = 0.3 + rng.uniform(0.35, 1.0) * h
        size = rng.uniform(0.08, 0.16)
        q.ellipsoid((r * np.cos(angle), r * np.sin(angle), z), (size, size, 0.8 * size), OBJECT, leaves, n=12)


def floor_lamp(p: Placed, rng: Rng, w: float, d: float) -> None:
    """A standing lamp."""
    q, metal = p.at(0, d / 2), _plain(p, "303030")
    q.cylinder((0, 0, 0), 0.025, 0.14, OBJECT, metal)
    q.cylinder((0, 0, 0.025), 1.4, 0.012, OBJECT, metal, n=10)
    glow = q.paint(Pattern.GLOW, (1.3, 1.1, 0.8))
    q.cylinder((0, 0, 1.40), 0.28, 0.20, OBJECT, glow, top=0.12)


def coffee_table(p: Placed, rng: Rng, w: float, d: float) -> None:
    """A low table."""
    table(p, rng, w, d, 0.42)
    clutter(p, rng, w, d, 0.42)


def toy_box(p: Placed, rng: Rng, w: float, d: float) -> None:
    """Boxes on the floor."""
    color = _plain(p, BRIGHT[rng.integers(len(BRIGHT))])
    h = rng.uniform(0.18, 0.45)
    p.box((-w / 2, 0, 0), (w / 2, d, h), OBJECT, color, bottom=False)
    p.box((-w / 2 - 0.008, -0.0, h - 0.03), (w / 2 + 0.008, d + 0.008, h), OBJECT, color)


def armchair(p: Placed, rng: Rng, w: float, d: float) -> None:
    """A sofa for one."""
    sofa(p, rng, w, d)


Build = Callable[[Placed, Rng, float, float], None]
PIECES: dict[str, tuple[Build, tuple[float, float], tuple[float, float]]] = {
    "sofa": (sofa, (1.6, 2.2), (0.85, 0.95)),
    "armchair": (armchair, (0.85, 0.95), (0.8, 0.9)),
    "shelf": (shelf, (0.7, 1.3), (0.28, 0.36)),
    "bed": (bed, (0.95, 1.7), (2.0, 2.1)),
    "cabinet": (cabinet, (0.7, 1.3), (0.4, 0.5)),
    "sideboard": (sideboard, (1.0, 1.6), (0.4, 0.5)),
    "wardrobe": (wardrobe, (0.9, 1.8), (0.55, 0.62)),
    "tv_stand": (tv_stand, (1.2, 1.6), (0.38, 0.45)),
    "desk": (desk, (1.1, 1.5), (1.15, 1.25)),
    "kitchen": (kitchen, (1.9, 2.8), (0.6, 0.64)),
    "dining_table": (dining_table, (1.2, 1.7), (1.65, 1.8)),
    "coffee_table": (coffee_table, (0.8, 1.1), (0.45, 0.6)),
    "plant": (plant, (0.45, 0.55), (0.45, 0.55)),
    "floor_lamp": (floor_lamp, (0.42, 0.42), (0.42, 0.42)),
    "toy_box": (toy_box, (0.3, 0.5), (0.25, 0.4)),
}
"""Name to (builder, range of widths, range of depths)."""
