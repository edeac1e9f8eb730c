"""Maps against places known on paper: walls, thin panels, solids, kerbs, unknown floor, the ROS files."""

import numpy as np
import pytest
import yaml
from PIL import Image

from lyra_sim.core.errors import SceneError
from robot_tasks.colliders import rays_of
from robot_tasks.footprint import box_hits
from robot_tasks.islands import find_space
from robot_tasks.mapfiles import write_ros_map
from robot_tasks.navmap import FREE, OCCUPIED, UNKNOWN, build_map, map_of_soup, measure_ground, reraster_iou
from robot_tasks.place import COMPASS_SLAB
from robot_tasks.raster import band_distance, rasterise
from robot_tasks.swept import Stances
from tests.robot_tasks import rooms

FLAT = rooms.Flat()
SLAB = ((-0.1, -0.1, -0.1), (3.1, 2.1, 0.0))


def _at(nav, x, y):
    i, j = np.floor((np.array([x, y]) - nav.origin_m) / nav.cell_m + 1e-9).astype(int)
    return nav.state[i, j]


def _samples(triangles, count, rng):
    u = rng.random((len(triangles), count, 2))
    u = np.where(u.sum(2, keepdims=True) > 1, 1 - u, u)
    a, b, c = triangles[:, None, 0], triangles[:, None, 1], triangles[:, None, 2]
    return a + u[..., :1] * (b - a) + u[..., 1:] * (c - a)


def test_raster_marks_every_cell_a_triangle_enters_and_no_other():
    rng = np.random.default_rng(3)
    triangles = rng.uniform(0, 1, (40, 3, 3)) * [1, 1, 0.6]
    low, high, cell = 0.2, 0.4, 0.05
    shape = (20, 20)
    none = np.full(len(triangles), -1, np.int32)
    found = rasterise(triangles, none, np.zeros(2), cell, *(np.full((1, *shape), z, np.float32) for z in (low, high)))[
        0
    ]
    points = _samples(triangles, 20_000, rng).reshape(-1, 3)
    inside = points[(points[:, 2] > low + 1e-4) & (points[:, 2] < high - 1e-4)]
    cells = np.floor(inside[:, :2] / cell).astype(int)
    hit = np.zeros(shape, bool)
    hit[cells[:, 0], cells[:, 1]] = True
    assert not (hit & ~found).any()
    assert (found & ~hit).sum() <= 0.02 * found.sum()  # slivers the samples missed


def test_band_distance_is_the_distance_to_dense_samples():
    rng = np.random.default_rng(4)
    triangles = rng.uniform(0, 1, (12, 3, 3))
    points = _samples(triangles, 60_000, rng).reshape(-1, 3)
    points = points[(points[:, 2] > 0.3) & (points[:, 2] < 0.5)]
    for at in rng.uniform(-0.3, 1.3, (30, 2)):
        exact = band_distance(triangles, at, 0.3, 0.5, 5.0)
        sampled = np.hypot(*(points[:, :2] - at).T).min()
        assert exact <= sampled + 1e-9
        assert exact >= sampled - 0.01
    assert band_distance(triangles, np.array([9.0, 9.0]), 0.3, 0.5, 0.7) == pytest.approx(0.7)


def test_map_of_two_rooms_is_right_everywhere():
    nav = map_of_soup(FLAT.soup, rooms.CARTER, FLAT.floor)
    centre = (np.indices(nav.state.shape).transpose(1, 2, 0) + 0.5) * nav.cell_m + nav.origin_m
    clear = FLAT.clearance(centre)
    indoors = (centre > 0).all(2) & (centre < FLAT.size).all(2)
    assert (nav.state[clear == 0] != FREE).all()
    assert (nav.state[indoors & (clear > nav.cell_m)] == FREE).all()
    assert not (nav.state[~indoors] == FREE).any()
    truth = indoors & (clear > 0)
    assert ((nav.state == FREE) & truth).sum() / ((nav.state == FREE) | truth).sum() > 0.95


