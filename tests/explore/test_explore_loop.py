"""The loop: segments, resume, memory, stopping."""

from dataclasses import replace

import numpy as np
import pytest

from lyra_sim.config.explore import ExploreConfig, ReprojectConfig
from lyra_sim.core.errors import InputError
from lyra_sim.core.licence import Licence
from lyra_sim.core.records import Frames, Intrinsics, PixelOrigin, PosedFrames, Segment
from lyra_sim.explore import explore, loop
from lyra_sim.explore.course import Given, held, on_stride
from lyra_sim.explore.past import Past
from lyra_sim.procedural.cameras import photo_camera, pinhole
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import render
from lyra_sim.procedural.write import write_photo
from lyra_sim.trajectory.given import given_path
from lyra_sim.trajectory.motion import Pace
from lyra_sim.worldgen.reproject import Reproject
from lyra_sim.worldgen.request import Drawn, Stateless, view_of
from tests.trajectory.box_room import HIGH, all_around, pose_at, room_frames, start_of

HOME = pose_at(0.2, 0.1, 1.4)
BIG = Intrinsics(fx=360.0, fy=360.0, cx=240.0, cy=180.0, width=480, height=360)


@pytest.fixture(scope="module")
def start() -> PosedFrames:
    return start_of(room_frames(HOME[None], BIG))


def _run(start: PosedFrames, config: ExploreConfig, done=(), source=None, stop_after=None) -> list[Segment]:
    made = list(done)

    def commit(segment: Segment) -> None:
        made.append(segment)
        if stop_after is not None and len(made) == stop_after:
            raise KeyboardInterrupt

    try:
        explore(
            start, config, seed=3, source_dir=source, captions={}, done=done, commit=commit, progress=lambda _: None
        )
    except KeyboardInterrupt:
        assert stop_after is not None
    return made


def _bytes(segments: list[Segment]) -> list[bytes]:
    arrays = ("images", "depth_m", "valid", "origin", "label", "cam_to_world")
    return [b"".join(getattr(s.frames, name).tobytes() for name in arrays) for s in segments]


@pytest.fixture(scope="module")
def whole(start) -> list[Segment]:
    return _run(start, ExploreConfig(photo_frames=81))


def test_a_photo_gets_81_frames_in_pieces_that_join_smoothly(start, whole):
    assert sum(len(s.frames) for s in whole) == 81 and max(len(s.frames) for s in whole) <= 24
    assert [s.index for s in whole] == list(range(len(whole))) and len(whole) >= 4
    for segment in whole:
        camera = segment.frames.intrinsics
        assert (camera.width, camera.height, camera.fx) == (320, 240, 240.0)
        assert not (segment.frames.origin == PixelOrigin.MEASURED).any()
        assert np.array_equal(segment.frames.valid, segment.frames.origin == PixelOrigin.GENERATED)
    poses = np.concatenate([HOME[None], *(s.frames.cam_to_world for s in whole)])
    assert (np.abs(poses[:, 2, 3] - 0.6) < 1e-6).sum() > 20
    step = np.diff(poses[:, :3, 3], axis=0)
    assert np.linalg.norm(step, axis=1).max() <= 0.1 + 1e-9
    assert np.linalg.norm(np.diff(step, axis=0), axis=1).max() < 0.07, "smooth, from one piece to the next too"
    assert np.linalg.norm(step[0]) < 0.02, "it starts gently"


def test_killed_after_the_first_segment_continues_with_the_same_bytes(start, whole):
    for killed in (1, 3):
        first = _run(start, ExploreConfig(photo_frames=81), stop_after=killed)
        assert len(first) == killed
        again = _run(start, ExploreConfig(photo_frames=81), done=tuple(first))
        assert _bytes(again) == _bytes(whole) and [s.notes for s in again] == [s.notes for s in whole]
    assert _run(start, ExploreConfig(photo_frames=81), done=tuple(whole)) == whole, "nothing is made twice"


def test_walks_add_none_unless_asked(start):
    walk = start_of(room_frames(np.stack([pose_at(0.1 * i, 0, 1.4) for i in range(9)])), metric="sensor")
    assert _run(walk, ExploreConfig()) == []
    assert _run(start, ExploreConfig(photo_frames=0)) == []
    more = _run(walk, ExploreConfig(rgbd_frames=20))
    assert sum(len(s.frames) for s in more) == 20
    step = np.linalg.norm(more[0].frames.cam_to_world[0, :3, 3] - walk.frames.cam_to_world[-1, :3, 3])
    assert step <= ExploreConfig().step_m + 1e-9, "it goes on where the walk ended"


