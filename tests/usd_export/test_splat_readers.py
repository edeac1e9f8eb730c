"""Splats as other programs read them: plyfile, Newton's PLY and USD importers, and its camera sensor. The last is held
against the definition of a Gaussian splat, evaluated on the arrays that were written."""

import ctypes
from pathlib import Path

import libusb_package
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lyra_sim.core.records import GaussianSplats
from lyra_sim.io.meshes import write_splats_ply
from usd_export.layers import save
from usd_export.visual import splats_stage

DC = 0.28209479177387814
"""The constant spherical harmonic."""
WIDTH, HEIGHT, FOCAL_PX, CAMERA_Z = 160, 120, 100.0, 3.0
LEAST_RESPONSE = 0.1
"""Newton leaves out of a splat what responds less."""


def splats(degree: int, count: int = 24) -> GaussianSplats:
    """Long, thin and tilted splats in front of a camera at (0, 0, 3) that looks down."""
    rng = np.random.default_rng(degree)
    turn = rng.normal(size=(count, 4))
    return GaussianSplats(
        means=rng.uniform((-1.4, -1.0, -0.4), (1.4, 1.0, 0.4), (count, 3)).astype(np.float32),
        quaternions=(turn / np.linalg.norm(turn, axis=1, keepdims=True)).astype(np.float32),
        scales_m=np.exp(rng.uniform(np.log(0.03), np.log(0.3), (count, 3))).astype(np.float32),
        opacity=rng.uniform(0.3, 0.99, count).astype(np.float32),
        sh=rng.uniform(-1.5, 1.5, (count, (degree + 1) ** 2, 3)).astype(np.float32),
    )


@pytest.mark.parametrize("degree", range(4))
def test_plyfile_reads_the_splats_that_were_written(tmp_path: Path, degree: int):
    plyfile = pytest.importorskip("plyfile")
    made = splats(degree)
    write_splats_ply(tmp_path / "splats.ply", made)
    (vertex,) = plyfile.PlyData.read(tmp_path / "splats.ply").elements

    def rows(*names: str) -> np.ndarray:
        return np.column_stack([vertex[name] for name in names]).astype(np.float64)

    assert [p.name for p in vertex.properties][:6] == ["x", "y", "z", "nx", "ny", "nz"]
    np.testing.assert_array_equal(rows("x", "y", "z"), made.means)
    np.testing.assert_array_equal(rows(*(f"rot_{i}" for i in range(4))), made.quaternions)
    np.testing.assert_allclose(np.exp(rows(*(f"scale_{i}" for i in range(3)))), made.scales_m, rtol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-rows("opacity")[:, 0])), made.opacity, rtol=1e-6)
    np.testing.assert_array_equal(rows(*(f"f_dc_{i}" for i in range(3))), made.sh[:, 0])
    rest = sorted((p.name for p in vertex.properties if p.name.startswith("f_rest_")), key=lambda n: int(n[7:]))
    assert len(rest) == 3 * ((degree + 1) ** 2 - 1)
    if rest:  # all coefficients of red, then of green, then of blue
        channels = rows(*rest).reshape(len(made.means), 3, -1)
        np.testing.assert_array_equal(channels.transpose(0, 2, 1), made.sh[:, 1:])


@pytest.mark.parametrize("degree", range(4))
def test_newton_reads_the_same_splats_from_ply_and_usd(tmp_path: Path, degree: int):
    import newton

    # Newton reads PLY with Open3D, which links against libusb
    ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
    made = splats(degree)
    write_splats_ply(tmp_path / "splats.ply", made)
    from_ply = newton.Gaussian.create_from_ply(str(tmp_path / "splats.ply"))
    from_usd = gaussians_of(imported(made, tmp_path))
    for read in (from_ply, from_usd):
        assert read.sh_degree == degree
        np.testing.assert_array_equal(read.positions, made.means)
        np.testing.assert_allclose(read.rotations, made.quaternions[:, [1, 2, 3, 0]], atol=1e-6)
        np.testing.assert_allclose(read.scales, made.scales_m, rtol=1e-6)
        np.testing.assert_allclose(read.opacities, made.opacity, rtol=1e-6)
    dc, rest = np.split(np.asarray(from_ply.sh_coeffs), [3], axis=1)  # in the order of the file: by channel
    by_term = rest.reshape(len(dc), 3, -1).transpose(0, 2, 1)
    np.testing.assert_array_equal(np.concatenate([dc[:, None], by_term], axis=1), made.sh)
    np.testing.assert_array_equal(np.asarray(from_usd.sh_coeffs).reshape(made.sh.shape), made.sh)