def test_clearance_never_promises_too_much():
    nav = map_of_soup(FLAT.soup, rooms.CARTER, FLAT.floor)
    centre = (np.indices(nav.blocked.shape).transpose(1, 2, 0) + 0.5) * nav.fine_m + nav.origin_m
    true = FLAT.clearance(centre)
    assert (nav.clearance_m <= true + 1e-6).all()
    indoors = (centre > 0).all(2) & (centre < FLAT.size).all(2)
    assert (nav.clearance_m[indoors] >= true[indoors] - 0.03).all()


@pytest.mark.parametrize("x", np.linspace(1.30, 1.35, 7))
def test_a_2_cm_panel_is_never_lost(x):
    panel = ((x, 0.0, 0.0), (x + 0.02, 2.0, 1.0))
    nav = map_of_soup(rooms.soup(SLAB, panel), rooms.JETBOT, rooms.floor_grid(3, 2))
    column = nav.state[int((x - nav.origin_m[0]) / nav.cell_m)]
    assert (column[(nav.state == FREE).any(0)] == OCCUPIED).all()
    assert len(find_space(nav, rooms.JETBOT.radius_m, 0.025).areas_m2) == 2


def test_hulls_are_solid_and_meshes_are_shells():
    crate = ((1.0, 0.5, -0.01), (2.0, 1.5, 1.0))
    floor = rooms.floor_grid(3, 2)
    assert _at(map_of_soup(rooms.soup(SLAB, crate), rooms.CARTER, floor), 1.52, 1.02) == FREE
    assert _at(map_of_soup(rooms.soup(SLAB, crate, hull=True), rooms.CARTER, floor), 1.52, 1.02) == OCCUPIED


def test_needles_in_the_faces_of_a_hull_take_nothing_away():
    """A cube whose top has a corner more, halfway along an edge and off it by rounding, which leaves a needle there."""
    corners = np.array([[x, y, z] for z in (0.0, 1.0) for y in (0.0, 1.0) for x in (0.0, 1.0)])
    sides = [
        [0, 2, 1],
        [1, 2, 3],
        [0, 1, 4],
        [1, 5, 4],
        [1, 3, 5],
        [3, 7, 5],
        [3, 2, 7],
        [2, 6, 7],
        [2, 0, 6],
        [0, 4, 6],
    ]
    whole = corners[[*sides, [4, 5, 6], [5, 7, 6]]]
    for off in (0.0, 3e-8, -3e-8):
        more = np.concatenate([corners, [[0.37, off, 1.0 - abs(off)]]])
        needled = more[[*sides, [4, 8, 6], [8, 5, 6], [5, 7, 6], [4, 5, 8]]]
        maps = [
            rasterise(
                triangles, np.zeros(len(triangles), np.int32), np.array([-0.2, -0.2]), 0.025,
                np.full((1, 56, 56), 0.1, np.float32), np.full((1, 56, 56), 0.9, np.float32),
            )[0]
            for triangles in (whole, needled)
        ]  # fmt: skip
        assert maps[0].sum() >= 40 * 40
        assert np.array_equal(*maps)


@pytest.mark.parametrize(
    ("height", "jetbot", "carter"), [(0.008, FREE, FREE), (0.015, OCCUPIED, FREE), (0.03, OCCUPIED, OCCUPIED)]
)
def test_what_a_robot_climbs_is_no_obstacle(height, jetbot, carter):
    duct = ((1.0, 0.0, -0.01), (1.06, 2.0, height))
    world = rooms.soup(SLAB, duct)
    for robot, expected in ((rooms.JETBOT, jetbot), (rooms.CARTER, carter)):
        assert _at(map_of_soup(world, robot, rooms.floor_grid(3, 2)), 1.03, 1.02) == expected


def test_a_bump_on_a_bump_is_an_obstacle():
    stack = (((1.0, 0.0, -0.01), (1.5, 2.0, 0.018)), ((1.2, 0.0, -0.01), (1.3, 2.0, 0.036)))
    nav = map_of_soup(rooms.soup(SLAB, *stack), rooms.CARTER, rooms.floor_grid(3, 2))
    assert _at(nav, 1.1, 1.02) == FREE  # 18 mm are climbed
    assert _at(nav, 1.22, 1.02) == OCCUPIED  # 36 mm over the floor are not


