"""A furnished box room whose depth is known in closed form: rays against axis-aligned boxes and spheres, no meshes."""

from dataclasses import dataclass, field

import numpy as np

from lyra_sim.core.records import Capture, Frames, Intrinsics, Label, PixelOrigin, PosedFrames, Provenance, WorldFrame

CAMERA = Intrinsics(fx=150.0, fy=150.0, cx=120.0, cy=90.0, width=240, height=180)
PROVENANCE = Provenance(backend="test", version="1", config_hash="", seed=0, inputs=(), licences=())


@dataclass
class Room:
    """Seen from inside; boxes and spheres stand in it. z up, floor at z = low[2]."""

    low: tuple[float, float, float] = (-2.5, -2.0, 0.0)
    high: tuple[float, float, float] = (2.5, 2.0, 2.5)
    boxes: list[tuple[tuple[float, float, float], tuple[float, float, float]]] = field(default_factory=list)
    spheres: list[tuple[tuple[float, float, float], float]] = field(default_factory=list)

    def depth(self, T_world_cam: np.ndarray, camera: Intrinsics = CAMERA) -> np.ndarray:
        """(H, W) float64 z-depth; the camera must be inside the room and outside everything else."""
        u = (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx
        v = (np.arange(camera.height) + 0.5 - camera.cy) / camera.fy
        rays = np.stack([*np.broadcast_arrays(u[None, :], v[:, None]), np.ones((camera.height, camera.width))], -1)
        ray, eye = rays @ T_world_cam[:3, :3].T, T_world_cam[:3, 3]
        best = _slabs(eye, ray, self.low, self.high)[1]
        for low, high in self.boxes:
            enter, leave = _slabs(eye, ray, low, high)
            best = np.where((enter < leave) & (enter > 0), np.minimum(best, enter), best)
        for centre, radius in self.spheres:
            a, b = (ray * ray).sum(-1), ray @ (eye - centre)
            disc = b * b - a * (((eye - centre) ** 2).sum() - radius**2)
            t = (-b - np.sqrt(np.maximum(disc, 0))) / a
            best = np.where((disc > 0) & (t > 0), np.minimum(best, t), best)
        return best

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(N,) distance of points to the nearest surface."""
        out = -_outside(points, self.low, self.high)
        for low, high in self.boxes:
            out = np.minimum(np.abs(out), np.abs(_outside(points, low, high)))
        for centre, radius in self.spheres:
            out = np.minimum(np.abs(out), np.abs(np.linalg.norm(points - centre, axis=1) - radius))
        return np.abs(out)


def _slabs(eye, ray, low, high):
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (np.array(low) - eye) / ray, (np.array(high) - eye) / ray
    return np.fmin(a, b).max(-1), np.fmax(a, b).min(-1)


def _outside(points, low, high):
    """Signed distance to a box, positive outside."""
    over = np.maximum(np.array(low) - points, points - np.array(high))
    return np.linalg.norm(np.maximum(over, 0), axis=1) + np.minimum(over.max(1), 0)


def look(eye, target, roll_deg: float = 0.0) -> np.ndarray:
    """cam_to_world (OpenCV axes) of a camera at `eye` that looks at `target`."""
    z = np.array(target, float) - eye
    z /= np.linalg.norm(z)
    x = np.cross(z, [0.0, 0, 1])
    x /= np.linalg.norm(x)
    T = np.eye(4)
    c, s = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    y = np.cross(z, x)
    T[:3, :3] = np.stack([c * x + s * y, -s * x + c * y, z], 1)
    T[:3, 3] = eye
    return T


def circle(count: int, *, height: float = 1.4, radius: float = 0.5, drop: float = 0.5, roll_deg: float = 0.0):
    """Cameras on a small circle, looking outwards and down."""
    angle = np.arange(count) * 2 * np.pi / count
    return np.stack(
        [
            look(
                (radius * np.cos(a), radius * np.sin(a), height),
                (2 * np.cos(a), 2 * np.sin(a), height - drop),
                roll_deg,
            )
            for a in angle
        ]
    )


def capture(
    room: Room, poses: np.ndarray, *, turn: np.ndarray | None = None, noise: float = 0.0, seed: int = 0
) -> Capture:
    """An RGB-D walk through the room, told in a frame turned by `turn`; noise is one sigma of the relative depth
    error."""
    rng = np.random.default_rng(seed)
    depth = np.stack([room.depth(T) for T in poses])
    depth = (depth * (1 + noise * rng.standard_normal(depth.shape))).astype(np.float32)
    shape = depth.shape
    return Capture(
        kind="rgbd",
        name="analytic",
        images=np.full((*shape, 3), 128, np.uint8),
        image_valid=np.ones(shape, bool),
        intrinsics=CAMERA,
        focal_source="given",
        depth_m=depth,
        depth_valid=np.ones(shape, bool),
        cam_to_world=poses if turn is None else turn @ poses,
        facts={},
        provenance=PROVENANCE,
    )


def posed(depth: np.ndarray, poses: np.ndarray, **changed: np.ndarray) -> PosedFrames:
    """Frames with this depth (T, H, W), all measured, in a world frame that needs no turning."""
    arrays = {
        "images": np.full((*depth.shape, 3), 128, np.uint8),
        "valid": depth > 0,
        "origin": np.full(depth.shape, PixelOrigin.MEASURED, np.uint8),
        "label": np.full(depth.shape, Label.UNKNOWN, np.uint8),
    }
    frames = Frames(depth_m=depth.astype(np.float32), cam_to_world=poses, intrinsics=CAMERA, **(arrays | changed))
    frame = WorldFrame(
        metric="sensor", gravity="planes", gravity_sigma_rad=0.001, scale_sigma=0.01, T_world_source=np.eye(4)
    )
    return PosedFrames(frames=frames, frame=frame, environment="indoor", provenance=PROVENANCE)
