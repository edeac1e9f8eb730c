"""A small room with known surfaces, written as every USD test sees it: 4 x 3 x 2.4 m, a box on the floor, RGB-D frames
of it from exact ray casting."""

import numpy as np

from lyra_sim.core.records import (
    ColliderPart,
    Colliders,
    FaceOrigin,
    FloorGrid,
    Frames,
    GaussianSplats,
    Intrinsics,
    Label,
    Licence,
    PixelOrigin,
    PosedFrames,
    Provenance,
    SpaceGrid,
    Surface,
    TexturedMesh,
    TriMesh,
    World,
    WorldFrame,
)
from lyra_sim.geometry.camera import pixel_rays
from lyra_sim.geometry.rays import RayScene
from usd_export.render import look_at

SIZE = np.array([4.0, 3.0, 2.4])
BOX_LOW, BOX_HIGH = np.array([2.6, 1.8, 0.0]), np.array([3.2, 2.4, 0.7])
CAMERA = Intrinsics(fx=80.0, fy=80.0, cx=64.0, cy=48.0, width=128, height=96)
PROVENANCE = Provenance(
    backend="usd",
    version="1",
    config_hash="0" * 16,
    seed=0,
    inputs=("ab" * 32,),
    licences=(Licence(subject="walk", name="CC0-1.0", holder="nobody", source="test"),),
)


