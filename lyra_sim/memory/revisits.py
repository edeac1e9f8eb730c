"""Consistency on return: do frames show a place as frames long before them showed it?

Where an older frame has depth, its pixels are places. Each place that a newer frame sees again has a colour in both,
and PSNR over all such pairs of colours says how alike they are. Nothing is fitted: a drift of exposure counts.

- Places come from the older frame (valid depth, not FILLED) and are looked up in the newer one, not the other way
  round: what a generator paints over a hole has no depth, but it is what a user sees on return. A generator that
  forgets fills where one that remembers shows the place again, and that is the difference to be measured. So a place
  counts where the newer frame has its depth (z-test within 5 %), and where the newer frame is FILLED and nothing known
  stands in front of the place. Paint of the OLDER frame is left out: nobody can say which place it showed.
- Pixels beside a depth edge mix two surfaces, differently from every camera. They are left out in both frames: on a
  plane inverse depth is affine in the pixel, so where its second difference is more than 5 % of it there is an edge.
- The newer frame's colour is interpolated bilinearly, from four such pixels that all pass the z-test. That is right
  within a factor of two: what one frame shows more than twice as fine as the other is left out, or detail that the
  coarser one cannot show would count as a contradiction.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numba import njit

from lyra_sim.core.record import record
from lyra_sim.core.records import Frames, Intrinsics, PixelOrigin, World
from lyra_sim.geometry.camera import invert
from lyra_sim.memory.overlap import Z_SHARE, lens_of, moved, same_depth
from lyra_sim.memory.spatial import STRIDE

APART = 160
"""A frame returns to what frames more than so many before it saw: two segments, beyond any window of a generator."""
LEAST_OVERLAP = 0.3
"""Share of an older frame's valid pixels that a newer one has to see again for the two to be compared."""
LEAST_PIXELS = 100
"""A pair that has fewer in common says nothing."""
MOST = 4
"""Older frames that are compared with one newer one, those it sees most of."""
_FINER = 2.0
"""Most that one frame may resolve a place finer than the other."""
_PROBE, _CELL = 4, 4
"""Every so-many-th row and column tells overlap; side in pixels of the cells that tell what is foremost."""
_ROUNDING = 1 / 12
"""Squared error that rounding to 8 bits leaves; less cannot be told from it."""


@dataclass(frozen=True)
class Pair:
    """A frame and an older one that it sees again; 0 is the frame the walk begins at, start frames count down."""

    newer: int
    older: int
    overlap: float
    psnr_db: float


@dataclass(frozen=True)
class Returned:
    """What a walk's returns show."""

    psnr_db: float
    """Over the colours of all compared pixels together; at most 58.9, where only rounding is left."""
    pairs: int
    share: float
    """Of the valid pixels of the older frames of all pairs, those that were compared."""
    lowest: Pair


def returns(world: World) -> Returned | None:
    """Compare every 8th generated frame with every 8th frame more than 160 before it; None where the walk never
    returns. Segments are read one by one; of each, every 8th frame is kept.

    Exact frames of procedural flats have about 40 dB (`benchmarks/revisits.py`): bilinear interpolation blurs. Frames
    whose geometry contradicts the older ones fail the z-test and are not compared; `share` tells.
    """
    found: Revisits | None = None
    for segment in world.segments:
        if found is None:
            found = Revisits(world.start.frames, segment.frames.intrinsics)
        found.add(segment.frames)
    return found.result() if found else None


@record
class _Kept:
    """A frame for comparison, not finer than the generated ones."""

    number: int
    image: UInt8[np.ndarray, "H W 3"]
    depth_m: Float32[np.ndarray, "H W"]
    """0 where not valid."""
    inner: Bool[np.ndarray, "H W"]
    """Valid and beside no depth edge."""
    filled: Bool[np.ndarray, "H W"]
    cam_to_world: np.ndarray
    camera: Intrinsics