def test_every_eighth_frame_is_remembered_and_the_photo_is_shown_first(start, monkeypatch):
    asked = []
    draw = Reproject.generate

    def spy(self, request):
        asked.append(request)
        return draw(self, request)

    monkeypatch.setattr(Reproject, "generate", spy)
    made = _run(start, ExploreConfig(photo_frames=81, segment_frames=27))
    assert sum(len(r.chosen) for r in asked) == 81
    assert {i for ids in asked[0].chosen for i in ids} == {0}
    later = {i for r in asked[1:] for ids in r.chosen for i in ids}
    assert later <= set(range(0, 82, 8))
    assert later > {0}
    assert [r.seed for r in asked] == list(range(3, 3 + len(asked)))
    for request in asked:
        assert [v.frame_id for v in request.views] == sorted({i for ids in request.chosen for i in ids})
    assert [s.notes["retrieved"] for s in made] == [[v.frame_id for v in r.views] for r in asked]


def test_every_segment_notes_how_much_of_it_its_views_cover(whole):
    """The generator shows its views and paints over the rest: what it painted is what they do not cover."""
    begin = 1
    for segment in whole:
        note, frames = segment.notes["overlap"], segment.frames
        assert note["views"] == segment.notes["retrieved"] and note["shown"] and max(note["views"]) < begin
        end = begin + len(frames) - 1
        assert note["frames"] == sorted({end, *(n for n in range(begin, end) if n % 8 == 0)})
        for number, share in zip(note["frames"], note["shares"], strict=True):
            drawn = (frames.origin[number - begin] == PixelOrigin.GENERATED).mean()
            assert share == pytest.approx(drawn, abs=0.06), number
        assert note["lowest"] == min(note["shares"]) == note["shares"][note["frames"].index(note["lowest_frame"])]
        assert note["median"] == pytest.approx(np.median(note["shares"]), abs=1e-4)
        begin = end + 1
    assert min(segment.notes["overlap"]["lowest"] for segment in whole) < 0.9


class Counting(Stateless):
    """Draws exactly eight frames, and how many it remembers into them."""

    frames, licences = 8, (Licence(subject="weights", name="a licence", holder="", source=""),)

    def begin(self, start, captions, progress):
        self.camera_made, self.seen, self.captions = self.camera(start.frames.intrinsics, 64), [], captions

    def remember(self, segment):
        self.seen.append(segment)

    def generate(self, request):
        assert len(request.cam_to_world) == 8 and request.views == () and set(request.chosen) == {()}
        frames = Reproject(ReprojectConfig()).generate(replace(request, **self.shown(request))).frames
        latents = np.full((1, 2, 1, 1), len(self.seen), np.float32)
        return Drawn(frames=frames, latents=latents, notes={"text": self.captions[0], "remembered": len(self.seen)})

    def shown(self, request):
        view = view_of(room_frames(HOME[None], request.intrinsics), 0, 0)
        return {"views": (view,), "chosen": ((0,),) * len(request.cam_to_world)}


def test_generators_that_remember_are_told_everything_in_order(start, monkeypatch):
    made: list[Segment] = []
    generators = []

    def build(*_args, **_named):
        generators.append(Counting())
        return generators[-1]

    monkeypatch.setattr(loop, "build", build)
    given = {"seed": 3, "source_dir": None, "captions": {0: "a room"}, "progress": lambda _: None}
    config = ExploreConfig(photo_frames=20, height_px=64)
    assert explore(start, config, done=(), commit=made.append, **given).licences == Counting.licences
    assert [len(s.frames) for s in made] == [8, 8, 8], "whole segments, until the wish is met"
    assert [(s.notes["text"], s.notes["remembered"]) for s in made] == [("a room", k) for k in range(3)]
    assert [float(s.latents.max()) for s in made if s.latents is not None] == [0.0, 1.0, 2.0]
    again: list[Segment] = []
    explore(start, config, done=tuple(made[:2]), commit=again.append, **given)
    assert _bytes(again) == _bytes(made[2:]) and [s.index for s in generators[1].seen] == [0, 1, 2]


