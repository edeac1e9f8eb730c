"""Observing one photo: gravity from lines, floor on its plane, obstacles upright, doubtful foregrounds refused."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lyra_sim.config.observe import GroundConfig
from lyra_sim.core.errors import InputError, SceneError
from lyra_sim.core.records import Capture, Intrinsics, Label, Provenance
from lyra_sim.depth.build import build
from lyra_sim.depth.floor import BIAS, SURE, WEIGHTS, Growth, decide, grow, things
from lyra_sim.depth.floor_cues import CUES
from lyra_sim.depth.floor_patches import Patches, cut_patches, patch_mean
from lyra_sim.depth.ground import look, observe_photo
from lyra_sim.depth.layout import cut_behind, make_cylinder, stand_up
from lyra_sim.depth.lines import camera_down, vote_gravity
from lyra_sim.procedural.cameras import photo_camera, pinhole
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import Rendered, render
from tests.data import shared_data

LEVEL = Intrinsics(fx=200.0, fy=200.0, cx=160.0, cy=120.0, width=320, height=240)
MADE = Provenance(backend="test", version="1", config_hash="", seed=0, inputs=(), licences=())


def photo(image: np.ndarray, camera: Intrinsics, height_m: float | None = None) -> Capture:
    return Capture(
        kind="photo",
        name="photo",
        images=image[None].copy(),
        image_valid=np.ones((1, *image.shape[:2]), bool),
        intrinsics=camera,
        focal_source="given",
        camera_height_m=height_m,
        facts={},
        provenance=MADE,
    )


@pytest.fixture(scope="module")
def flat() -> tuple[Rendered, np.ndarray, Intrinsics]:
    scene = make_flat(5003)
    camera = pinhole(480, 320, 70.0)
    pose = photo_camera(scene, 5003, height_m=1.2, pitch_deg=20.0, intrinsics=camera)
    return render(scene, pose, camera, noise_seed=1), pose, camera


@pytest.mark.parametrize(("pitch", "roll", "yaw"), [(0, 0, 20), (25, 3, 40), (-8, -4, 70), (38, 1, 5)])
def test_gravity_of_a_manhattan_box(pitch: float, roll: float, yaw: float):
    """Lines of a box world, turned by scipy's rotations and projected here, with half a pixel of noise."""
    rng = np.random.default_rng(3)
    turn = Rotation.from_euler("ZXY", [roll, pitch, yaw], degrees=True).as_matrix()  # world (y down) to camera
    segments = []
    while len(segments) < 60:
        start = rng.uniform([-4, -2, 1], [4, 2, 9])
        ends = np.stack([start, start + np.eye(3)[rng.integers(3)] * rng.uniform(0.5, 2)]) @ turn.T
        uv = ends[:, :2] / ends[:, 2:] * 200 + [160, 120] + rng.normal(0, 0.3, (2, 2))
        if (ends[:, 2] > 0.3).all() and (np.abs(uv - [160, 120]) < [160, 120]).all() and np.ptp(uv, 0).max() > 12:
            segments.append(uv.ravel())
    found = vote_gravity(np.array(segments), LEVEL)
    error = math.degrees(math.acos(min(float(found.down_cam @ turn[:, 1]), 1.0)))
    assert error < 1.0
    assert error < 4 * math.degrees(found.sigma_rad) < 16


def test_without_lines_the_prior_speaks_and_says_that_it_is_unsure():
    found = vote_gravity(np.zeros((0, 4)), LEVEL)
    assert math.degrees(found.pitch_rad) == pytest.approx(8, abs=1)
    assert math.degrees(found.sigma_rad) > 10


