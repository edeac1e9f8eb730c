"""What stands out of a floor by less than its measured heights scatter is floor; what is certain stays."""

import numpy as np
import pytest

from lyra_sim.collision.measure import View
from lyra_sim.core.records import Intrinsics
from lyra_sim.surface.floor_noise import floor_noise
from lyra_sim.surface.label import floor_faces
from tests.surface.test_floor_repair import find, height_field

HIGH_M = 2.0
CAMERA = Intrinsics(fx=160.0, fy=160.0, cx=160.0, cy=120.0, width=320, height=240)
DOWN = np.array([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, HIGH_M], [0, 0, 0, 1]])


def layer(x, y):
    """Here and there a second floor, 3 cm higher."""
    return np.where((np.abs(x) < 0.3) & (np.sin(14 * x) * np.sin(14 * y) > 0.3), 0.03, 0.0)


def views(noise_m: float, frames: int = 4) -> tuple[View, ...]:
    """A camera that looks down on the layered floor and reads every pixel with noise."""
    rng = np.random.default_rng(5)
    v, u = np.mgrid[:240, :320] + 0.5
    above = layer((u - 160) / 160 * HIGH_M, -(v - 120) / 160 * HIGH_M)
    return tuple(
        View(
            (HIGH_M - above + rng.normal(0, noise_m, u.shape)).astype(np.float32), np.ones(u.shape, bool), CAMERA, DOWN
        )
        for _ in range(frames)
    )


@pytest.mark.parametrize(("noise_m", "stays"), [(0.02, False), (0.003, True)])
def test_a_layer_within_the_noise_is_floor(noise_m, stays):
    mesh = height_field(layer)
    floor = find(mesh)
    noise = floor_noise(views(noise_m), floor.grid)
    known = floor.grid.state > 0
    assert np.median(noise[known]) == pytest.approx(noise_m, rel=0.25)
    top = mesh.vertices[mesh.faces][:, :, 2].min(axis=1) > 0.025
    assert top.sum() > 100
    on = floor_faces(mesh, floor, 0.015, noise)[top].mean()
    assert (on < 0.05) if stays else (on > 0.95)


def test_where_nothing_was_measured_there_is_no_noise():
    floor = find(height_field(layer))
    assert not floor_noise((), floor.grid).any()
