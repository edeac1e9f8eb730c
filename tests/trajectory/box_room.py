"""A room with one box in it, ray-cast on paper: what planner, generator and loop are tested in."""

import numpy as np

from lyra_sim.core.records import Frames, Intrinsics, Label, PixelOrigin, PosedFrames, Provenance, WorldFrame
from lyra_sim.geometry.camera import pixel_rays
from lyra_sim.trajectory.motion import level_camera

LOW, HIGH = np.array([-0.6, -2.2, 0.0]), np.array([5.0, 2.2, 2.6])
BOX_LOW, BOX_HIGH = np.array([2.6, -1.6, 0.0]), np.array([3.2, -0.7, 0.8])
CAMERA = Intrinsics(fx=240.0, fy=240.0, cx=160.0, cy=120.0, width=320, height=240)


def pose_at(x: float, y: float, z: float, heading: float = 0.0, pitch: float = 0.35) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = level_camera(heading, pitch)
    T[:3, 3] = x, y, z
    return T


def paint(points: np.ndarray) -> np.ndarray:
    """Smooth colours of the places themselves (N, 3) -> (N, 3) uint8."""
    waves = np.stack(
        [np.sin(2 * points[..., 0] + points[..., 2]), np.sin(2 * points[..., 1]), np.cos(points.sum(-1))], -1
    )
    return (128 + 90 * waves + 0.5).astype(np.uint8)


def cast(pose: np.ndarray, camera: Intrinsics = CAMERA) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z-depth, label and world points of every pixel."""
    way = pixel_rays(camera) @ pose[:3, :3].T
    eye = pose[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        exit_t = np.where(way > 0, (HIGH - eye) / way, (LOW - eye) / way)
        a, b = (BOX_LOW - eye) / way, (BOX_HIGH - eye) / way
    depth, side = exit_t.min(-1), exit_t.argmin(-1)
    label = np.where(side < 2, int(Label.WALL), np.where(way[..., 2] < 0, int(Label.FLOOR), int(Label.CEILING)))
    near, far = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
    hit = (near < far) & (near > 0) & (near < depth)
    depth, label = np.where(hit, near, depth), np.where(hit, int(Label.OBSTACLE), label)
    return depth, label.astype(np.uint8), eye + way * depth[..., None]


def room_frames(poses: np.ndarray, camera: Intrinsics = CAMERA, *, labelled: bool = True) -> Frames:
    """Exact frames of the room."""
    shown = [cast(pose, camera) for pose in poses]
    depth = np.stack([s[0] for s in shown]).astype(np.float32)
    label = np.stack([s[1] for s in shown])
    return Frames(
        images=np.stack([paint(s[2]) for s in shown]),
        depth_m=depth,
        valid=np.ones(depth.shape, bool),
        origin=np.full(depth.shape, int(PixelOrigin.MEASURED), np.uint8),
        label=label if labelled else np.zeros_like(label),
        cam_to_world=np.asarray(poses, np.float64),
        intrinsics=camera,
    )


def all_around() -> np.ndarray:
    """Poses from which every bit of floor is seen, behind the box too."""
    poses = [pose_at(1.5, y, 1.4, heading, 0.5) for y in (-1.5, 1.5) for heading in np.arange(0, 6.3, 0.7)]
    poses += [pose_at(4.8, y, 1.4, np.pi, pitch) for y in (-1.9, -1.2, 0.0) for pitch in (0.5, 1.0)]
    return np.stack(poses)


def start_of(frames: Frames, metric: str = "camera_height_prior") -> PosedFrames:
    return PosedFrames(
        frames=frames,
        frame=WorldFrame(
            metric=metric,  # pyright: ignore[reportArgumentType]
            gravity="planes",
            gravity_sigma_rad=0.01,
            scale_sigma=0.1,
            T_world_source=np.eye(4),
        ),
        environment="indoor",
        provenance=Provenance(backend="paper", version="1", config_hash="", seed=0, inputs=(), licences=()),
    )


def room_distance(xy: np.ndarray) -> np.ndarray:
    """Horizontal distance of points (N, 2) to the nearest wall or to the box, metres."""
    walls = np.minimum(xy - LOW[:2], HIGH[:2] - xy).min(1)
    outside = np.maximum(np.maximum(BOX_LOW[:2] - xy, xy - BOX_HIGH[:2]), 0)
    return np.minimum(walls, np.linalg.norm(outside, axis=1))