def test_floor_lies_on_its_plane_and_is_floor_in_truth(flat):
    view, pose, camera = flat
    seen = observe_photo(photo(np.asarray(view.image), camera, 1.2), GroundConfig())
    frames = seen.frames
    floor, valid = frames.label[0] == Label.FLOOR, frames.valid[0]
    rays = np.stack(
        [
            (np.arange(480)[None, :] + 0.5 - camera.cx) / camera.fx * np.ones((320, 1)),
            (np.arange(320)[:, None] + 0.5 - camera.cy) / camera.fy * np.ones((1, 480)),
            np.ones((320, 480)),
        ],
        -1,
    )
    points = (rays * frames.depth_m[0][..., None]) @ frames.cam_to_world[0][:3, :3].T + frames.cam_to_world[0][:3, 3]
    assert np.abs(points[floor][:, 2]).max() < 1e-4
    assert points[valid & ~floor][:, 2].min() > -1e-3
    truth = np.asarray(view.label) == Label.FLOOR
    assert (floor & truth).sum() > 0.9 * floor.sum()
    assert (floor & truth).sum() > 0.4 * truth.sum()
    known = floor & truth
    assert np.median(np.abs(frames.depth_m[0][known] / np.asarray(view.depth_m)[known] - 1)) < 0.05
    assert frames.cam_to_world[0][2, 3] == pytest.approx(1.2)
    up = pose[:3, :3].T @ [0, 0, 1]
    assert math.degrees(math.acos(frames.cam_to_world[0][2, :3] @ up)) < 2.5
    assert abs(frames.cam_to_world[0][1, 2]) < 1e-9, "x is the camera's heading"
    assert seen.environment == "indoor"
    assert seen.frame.metric == "camera_height_given"
    assert np.array_equal(seen.frame.T_world_source, frames.cam_to_world[0])


def test_height_sets_the_scale_and_the_prior_owns_up_to_its_doubt(flat):
    view, _, camera = flat
    image = np.asarray(view.image)
    observe = build(GroundConfig(height_prior_m=1.2, height_prior_sigma=0.25, height_from_sizes=False))
    prior, given = observe(photo(image, camera)), observe(photo(image, camera, 1.2))
    assert np.array_equal(prior.frames.depth_m, given.frames.depth_m)
    assert prior.frame.metric == "camera_height_prior"
    assert prior.frame.scale_sigma > 0.25 > given.frame.scale_sigma
    high = observe(photo(image, camera, 1.8))
    floor = (given.frames.label == Label.FLOOR) & (high.frames.label == Label.FLOOR)
    assert np.allclose(high.frames.depth_m[floor], 1.5 * given.frames.depth_m[floor], rtol=1e-5)


def test_the_same_photo_gives_the_same_bytes(flat):
    view, _, camera = flat
    a, b = (observe_photo(photo(np.asarray(view.image), camera), GroundConfig()) for _ in range(2))
    for field in dataclasses.fields(a.frames):
        one, two = getattr(a.frames, field.name), getattr(b.frames, field.name)
        assert not isinstance(one, np.ndarray) or one.tobytes() == two.tobytes()


@pytest.mark.parametrize("kind", ["black", "white", "noise", "close-up"])
def test_no_floor_no_world(kind: str):
    rng = np.random.default_rng(0)
    image = {
        "black": np.zeros((240, 320, 3), np.uint8),
        "white": np.full((240, 320, 3), 255, np.uint8),
        "noise": rng.integers(0, 256, (240, 320, 3), np.uint8),
        "close-up": cv2.GaussianBlur(rng.integers(0, 256, (240, 320, 3), np.uint8), (0, 0), 12) // 4,
    }[kind]
    with pytest.raises(SceneError):
        observe_photo(photo(image, LEVEL), GroundConfig())


def test_a_walk_is_not_a_photo():
    two = np.zeros((2, 8, 8, 3), np.uint8)
    capture = dataclasses.replace(photo(two[0], LEVEL), images=two, image_valid=np.ones((2, 8, 8), bool))
    with pytest.raises(InputError):
        observe_photo(capture, GroundConfig())


