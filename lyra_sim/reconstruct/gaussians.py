"""Gaussians of a network's head into the world: along the rays of the known cameras, in metres.

The published procedure places them by predicted cameras that are laid over estimated ones; ours are exact, and a
Gaussian on its pixel's own ray stays where the surface that was fused from the same frames is. Only the degree 0 of the
harmonics is kept, as nv-tlabs/lyra does: it does not turn with the camera.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import GaussianSplats, Intrinsics
from lyra_sim.depth.align import fit_centres, judge, separate_centres
from lyra_sim.depth.networks.prediction import PixelGaussians
from lyra_sim.geometry.camera import pixel_rays, transform
from lyra_sim.reconstruct.views import Chunk, View

_EXTENT_UNIT = 0.1
_TILES = 4
_LEAST_TILES = 8
_LEAST_SIGMA = 0.01
_MAX_SIGMA = 0.1
"""One sigma of ln(scale) up to which remembered depth says how large the Gaussians are; more shows as splats that stand
off the surfaces."""
_MAX_RESIDUAL = 0.25
"""Cameras and remembered depth that differ by more contradict each other."""
_MEDIAN_SIGMA = 1.4826 * 1.2533
"""One sigma of a median of n values is this times their median absolute deviation, over the root of n."""


def rays_of(made: PixelGaussians, view: int, camera: Intrinsics) -> Float[np.ndarray, "H W 3"]:
    """Rays with z = 1 through the Gaussians of one view, in camera axes, float64."""
    rays = pixel_rays(camera)
    rays[..., :2] += made.offset_px[view] / np.array([camera.fx, camera.fy])
    return rays


def depth_of(made: PixelGaussians, view: int, camera: Intrinsics) -> Float[np.ndarray, "H W"]:
    """z-depth of the Gaussians of one view, network's unit."""
    return made.distance[view] / np.linalg.norm(rays_of(made, view, camera), axis=-1)


def place(made: PixelGaussians, index: int, view: View, scale: float, keep: Bool[np.ndarray, "H W"]) -> GaussianSplats:
    """The kept Gaussians of one view in the world, in row-major order of their pixels.

    Args:
        scale: network's units per metre.
    """
    camera, rays = view.camera, rays_of(made, index, view.camera)[keep]
    distance = made.distance[index][keep].astype(np.float64) / scale
    centres = rays * (distance / np.linalg.norm(rays, axis=1))[:, None]
    unit = _EXTENT_UNIT * (1.0 / camera.fx + 1.0 / camera.fy) * distance
    turn = Rotation.from_matrix(view.T_world_cam[:3, :3]) * Rotation.from_quat(made.quaternions_xyzw[index][keep])
    return GaussianSplats(
        means=transform(view.T_world_cam, centres).astype(np.float32),
        quaternions=turn.as_quat(canonical=True, scalar_first=True).astype(np.float32).reshape(-1, 4),
        scales_m=(made.extent[index][keep] * unit[:, None]).astype(np.float32),
        opacity=made.opacity[index][keep],
        sh=made.sh_dc[index][keep][:, None, :],
    )


@dataclass(frozen=True)
class Scale:
    """How large the Gaussians of a chunk are, and who says so."""

    value: float
    """Network's units per metre."""
    told_by: str
    """`cameras` or `remembered depth`."""
    sigma: float
    """One sigma of its logarithm."""
    residual: float | None
    """Logarithm of what the cameras say over what remembered depth says; None where one of them says nothing."""


