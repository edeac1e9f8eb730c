"""The exact camera: casts a ray through every pixel centre of a procedural scene and says what it met.

Depth, normals and labels are those of the mesh at the pixel's centre, without anti-aliasing. Colour is shaded at the
hit point (pattern, one sun or lamp with cast shadows, windows and sky as ambient light, contact shadows) and
supersampled where the picture has edges.
"""

import functools

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numba import njit

from lyra_sim.core.record import record
from lyra_sim.core.records import Intrinsics, Label
from lyra_sim.geometry.camera import pixel_rays
from lyra_sim.geometry.rays import RayScene
from lyra_sim.procedural import textures
from lyra_sim.procedural.occlusion import contact_shadow
from lyra_sim.procedural.scene import Pattern, ProceduralScene

EXPOSURE = 1.5


@record
class Rendered:
    """One exact view of a procedural scene."""

    image: UInt8[np.ndarray, "H W 3"]
    depth_m: Float32[np.ndarray, "H W"]
    """z-depth; 0 where `valid` is false."""
    valid: Bool[np.ndarray, "H W"]
    """False where the ray meets nothing: sky."""
    normal: Float32[np.ndarray, "H W 3"]
    """Unit face normal in the world frame, towards free space; 0 in the sky."""
    label: UInt8[np.ndarray, "H W"]
    """`Label` of the face; SKY where nothing is met."""


@functools.lru_cache(maxsize=4)
def ray_scene(scene: ProceduralScene) -> RayScene:
    """The scene's triangles, ready for rays; kept for the last few scenes."""
    return RayScene(scene.vertices, scene.faces)


@functools.lru_cache(maxsize=8)
def face_normals(scene: ProceduralScene) -> np.ndarray:
    """(M, 3) unit normals by winding, float64."""
    p = scene.vertices[scene.faces].astype(np.float64)
    n = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    size = np.linalg.norm(n, axis=1, keepdims=True)
    assert size.min() > 1e-12, "a face without area has no normal"
    return n / size


def render(
    scene: ProceduralScene,
    cam_to_world: np.ndarray,
    camera: Intrinsics,
    *,
    colour: bool = True,
    antialias: bool = True,
    noise_seed: int | None = None,
) -> Rendered:
    """Show `scene` from `cam_to_world` (4, 4).

    Args:
        colour: False leaves the image black and takes a fifth of the time.
        antialias: supersample the edges of the picture 2 by 2.
        noise_seed: adds the noise of a small sensor (shot and read noise, about 1 % in the mid-tones).
    """
    rays = pixel_rays(camera)
    h, w = camera.height, camera.width
    direction = (rays.reshape(-1, 3) @ cam_to_world[:3, :3].T).astype(np.float32)
    t, face, bary = ray_scene(scene).cast(np.broadcast_to(cam_to_world[:3, 3], direction.shape), direction)
    met = face >= 0
    normal = np.zeros((h * w, 3), np.float32)
    normal[met] = face_normals(scene)[face[met]]
    label = np.full(h * w, int(Label.SKY), np.uint8)
    label[met] = scene.face_label[face[met]]
    depth = np.where(met, t, 0).astype(np.float32).reshape(h, w)
    image = np.zeros((h, w, 3), np.uint8)
    if colour:
        origin = cam_to_world[:3, 3].astype(np.float64)
        foot = 1.0 / camera.fx
        radiance = _radiance(scene, origin, direction, t, face, bary, foot).reshape(h, w, 3)
        shade = contact_shadow(ray_scene(scene), origin, direction, depth, normal.reshape(h, w, 3))
        if antialias:
            _smooth_edges(scene, origin, camera, cam_to_world, radiance, face)
        image = _develop(radiance * shade[..., None], noise_seed)
    return Rendered(
        image=image, depth_m=depth, valid=met.reshape(h, w), normal=normal.reshape(h, w, 3), label=label.reshape(h, w)
    )


def _smooth_edges(
    scene: ProceduralScene,
    origin: np.ndarray,
    camera: Intrinsics,
    cam_to_world: np.ndarray,
    radiance: np.ndarray,
    face: np.ndarray,
) -> None:
    """Replace the radiance of pixels at edges by the mean of four rays through the pixel; in place."""
    h, w = camera.height, camera.width
    paint = np.where(face >= 0, scene.face_paint[face], -1).reshape(h, w)
    tone = np.log(radiance.sum(2) + 0.02)
    edge = np.zeros((h, w), bool)
    for change in ((paint[:, 1:] != paint[:, :-1]) | (np.abs(np.diff(tone, axis=1)) > 0.25),):
        edge[:, 1:] |= change
        edge[:, :-1] |= change
    for change in ((paint[1:] != paint[:-1]) | (np.abs(np.diff(tone, axis=0)) > 0.25),):
        edge[1:] |= change
        edge[:-1] |= change
    v, u = np.nonzero(edge)
    total = np.zeros((len(v), 3))
    for du, dv in ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125)):  # rotated grid
        ray = np.stack(
            [(u + 0.5 + du - camera.cx) / camera.fx, (v + 0.5 + dv - camera.cy) / camera.fy, np.ones(len(u))], 1
        )
        direction = (ray @ cam_to_world[:3, :3].T).astype(np.float32)
        t, hit, bary = ray_scene(scene).cast(np.broadcast_to(origin, direction.shape), direction)
        total += np.minimum(_radiance(scene, origin, direction, t, hit, bary, 0.5 / camera.fx), 2.0)
    radiance[v, u] = total / 4