def test_walls_stand_where_the_floor_ends():
    """Level camera 1.2 m up: a floor that ends at row 180 ends 1.2 * 200 / 59.5 m ahead, and so does the wall."""
    floor = np.zeros((240, 320), bool)
    floor[180:] = True
    sky = np.zeros_like(floor)
    cylinder = make_cylinder(LEVEL, np.array([0.0, 1.0, 0.0]))
    patch = np.arange(240 * 320).reshape(240, 320) // 320 // 10 * 40 + np.arange(320) // 8
    layout = stand_up(cylinder, floor, sky, patch, height_m=1.2, reach_m=25.0, ceiling_m=2.5)
    middle = slice(150, 170)
    assert layout.depth_m[100, middle] == pytest.approx(np.full(20, 1.2 * 200 / 60), rel=0.03)
    assert layout.depth_m[230, middle] == pytest.approx(np.full(20, 1.2 * 200 / 110.5), rel=1e-6)
    assert (layout.kind[2, middle] == 3).all(), "the upper edge looks at the ceiling: 1.3 m up at 2.2 m"
    assert layout.depth_m[2, middle] == pytest.approx(np.full(20, 1.3 * 200 / 117.5), rel=1e-6)


def test_what_hides_its_own_foot_stands_nearer_than_the_floor_it_hides():
    floor = np.zeros((240, 320), bool)
    floor[150:, :100] = True
    patch = np.arange(240 * 320).reshape(240, 320) // 320 // 10 * 40 + np.arange(320) // 8
    cylinder = make_cylinder(LEVEL, np.array([0.0, 1.0, 0.0]))
    layout = stand_up(cylinder, floor, ~floor & False, patch, height_m=1.2, reach_m=25.0, ceiling_m=None)
    edge = 1.2 * 200 / 119.5
    assert (layout.depth_m[200, 200:300] < 0.8 * edge).all()
    assert (layout.depth_m[200, 200:300] > 0.4 * edge).all()


def test_floor_behind_an_obstacle_needs_proof_of_its_own():
    floor = np.ones((240, 320), bool)
    floor[:130] = False
    floor[170:190, 100:200] = False
    sure = np.zeros_like(floor)
    cylinder = make_cylinder(LEVEL, np.array([0.0, 1.0, 0.0]))
    front = cut_behind(cylinder, floor, sure, gap_px=5)
    assert not front[140:165, 110:190].any()
    assert front[195:235, 110:190].all()
    assert front[140:235, 220:300].mean() > 0.98
    chance = np.where(floor, 0.8, 0.0)
    chance[170:190, 100:200] = 0.3
    cut = cut_behind(cylinder, chance, sure, gap_px=5)
    assert (cut[170:190, 110:190] == 0.3).all(), "doubtful floor stays as doubtful as it is"
    assert (cut[142:165, 110:190] == 0.3).all(), "behind it all is floor only if it is"
    assert (cut[195:235, 110:190] == 0.8).all()
    sure[140:170, 100:200] = True
    assert cut_behind(cylinder, floor, sure, gap_px=5)[142:165, 110:190].mean() > 0.98


@pytest.mark.parametrize(
    ("thing", "joins"),
    [((40, 4, 12), True), ((80, 4, 16), True), ((52, 45, 28), False), ((60, 10, 40), False), ((45, -20, -20), False)],
    ids=["shadow", "light patch", "red", "yellow", "blue"],
)
def test_what_joins_the_floor_in_the_foreground_is_of_its_colour(thing: tuple[int, int, int], joins: bool):
    """A worktop that fills a corner of the foreground and is as plausible as the floor beside it (Lab colours)."""
    lab = np.zeros((214, 320, 3), np.float32)
    lab[...], lab[100:], lab[150:, 190:] = (85, 0, 2), (60, 4, 14), thing
    lab[..., 0] += np.random.default_rng(7).normal(0, 2.5, lab.shape[:2])
    below = np.arange(214)[:, None].repeat(320, 1) >= 80
    none = np.zeros((214, 320), np.float32)
    patches = cut_patches(lab, below, none, none, spacing_px=9)
    growth = grow(patches)
    core, even = growth.core[patches.index], growth.even[patches.index]
    assert core[170:, 10:180].mean() > 0.95
    assert even[170:, 200:310].mean() > 0.95, "by everything but its colour it would join"
    assert core[170:, 200:310].mean() == pytest.approx(float(joins), abs=0.05)


