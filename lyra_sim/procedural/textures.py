"""What a surface looks like at a point: planks, tiles, brick, asphalt and the like, as functions of position.

Patterns are computed, not stored: they have no resolution of their own. Each takes the size of the pixel's footprint
and fades what is finer than it, so that images do not shimmer. Lattice noise after Perlin ("An image synthesizer",
SIGGRAPH 1985), with an integer hash in place of his table.
"""

import numpy as np
from numba import njit

from lyra_sim.procedural.scene import Pattern

PLAIN, PLANKS, TILES, CARPET, WALLPAPER = (int(Pattern(i)) for i in range(5))
PLASTER, BRICK, ASPHALT, GRASS, SLABS = (int(Pattern(i)) for i in range(5, 10))
WOOD, FABRIC, LEAVES, BOOKS, PANE = (int(Pattern(i)) for i in range(10, 15))
GLASS, PICTURE, RUG, MARKING, GLOW = (int(Pattern(i)) for i in range(15, 20))


@njit(cache=True, inline="always")
def _hash(i, j, seed):
    """Uniform number in [0, 1) of an integer lattice point."""
    h = (
        np.uint32(i) * np.uint32(0x8DA6B343)
        ^ np.uint32(j) * np.uint32(0xD8163841)
        ^ np.uint32(seed) * np.uint32(0xCB1AB31F)
    )
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0x5BD1E995)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    h = h ^ (h >> np.uint32(16))
    return np.float64(np.uint32(h)) * (1.0 / 4294967296.0)


@njit(cache=True)
def _noise(u, v, seed):
    """Smooth noise in [-1, 1] with unit lattice spacing."""
    i, j = int(np.floor(u)), int(np.floor(v))
    a, b = u - i, v - j
    a, b = a * a * (3 - 2 * a), b * b * (3 - 2 * b)
    low = _hash(i, j, seed) * (1 - a) + _hash(i + 1, j, seed) * a
    high = _hash(i, j + 1, seed) * (1 - a) + _hash(i + 1, j + 1, seed) * a
    return 2 * (low * (1 - b) + high * b) - 1


@njit(cache=True)
def _grain(u, v, size, foot, seed):
    """Noise of a feature size in metres, faded where a pixel covers more than half a feature."""
    fade = min(1.0, 0.5 * size / max(foot, 1e-6))
    if fade < 0.05:
        return 0.0
    return fade * _noise(u / size, v / size, seed)


@njit(cache=True)
def _line(x, width, foot):
    """Share of the pixel covered by a line of `width` at x = 0."""
    f = max(foot, 1e-4)
    return min(1.0, width / f) * min(1.0, max(0.0, (0.5 * width + 0.5 * f - abs(x)) / f))


@njit(cache=True)
def _joints(u, v, du, dv, width, foot):
    """Share covered by the joints of a grid with cells du by dv; u, v within the cell."""
    x = _line(min(u, du - u), width, foot)
    y = _line(min(v, dv - v), width, foot)
    return max(x, y)


@njit(cache=True)
def _floor_like(pattern, u, v, s, foot, seed):
    """(mix of colours a and b, brightness) of boards, tiles, slabs, bricks."""
    if pattern == PLANKS:
        row = np.floor(v / s)
        length = 9.0 * s
        x = u + _hash(int(row), 7, seed) * length
        k = np.floor(x / length)
        joint = _joints(x - k * length, v - row * s, length, s, 0.004, foot)
        tone = _hash(int(row), int(k), seed + 1)
        fine = 0.5 * _noise(x / 0.35, v / 0.012, seed + int(row)) if foot < 0.02 else 0.0
        return tone, (1 + 0.12 * fine + 0.05 * _grain(x, v, 0.4, foot, seed)) * (1 - 0.55 * joint)
    if pattern == BRICK:
        row = np.floor(v / (0.3 * s))
        x = u + (0.5 * s if int(row) % 2 else 0.0)
        k = np.floor(x / s)
        joint = _joints(x - k * s, v - row * 0.3 * s, s, 0.3 * s, 0.012, foot)
        tone = 0.75 + 0.5 * _hash(int(row), int(k), seed)
        return joint, (tone * (1 - joint) + joint) * (1 + 0.1 * _grain(u, v, 0.02, foot, seed))
    row = np.floor(v / s)
    x = u + (0.5 * s if pattern == SLABS and int(row) % 2 else 0.0)
    k = np.floor(x / s)
    joint = _joints(x - k * s, v - row * s, s, s, 0.006 if pattern == TILES else 0.010, foot)
    tone = 0.9 + (0.1 if pattern == TILES else 0.2) * _hash(int(row), int(k), seed)
    dirt = 0.06 * _grain(u, v, 0.9, foot, seed) + 0.07 * _grain(u, v, 0.03, foot, seed + 1)
    return joint, (tone * (1 - joint) + joint) * (1 + dirt)