def _radiance(
    scene: ProceduralScene,
    origin: np.ndarray,
    direction: np.ndarray,
    t: np.ndarray,
    face: np.ndarray,
    bary: np.ndarray,
    foot: float,
) -> np.ndarray:
    """(N, 3) linear light of rays that met `face` at `t` (in units of z-depth); `foot` is a pixel's angle."""
    met = face >= 0
    out = np.empty((len(face), 3))
    out[~met] = _sky(scene, direction[~met])
    lights, paints, hit = scene.lights, scene.paints, face[met]
    point, normal, geometric, start, width, lamp = _surface(
        origin, direction[met], t[met], hit, bary[met], scene.faces, scene.vertex_normal, face_normals(scene),
        lights.zone_m, foot,
    )  # fmt: skip
    sunlit = _sees_sun(scene, start, geometric, normal)
    lamplit = _sees_lamp(scene, start, geometric, lamp)
    out[met] = _shade(
        point, normal, geometric, scene.face_paint[hit], width, sunlit, lamplit, lamp,
        paints.pattern, paints.color_a, paints.color_b, paints.scale_m, paints.origin_m, paints.yaw_rad, paints.seed,
        lights.to_sun, lights.sun, lights.sky, lights.ground, lights.lamp_m, lights.lamp,
        lights.window_m, lights.window_normal, lights.window_area_m2, lights.window_zone,
    )  # fmt: skip
    return out


@njit(cache=True)
def _surface(origin, direction, t, face, bary, faces, vertex_normal, face_normal, zones, foot):
    """Per hit: point, shading normal, face normal, start of shadow rays, width of the pixel there, lamp zone (-1
    without lamps; in a doorway the nearest room)."""
    n = len(t)
    point, normal, geometric, start = np.empty((n, 3)), np.empty((n, 3)), np.empty((n, 3)), np.empty((n, 3))
    width, lamp = np.empty(n), np.full(n, -1, np.int64)
    for i in range(n):
        f = face[i]
        b, c = bary[i, 0], bary[i, 1]
        size = toward = length = 0.0
        for k in range(3):
            v = vertex_normal[faces[f, 0], k] * (1 - b - c) + vertex_normal[faces[f, 1], k] * b
            v += vertex_normal[faces[f, 2], k] * c
            normal[i, k] = v
            size += v * v
            geometric[i, k] = face_normal[f, k]
            point[i, k] = origin[k] + direction[i, k] * t[i]
            start[i, k] = point[i, k] + 2e-3 * face_normal[f, k]
            toward += face_normal[f, k] * direction[i, k]
            length += direction[i, k] ** 2
        for k in range(3):
            normal[i, k] /= np.sqrt(size)
        width[i] = foot * t[i] / np.sqrt(max(abs(toward) / np.sqrt(length), 0.02))
        nearest = np.inf
        for j in range(len(zones)):
            x, y = point[i, 0] + 0.05 * geometric[i, 0], point[i, 1] + 0.05 * geometric[i, 1]
            outside = max(max(zones[j, 0] - x, x - zones[j, 2]), max(zones[j, 1] - y, y - zones[j, 3]))
            if outside < nearest - 1e-4:
                nearest, lamp[i] = outside, j
    return point, normal, geometric, start, width, lamp


def _sky(scene: ProceduralScene, direction: np.ndarray) -> np.ndarray:
    """Sky light by direction: pale at the horizon, bluer above, brighter around the sun."""
    unit = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    up = np.clip(unit[:, 2:3], 0, 1)
    toward = np.clip(unit @ scene.lights.to_sun, 0, 1)[:, None]
    sky = np.array([0.95, 1.0, 1.05]) * (1 - up**0.5) + np.array([0.32, 0.52, 0.95]) * up**0.5
    return sky * scene.lights.sky.max() * 1.6 + 0.8 * toward**64 * scene.lights.sun