def quad(corners: list[tuple[float, float, float]], cuts: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A rectangle from three corners (origin, along u, along v), cut into cuts x cuts squares; it faces u x v."""
    o, u, v = (np.array(c, float) for c in corners)
    t = np.linspace(0, 1, cuts + 1)
    grid = o + t[:, None, None] * (u - o) + t[None, :, None] * (v - o)
    index = np.arange((cuts + 1) ** 2).reshape(cuts + 1, cuts + 1)
    a, b, c, d = index[:-1, :-1].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel(), index[:-1, 1:].ravel()
    return grid.reshape(-1, 3), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def surfaces() -> list[tuple[Label, np.ndarray, np.ndarray]]:
    """Label, vertices and faces of every surface; all face the free space inside."""
    x, y, z = SIZE
    found = [
        (Label.FLOOR, *quad([(0, 0, 0), (x, 0, 0), (0, y, 0)], 8)),
        (Label.WALL, *quad([(0, 0, 0), (0, 0, z), (x, 0, 0)])),
        (Label.WALL, *quad([(x, y, 0), (x, y, z), (0, y, 0)])),
        (Label.WALL, *quad([(0, y, 0), (0, y, z), (0, 0, 0)])),
        (Label.WALL, *quad([(x, 0, 0), (x, 0, z), (x, y, 0)])),
        (Label.CEILING, *quad([(0, 0, z), (0, y, z), (x, 0, z)])),
    ]
    return [*found, (Label.OBSTACLE, *box(BOX_LOW, BOX_HIGH))]


def box(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A closed box with outward faces."""
    corners = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (high - low) + low
    faces = [(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)]
    faces += [(2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)]
    return corners, np.array(faces)


def mesh_of(parts: list[tuple[Label, np.ndarray, np.ndarray]]) -> TriMesh:
    """One mesh of all surfaces."""
    offsets = np.cumsum([0] + [len(v) for _, v, _ in parts])
    labels = np.concatenate([np.full(len(f), label) for label, _, f in parts]).astype(np.uint8)
    vertices = np.concatenate([v for _, v, _ in parts]).astype(np.float32)
    return TriMesh(
        vertices=vertices,
        faces=np.concatenate([f + o for (_, _, f), o in zip(parts, offsets, strict=False)]).astype(np.int32),
        vertex_color=(vertices / SIZE.astype(np.float32) * 255).astype(np.uint8),
        face_label=labels,
        face_origin=np.full(len(labels), int(FaceOrigin.SEEN), np.uint8),
    )


def textured(mesh: TriMesh) -> TexturedMesh:
    """Texture coordinates by position: u = x, v = (y + z) over their range, so that colour tells place."""
    corners = mesh.vertices[mesh.faces]
    uv = np.stack([corners[..., 0] / SIZE[0], (corners[..., 1] + corners[..., 2]) / (SIZE[1] + SIZE[2])], -1)
    u, v = np.meshgrid(np.linspace(0, 1, 128), np.linspace(1, 0, 96))
    texture = np.stack([255 * u, 255 * v, 128 + 100 * np.sin(9 * u) * np.cos(7 * v)], -1)
    return TexturedMesh(mesh=mesh, uv=uv.astype(np.float32), texture=texture.astype(np.uint8))


def surface() -> Surface:
    """The room as the surface stage would give it."""
    mesh = mesh_of(surfaces())
    cell = 0.05
    shape = np.round(SIZE[:2] / cell).astype(int)
    state = np.ones(shape, np.uint8)
    low, high = np.round(BOX_LOW[:2] / cell).astype(int), np.round(BOX_HIGH[:2] / cell).astype(int)
    state[low[0] : high[0], low[1] : high[1]] = 0
    n = 50
    rng = np.random.default_rng(0)
    quaternions = rng.normal(size=(n, 4))
    splats = GaussianSplats(
        means=rng.uniform(0.1, 2, (n, 3)).astype(np.float32),
        quaternions=(quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).astype(np.float32),
        scales_m=np.full((n, 3), 0.02, np.float32),
        opacity=np.full(n, 0.9, np.float32),
        sh=rng.normal(size=(n, 1, 3)).astype(np.float32),
    )
    floor = FloorGrid(origin_m=np.zeros(2), cell_m=cell, state=state, height_m=np.zeros(shape, np.float32))
    return Surface(near=mesh, visual=textured(mesh), floor=floor, splats=splats)


def slabs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Boxes 10 cm thick behind floor, walls and ceiling: (low, high) corners."""
    (x, y, z), t = SIZE, 0.1
    low_high = [
        ((0, 0, -t), (x, y, 0)),
        ((0, 0, z), (x, y, z + t)),
        ((-t, 0, 0), (0, y, z)),
        ((x, 0, 0), (x + t, y, z)),
    ]
    low_high += [((0, -t, 0), (x, 0, z)), ((0, y, 0), (x, y + t, z))]
    return [(np.array(low), np.array(high)) for low, high in low_high]


def hull(name: str, label: Label, low: np.ndarray, high: np.ndarray) -> ColliderPart:
    """A box as a hull part."""
    vertices, faces = box(low, high)
    return ColliderPart(
        name=name,
        kind="hull",
        label=int(label),
        vertices=vertices.astype(np.float32),
        faces=faces.astype(np.int32),
    )


def colliders() -> Colliders:
    """The shell as static triangles and the box as a hull; convex: slabs in place of the shell."""
    parts = surfaces()
    shell = mesh_of(parts[:-1])
    crate = hull("box 1", Label.OBSTACLE, BOX_LOW, BOX_HIGH)
    walls = [hull(f"slab {n}", Label.FLOOR if n == 0 else Label.WALL, *slab) for n, slab in enumerate(slabs())]
    return Colliders(
        backend="static_mesh",
        parts=(ColliderPart(name="shell", kind="trimesh", label=2, vertices=shell.vertices, faces=shell.faces), crate),
        measured={},
        alternatives={},
        others={"convex": (*walls, crate)},
    )


def space() -> SpaceGrid:
    """What was seen: the room's inside is free, the voxels around its surfaces are at a surface."""
    voxel = 0.05
    low = np.array([-0.5, -0.5, -0.5])
    shape = np.round((SIZE + 1.0) / voxel).astype(int)
    centre = low + (np.indices(shape).reshape(3, -1).T + 0.5) * voxel
    made = mesh_of(surfaces())
    near = RayScene(made.vertices, made.faces).distance(centre) < voxel
    inside = ((centre > 0) & (centre < SIZE)).all(1) & ~((centre > BOX_LOW) & (centre < BOX_HIGH)).all(1)
    state = np.where(near, 2, np.where(inside, 1, 0)).astype(np.uint8)
    return SpaceGrid(origin_m=low, voxel_m=voxel, state=state.reshape(shape))


def world(frames: int = 4) -> World:
    """Exact RGB-D frames of the room: a camera at 1.2 m that turns on the spot."""
    scene = surface()
    poses, images, depths = [], [], []
    for k in range(frames):
        turn = 2 * np.pi * k / frames + 0.4
        eye = np.array([1.5, 1.2, 1.2])
        pose = look_at(eye, eye + np.array([np.cos(turn), np.sin(turn), -0.35]))
        image, depth = _render(scene.visual, pose)
        poses.append(pose)
        images.append(image)
        depths.append(depth)
    depth_m = np.stack(depths).astype(np.float32)
    start = Frames(
        images=np.stack(images),
        depth_m=depth_m,
        valid=depth_m > 0,
        origin=np.full(depth_m.shape, int(PixelOrigin.MEASURED), np.uint8),
        label=np.zeros(depth_m.shape, np.uint8),
        cam_to_world=np.stack(poses),
        intrinsics=CAMERA,
    )
    frame = WorldFrame(
        metric="sensor", gravity="planes", gravity_sigma_rad=0.01, scale_sigma=0.01, T_world_source=np.eye(4)
    )
    return World(start=PosedFrames(frames=start, frame=frame, environment="indoor", provenance=PROVENANCE), segments=())


def _render(visual: TexturedMesh, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest-texel image and z-depth by ray casting."""
    rays = pixel_rays(CAMERA).reshape(-1, 3)
    scene = RayScene(visual.mesh.vertices, visual.mesh.faces)
    t, face, bary = scene.cast(np.broadcast_to(pose[:3, 3], rays.shape), rays @ pose[:3, :3].T)
    weight = np.stack([1 - bary.sum(1), bary[:, 0], bary[:, 1]], 1)
    uv = (visual.uv[face] * weight[..., None]).sum(1)
    height, width = visual.texture.shape[:2]
    column = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    shape = (CAMERA.height, CAMERA.width)
    return visual.texture[row, column].reshape(*shape, 3), t.reshape(shape)
