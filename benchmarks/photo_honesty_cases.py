"""Photos with known truth for the honesty benchmark: rendered places, and frames of a measured walk given as photos."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lyra_sim.core.records import Capture, Intrinsics, Provenance
from lyra_sim.geometry.camera import pixel_rays, transform
from lyra_sim.procedural.scene import ProceduralScene

FLOOR_TOLERANCE_M = 0.05


@dataclass(frozen=True)
class Case:
    """One photo and what is true about it. The truth frame is Z up with z = 0 on the floor below the camera."""

    name: str
    group: str
    image: np.ndarray
    camera: Intrinsics
    depth_m: np.ndarray
    valid: np.ndarray
    floor: np.ndarray
    """Truth: pixels that show the floor."""
    T_truth_cam: np.ndarray | None
    """None where the floor plane is not known."""
    scene: ProceduralScene | None = None
    scene_from_truth: np.ndarray | None = None

    def capture(self, height_m: float | None) -> Capture:
        """The photo as an input, with its camera's height or without."""
        return Capture(
            kind="photo",
            name=self.name,
            images=self.image[None].copy(),
            image_valid=np.ones((1, *self.depth_m.shape), bool),
            intrinsics=self.camera,
            focal_source="given",
            camera_height_m=height_m,
            facts={},
            provenance=Provenance(backend="benchmark", version="1", config_hash="", seed=0, inputs=(), licences=()),
        )

    @property
    def height_m(self) -> float | None:
        """True camera height above the floor."""
        return None if self.T_truth_cam is None else float(self.T_truth_cam[2, 3])


def camera_of(facts: dict) -> Intrinsics:
    """`camera.json` of the data folder has integer pixel centres; ours are at (0.5, 0.5)."""
    return Intrinsics(
        fx=float(facts["fx"]),
        fy=float(facts["fy"]),
        cx=facts["cx"] + 0.5,
        cy=facts["cy"] + 0.5,
        width=facts["width"],
        height=facts["height"],
    )


def walk_cases(folder: Path, *, step: int) -> list[Case]:
    """Every `step`-th frame of a measured walk as a plain photo; the floor is a plane through the depth of all."""
    facts = json.loads((folder / "camera.json").read_text())
    camera = camera_of(facts)
    poses = np.loadtxt(folder / "poses.txt").reshape(-1, 4, 4)
    colors, depths = sorted((folder / "color").iterdir()), sorted((folder / "depth").iterdir())
    rays = pixel_rays(camera)

    def depth_of(i: int) -> np.ndarray:
        return _read(depths[i], cv2.IMREAD_UNCHANGED).astype(np.float32) / facts["depth_scale"]

    sample = []
    for i in range(0, len(depths), 3):
        depth = depth_of(i)
        near = (depth > 0.2) & (depth < 6)
        sample.append(transform(poses[i], (rays[near] * depth[near][:, None])[::37]))
    up, offset = floor_plane(np.concatenate(sample), -poses[:, :3, 1].mean(0), poses[:, :3, 3].mean(0))
    cases = []
    for i in range(0, len(colors), step):
        depth = depth_of(i)
        T = levelled(poses[i][:3, :3].T @ up, float(up @ poses[i][:3, 3] + offset))
        height = (rays * depth[..., None]) @ T[2, :3] + T[2, 3]
        valid = depth > 0.1
        cases.append(
            Case(
                name=f"{folder.name}_{i}",
                group=folder.name,
                image=cv2.cvtColor(_read(colors[i], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB),
                camera=camera,
                depth_m=depth,
                valid=valid,
                floor=valid & (np.abs(height) < FLOOR_TOLERANCE_M),
                T_truth_cam=T,
            )
        )
    return cases


def single_cases(folder: Path) -> list[Case]:
    """Single photos with measured depth; where their floor lies is not known."""
    cases = []
    for item in sorted(folder.iterdir()):
        facts = json.loads((item / "camera.json").read_text())
        depth = _read(item / "depth.png", cv2.IMREAD_UNCHANGED).astype(np.float32) / facts["depth_scale"]
        image = cv2.cvtColor(_read(next(item.glob("rgb.*")), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        camera = camera_of(facts)
        factor = min(1.0, 960 / max(image.shape[:2]))
        if factor < 1:
            image, depth, camera = _smaller(image, depth, camera, factor)
        none = np.zeros(depth.shape, bool)
        cases.append(Case(item.name, "single", image, camera, depth, depth > 0.1, none, None))
    return cases


def _smaller(image: np.ndarray, depth: np.ndarray, camera: Intrinsics, factor: float):
    """Image by area, sparse depth point by point."""
    width, height = round(camera.width * factor), round(camera.height * factor)
    out = np.zeros((height, width), np.float32)
    v, u = np.nonzero(depth > 0)
    out[(v * height) // depth.shape[0], (u * width) // depth.shape[1]] = depth[v, u]
    sx, sy = width / camera.width, height / camera.height
    small = dataclasses.replace(
        camera, fx=camera.fx * sx, fy=camera.fy * sy, cx=camera.cx * sx, cy=camera.cy * sy, width=width, height=height
    )
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), out, small


def levelled(up_cam: np.ndarray, height_m: float) -> np.ndarray:
    """Camera to a frame with Z up, x ahead and the camera `height_m` above the origin."""
    ahead = np.array([0.0, 0.0, 1.0]) - up_cam * up_cam[2]
    if np.linalg.norm(ahead) < 1e-6:
        ahead = np.array([0.0, -1.0, 0.0]) + up_cam * up_cam[1]
    ahead /= np.linalg.norm(ahead)
    T = np.eye(4)
    T[:3, :3] = np.stack([ahead, np.cross(up_cam, ahead), up_cam])
    T[2, 3] = height_m
    return T


def floor_plane(points: np.ndarray, up: np.ndarray, eye: np.ndarray) -> tuple[np.ndarray, float]:
    """Lowest well supported plane below the cameras (RANSAC, refined): unit normal and offset, n . p + d = 0."""
    rng = np.random.default_rng(0)
    up = up / np.linalg.norm(up)
    best, best_score = (up, 0.0), -np.inf
    for _ in range(3000):
        a, b, c = points[rng.choice(len(points), 3, replace=False)]
        n = np.cross(b - a, c - a)
        length = np.linalg.norm(n)
        if length < 1e-4 or abs(n @ up) < np.cos(np.deg2rad(40)) * length:
            continue
        n = n / length * np.sign(n @ up)
        d = -float(n @ a)
        height = points @ n + d
        if n @ eye + d < 0.3:
            continue
        score = float((np.abs(height) < 0.03).sum() - 2.0 * (height < -0.08).sum())
        if score > best_score:
            best, best_score = (n, d), score
    n, d = best
    for _ in range(5):
        inlier = points[np.abs(points @ n + d) < 0.03]
        centre = inlier.mean(0)
        normal = np.linalg.svd(inlier - centre, full_matrices=False)[2][2]
        n = normal * np.sign(normal @ n)
        d = -float(n @ centre)
    return n, d


def _read(path: Path, flag: int) -> np.ndarray:
    image = cv2.imread(str(path), flag)
    if image is None:
        raise OSError(f"{path} is not an image")
    return image
