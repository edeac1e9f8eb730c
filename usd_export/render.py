"""Pictures of a read scene for people: an oblique overview and a plan from above, ceilings taken off."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from lyra_sim.collision.measure import area_samples
from lyra_sim.core.records import Intrinsics
from lyra_sim.geometry.camera import invert, project, transform
from usd_export.appearance import Appearance
from usd_export.records import SceneGeometry

_CORNERS = tuple(np.array([x * 0.58, y * 0.46, 0.67]) for x, y in ((-1, -1), (-1, 1), (1, -1), (1, 1)))
_SAMPLES = 4000
_FRAMED = 0.97
_BACKGROUND = 48.0
_HIDDEN = ("ceiling", "sky")
_FAR_M = 1e4


def render_overview(scene: SceneGeometry, width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
    """An oblique look from above into the scene, from that of four corners which shows most of it; faces turned away
    from the camera are left out."""
    shown = _opened(scene)
    samples = area_samples(*shown.visual_mesh(), _SAMPLES, 0)
    if len(samples) == 0:
        return np.full((height, width, 3), int(_BACKGROUND), np.uint8)
    camera = Intrinsics(fx=1.1 * width, fy=1.1 * width, cx=width / 2, cy=height / 2, width=width, height=height)
    stride = max(1, width // 120)
    best, pictured = -1, None
    for corner in _CORNERS:
        eye, target = _fitting_eye(samples, camera, corner)
        look, pose = Appearance(shown, facing=eye), look_at(eye, target)
        covered = int(look.look(camera, pose, stride)[1].sum())
        if covered > best:
            best, pictured = covered, (look, pose)
    assert pictured is not None
    return _picture(*pictured[0].look(camera, pictured[1]))


def render_from_above(
    scene: SceneGeometry, width: int, height: int, *, path: Float[np.ndarray, "T 3"] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """The plan, x to the right and y up, with the cameras' path drawn in when given."""
    shown = _opened(scene)
    low, high = _bounds(shown)
    scale = 0.96 * min(width / (high[0] - low[0]), height / (high[1] - low[1]))
    middle = (low + high) / 2
    x = middle[0] + (np.arange(width) + 0.5 - width / 2) / scale
    y = middle[1] - (np.arange(height) + 0.5 - height / 2) / scale
    origins = np.stack([*np.meshgrid(x, y), np.full((height, width), high[2] + 1.0)], -1).reshape(-1, 3)
    above = np.array([*middle[:2], _FAR_M])
    color, hit = Appearance(shown, facing=above).along(origins, np.broadcast_to([0.0, 0.0, -1.0], origins.shape))
    picture = _picture(color.reshape(height, width, 3), hit.reshape(height, width))
    if path is None or len(path) == 0:
        return picture
    image = Image.fromarray(picture)
    line = [(width / 2 + (p[0] - middle[0]) * scale, height / 2 - (p[1] - middle[1]) * scale) for p in path]
    draw = ImageDraw.Draw(image)
    draw.line(line, fill=(220, 30, 30), width=2)
    draw.ellipse([(line[0][0] - 4, line[0][1] - 4), (line[0][0] + 4, line[0][1] + 4)], fill=(220, 30, 30))
    return np.array(image)


def _opened(scene: SceneGeometry) -> SceneGeometry:
    """The visible meshes without ceilings and sky, unless that leaves nothing."""
    shown = tuple(v for v in scene.visuals if v.label not in _HIDDEN) or scene.visuals
    return SceneGeometry(visuals=shown, colliders=())


def _bounds(scene: SceneGeometry) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the box that holds all but the outermost percent of the surface, and a little air around it."""
    samples = area_samples(*scene.visual_mesh(), _SAMPLES, 0)
    if len(samples) == 0:
        samples = np.zeros((1, 3))
    return np.percentile(samples, 1, axis=0) - 0.1, np.percentile(samples, 99, axis=0) + 0.1


def _picture(color: np.ndarray, hit: np.ndarray) -> np.ndarray:
    return np.clip(np.round(np.where(hit[..., None], color, _BACKGROUND)), 0, 255).astype(np.uint8)


def _fitting_eye(samples: np.ndarray, camera: Intrinsics, corner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest eye in the direction `corner` that sees all but the outermost samples, and where it looks."""
    low, high = np.percentile(samples, 3, axis=0), np.percentile(samples, 97, axis=0)
    middle = (low + high) / 2
    distance = float(np.linalg.norm(high - low)) / 2 + 0.2
    while True:
        eye = middle + distance * corner
        uv, z = project(transform(invert(look_at(eye, middle)), samples), camera)
        inside = (z > 0) & (uv > 0).all(1) & (uv < (camera.width, camera.height)).all(1)
        if inside.mean() >= _FRAMED:
            return eye, middle
        distance *= 1.05


def look_at(eye: Float[np.ndarray, "3"], target: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """Camera-to-world of a camera at `eye` that looks at `target`, upright (z up), OpenCV axes."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    T_world_cam = np.eye(4)
    T_world_cam[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    T_world_cam[:3, 3] = eye
    return T_world_cam