class Revisits:
    """Frames of one walk, compared while they come.

    Args:
        start: frames before the generated ones.
        camera: of the generated frames; finer start frames are averaged down to about its resolution, for a generated
            frame cannot show what lies between its pixels.
    """

    def __init__(self, start: Frames, camera: Intrinsics) -> None:
        self._next = 1 - len(start)
        self._kept: list[_Kept] = []
        self._pairs: list[Pair] = []
        self._error, self._pixels, self._valid = 0.0, 0, 0
        step = max(1, round(start.intrinsics.fy / camera.fy))
        for t in self._numbered(start):
            self._kept.append(_keep(start, t, self._next + t, step))
        self._next += len(start)

    def add(self, frames: Frames, shown: UInt8[np.ndarray, "T H W 3"] | None = None) -> None:
        """Compare the next generated frames with what is kept, and keep them.

        Args:
            shown: colours to judge at the very same pixels instead of those of `frames`, such as the frames drawn again
                without memory; `frames` are kept.
        """
        for t in self._numbered(frames):
            newer = _keep(frames, t, self._next + t, 1)
            self._compare(newer, newer.image if shown is None else np.ascontiguousarray(shown[t]))
            self._kept.append(newer)
        self._next += len(frames)

    def result(self) -> Returned | None:
        """Of all frames so far; None where none returns."""
        if not self._pairs:
            return None
        return Returned(
            psnr_db=_psnr(self._error, self._pixels),
            pairs=len(self._pairs),
            share=self._pixels / self._valid,
            lowest=min(self._pairs, key=lambda pair: pair.psnr_db),
        )

    def _numbered(self, frames: Frames) -> list[int]:
        return [t for t in range(len(frames)) if (self._next + t) % STRIDE == 0]

    def _compare(self, newer: _Kept, image: np.ndarray) -> None:
        old = [kept for kept in self._kept if newer.number - kept.number > APART]
        if not old:
            return
        foremost = self._foremost(newer)
        seen = [_look(older, newer, image, foremost, _PROBE) for older in old]
        overlap = np.array([places / max(valid, 1) for valid, places, _, _ in seen])
        for i in np.argsort(-overlap, kind="stable")[:MOST]:
            if overlap[i] < LEAST_OVERLAP:
                break
            valid, _, pixels, error = _look(old[i], newer, image, foremost, 1)
            if pixels >= LEAST_PIXELS:
                self._pairs.append(Pair(newer.number, old[i].number, float(overlap[i]), _psnr(error, pixels)))
                self._error, self._pixels, self._valid = self._error + error, self._pixels + pixels, self._valid + valid

    def _foremost(self, newer: _Kept) -> np.ndarray:
        """Least depth of everything kept, in cells of the newer frame: only FILLED pixels need it."""
        camera = newer.camera
        nearest = np.full((-(-camera.height // _CELL), -(-camera.width // _CELL)), np.inf)
        if newer.filled.any():
            for kept in self._kept:
                T = invert(newer.cam_to_world) @ kept.cam_to_world
                _lower(nearest, kept.depth_m, lens_of(kept.camera), T, lens_of(camera))
        return nearest


def _psnr(error: float, pixels: int) -> float:
    return 10 * math.log10(255**2 / max(error / (3 * pixels), _ROUNDING))


def _look(
    older: _Kept, newer: _Kept, image: np.ndarray, foremost: np.ndarray, step: int
) -> tuple[int, int, int, float]:
    """Of every step-th pixel of the older frame: how many are valid, seen again and compared, and the sum of squared
    differences over the compared ones' channels."""
    T = invert(newer.cam_to_world) @ older.cam_to_world
    return _pool(
        older.image, older.depth_m, older.inner, lens_of(older.camera), T,
        image, newer.depth_m, newer.inner, newer.filled, lens_of(newer.camera), foremost, step,
    )  # fmt: skip


def _keep(frames: Frames, t: int, number: int, step: int) -> _Kept:
    """A copy: a view would keep its whole segment in memory. With a step, means over step x step pixels: of colours,
    and of inverse depth, which on a plane is that of the middle; valid where all are."""
    camera, image = frames.intrinsics, frames.images[t]
    filled = frames.origin[t] == PixelOrigin.FILLED
    valid = frames.valid[t] & ~filled & (frames.depth_m[t] > 0)
    inverse = np.divide(1.0, frames.depth_m[t], out=np.zeros(valid.shape), where=valid)
    inner = valid & _even(inverse)
    if step > 1:
        camera = Intrinsics(
            fx=camera.fx / step,
            fy=camera.fy / step,
            cx=camera.cx / step,
            cy=camera.cy / step,
            width=camera.width // step,
            height=camera.height // step,
        )
        whole, inner, filled = (_means(mask, step) >= 1.0 for mask in (valid, inner, filled))
        inverse = np.where(whole, _means(inverse, step), 0.0)
        image = np.rint(_means(image, step)).astype(np.uint8)
    depth = np.divide(1.0, inverse, out=np.zeros(inverse.shape), where=inverse > 0)
    return _Kept(
        number=number,
        image=np.array(image),
        depth_m=depth.astype(np.float32),
        inner=inner,
        filled=np.asarray(filled),
        cam_to_world=np.array(frames.cam_to_world[t]),
        camera=camera,
    )


def _means(pixels: np.ndarray, step: int) -> np.ndarray:
    """Over squares of step x step pixels; rows and columns beyond the last whole square are left out."""
    rows, columns = pixels.shape[0] // step, pixels.shape[1] // step
    squares = pixels[: rows * step, : columns * step].reshape(rows, step, columns, step, *pixels.shape[2:])
    return squares.mean((1, 3))


def _even(inverse: np.ndarray) -> np.ndarray:
    """Pixels whose four neighbours are known and where inverse depth bends by at most `Z_SHARE`."""
    out = np.zeros(inverse.shape, bool)
    middle = inverse[1:-1, 1:-1]
    good = np.ones(middle.shape, bool)
    for one, other in (
        (inverse[:-2, 1:-1], inverse[2:, 1:-1]),
        (inverse[1:-1, :-2], inverse[1:-1, 2:]),
    ):
        good &= (one > 0) & (other > 0) & (np.abs(one + other - 2 * middle) <= Z_SHARE * middle)
    out[1:-1, 1:-1] = good
    return out


@njit(cache=True)
def _lower(nearest, depth, lens, T, to):
    """Every second pixel of a depth image, into cells of `_CELL` pixels."""
    for v in range(0, depth.shape[0], 2):
        for u in range(0, depth.shape[1], 2):
            d = depth[v, u]
            if d <= 0.0:
                continue
            x, y, z = moved(u, v, d, lens, T, to)
            i, j = int(np.floor((x + 0.5) / _CELL)), int(np.floor((y + 0.5) / _CELL))
            if 0 <= i < nearest.shape[1] and 0 <= j < nearest.shape[0]:
                nearest[j, i] = min(nearest[j, i], z)


@njit(cache=True)
def _passes(depth, filled, foremost, j, i, z):
    """Whether a place at depth z is what pixel (j, i) shows, or what it was painted over."""
    if filled[j, i]:
        return z <= (1.0 + Z_SHARE) * foremost[j // _CELL, i // _CELL]
    return same_depth(depth[j, i], z)


@njit(cache=True)
def _pool(old_image, old_depth, old_inner, old_lens, T, image, depth, inner, filled, lens, foremost, step):
    valid, places, pixels, error = 0, 0, 0, 0.0
    for v in range(step // 2, old_depth.shape[0], step):
        for u in range(step // 2, old_depth.shape[1], step):
            d = old_depth[v, u]
            if d <= 0.0:
                continue
            valid += 1
            x, y, z = moved(u, v, d, old_lens, T, lens)
            i, j = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
            if not (0 <= i < depth.shape[1] and 0 <= j < depth.shape[0]):
                continue
            if not _passes(depth, filled, foremost, j, i, z):
                continue
            places += 1
            i, j = int(np.floor(x)), int(np.floor(y))
            if not old_inner[v, u] or i < 0 or j < 0 or i + 1 >= depth.shape[1] or j + 1 >= depth.shape[0]:
                continue
            coarser = (z / lens[0]) / (d / old_lens[0])
            if not 1.0 / _FINER <= coarser <= _FINER:
                continue
            good = True
            for k in range(4):
                q, p = j + k // 2, i + k % 2
                good &= (inner[q, p] or filled[q, p]) and _passes(depth, filled, foremost, q, p, z)
            if not good:
                continue
            pixels += 1
            s, t = x - i, y - j
            for c in range(3):
                top = image[j, i, c] * (1 - s) + image[j, i + 1, c] * s
                low = image[j + 1, i, c] * (1 - s) + image[j + 1, i + 1, c] * s
                error += (top * (1 - t) + low * t - old_image[v, u, c]) ** 2
    return valid, places, pixels, error