@njit(cache=True)
def _cloth_like(pattern, u, v, s, foot, seed):
    """(mix, brightness) of carpet, fabric, rug, wallpaper, plaster, wood, ground."""
    if pattern == CARPET:
        return 0.5 + 0.35 * _grain(u, v, 0.02, foot, seed), 1 + 0.22 * _grain(u, v, 0.006, foot, seed) + 0.06 * _grain(
            u, v, 0.5, foot, seed
        )
    if pattern == FABRIC:
        weave = 0.12 * _grain(u, v, 0.008, foot, seed) + 0.06 * _grain(u, v, 0.12, foot, seed + 1)
        return 0.3 + 0.3 * _grain(u, v, 0.05, foot, seed + 2), 1 + weave
    if pattern == RUG:
        band = np.floor(u / s) + np.floor(v / s)
        motif = _hash(int(np.floor(abs(u) / s)), int(np.floor(abs(v) / s)), seed)
        return (1.0 if motif > 0.55 else 0.0) * 0.8 + 0.1 * (band % 2), 1 + 0.2 * _grain(u, v, 0.008, foot, seed)
    if pattern == WALLPAPER:
        x = u / s - np.floor(u / s)
        f = max(foot / s, 1e-3)
        stripe = min(1.0, max(0.0, (0.25 - abs(x - 0.5)) / f + 0.5)) if f < 0.5 else 0.5
        return stripe, 1 + 0.03 * _grain(u, v, 0.3, foot, seed)
    if pattern == PLASTER:
        n = _grain(u, v, 0.7, foot, seed) * 0.5 + _grain(u, v, 0.15, foot, seed + 1) * 0.3
        return 0.5 + 0.5 * n, 1 + 0.05 * _grain(u, v, 0.01, foot, seed + 2)
    if pattern == WOOD:
        ring = _noise(u / 0.5, v / 0.025, seed) * (1.0 if foot < 0.03 else 0.3)
        return 0.5 + 0.5 * ring, 1 + 0.05 * _grain(u, v, 0.01, foot, seed)
    if pattern == ASPHALT:
        n = 0.5 * _grain(u, v, 3.0, foot, seed) + 0.25 * _grain(u, v, 0.6, foot, seed + 3)
        return 0.5 + 0.5 * n, 1 + 0.3 * _grain(u, v, 0.012, foot, seed + 1) + 0.12 * _grain(u, v, 0.05, foot, seed + 2)
    n = (
        _grain(u, v, 0.9, foot, seed) * 0.3
        + _grain(u, v, 0.12, foot, seed + 1) * 0.5
        + _grain(u, v, 0.03, foot, seed + 2)
    )
    return min(1.0, max(0.0, 0.5 + 0.5 * n)), 1 + 0.35 * _grain(u, v, 0.015, foot, seed + 3)


@njit(cache=True)
def _window(pattern, u, v, seed, out):
    """Colour of a pane: the land and the sky behind it, or the sky mirrored in it."""
    hill = (
        0.65 + 0.3 * _noise(u / 1.3, 3.5, seed) + 0.15 * _noise(u / 0.3, 1.5, seed) + 0.04 * _noise(u / 0.07, 2.5, seed)
    )
    if pattern == GLASS:
        t = min(1.0, max(0.0, 0.3 + 0.2 * _noise(u / 0.8, v / 1.1, seed) + 0.25 * (_hash(seed, 3, 5) - 0.5)))
        out[0], out[1], out[2] = 0.03 + 0.16 * t, 0.04 + 0.20 * t, 0.05 + 0.26 * t
    elif v < hill:
        leaf = 0.45 + 0.25 * _noise(u / 0.2, v / 0.16, seed + 1) + 0.2 * _noise(u / 0.05, v / 0.04, seed + 2)
        leaf += 0.15 * _noise(u / 0.02, v / 0.02, seed + 3)
        out[0], out[1], out[2] = 0.35 * leaf + 0.2, 0.5 * leaf + 0.25, 0.25 * leaf + 0.2
    else:
        t = min(1.0, 0.4 * (v - hill))
        out[0], out[1], out[2] = 1.05 - 0.35 * t, 1.1 - 0.2 * t, 1.15


@njit(cache=True)
def albedo(pattern, u, v, scale, a, b, foot, seed, out):
    """Write the linear RGB of a pattern at (u, v) metres of its plane into `out` (3,).

    Args:
        pattern: `Pattern` value.
        scale: the pattern's unit, metres.
        a, b: its two colours, (3,).
        foot: width of the pixel on the surface, metres.
        seed: tells two parts with the same pattern apart.
    """
    if pattern in (PANE, GLASS):
        _window(pattern, u, v, seed, out)
        return
    mix, light = 0.0, 1.0
    if pattern == BOOKS:
        k = int(np.floor(u / scale + 0.3 * _noise(u / 0.2, 0.5, seed)))
        edge = _line(u / scale - np.floor(u / scale), 0.12, foot / scale)
        for c in range(3):
            tint = _hash(k, c + 1, seed)
            out[c] = (0.25 * a[c] + 0.75 * (0.08 + 0.5 * tint * tint)) * (1 - 0.6 * edge)
        return
    if pattern == PICTURE:
        i, j = int(np.floor(u / scale)), int(np.floor(v / scale))
        for c in range(3):
            soft = 0.5 + 0.5 * _noise(u / scale / 1.7, v / scale / 1.7, seed + c)
            out[c] = 0.65 * soft * soft + 0.3 * _hash(i, j, seed + c) * b[c] + 0.05
        return
    if pattern in (PLANKS, TILES, BRICK, SLABS):
        mix, light = _floor_like(pattern, u, v, scale, foot, seed)
    elif pattern == MARKING:
        worn = _grain(u, v, 0.06, foot, seed) + _grain(u, v, 0.3, foot, seed + 1)
        mix, light = min(1.0, max(0.0, worn - 0.35)), 1 + 0.05 * _grain(u, v, 0.02, foot, seed)
    elif pattern not in (PLAIN, GLOW):
        mix, light = _cloth_like(pattern, u, v, scale, foot, seed)
    else:
        light = 1 + 0.03 * _grain(u, v, 0.25, foot, seed)
    for c in range(3):
        out[c] = max(0.0, (a[c] * (1 - mix) + b[c] * mix) * light)
