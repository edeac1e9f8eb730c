"""Splats by a network: placed against slow loops and a room known in closed form, pruned, thinned, cut into chunks."""

import dataclasses
import weakref
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lyra_sim.config.geometry3d import FeedforwardConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.core.licence import Licence
from lyra_sim.core.records import (
    Fused,
    GaussianSplats,
    Intrinsics,
    Label,
    PixelOrigin,
    PosedFrames,
    Segment,
    SpaceGrid,
    World,
)  # fmt: skip
from lyra_sim.depth.networks.prediction import PixelGaussians
from lyra_sim.geometry.camera import invert, scaled
from lyra_sim.reconstruct.feedforward import add_splats
from lyra_sim.reconstruct.gaussians import find_scale, place
from lyra_sim.reconstruct.prune import FreeSpace, in_order, selected, thinned
from lyra_sim.reconstruct.tsdf import fuse
from lyra_sim.reconstruct.views import Chunk, View, chunks, network_size
from tests.analytic_room import CAMERA, Room, circle, posed

ROOM = Room(boxes=[((1.0, -0.5, 0.0), (1.6, 0.5, 0.6))])
CONFIG = FeedforwardConfig(voxel_m=0.03, side_px=112, max_views=6, frames_per_view=1, overlap=2)


class Truth:
    """Answers with the room itself, in its own unit and frame.

    Args:
        unit: network's units per metre.
        cameras: whether it predicts cameras.
        floaters: share of pixels that stand at 60 % of their depth.
    """

    name, licences = "the truth", (Licence(subject="truth", name="CC0-1.0", holder="nobody", source="test"),)
    hashes = {"model.safetensors": "ab"}  # noqa: RUF012

    def __init__(self, *, unit: float = 2.5, cameras: bool = True, floaters: float = 0.0) -> None:
        self.unit, self.cameras, self.floaters, self.floating = unit, cameras, floaters, 0

    def gaussians(self, images: np.ndarray, w2c: np.ndarray, K: np.ndarray) -> PixelGaussians:
        height, width = images.shape[1:3]
        rng = np.random.default_rng(len(images))
        range_m = np.stack([ranges(T, k, width, height) for T, k in zip(invert(w2c), K, strict=True)])
        wrong = rng.random(range_m.shape) < self.floaters
        wrong[:, : height // 20], wrong[:, :, : width // 20] = False, False
        self.floating += int(wrong.sum())
        turn = Rotation.from_euler("xyz", [0.3, 1.0, -0.5]).as_matrix()
        c2w = invert(w2c)
        c2w[:, :3, :3] = turn @ c2w[:, :3, :3]
        c2w[:, :3, 3] = self.unit * (c2w[:, :3, 3] @ turn.T + 3.0)
        return PixelGaussians(
            distance=(self.unit * np.where(wrong, 0.6, 1.0) * range_m).astype(np.float32),
            offset_px=np.zeros((*range_m.shape, 2), np.float32),
            extent=np.full((*range_m.shape, 3), 5.0, np.float32),
            quaternions_xyzw=rng.normal(size=(*range_m.shape, 4)).astype(np.float32),
            sh_dc=rng.normal(size=(*range_m.shape, 3)).astype(np.float32),
            opacity=rng.uniform(0.2, 1.0, range_m.shape).astype(np.float32),
            w2c=invert(c2w) if self.cameras else None,
        )


def ranges(T: np.ndarray, k: np.ndarray, width: int, height: int) -> np.ndarray:
    """Distance from the camera along the ray of every pixel."""
    camera = Intrinsics(fx=k[0, 0], fy=k[1, 1], cx=k[0, 2], cy=k[1, 2], width=width, height=height)
    v, u = np.mgrid[:height, :width] + 0.5
    return ROOM.depth(T, camera) * np.sqrt(1 + ((u - camera.cx) / camera.fx) ** 2 + ((v - camera.cy) / camera.fy) ** 2)


def walk(count: int = 12, **changed: np.ndarray) -> PosedFrames:
    poses = circle(count)
    return posed(np.stack([ROOM.depth(T) for T in poses]), poses, **changed)


@pytest.fixture(scope="module")
def world() -> World:
    return World(start=walk(), segments=())


@pytest.fixture(scope="module")
def surface(world: World) -> Fused:
    return fuse(world, CONFIG)


@pytest.fixture(scope="module")
def whole(world: World, surface: Fused) -> Fused:
    return add_splats(surface, world, CONFIG, Truth())


def splats_of(fused: Fused) -> GaussianSplats:
    assert fused.splats is not None
    return fused.splats


def test_a_gaussian_stands_where_a_slow_loop_puts_it():
    rng = np.random.default_rng(3)
    camera = Intrinsics(fx=50.0, fy=61.0, cx=13.0, cy=9.5, width=28, height=14)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_euler("xyz", [0.5, -2.0, 0.7]).as_matrix(), rng.normal(size=3)
    shape = (2, 14, 28)
    made = PixelGaussians(
        distance=rng.uniform(1, 5, shape).astype(np.float32),
        offset_px=rng.normal(size=(*shape, 2)).astype(np.float32),
        extent=rng.uniform(0.1, 9, (*shape, 3)).astype(np.float32),
        quaternions_xyzw=rng.normal(size=(*shape, 4)).astype(np.float32),
        sh_dc=rng.normal(size=(*shape, 3)).astype(np.float32),
        opacity=rng.random(shape).astype(np.float32),
        w2c=None,
    )
    view = View(
        image=np.zeros((14, 28, 3), np.uint8), depth_m=np.zeros((14, 28), np.float32), shown=np.ones((14, 28), bool),
        camera=camera, T_world_cam=T,
    )  # fmt: skip
    keep = rng.random((14, 28)) < 0.3
    splats = place(made, 1, view, 2.0, keep)
    assert len(splats.means) == keep.sum()
    for n, (i, j) in enumerate(np.argwhere(keep)):
        at = np.array([j + 0.5, i + 0.5]) + made.offset_px[1, i, j]
        direction = np.array([(at[0] - 13.0) / 50.0, (at[1] - 9.5) / 61.0, 1.0])
        metres = made.distance[1, i, j] / 2.0
        point = T[:3, :3] @ (direction / np.linalg.norm(direction) * metres) + T[:3, 3]
        assert np.allclose(splats.means[n], point, atol=1e-5)
        x, y, z, w = made.quaternions_xyzw[1, i, j] / np.linalg.norm(made.quaternions_xyzw[1, i, j])
        R = np.array([
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ])  # fmt: skip
        sizes = made.extent[1, i, j] * metres * 0.1 * (1 / 50.0 + 1 / 61.0)
        covariance = T[:3, :3] @ R @ np.diag(sizes**2) @ R.T @ T[:3, :3].T
        back = Rotation.from_quat(splats.quaternions[n], scalar_first=True).as_matrix()
        assert np.allclose(back @ np.diag(splats.scales_m[n].astype(float) ** 2) @ back.T, covariance, atol=1e-6)
        assert splats.opacity[n] == made.opacity[1, i, j]
        assert np.array_equal(splats.sh[n], made.sh_dc[1, i, j][None])


def test_splats_of_the_truth_lie_on_the_surface(whole: Fused, surface: Fused):
    splats = splats_of(whole)
    error = ROOM.distance(splats.means.astype(np.float64))
    assert np.median(error) < 0.002 and np.percentile(error, 99) < 0.01
    assert len(splats.means) > 12 * 0.8 * 112 * 84
    assert whole.mesh is surface.mesh
    assert whole.notes["surface_median_m"] < 0.01
    assert whole.notes["splats"] == len(splats.means)
    shares = sum(whole.notes["left_out_share"].values()) + len(splats.means) / whole.notes["gaussians"]
    assert shares == pytest.approx(1.0)
    assert whole.licences[0].subject == "truth" and whole.notes["weights"] == {"model.safetensors": "ab"}


def test_cameras_give_the_scale_and_say_how_far_remembered_depth_is_from_it(whole: Fused):
    told = whole.notes["chunks"]
    assert [c["repeated"] for c in told] == [0, 2, 2]
    for chunk in told:
        assert chunk["value"] == pytest.approx(2.5, rel=0.01)
        assert abs(chunk["residual"]) < 0.01 and chunk["sigma"] < 0.02


def test_remembered_depth_gives_the_scale_where_cameras_do_not(world: World, surface: Fused):
    made = add_splats(surface, world, CONFIG, Truth(cameras=False, unit=0.4))
    assert {c["told_by"] for c in made.notes["chunks"]} == {"remembered depth"}
    assert made.notes["chunks"][0]["value"] == pytest.approx(0.4, rel=0.005)
    assert np.median(ROOM.distance(splats_of(made).means.astype(np.float64))) < 0.01


def test_without_any_scale_the_reason_is_told():
    depth = np.full((84, 112), 0, np.float32)
    view = View(np.zeros((84, 112, 3), np.uint8), depth, depth == 0, CAMERA, circle(1)[0])
    chunk = Chunk((dataclasses.replace(view, camera=scaled_camera()),), 0)
    with pytest.raises(SceneError, match=r"camera.* determine no scale; remembered depth: in 0 tiles"):
        find_scale(Truth().gaussians(chunk.images, chunk.w2c, chunk.K), chunk, 0.05)
    wild = np.random.default_rng(0).lognormal(0, 2, (4, 4)).repeat(21, 0).repeat(28, 1).astype(np.float32)
    chunk = Chunk((dataclasses.replace(view, camera=scaled_camera(), depth_m=wild),), 0)
    with pytest.raises(SceneError, match="differs in shape"):
        find_scale(Truth(cameras=False).gaussians(chunk.images, chunk.w2c, chunk.K), chunk, 0.05)


def test_few_tiles_are_no_scale_and_many_are_no_certainty(world: World):
    chunk = next(chunks(world, side_px=112, max_views=6, frames_per_view=1, overlap=2))
    corner = np.zeros((84, 112), bool)
    corner[:21, : 3 * 28] = True  # three tiles of one view, all off by a tenth

    def told(*, cameras: bool, views: Sequence[View]):
        few = Chunk(views, 0)
        return find_scale(Truth(cameras=cameras).gaussians(few.images, few.w2c, few.K), few, 0.05)

    first, *rest = (dataclasses.replace(view, depth_m=0 * view.depth_m) for view in chunk.views)
    first = dataclasses.replace(first, depth_m=np.where(corner, 1.1 * chunk.views[0].depth_m, np.float32(0)))
    scale = told(cameras=True, views=[first, *rest])
    assert scale.told_by == "cameras" and scale.value == pytest.approx(2.5, rel=1e-3) and scale.residual is None
    with pytest.raises(SceneError, match="remembered depth: in 3 tiles, 8 needed"):
        told(cameras=False, views=[first, *rest])
    exact = [
        dataclasses.replace(v, depth_m=ROOM.depth(v.T_world_cam, v.camera).astype(np.float32)) for v in chunk.views
    ]
    assert told(cameras=False, views=exact).sigma == 0.01


def test_cameras_that_contradict_remembered_depth_are_refused(world: World, surface: Fused):
    larger = dataclasses.replace(world.start.frames, depth_m=1.5 * world.start.frames.depth_m)
    wrong = World(start=dataclasses.replace(world.start, frames=larger), segments=())
    with pytest.raises(SceneError, match=r"1\.50 times as large by the cameras"):
        add_splats(surface, wrong, CONFIG, Truth())


def scaled_camera() -> Intrinsics:
    return Intrinsics(fx=70.0, fy=70.0, cx=56.0, cy=42.0, width=112, height=84)


def test_floaters_in_seen_free_space_go(world: World, surface: Fused, whole: Fused):
    network = Truth(floaters=0.05)
    made = add_splats(surface, world, CONFIG, network)
    assert network.floating > 3000
    share = made.notes["left_out_share"]["floating"]
    assert share * made.notes["gaussians"] > 0.5 * network.floating
    assert whole.notes["left_out_share"]["floating"] < 0.001
    left = ROOM.distance(splats_of(made).means.astype(np.float64))
    assert (left > 0.3).mean() < 2e-3, "what stays is near a surface, or nobody saw that its place is free"


def test_sky_fill_and_missing_depth_give_nothing_near(surface: Fused):
    shape = (12, CAMERA.height, CAMERA.width)
    left = np.zeros(shape, bool)
    left[:, :, : CAMERA.width // 2] = True
    for name, changed in (
        ("sky_or_filled", {"label": np.where(left, Label.SKY, Label.UNKNOWN).astype(np.uint8)}),
        ("sky_or_filled", {"origin": np.where(left, PixelOrigin.FILLED, PixelOrigin.MEASURED).astype(np.uint8)}),
        ("near_without_depth", {"valid": ~left}),
    ):
        made = add_splats(surface, World(start=walk(12, **changed), segments=()), CONFIG, Truth())
        assert 0.4 < made.notes["left_out_share"][name] < 0.5
        if name == "near_without_depth":
            near = CONFIG.model_copy(update={"max_depth_m": 1.0})
            told = add_splats(surface, World(start=walk(12, **changed), segments=()), near, Truth()).notes
            assert told["left_out_share"][name] < 0.2, "what is far needs no remembered depth"


def test_borders_and_hardly_visible_gaussians_go(world: World, surface: Fused):
    made = add_splats(surface, world, CONFIG.model_copy(update={"min_opacity": 0.6}), Truth())
    share = made.notes["left_out_share"]
    assert share["border"] == pytest.approx(1 - (112 - 6) * (84 - 4) / (112 * 84))
    assert share["transparent"] == pytest.approx(0.5 * (1 - share["border"]), abs=0.01)
    assert splats_of(made).opacity.min() >= np.float32(0.6)
    with pytest.raises(SceneError, match=r"none of .* is left"):
        add_splats(surface, world, CONFIG.model_copy(update={"max_range_m": 0.6}), Truth())


def test_warped_segments_are_no_views(world: World, surface: Fused, whole: Fused):
    more = World(start=world.start, segments=(Segment(index=0, frames=walk(5).frames, warped=True),))
    assert np.array_equal(splats_of(add_splats(surface, more, CONFIG, Truth())).means, splats_of(whole).means)


def test_few_splats_are_the_most_opaque_of_each_cell(whole: Fused):
    splats = splats_of(whole)
    few = thinned(splats, 3000, 0.01)
    assert 1500 < len(few.means) <= 3000
    cell = float(np.sort(few.scales_m, 1)[:, 1].min() * 2)
    best: dict[tuple, float] = {}
    for point, opacity in zip(np.floor(splats.means.astype(np.float64) / cell), splats.opacity, strict=True):
        best[tuple(point)] = max(best.get(tuple(point), 0.0), float(opacity))
    assert len(best) == len(few.means)
    for point, opacity in zip(np.floor(few.means.astype(np.float64) / cell), few.opacity, strict=True):
        assert best[tuple(point)] == opacity
    assert (np.sort(few.scales_m, 1)[:, 0] < cell / 2).any(), "flat ones stay flat"
    assert thinned(splats, len(splats.means), 0.01) is splats


def test_the_order_of_splats_depends_on_nothing_but_them(whole: Fused):
    splats = splats_of(whole)
    mixed = selected(splats, np.random.default_rng(0).permutation(len(splats.means)))
    assert np.array_equal(in_order(mixed).means, splats.means)
    a, b = (in_order(thinned(s, 2000, 0.02)) for s in (splats, mixed))
    assert np.array_equal(a.means, b.means) and np.array_equal(a.sh, b.sh)


def test_free_space_is_only_what_was_seen_to_be_free():
    state = np.ones((20, 20, 20), np.uint8)
    state[:, :, 0], state[:, :, 10:] = 2, 0
    space = FreeSpace(SpaceGrid(origin_m=np.zeros(3), voxel_m=0.1, state=state))
    points = np.array([[1, 1, 0.05], [1, 1, 0.31], [1, 1, 0.7], [1, 1, 1.5], [1, 1, 5.0], [-9, 1, 0.7]])
    assert space.floating(points, np.ones(6)).tolist() == [False, False, True, False, False, False]
    assert not space.floating(points, np.full(6, 20.0)).any(), "depth of what is far is less sure"
    assert space.inside(points).tolist() == [True, True, True, True, False, False]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, 9), st.integers(0, 39))