def test_a_table_top_stops_the_tall_robot_only():
    top = ((1.0, 0.5, 0.45), (2.0, 1.5, 0.5))
    world = rooms.soup(SLAB, top)
    assert _at(map_of_soup(world, rooms.JETBOT, rooms.floor_grid(3, 2)), 1.5, 1.0) == FREE
    assert _at(map_of_soup(world, rooms.CARTER, rooms.floor_grid(3, 2)), 1.5, 1.0) == OCCUPIED


def test_a_kerb_parts_two_floors_unless_it_is_climbed():
    upper = ((1.5, -0.1, -0.1), (3.1, 2.1, 0.04))
    world = rooms.soup(((-0.1, -0.1, -0.1), (1.5, 2.1, 0.0)), upper)
    floor = rooms.floor_grid(3, 2, height_m=lambda x, _: np.where(x > 1.5, 0.04, 0.0))
    parted = find_space(map_of_soup(world, rooms.CARTER, floor), 0.25, 0.025)
    joined = find_space(map_of_soup(world, rooms.tall_robot(0.05), floor), 0.25, 0.025)
    assert len(parted.areas_m2) == 2
    assert len(joined.areas_m2) == 1


def test_a_door_sill_is_crossed_by_the_robot_that_climbs_it():
    sill = ((1.4, -0.1, -0.1), (1.5, 2.1, 0.021))  # 2 cm and what measuring adds
    world = rooms.soup(SLAB, sill)
    floor = rooms.floor_grid(3, 2, height_m=lambda x, _: np.where((x > 1.4) & (x < 1.5), 0.021, 0.0))
    assert len(find_space(map_of_soup(world, rooms.CARTER, floor), 0.25, 0.025).areas_m2) == 1
    assert len(find_space(map_of_soup(world, rooms.JETBOT, floor), 0.12, 0.025).areas_m2) == 2
    ground = measure_ground(rays_of(world), floor)
    for robot, hits in ((rooms.CARTER, False), (rooms.JETBOT, True)):
        x, y = 1.35, 1.0
        height = Stances(ground, robot).at(np.array([[x, y]]))[0]
        assert (box_hits(world.triangles, robot, x, y, height, 0.0) > 0) == hits


def test_a_kerb_leaves_the_level_floor_beside_it_free():
    upper = ((1.5, -0.1, -0.1), (3.1, 2.1, 0.1))
    world = rooms.soup(((-0.1, -0.1, -0.1), (1.5, 2.1, 0.0)), upper)
    floor = rooms.floor_grid(3, 2, height_m=lambda x, _: np.where(x > 1.5, 0.1, 0.0))
    nav = map_of_soup(world, rooms.JETBOT, floor)
    assert _at(nav, 1.49, 1.0) == OCCUPIED
    assert _at(nav, 1.38, 1.0) == FREE
    assert _at(nav, 1.62, 1.0) == FREE


def test_a_slope_is_judged_by_the_robot():
    x = np.array([0.0, 3.0])
    corner = np.array([[u, v, 0.12 * u] for u in x for v in (0.0, 2.0)])
    ramp = corner[np.array([[0, 2, 3], [0, 3, 1]])]
    world = rooms.Soup(triangles=ramp, hull=np.full(2, -1, np.int32))
    floor = rooms.floor_grid(3, 2, height_m=lambda u, _: 0.12 * u)  # 6.8 degrees
    able = rooms.CARTER.model_copy(update={"slope_deg": 9.0})
    unable = rooms.CARTER.model_copy(update={"slope_deg": 2.0})
    assert (map_of_soup(world, able, floor).state == FREE).sum() * 0.05**2 > 5.5
    assert not (map_of_soup(world, unable, floor).state == FREE).any()


def test_floor_without_collider_or_record_is_unknown():
    holed = rooms.soup(((-0.1, -0.1, -0.1), (1.0, 2.1, 0.0)), ((1.5, -0.1, -0.1), (3.1, 2.1, 0.0)))
    nav = map_of_soup(holed, rooms.CARTER, rooms.floor_grid(3, 2, holes=[(2.0, 0.5, 2.5, 1.0)]))
    assert _at(nav, 1.25, 1.02) == UNKNOWN
    assert _at(nav, 2.25, 0.75) == UNKNOWN
    assert _at(nav, -0.2, 1.0) == UNKNOWN
    assert _at(nav, 0.5, 1.0) == FREE
    with pytest.raises(SceneError, match="floor"):
        map_of_soup(holed, rooms.CARTER, rooms.floor_grid(3, 2, holes=[(0, 0, 3, 2)]))