@pytest.mark.parametrize(("noise", "joins"), [(5.0, True), (2.5, False)], ids=["as rough", "smoother"])
def test_a_smoother_thing_of_the_colour_of_the_floor_is_no_floor(noise: float, joins: bool):
    """A seat of the floor's colour that fills a corner of the foreground: leather beside a deep carpet."""
    lab = np.zeros((214, 320, 3), np.float32)
    lab[...], lab[100:], lab[120:, 190:] = (85, 0, 2), (60, 4, 14), (80, 8, 20)
    grain = np.full(lab.shape[:2], 5.0)
    grain[120:, 190:] = noise
    lab[..., 0] += np.random.default_rng(7).normal(0, 1, grain.shape) * grain
    below = np.arange(214)[:, None].repeat(320, 1) >= 80
    none = np.zeros((214, 320), np.float32)
    patches = cut_patches(lab, below, none, none, spacing_px=9)
    growth = grow(patches)
    core, able = growth.core[patches.index], growth.able[patches.index]
    assert core[170:, 10:180].mean() > 0.95 and able[170:, 10:180].mean() > 0.95
    assert core[170:, 200:310].mean() == pytest.approx(float(joins), abs=0.05)
    assert able[140:, 200:310].mean() == pytest.approx(float(joins), abs=0.05), "not even where growth would pass"


def made_patches(blocks: list[tuple[tuple[int, int, int], float]]) -> tuple[Patches, np.ndarray]:
    """A grey road with blocks of other Lab colours and noises: patches, and the share (B, N) of each in each block."""
    lab, grain = np.zeros((216, 320, 3), np.float32), np.full((216, 320), 2.0)
    lab[...] = (40, 0, -4)
    inside = np.zeros((len(blocks), 216, 320), bool)
    for k, (colour, noise) in enumerate(blocks):
        inside[k, 40:100, 20 + 75 * k : 75 + 75 * k] = True
        lab[inside[k]], grain[inside[k]] = colour, noise
    lab[..., 0] += np.random.default_rng(7).normal(0, 1, grain.shape) * grain
    none = np.zeros(grain.shape, np.float32)
    patches = cut_patches(lab, none == 0, none, none, spacing_px=9)
    return patches, np.stack([patch_mean(patches, mask) for mask in inside])


def test_a_thing_on_the_floor_is_of_a_foreign_colour_and_rough():
    patches, share = made_patches([((80, 0, 0), 2.0), ((42, 0, -4), 6.0), ((65, 2, -8), 9.0), ((52, 20, 10), 9.0)])
    marking, rim, wheel, rug = share == 1
    core = np.arange(len(patches.size)) > 0.6 * len(patches.size)
    found = things(patches, core, rug)
    assert not found[core | rug | rim].any(), "what is known to be floor, and what is only rough"
    assert found[marking].mean() < 0.05, "only foreign"
    assert found[wheel].mean() > 0.9
    assert things(patches, core & False, rug)[~rug].all(), "nothing to compare with: nothing more is floor"