@pytest.mark.slow
def test_newtons_camera_shows_what_the_arrays_say(tmp_path: Path):
    """The first run compiles for a minute."""
    import warp
    from newton.sensors import SensorCamera

    made = splats(0)
    model = imported(made, tmp_path).finalize(device="cpu")
    camera = SensorCamera(model)
    rays = SensorCamera.compute_camera_rays_pinhole(
        WIDTH, HEIGHT, focal_length=FOCAL_PX, horizontal_aperture=WIDTH, vertical_aperture=HEIGHT, device="cpu"
    )
    place = warp.transform((0.0, 0.0, CAMERA_Z), warp.quat_identity())
    color = camera.allocate_image_color_hdr(1, WIDTH, HEIGHT)
    depth = camera.allocate_image_depth(1, WIDTH, HEIGHT)
    settings = SensorCamera.RenderConfig(gaussians_min_transmittance=0.95)
    places = warp.array([place], dtype=warp.transformf, device="cpu")
    camera.update(model.state(), places, rays, hdr_color_image=color, depth_image=depth, render_config=settings)
    expected, passed = rendered(made)
    hit = passed < 0.95
    sure = np.abs(passed - 0.95) > 1e-3
    assert 0.2 < hit.mean() < 0.8
    assert ((depth.numpy()[0] > 0) == hit)[sure].mean() > 0.9995
    difference = np.abs(color.numpy()[0] - expected)[hit & sure]
    assert np.percentile(difference, 99.9) < 1e-4


def imported(made: GaussianSplats, folder: Path):
    """A Newton builder with the splats of a written layer."""
    import newton

    save(splats_stage(made), folder / "splats.usdc")
    builder = newton.ModelBuilder(up_axis=newton.Axis.Z)
    builder.add_usd(str(folder / "splats.usdc"))
    return builder


def gaussians_of(builder):
    import newton

    (found,) = [source for source in builder.shape_source if isinstance(source, newton.Gaussian)]
    return found


def rendered(made: GaussianSplats) -> tuple[np.ndarray, np.ndarray]:
    """Mean colour (linear) of what each pixel's ray meets, and the share of light that passes all splats: Gaussians
    evaluated where the ray comes nearest to their middle in their own frame, nearest first."""
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    rays = np.stack([(u - WIDTH / 2) / FOCAL_PX, -(v - HEIGHT / 2) / FOCAL_PX, -np.ones_like(u)], -1).reshape(-1, 3)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    turn = Rotation.from_quat(made.quaternions.astype(float), scalar_first=True).as_matrix()
    alpha, along = [], []
    for mean, R, scale, opacity in zip(made.means, turn, made.scales_m, made.opacity, strict=True):
        origin = (([0, 0, CAMERA_Z] - mean) @ R) / scale
        d = (rays @ R) / scale
        t = -(d @ origin) / (d * d).sum(1)
        response = np.exp(-0.5 * ((origin + t[:, None] * d) ** 2).sum(1))
        alpha.append(np.where(response > LEAST_RESPONSE, np.minimum(response * opacity, 1), 0))
        along.append(t)
    order = np.argsort(along, axis=0)
    alpha = np.take_along_axis(np.array(alpha), order, 0)
    color = np.clip(0.5 + DC * made.sh[:, 0], 0, None)[order]
    passed = np.cumprod(1 - alpha, axis=0)
    weight = alpha * np.concatenate([np.ones((1, len(rays))), passed[:-1]])
    mixed = (weight[..., None] * color).sum(0) / np.maximum(1 - passed[-1], 1e-9)[:, None]
    linear = np.where(mixed <= 0.04045, mixed / 12.92, ((mixed + 0.055) / 1.055) ** 2.4)
    return linear.reshape(HEIGHT, WIDTH, 3), passed[-1].reshape(HEIGHT, WIDTH)
