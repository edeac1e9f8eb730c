"""The records that travel between stages: captures, posed frames, worlds, meshes, colliders, gates.

Conventions (axes, pixels, depth, quaternions) are in `conventions.py`.
"""

import dataclasses
import enum
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, UInt8

from lyra_sim.core.licence import Licence
from lyra_sim.core.record import record


class PixelOrigin(enum.IntEnum):
    """Where a pixel comes from."""

    NONE = 0
    MEASURED = 1
    GENERATED = 2
    FILLED = 3


class FaceOrigin(enum.IntEnum):
    """Where a mesh face comes from."""

    SEEN = 1
    GENERATED = 2
    FILLED = 3


class Label(enum.IntEnum):
    """What a pixel or a face is, judged by geometry."""

    UNKNOWN = 0
    FLOOR = 1
    WALL = 2
    CEILING = 3
    OBSTACLE = 4
    OBJECT = 5
    SKY = 6


@record
class Provenance:
    """How a record came about; part of the record and of every key computed from it."""

    backend: str
    version: str
    config_hash: str
    seed: int
    inputs: tuple[str, ...]
    """Content hashes of what it was made from."""
    licences: tuple[Licence, ...]


@record
class Intrinsics:
    """Pinhole camera; the centre of the top-left pixel is (0.5, 0.5)."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int


@record
class Capture:
    """What one source holds, decoded but not interpreted: one photo, or a posed RGB-D walk."""

    kind: Literal["photo", "rgbd"]
    name: str
    """Stem of the source file or folder, for people."""
    images: UInt8[np.ndarray, "T H W 3"]
    image_valid: Bool[np.ndarray, "T H W"]
    """False where the source is transparent."""
    intrinsics: Intrinsics
    focal_source: Literal["given", "exif", "assumed"]
    depth_m: Float32[np.ndarray, "T H W"] | None = None
    depth_valid: Bool[np.ndarray, "T H W"] | None = None
    cam_to_world: Float64[np.ndarray, "T 4 4"] | None = None
    """In the source's own frame, whose up axis is not known."""
    camera_height_m: float | None = None
    """Stated by the user; None where unknown."""
    facts: dict[str, Any]
    """EXIF and the like, stripped of what identifies people (serial numbers); JSON values only."""
    provenance: Provenance


@record
class WorldFrame:
    """How the world frame was found and how sure that is."""

    metric: Literal["sensor", "camera_height_given", "camera_height_seen", "camera_height_prior", "network", "gps"]
    gravity: Literal["planes", "lines", "prior"]
    gravity_sigma_rad: float
    scale_sigma: float
    """One sigma of ln(scale)."""
    T_world_source: Float64[np.ndarray, "4 4"]
    """Maps coordinates of the source's frame (for a photo: its camera), once in metres, to the world."""

    @property
    def measured(self) -> bool:
        """Whether depth was measured (a walk with a depth camera), not told by one photo."""
        return self.metric in ("sensor", "gps")

    @property
    def scale_range(self) -> tuple[float, float]:
        """Factors of the world's size, exp(-+1.96 scale_sigma), that hold the true one in 95 of 100 worlds if ln(scale)
        is normal: the range to draw from where training randomises the scale."""
        reach = 1.96 * self.scale_sigma
        return math.exp(-reach), math.exp(reach)

    @property
    def shift(self) -> tuple[float, float, float]:
        """Translation of the source frame's origin in the world, metres."""
        x, y, z = (float(v) for v in self.T_world_source[:3, 3])
        return x, y, z


@record
class Frames:
    """Images with depth and cameras in the world frame. One `Intrinsics` for all."""

    images: UInt8[np.ndarray, "T H W 3"]
    depth_m: Float32[np.ndarray, "T H W"]
    valid: Bool[np.ndarray, "T H W"]
    """Depth is known here."""
    origin: UInt8[np.ndarray, "T H W"]
    """`PixelOrigin` of the colour; depth of FILLED pixels is never used as geometry."""
    label: UInt8[np.ndarray, "T H W"]
    """`Label` where the observer knows it, else UNKNOWN."""
    cam_to_world: Float64[np.ndarray, "T 4 4"]
    intrinsics: Intrinsics

    def __len__(self) -> int:
        return len(self.images)


@record
class PosedFrames:
    """What was observed: frames in the metric, gravity-aligned world frame."""

    frames: Frames
    frame: WorldFrame
    environment: Literal["indoor", "outdoor"]
    provenance: Provenance
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What the observer reports, such as the share of pixels that moved; JSON values only."""


@record
class Segment:
    """One committed piece of exploration, at most 80 frames."""

    index: int
    frames: Frames
    warped: bool = False
    """The generator only showed earlier frames from new places: its depth is no evidence of anything."""
    latents: Float32[np.ndarray, "C L Y X"] | None = None
    """What a video network drew, before decoding: its decoder goes on from here."""
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What the generator reports of this piece, such as the frames it was shown; JSON values only."""