def test_ros_map_read_by_the_rules_of_map_server(tmp_path):
    nav = build_map(FLAT.soup, measure_ground(rays_of(FLAT.soup), FLAT.floor), COMPASS_SLAB, 0.05)
    write_ros_map(nav, tmp_path / "omap", "occupancy_map", pgm=True)
    spec = yaml.safe_load((tmp_path / "omap" / "occupancy_map.yaml").read_text())
    pixels = np.asarray(Image.open(tmp_path / "omap" / spec["image"]))
    assert np.array_equal(pixels, np.asarray(Image.open(tmp_path / "omap" / "occupancy_map.pgm")))
    assert (spec["negate"], spec["occupied_thresh"], spec["free_thresh"]) == (0, 0.65, 0.196)

    def look(x, y):  # nav2_map_server: p = (255 - v) / 255, row 0 is the top
        column = int((x - spec["origin"][0]) / spec["resolution"])
        row = pixels.shape[0] - 1 - int((y - spec["origin"][1]) / spec["resolution"])
        p = (255 - int(pixels[row, column])) / 255
        return 100 if p >= spec["occupied_thresh"] else 0 if p <= spec["free_thresh"] else -1

    assert [look(1.0, 1.5), look(2.0, 1.5), look(3.9, 2.9)] == [0, 0, 0]
    assert [look(1.97, 0.5), look(0.02, 1.5), look(0.22, 0.5)] == [100, 100, 100]
    assert [look(-0.3, 1.5), look(4.3, 2.0)] == [-1, -1]


def test_reraster_iou_sees_a_moved_wall():
    nav = map_of_soup(FLAT.soup, rooms.CARTER, FLAT.floor)
    moved = rooms.soup(*FLAT.boxes[:-1], ((0.6, 0.3, -0.05), (0.9, 0.7, 2.0)))
    assert reraster_iou(nav, nav) == 1.0
    assert reraster_iou(nav, map_of_soup(moved, rooms.CARTER, FLAT.floor)) < 0.99


def test_box_hits_are_exact():
    post = rooms.box((1.0, 1.0, 0.0), (1.1, 1.1, 1.0))
    ahead = 1.0 - rooms.CARTER.footprint_m[0] / 2
    assert box_hits(post, rooms.CARTER, ahead - 1e-3, 1.05, 0.0, 0.0) == 0
    assert box_hits(post, rooms.CARTER, ahead + 1e-3, 1.05, 0.0, 0.0) > 0
    assert box_hits(post, rooms.CARTER, ahead + 0.05, 1.05, 0.0, np.pi / 2) == 0  # sideways it is narrower
    assert box_hits(rooms.box((0.9, 0.9, 0.7), (1.2, 1.2, 1.0)), rooms.CARTER, 1.0, 1.0, 0.0, 0.3) == 0  # overhead
    rng = np.random.default_rng(0)
    for triangle in rng.uniform(-0.6, 0.6, (200, 1, 3, 3)):
        yaw = float(rng.uniform(0, 6.3))
        points = _samples(triangle, 4000, rng).reshape(-1, 3)
        x = np.cos(yaw) * points[:, 0] + np.sin(yaw) * points[:, 1]
        y = np.cos(yaw) * points[:, 1] - np.sin(yaw) * points[:, 0]
        half_l, half_w = (f / 2 for f in rooms.CARTER.footprint_m)
        z = points[:, 2] + 0.3
        touches = bool(((abs(x) < half_l) & (abs(y) < half_w) & (z > 0.0201) & (z < 0.62)).any())
        found = box_hits(triangle, rooms.CARTER, 0.0, 0.0, -0.3, yaw) > 0
        assert found or not touches
        if found and not touches:  # only slivers may escape the samples
            grown = (abs(x) < half_l + 0.03) & (abs(y) < half_w + 0.03) & (z > -0.01) & (z < 0.65)
            assert grown.any()
