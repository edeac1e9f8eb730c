"""What a procedural place is: one exact triangle mesh with labels and paints, its lights, and where its floor lies."""

import enum
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8

from lyra_sim.core.record import record


class Pattern(enum.IntEnum):
    """How a part is painted; `textures.py` evaluates them at a point."""

    PLAIN = 0
    PLANKS = 1
    TILES = 2
    CARPET = 3
    WALLPAPER = 4
    PLASTER = 5
    BRICK = 6
    ASPHALT = 7
    GRASS = 8
    SLABS = 9
    WOOD = 10
    FABRIC = 11
    LEAVES = 12
    BOOKS = 13
    PANE = 14
    """A window seen from inside: bright, shows the sky and the land outside; the sun passes through it."""
    GLASS = 15
    """A window seen from outside: dark, with the sky mirrored in it."""
    PICTURE = 16
    RUG = 17
    MARKING = 18
    GLOW = 19
    """A lamp: emits its own colour."""


@record
class Paints:
    """How each part looks. Patterns live in the part's own frame: `origin_m`, turned by `yaw_rad` about Z."""

    pattern: Int32[np.ndarray, "P"]
    """`Pattern` values."""
    color_a: Float32[np.ndarray, "P 3"]
    """Linear RGB reflectance, 0..1."""
    color_b: Float32[np.ndarray, "P 3"]
    scale_m: Float32[np.ndarray, "P"]
    """Size of the pattern's unit: plank width, tile side, stripe."""
    origin_m: Float32[np.ndarray, "P 3"]
    yaw_rad: Float32[np.ndarray, "P"]
    seed: Int32[np.ndarray, "P"]


@record
class Lights:
    """Sun, sky, lamps and windows. Radiances are relative: 1 shows a white surface just below white."""

    to_sun: Float64[np.ndarray, "3"]
    sun: Float64[np.ndarray, "3"]
    sky: Float64[np.ndarray, "3"]
    """Ambient light on faces that look up; `ground` on faces that look down."""
    ground: Float64[np.ndarray, "3"]
    lamp_m: Float64[np.ndarray, "K 3"]
    lamp: Float64[np.ndarray, "K 3"]
    zone_m: Float64[np.ndarray, "K 4"]
    """The rectangle (x0, y0, x1, y1) lit by each lamp: its room."""
    window_m: Float64[np.ndarray, "W 3"]
    window_normal: Float64[np.ndarray, "W 3"]
    window_area_m2: Float64[np.ndarray, "W"]
    window_zone: Int32[np.ndarray, "W"]


@record
class LevelChange:
    """A piece of ground that lies off the ground around it: what robots must not lose, or may roll over."""

    kind: str
    """threshold, kerb, step, ramp or bump."""
    rect_m: Float64[np.ndarray, "4"]
    """(x0, y0, x1, y1) in the plan."""
    z_m: float
    """Height at (x0, y0)."""
    rise: Float64[np.ndarray, "2"]
    """Metres up per metre along x and y."""
    base_m: float
    """Height of the ground it stands on."""


@record
class ProceduralScene:
    """A flat or a street from a seed: the truth that rendered images are judged by. Z up, metres.

    The mesh is the truth itself: curved objects are fine meshes, walls and floors have no hidden back sides, solids
    that stand on the floor have no underside. Faces wind counter-clockwise seen from free space.
    """

    name: str
    kind: Literal["flat", "street"]
    seed: int
    options: dict[str, Any]
    """Further arguments of `make_flat` or `make_street`; JSON values only."""
    vertices: Float32[np.ndarray, "N 3"]
    vertex_normal: Float32[np.ndarray, "N 3"]
    """For shading; differs from the face normal on curved parts only."""
    faces: Int32[np.ndarray, "M 3"]
    face_label: UInt8[np.ndarray, "M"]
    """`lyra_sim.core.records.Label`."""
    face_paint: Int32[np.ndarray, "M"]
    paints: Paints
    lights: Lights
    floor_rect_m: Float64[np.ndarray, "R 4"]
    """Rectangles (x0, y0, x1, y1) that together are the ground a robot could roll on, obstacles not yet removed."""
    floor_z_m: Float64[np.ndarray, "R"]
    """Height of each rectangle; where several overlap the first counts, and `level_changes` before all of them."""
    rooms_m: Float64[np.ndarray, "Q 4"]
    """Interior rectangles of the rooms; of a street the strips to walk on (pavements, road)."""
    doors_m: Float64[np.ndarray, "D 4"]
    """Rectangles of the door thresholds; none in a street."""
    level_changes: tuple[LevelChange, ...] = ()