if TYPE_CHECKING:
    Segments = Sequence[Segment]
else:
    Segments = Sequence  # a check of the items would read a segment from disk


@record
class World:
    """Everything seen and generated: the start and the segments, which may be loaded lazily one by one."""

    start: PosedFrames
    segments: Segments
    generator: tuple[Licence, ...] = ()
    """Rights in the weights that generated the segments."""
    reconstructor: tuple[Licence, ...] = ()
    """Rights in the weights that made its splats; known from the reconstruct stage on."""

    @property
    def licences(self) -> tuple[Licence, ...]:
        """Of everything that the world was made with, each line once."""
        return tuple(dict.fromkeys((*self.start.provenance.licences, *self.generator, *self.reconstructor)))


@record
class TriMesh:
    """Triangles in the world frame, outward winding."""

    vertices: Float32[np.ndarray, "N 3"]
    faces: Int32[np.ndarray, "M 3"]
    vertex_color: UInt8[np.ndarray, "N 3"]
    face_label: UInt8[np.ndarray, "M"]
    face_origin: UInt8[np.ndarray, "M"]


@record
class TexturedMesh:
    """A mesh with one texture image. `uv` per face corner; (0, 0) is the lower left corner of the texture."""

    mesh: TriMesh
    uv: Float32[np.ndarray, "M 3 2"]
    texture: UInt8[np.ndarray, "H W 3"]


@record
class SpaceGrid:
    """Dense voxels of what the rays found. Cell (i, j, k) covers `origin_m + [i, j, k] * voxel_m` and one voxel on."""

    origin_m: Float64[np.ndarray, "3"]
    voxel_m: float
    state: UInt8[np.ndarray, "X Y Z"]
    """0 never seen, 1 free (a measured or generated ray passed), 2 at a surface."""


@record
class GaussianSplats:
    """Oriented Gaussians after activation."""

    means: Float32[np.ndarray, "N 3"]
    quaternions: Float32[np.ndarray, "N 4"]
    scales_m: Float32[np.ndarray, "N 3"]
    opacity: Float32[np.ndarray, "N"]
    sh: Float32[np.ndarray, "N K 3"]
    """Spherical harmonics, DC first; colour = 0.5 + 0.28209479 * sh[:, 0]."""


@record
class Fused:
    """All geometry of a world as one surface, before cleaning, and the space around it."""

    mesh: TriMesh
    """Vertices and faces in canonical order; face labels UNKNOWN; open where nothing was seen."""
    space: SpaceGrid
    """At the voxel size the surface was fused with."""
    splats: GaussianSplats | None = None
    """By a network, where one was asked; else the surface stage makes them from the surface."""
    licences: tuple[Licence, ...] = ()
    """Rights in the weights of that network."""
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What it reports: its weights, scales, what was left out and why; JSON values only."""


@record
class FloorGrid:
    """The floor as cells in the plane. Cell (i, j) covers `origin_m + [i, j] * cell_m` and one cell on."""

    origin_m: Float64[np.ndarray, "2"]
    cell_m: float
    state: UInt8[np.ndarray, "X Y"]
    """0 no floor, 1 seen, 2 filled."""
    height_m: Float32[np.ndarray, "X Y"]
    """Height of the floor surface (after repair) where state > 0, else 0."""


@record
class Surface:
    """The world as surfaces, cleaned and repaired."""

    near: TriMesh
    """Near field at full fused resolution: what colliders are made from and measured against."""
    visual: TexturedMesh
    """What is looked at: the near field, decimated, with the far backdrop."""
    floor: FloorGrid
    splats: GaussianSplats


@record
class ColliderPart:
    """One shape a physics engine sees. A hull is the convex hull of its vertices; a trimesh is used as it is."""

    name: str
    kind: Literal["trimesh", "hull"]
    label: int
    vertices: Float32[np.ndarray, "N 3"]
    faces: Int32[np.ndarray, "M 3"]


@record
class Colliders:
    """What physics sees, and how far that is from the surface. Distances in metres, shares 0..1."""

    backend: Literal["static_mesh", "convex"]
    parts: tuple[ColliderPart, ...]
    measured: dict[str, float]
    """For the chosen backend: surface_median_m, surface_p95_m, surface_max_m, depth_p95_m, free_blocked_share."""
    alternatives: dict[str, dict[str, float]]
    """The same figures for every backend that was tried, by name."""
    others: dict[str, tuple[ColliderPart, ...]] = dataclasses.field(default_factory=dict)
    """The parts of the backends that were not chosen, by name."""

    @property
    def variants(self) -> dict[str, tuple[ColliderPart, ...]]:
        """The parts of every backend, the chosen one first."""
        return {self.backend: self.parts, **self.others}


@record
class Gate:
    """One measured requirement of a world."""

    name: str
    value: float | bool | None
    limit: float | bool | None
    """None where the value is reported only."""
    unit: str
    ok: bool
    why: str
    """What failed, or why there is no value; else empty."""
