"""Changes of floor level that a wheeled robot meets: thresholds, kerbs, steps, ramps and bumps of exact size."""

import numpy as np

from lyra_sim.core.records import Label
from lyra_sim.procedural.scene import LevelChange, Pattern
from lyra_sim.procedural.shapes import MeshBuilder, linear

THRESHOLD_M, KERB_M, STEP_M, BUMP_M = 0.02, 0.10, 0.15, 0.01
RAMP_RISE = float(np.tan(np.radians(5.0)))
RAMP_LENGTH_M = KERB_M / RAMP_RISE
PODIUM_WIDTH_M, DECK_M = 0.8, 0.6

Rect = tuple[float, float, float, float]


def raised(b: MeshBuilder, kind: str, rect: Rect, height: float, paint: int, *, base: float = 0.0) -> LevelChange:
    """A block on the ground whose top is floor, `height` above the ground at `base`."""
    x0, y0, x1, y1 = rect
    b.at().box((x0, y0, base), (x1, y1, base + height), Label.FLOOR, paint, bottom=False)
    return LevelChange(kind=kind, rect_m=np.array(rect), z_m=base + height, rise=np.zeros(2), base_m=base)


def ramp(b: MeshBuilder, rect: Rect, side: int, paint: int) -> LevelChange:
    """A wedge from the ground (z = 0) up to `KERB_M`, rising at 5 degrees.

    Args:
        rect: as long as `RAMP_LENGTH_M` along the way up.
        side: where it ends, high: 0 towards -y, 1 towards +x, 2 towards +y, 3 towards -x.
    """
    x0, y0, x1, y1 = rect
    rise = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)][side]) * RAMP_RISE
    low = float(KERB_M if side in (0, 3) else 0.0)
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    top = [(x, y, max(0.0, low + rise[0] * (x - x0) + rise[1] * (y - y0))) for x, y in corners]
    frame = b.at()
    frame.quad(top, Label.FLOOR, paint)
    flat = np.array([(x, y, 0.0) for x, y in corners])
    for i in range(4):
        j = (i + 1) % 4
        face = np.array([flat[i], flat[j], top[j], top[i]])
        faces = [f for f in ((0, 1, 2), (0, 2, 3)) if _area(face[list(f)]) > 1e-9]
        if faces:
            across = face[1] - face[0]
            normal = np.array([across[1], -across[0], 0.0]) / np.linalg.norm(across)
            b.add(face, np.tile(normal, (4, 1)), np.array(faces), Label.FLOOR, paint)
    return LevelChange(kind="ramp", rect_m=np.array(rect), z_m=low, rise=rise, base_m=0.0)


def podium(b: MeshBuilder, x: float, y: float, along_x: bool, paint: int) -> list[LevelChange]:
    """A ramp that leads up to a deck with kerbs, with its lower left corner at (x, y); see `podium_size`."""
    length, width = RAMP_LENGTH_M, PODIUM_WIDTH_M
    if along_x:
        way, deck = (x, y, x + length, y + width), (x + length, y, x + length + DECK_M, y + width)
    else:
        way, deck = (x, y, x + width, y + length), (x, y + length, x + width, y + length + DECK_M)
    return [ramp(b, way, 1 if along_x else 2, paint), raised(b, "kerb", deck, KERB_M, paint)]


def podium_size(along_x: bool) -> tuple[float, float]:
    """Extent of a `podium` in the plan, metres."""
    long = RAMP_LENGTH_M + DECK_M
    return (long, PODIUM_WIDTH_M) if along_x else (PODIUM_WIDTH_M, long)


def street_changes(
    b: MeshBuilder, half: float, widths: list[float], kerb: float
) -> tuple[list[LevelChange], list[Rect]]:
    """On both sides of a street: kerb, a ramp to the kerb, a step before the front, a threshold and a bump.

    Args:
        half: half of the road's width, metres.
        widths: of the two pavements.
        kerb: their height, metres.

    Returns:
        The changes, and the rectangles on and around them that cars and street furniture must leave free.
    """
    stone = b.paint(Pattern.SLABS, linear("a39a8a"), linear("7b7468"), scale=0.4)
    metal = b.paint(Pattern.PLAIN, linear("7d8084"))
    found = []
    for side, width in enumerate(widths):
        sign = 1 if side == 0 else -1

        def across(x0: float, a: float, x1: float, c: float, sign: int = sign) -> Rect:
            low, high = sorted((sign * a, sign * c))
            return (x0, low, x1, high)

        found += [
            ramp(b, across(-3.0, half - RAMP_LENGTH_M, -1.8, half), 2 if side == 0 else 0, stone),
            raised(b, "step", across(0.0, half + width - 0.5, 1.4, half + width), STEP_M, stone, base=kerb),
            raised(b, "threshold", across(-5.0, half + 1.1, -4.9, half + 1.9), THRESHOLD_M, metal, base=kerb),
            raised(b, "bump", across(1.5, 0.9, 1.8, 1.2), BUMP_M, metal),
        ]
        edge = across(-6.0, half, 4.0, half + 0.13)
        found.append(LevelChange(kind="kerb", rect_m=np.array(edge), z_m=kerb, rise=np.zeros(2), base_m=0.0))
    rects = [c.rect_m.tolist() for c in found]
    return found, [(x0 - 0.6, y0 - 0.6, x1 + 0.6, y1 + 0.6) for x0, y0, x1, y1 in rects]


def _area(triangle: np.ndarray) -> float:
    return float(np.linalg.norm(np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0]))) / 2