class Retrieving(Counting):
    """As one that retrieves by itself."""

    def generate(self, request):
        return replace(super().generate(request), notes={"retrieved": [0]})


def test_what_generators_retrieve_by_themselves_is_judged_with_the_frame_they_are_shown_anyway(start, monkeypatch):
    monkeypatch.setattr(loop, "build", lambda *_args, **_named: Retrieving())
    made: list[Segment] = []
    explore(
        start, ExploreConfig(photo_frames=20, height_px=64), seed=3, source_dir=None, captions={0: ""}, done=(),
        commit=made.append, progress=lambda _: None,
    )  # fmt: skip
    assert [s.notes["retrieved"] for s in made] == [[0]] * 3
    assert [s.notes["overlap"]["views"] for s in made] == [[0], [0, 8], [0, 16]]
    assert all(s.notes["overlap"]["shown"] for s in made)
    assert [s.notes["overlap"]["frames"] for s in made] == [[8], [16], [24]]


def test_the_camera_stands_still_where_less_was_planned_than_is_drawn():
    poses = np.stack([pose_at(0.1 * i, 0, 1.4) for i in range(3)])
    made = held(poses, 5)
    assert np.array_equal(made[:3], poses) and np.array_equal(made[3:], poses[[2, 2]])


def test_a_given_path_ends_where_generated_things_stand_in_its_way():
    shown = room_frames(HOME[None], BIG)
    blind = replace(shown, valid=np.zeros_like(shown.valid))
    config = ExploreConfig.model_validate({"path": {"kind": "dolly", "forward_m": 6.0, "right_m": 0.0}})
    past = Past(blind, BIG, 0.6)
    course = Given(config, past)
    first = course.poses(24)
    assert len(first) == 24, "unknown space is no obstacle"
    past.add(Segment(index=0, frames=room_frames(first)))
    assert len(course.poses(8)) == 8
    rest = course.poses(1000)
    assert 8 < len(rest) < len(course.path) - 24
    assert HIGH[0] - rest[-1, 0, 3] == pytest.approx(config.clearance_m, abs=0.16)
    assert course.end == f"frame {24 + len(rest) + 1} of the given path would come too near to what was generated"


def test_what_is_remembered_does_not_hold_on_to_the_rest_of_its_segment():
    past = Past(room_frames(HOME[None], BIG), BIG, 0.6)
    frames = room_frames(np.repeat(HOME[None], 24, 0))
    past.add(Segment(index=0, frames=frames))
    for number in (8, 16, 24):
        view = past._views[number]
        assert np.array_equal(view.image, frames.images[number - 1])
        assert not np.shares_memory(view.image, frames.images) and not np.shares_memory(view.depth_m, frames.depth_m)


def test_pieces_end_where_a_frame_is_remembered():
    poses = np.stack([pose_at(0.1 * i, 0, 1.4) for i in range(30)])
    for given, count, expected in (
        (30, 30, 30),
        (23, 24, 16),
        (5, 24, 8),
        (5, 6, 6),
        (8, 24, 8),
        (0, 24, 0),
        (6, 6, 6),
    ):
        made = on_stride(poses[:given], count)
        assert len(made) == expected and np.array_equal(made[: min(given, expected)], poses[: min(given, expected)])


def test_stops_early_where_nothing_is_left_to_see():
    once = room_frames(np.concatenate([all_around(), HOME[None]]))
    arrays = ("images", "depth_m", "valid", "origin", "label", "cam_to_world")
    every = {name: np.repeat(getattr(once, name), 8, 0)[:-7] for name in arrays}  # each on the memory's stride
    walk = start_of(Frames(**every, intrinsics=once.intrinsics), metric="sensor")
    made: list[Segment] = []
    given = {"seed": 3, "source_dir": None, "captions": {}, "progress": lambda _: None}
    end = explore(walk, ExploreConfig(rgbd_frames=400), done=(), commit=made.append, **given).end
    count = sum(len(s.frames) for s in made)
    assert 81 <= count < 200 and end == f"nothing more to see after {count} frames"
    made.clear()
    enough = ExploreConfig(rgbd_frames=400, enough_floor_m2=2.0)
    assert "m2 of floor seen after 0 frames" in explore(walk, enough, done=(), commit=made.append, **given).end
    assert made == []