def test_chunks_cover_the_walk_evenly(total: int, most: int, every: int, overlap: int):
    overlap = min(overlap, most - 1)
    poses = np.tile(np.eye(4), (total, 1, 1))
    poses[:, 0, 3] = np.arange(total)
    depth = np.ones((total, 2, 4), np.float32)
    start = posed(depth[:1], poses[:1])
    small = dataclasses.replace(CAMERA, width=4, height=2)
    rest = posed(depth[1:], poses[1:])
    segments = (Segment(index=0, frames=dataclasses.replace(rest.frames, intrinsics=small)),) if total > 1 else ()
    world = World(
        start=dataclasses.replace(start, frames=dataclasses.replace(start.frames, intrinsics=small)), segments=segments
    )
    made = list(chunks(world, side_px=28, max_views=most, frames_per_view=every, overlap=overlap))
    places = [[int(view.T_world_cam[0, 3]) for view in chunk.views] for chunk in made]
    assert all(len(chunk) <= most for chunk in places)
    new = [place for chunk, at in zip(made, places, strict=True) for place in at[chunk.repeated :]]
    assert new == sorted(set(new)) and new[0] == 0 and (new[-1] == total - 1 or most == 1)
    assert len(new) == min(total, max(most, -(-total // every)))
    assert not len(new) > 1 or np.ptp(np.diff(new)) <= 1
    for before, after, chunk in zip(places, places[1:], made[1:], strict=False):
        assert chunk.repeated == overlap and (overlap == 0 or before[-overlap:] == after[:overlap])


class Stored(Sequence):
    """Segments that are made when they are asked for; knows how many were alive at once."""

    def __init__(self, count: int) -> None:
        self.count, self.alive, self.most = count, weakref.WeakSet(), 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index):
        if index >= self.count:
            raise IndexError(index)
        made = Segment(index=index, frames=walk(3).frames)
        self.alive.add(made.frames)
        self.most = max(self.most, len(self.alive))
        return made


def test_only_views_of_earlier_segments_stay_in_memory():
    stored = Stored(6)
    world = World(start=walk(2), segments=stored)
    made = list(chunks(world, side_px=28, max_views=9, frames_per_view=2, overlap=1))
    assert sum(len(chunk.views) - chunk.repeated for chunk in made) == 10
    assert stored.most <= 2


def test_frames_of_other_sizes_become_views_of_one():
    frames = walk(4).frames
    small = dataclasses.replace(
        frames,
        intrinsics=scaled(CAMERA, CAMERA.width // 2, CAMERA.height // 2),
        **{name: getattr(frames, name)[:, ::2, ::2] for name in ("images", "depth_m", "valid", "origin", "label")},
    )
    world = World(start=walk(2), segments=(Segment(index=0, frames=small),))
    (chunk,) = chunks(world, side_px=112, max_views=9, frames_per_view=1, overlap=1)
    assert chunk.images.shape == (6, 84, 112, 3)
    assert np.allclose(chunk.K, chunk.K[0])
    for view in chunk.views:
        assert np.median(np.abs(view.depth_m / ROOM.depth(view.T_world_cam, view.camera) - 1)) < 0.01


def test_views_have_the_shape_of_most_frames_not_of_the_largest_batch():
    half = dataclasses.replace(CAMERA, width=CAMERA.width // 2)
    frames = walk(2).frames
    narrow = dataclasses.replace(
        frames,
        intrinsics=half,
        **{n: getattr(frames, n)[:, :, : half.width] for n in ("images", "depth_m", "valid", "origin", "label")},
    )
    world = World(start=walk(3), segments=tuple(Segment(index=i, frames=narrow) for i in range(2)))
    (chunk,) = chunks(world, side_px=112, max_views=9, frames_per_view=1, overlap=1)
    assert chunk.images.shape[1:3] == network_size(half.width, half.height, 112)[::-1]


def test_one_view_is_enough_where_its_depth_is_remembered():
    world = World(start=walk(1), segments=())
    made = add_splats(fuse(world, CONFIG), world, CONFIG, Truth())
    (told,) = made.notes["chunks"]
    assert told["told_by"] == "remembered depth" and told["residual"] is None
    assert np.percentile(ROOM.distance(splats_of(made).means.astype(np.float64)), 95) < 0.01


def test_sizes_are_multiples_of_the_patch():
    assert network_size(832, 480, 504) == (504, 294)
    assert network_size(240, 416, 100) == (56, 98)
    assert network_size(1000, 5, 28) == (28, 14)