def find_scale(made: PixelGaussians, chunk: Chunk, min_opacity: float) -> Scale:
    """Scale of one chunk: by the known cameras (`depth.align`) or by the remembered depth, whichever is surer.

    Args:
        min_opacity: Gaussians below say nothing.

    Raises:
        SceneError: neither determines it, or they contradict each other.
    """
    depth = np.stack([depth_of(made, i, view.camera) for i, view in enumerate(chunk.views)]).astype(np.float32)
    cameras, refused = _by_cameras(made, chunk, depth)
    ratios = _log_ratios(depth, made.opacity, chunk.views, min_opacity)
    memory, shape = _by_memory(ratios)
    if cameras is None and memory is None:
        raise SceneError(
            "reconstruct",
            expected="cameras or remembered depth that say how large the predicted Gaussians are",
            got=f"cameras: {refused}; remembered depth: {shape}",
            todo="Use reconstruct.backend=tsdf, or an input whose camera moves more.",
        )
    residual = None if cameras is None or memory is None else cameras[1] - memory[1]
    if residual is not None and abs(residual) > _MAX_RESIDUAL:
        raise SceneError(
            "reconstruct",
            expected=f"cameras and remembered depth that agree on the scale to {_MAX_RESIDUAL:.0%}",
            got=f"{math.exp(residual):.2f} times as large by the cameras",
            todo="Use reconstruct.backend=tsdf: these splats would stand beside the surfaces that robots touch.",
        )
    sigma, log_scale, told_by = min(told for told in (cameras, memory) if told is not None)
    return Scale(math.exp(log_scale), told_by, sigma, residual)


def _by_cameras(
    made: PixelGaussians, chunk: Chunk, depth: Float[np.ndarray, "V H W"]
) -> tuple[tuple[float, float, str] | None, str]:
    """(sigma, ln(scale), who says so), or why the cameras determine none."""
    if made.w2c is None:
        return None, "the network predicts none"
    fit = fit_centres(separate_centres(chunk.w2c), made.w2c)
    verdict = judge(fit, chunk.w2c, made.w2c, depth)
    if fit is None or not verdict.trusted:
        return None, verdict.why
    return (verdict.sigma, math.log(fit.sim3.scale), "cameras"), ""


def _by_memory(ratios: Float[np.ndarray, "N"]) -> tuple[tuple[float, float, str] | None, str]:
    """(sigma, ln(scale), who says so), or why remembered depth determines none.

    The spread of a few tiles is chance (one tile has none; of three it gives less than a third of the true sigma in
    31 % of draws, of eight in 3 %), so fewer than `_LEAST_TILES` determine nothing. Errors that all tiles share, of the
    sensor's or network's unit, show in no spread, so sigma is at least `_LEAST_SIGMA`.
    """
    if len(ratios) < _LEAST_TILES:
        return None, f"in {len(ratios)} tiles, {_LEAST_TILES} needed"
    middle = float(np.median(ratios))
    spread = float(np.median(np.abs(ratios - middle)))
    # views of one walk share their errors: only the tiles of one image count as independent
    sigma = max(_LEAST_SIGMA, _MEDIAN_SIGMA * spread / math.sqrt(min(len(ratios), _TILES**2)))
    if sigma > _MAX_SIGMA:
        return None, f"differs in shape by {spread:.0%}"
    return (sigma, middle, "remembered depth"), ""


def _log_ratios(
    depth: Float[np.ndarray, "V H W"], opacity: Float[np.ndarray, "V H W"], views: Sequence[View], min_opacity: float
) -> Float[np.ndarray, "N"]:
    """Median of ln(predicted / remembered depth) in each of 4 x 4 tiles of each view, where a tile has any."""
    medians = []
    for z, alpha, view in zip(depth, opacity, views, strict=True):
        known = (view.depth_m > 0) & (alpha >= min_opacity) & np.isfinite(z) & (z > 0)
        ratio = np.full(z.shape, np.nan)
        ratio[known] = np.log(z[known].astype(np.float64) / view.depth_m[known])
        tiles = [tile for rows in np.array_split(ratio, _TILES, 0) for tile in np.array_split(rows, _TILES, 1)]
        medians += [float(np.nanmedian(tile)) for tile in tiles if not np.isnan(tile).all()]
    return np.array(medians)