@pytest.mark.parametrize("path", [{"kind": "orbit", "radius_m": 1.0, "angle_deg": 30}, {"kind": "zoom"}])
def test_a_given_path_is_driven_to_its_end_and_resumes(start, path):
    config = ExploreConfig.model_validate({"path": path, "photo_frames": 0, "segment_frames": 8})
    made = _run(start, config)
    pace = Pace(robot_height_m=0.6, clearance_m=0.35, step_m=0.1, turn_rad=float(np.deg2rad(3)))
    wanted = given_path(config.path, HOME, pace)
    assert np.array_equal(np.concatenate([s.frames.cam_to_world for s in made]), wanted) and len(made) > 1
    assert _bytes(_run(start, config, done=tuple(made[:1]))) == _bytes(made)


def test_a_file_in_the_layout_of_lyra_2_drives_the_loop(start, tmp_path):
    w2c = np.tile(np.eye(4), (30, 1, 1))
    w2c[:, 2, 3] = -0.02 * np.arange(30)  # forward along its own axis
    np.savez(
        tmp_path / "p.npz", w2c=w2c.astype(np.float32), intrinsics=np.tile(np.eye(3, dtype=np.float32), (30, 1, 1)),
        image_height=480, image_width=832,
    )  # fmt: skip
    path = {"kind": "file", "path": str(tmp_path / "p.npz")}
    made = _run(start, ExploreConfig.model_validate({"path": path}))
    poses = np.concatenate([s.frames.cam_to_world for s in made])
    assert len(poses) == 29
    ahead = HOME[:3, 3] + HOME[:3, 2] * 0.02 * np.arange(1, 30)[:, None]
    assert np.allclose(poses[:, :3, 3], ahead, atol=1e-6) and np.allclose(poses[:, :3, :3], HOME[:3, :3])


def test_a_path_through_the_wall_is_refused_with_frame_numbers(start):
    config = ExploreConfig.model_validate({"path": {"kind": "dolly", "forward_m": 6.0, "right_m": 0.0}})
    with pytest.raises(InputError, match="frames "):
        _run(start, config)


def test_truth_adds_new_floor_and_resumes(tmp_path):
    scene, camera = make_flat(6), pinhole(160, 120, 70.0)
    pose = photo_camera(scene, 6, height_m=1.5, pitch_deg=15.0, intrinsics=camera)
    write_photo(tmp_path / "a.jpg", scene, pose, camera)
    shown = render(scene, pose, camera)
    frames = room_frames(pose[None], camera)
    frames = type(frames)(
        images=shown.image[None],
        depth_m=shown.depth_m[None],
        valid=shown.valid[None],
        origin=frames.origin,
        label=shown.label[None],
        cam_to_world=pose[None],
        intrinsics=camera,
    )
    given = start_of(frames)
    given = type(given)(**{**vars(given), "frame": type(given.frame)(**{**vars(given.frame), "T_world_source": pose})})
    config = ExploreConfig.model_validate(
        {"generator": {"backend": "truth"}, "height_px": 64, "photo_frames": 60, "segment_frames": 20}
    )
    made = _run(given, config, source=tmp_path / "a.jpg")
    assert sum(len(s.frames) for s in made) == 60
    assert _bytes(_run(given, config, done=tuple(made[:2]), source=tmp_path / "a.jpg")) == _bytes(made)
    inside = np.concatenate([s.frames.cam_to_world[:, :3, 3] for s in made])
    assert (inside[:, 2] > 0.5).all()
    for segment in made:
        note = segment.notes["overlap"]
        assert "retrieved" not in segment.notes and not note["shown"] and note["views"]
        assert 0 < note["lowest"] <= note["median"] <= 1


def test_generated_camera_sees_what_the_start_camera_sees():
    wide = Intrinsics(fx=700.0, fy=710.0, cx=480.0, cy=300.0, width=959, height=641)
    made = Stateless().camera(wide, 240)
    assert made.height == 240
    assert made.width % 2 == 0
    assert made.cx / made.width == pytest.approx(wide.cx / wide.width)
    assert made.fx / made.width == pytest.approx(wide.fx / wide.width)
    small = Intrinsics(fx=70.0, fy=70.0, cx=40.0, cy=30.0, width=80, height=61)
    assert Stateless().camera(small, 240).height == 60