def _sees_sun(scene: ProceduralScene, start: np.ndarray, geometric: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """1 where the sun reaches, passing through window panes."""
    to_sun = scene.lights.to_sun
    lit = np.zeros(len(start), np.float32)
    if scene.lights.sun.max() <= 0:
        return lit
    facing = np.nonzero((geometric @ to_sun > 1e-3) & (normal @ to_sun > 0))[0]
    _, hit, _ = ray_scene(scene).cast(start[facing], np.broadcast_to(to_sun, (len(facing), 3)))
    through = scene.paints.pattern[scene.face_paint[hit]] == int(Pattern.PANE)
    lit[facing] = (hit < 0) | through
    return lit


def _sees_lamp(scene: ProceduralScene, start: np.ndarray, geometric: np.ndarray, lamp: np.ndarray) -> np.ndarray:
    """1 where the lamp of the point's room is not hidden."""
    lit = np.zeros(len(start), np.float32)
    if not len(scene.lights.lamp_m):
        return lit
    way = scene.lights.lamp_m[lamp] - start
    facing = np.nonzero(np.einsum("ij,ij->i", way, geometric) > 0)[0]
    t, _, _ = ray_scene(scene).cast(start[facing], way[facing])
    length = np.sqrt(np.einsum("ij,ij->i", way[facing], way[facing]))
    lit[facing] = t > 1 - 0.12 / length  # the lamp's own shade does not hide it
    return lit


@njit(cache=True)
def _shade(
    point, normal, geometric, paint, foot, sunlit, lamplit, lamp,
    pattern, color_a, color_b, scale, origin, yaw, seed,
    to_sun, sun, sky, ground, lamp_m, lamp_color,
    window_m, window_normal, window_area, window_zone,
):  # fmt: skip
    out = np.empty((len(point), 3))
    rgb = np.empty(3)
    for i in range(len(point)):
        p, n, k = point[i], normal[i], paint[i]
        c, s = np.cos(yaw[k]), np.sin(yaw[k])
        dx, dy, dz = p[0] - origin[k, 0], p[1] - origin[k, 1], p[2] - origin[k, 2]
        x, y = c * dx + s * dy, c * dy - s * dx
        nx, ny = c * geometric[i, 0] + s * geometric[i, 1], c * geometric[i, 1] - s * geometric[i, 0]
        if abs(geometric[i, 2]) >= max(abs(nx), abs(ny)):
            u, v = x, y
        elif abs(nx) > abs(ny):
            u, v = y, dz
        else:
            u, v = x, dz
        textures.albedo(pattern[k], u, v, scale[k], color_a[k], color_b[k], foot[i], seed[k], rgb)
        if pattern[k] == textures.PANE or pattern[k] == textures.GLOW:
            out[i] = rgb
            continue
        sun_cos = sunlit[i] * max(0.0, n[0] * to_sun[0] + n[1] * to_sun[1] + n[2] * to_sun[2])
        lamp_gain = 0.0
        if lamp[i] >= 0 and lamplit[i] > 0:
            lx, ly, lz = lamp_m[lamp[i], 0] - p[0], lamp_m[lamp[i], 1] - p[1], lamp_m[lamp[i], 2] - p[2]
            d2 = lx * lx + ly * ly + lz * lz
            lamp_gain = max(0.0, n[0] * lx + n[1] * ly + n[2] * lz) / np.sqrt(d2) / (0.6 + d2)
        window = 0.0
        for j in range(len(window_m)):
            if window_zone[j] == lamp[i]:
                wx, wy, wz = window_m[j, 0] - p[0], window_m[j, 1] - p[1], window_m[j, 2] - p[2]
                d2 = wx * wx + wy * wy + wz * wz
                here = n[0] * wx + n[1] * wy + n[2] * wz
                there = -(window_normal[j, 0] * wx + window_normal[j, 1] * wy + window_normal[j, 2] * wz)
                # a wide source still reaches surfaces whose horizon cuts it: hence the 0.25
                here = max(0.0, here + 0.25 * np.sqrt(d2)) / 1.25
                window += window_area[j] * here * max(0.0, there) / (d2 * (3.14159 * d2 + window_area[j]))
        up = 0.5 + 0.5 * n[2]
        for q in range(3):
            light = sky[q] * up + ground[q] * (1 - up) + sun[q] * sun_cos + 1.4 * window
            if lamp[i] >= 0:
                light += lamp_color[lamp[i], q] * lamp_gain
            out[i, q] = rgb[q] * light
    return out


def _develop(radiance: np.ndarray, noise_seed: int | None) -> np.ndarray:
    """Linear light to sRGB bytes: exposure, a soft shoulder, sensor noise."""
    x = radiance * EXPOSURE
    x = x * (1 + x / 6.0) / (1 + x)  # Reinhard et al., "Photographic tone reproduction", 2002, eq. 4 with L_white^2 = 6
    if noise_seed is not None:
        rng = np.random.default_rng(noise_seed)
        grain = rng.standard_normal(x.shape, dtype=np.float32)
        x = x + grain * np.sqrt(np.maximum(x, 0) * 1.2e-4 + 1e-6)
    x = np.clip(x, 0, 1)
    srgb = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(x, 1 / 2.4) - 0.055)
    return (srgb * 255 + 0.5).astype(np.uint8)