def test_core_that_does_not_look_like_floor_has_to_prove_itself():
    """Growth leaked onto a bumper and a puddle: both score below `SURE`, and the bumper looks like a thing."""
    patches, share = made_patches([((65, 2, -8), 9.0), ((36, 0, -6), 2.0)])
    bumper, puddle = share == 1
    road = (share == 0).all(0)
    score = np.where(road, SURE + 2.0, SURE - 2.0)
    cues = np.zeros((len(score), len(WEIGHTS)))
    cues[:, 1] = (score - BIAS) / WEIGHTS[1]
    every = np.ones(len(score), bool)
    growth = Growth(core=every, cost=0.0 * score, rival=score, able=every, plausible=9.0, even=every)
    region = decide(patches, growth, cues, every[patches.index])
    assert patch_mean(patches, region.sure)[road].all()
    assert not patch_mean(patches, region.sure)[~road].any()
    assert patch_mean(patches, region.mask)[bumper].mean() < 0.1
    assert patch_mean(patches, region.mask)[puddle].mean() > 0.9, "floor, if not beyond doubt"


def test_a_car_beside_the_road_is_no_floor():
    """`dav2_demo01`: a silver car in the shade, of the road's chroma, and its bumper in reach of the road's growth."""
    image = cv2.imread(str(shared_data("single_street", "dav2_demo01.jpg")))
    assert image is not None
    image = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), (960, 638), interpolation=cv2.INTER_AREA)
    camera = Intrinsics(fx=753.4, fy=752.9, cx=480.0, cy=319.0, width=960, height=638)
    floor = look(image, np.ones(image.shape[:2], bool), camera).region.mask
    height, width = floor.shape
    car = floor[int(0.77 * height) : int(0.92 * height), int(0.715 * width) : int(0.82 * width)]
    assert car.mean() < 0.15
    assert floor[int(0.92 * height) :, int(0.5 * width) : int(0.7 * width)].mean() > 0.9


def test_a_leather_sofa_in_the_foreground_is_no_floor():
    """`moge_01_HouseIndoor`: a sofa fills the lower left of the photo, a carpet of its colour the lower right."""
    image = cv2.imread(str(shared_data("single_indoor", "moge_01_HouseIndoor.jpg")))
    assert image is not None
    camera = Intrinsics(fx=1200.0, fy=1200.0, cx=750.0, cy=500.0, width=1500, height=1000)
    floor = look(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.ones(image.shape[:2], bool), camera).region.mask
    height, width = floor.shape
    assert floor[:, : int(0.46 * width)].mean() < 0.002
    assert floor[int(0.85 * height) :, int(0.52 * width) : int(0.85 * width)].mean() > 0.9


@pytest.mark.parametrize("index", [14, 19])
def test_a_table_in_the_foreground_of_a_real_photo_stays_small(index: int):
    """Frames of `hololens_office` that look over a table with a basket; true floor is below 10 % of them."""
    folder = shared_data("rgbd_sequence", "hololens_office")
    image = cv2.imread(str(sorted((folder / "color").iterdir())[index]))
    assert image is not None
    camera = Intrinsics(fx=495.57, fy=495.48, cx=270.0, cy=169.69, width=540, height=360)
    sight = look(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.ones(image.shape[:2], bool), camera)
    assert sight.region.mask.mean() < 0.12


def test_camera_down_is_what_the_angles_say():
    assert camera_down(0.0, 0.0) == pytest.approx([0, 1, 0])
    assert camera_down(math.radians(30), 0.0)[2] == pytest.approx(0.5)
    assert len(CUES) == len(set(CUES))


def test_gravity_of_a_real_photo():
    """`hololens_office` has Y-up poses: the camera's true down direction is known from them alone."""
    folder = shared_data("rgbd_sequence", "hololens_office")
    camera = Intrinsics(fx=495.57, fy=495.48, cx=270.0, cy=169.69, width=540, height=360)
    pose = np.loadtxt(folder / "poses.txt").reshape(-1, 4, 4)[0]
    image = cv2.imread(str(sorted((folder / "color").iterdir())[0]))
    assert image is not None
    seen = observe_photo(photo(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), camera, 1.61), GroundConfig())
    up = pose[:3, :3].T @ [0, 1, 0]
    assert math.degrees(math.acos(seen.frame.T_world_source[2, :3] @ up)) < 2.5
    assert (seen.frames.label[0, -40:, 150:250] == Label.FLOOR).mean() > 0.5
