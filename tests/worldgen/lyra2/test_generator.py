"""The generator on its own past: deterministic, resumable, each way of memory, with what it tells of it."""

import gc
import tracemalloc

import numpy as np
import pytest

from lyra_sim.config.load import load_config
from lyra_sim.config.lyra2 import Lyra2Config
from lyra_sim.core.records import Frames, PixelOrigin, PosedFrames, Segment
from lyra_sim.worldgen.lyra2 import generator as module
from lyra_sim.worldgen.lyra2.generator import Lyra2, open_network
from lyra_sim.worldgen.request import Drawn, Request
from tests.trajectory.box_room import pose_at, room_frames, start_of

PACKING = "f1k1f1s2f1s1f2k2f1k1_g2"


def config_of(**changed) -> Lyra2Config:
    generator = load_config("lyra2_tiny").explore.generator
    assert isinstance(generator, Lyra2Config)
    tiny = {"packing": PACKING, "steps": 2, "height_px": 32, "width_px": 48, **changed}
    if tiny.get("sampler") == "distilled":
        tiny["steps"] = 4
    return Lyra2Config.model_validate({**generator.model_dump(), **tiny})


@pytest.fixture(scope="module")
def start() -> PosedFrames:
    return start_of(room_frames(np.stack([pose_at(0.05 * i, 0.02 * i, 1.4, 0.03 * i) for i in range(9)])))


def run(start: PosedFrames, config: Lyra2Config, segments: int, done: tuple[Segment, ...] = ()) -> list[Segment]:
    drawer, lines = Lyra2(config, open_network(config)), []
    drawer.begin(start, {0: "a room", 9: "a hall"}, lines.append)
    for segment in done:
        drawer.remember(segment)
    made = list(done)
    for index in range(len(done), segments):
        n = 4 * drawer.packing.new_latents
        poses = np.stack([pose_at(0.5 + 0.06 * (n * index + t), 0.3, 1.3, 0.1 * index) for t in range(n)])
        camera = drawer.camera(start.frames.intrinsics, 0)
        request = Request(cam_to_world=poses, intrinsics=camera, views=(), chosen=((),) * n, seed=5 + index)
        drawn = drawer.generate(request)
        assert isinstance(drawn, Drawn) and not drawn.warped
        made.append(Segment(index=index, frames=drawn.frames, latents=drawn.latents, notes=drawn.notes))
        drawer.remember(made[-1])
    assert len(lines) == config.steps * (segments - len(done))
    return made


def content(segments: list[Segment]) -> list[bytes]:
    return [s.frames.images.tobytes() + s.frames.depth_m.tobytes() + s.latents.tobytes() for s in segments]  # pyright: ignore[reportOptionalMemberAccess]


@pytest.fixture(scope="module")
def three(start) -> list[Segment]:
    return run(start, config_of(), 3)


def test_same_seed_same_bytes_and_a_stop_changes_nothing(start, three):
    assert content(run(start, config_of(), 3)) == content(three)
    assert content(run(start, config_of(), 3, done=tuple(three[:2]))) == content(three)
    assert len({*content(three)}) == 3
    other = run(start, config_of(random_weights={"seed": 1}), 1)
    assert content(other) != content(three[:1])


def test_frames_say_what_they_are(three):
    for index, segment in enumerate(three):
        frames: Frames = segment.frames
        assert frames.images.shape == (8, 32, 48, 3) and (frames.origin == PixelOrigin.GENERATED).all()
        assert frames.images.std() > 1, "not blank"
        assert not frames.depth_m[:7].any() and frames.depth_m[7].all(), (
            "known to the generator where it is not geometry"
        )
        assert [t for t in range(8) if frames.valid[t].any()] == [7], "every 8th frame, 0 being the last start frame"
        assert frames.depth_m[7].max() <= 6.0
        assert segment.notes["frames"] == [8 * index + 1, 8 * index + 8]
        assert set(segment.notes["retrieved"]) <= {-8, *range(0, 8 * index + 1, 8)}
    assert [s.notes["prompt"] for s in three] == ["a room", "a hall", "a hall"]
    assert {s.notes["prompt_source"] for s in three} == {"beside the input"}
    assert any(s.notes["retrieved"] for s in three)


def test_segments_of_any_length_leave_every_eighth_frame_in_the_memory(start):
    made = run(start, config_of(packing=PACKING.replace("_g2", "_g3"), steps=1, guidance=1.0), 3)
    known = [12 * s.index + 1 + t for s in made for t in range(12) if s.frames.valid[t].any()]
    assert known == [8, 12, 16, 24, 32, 36], "on the stride, and the last of each segment"


@pytest.mark.parametrize(
    "changed",
    [
        {"way": "hard_warp"}, {"way": "global_cloud"}, {"way": "none"}, {"packing": "f1k1f2s1f3k1_g2"},
        {"sampler": "distilled"}, {"guidance": 1.0}, {"retrieval_views": 2}, {"geometry": "torch"},
    ],
    ids=str,
)  # fmt: skip
def test_every_way_draws_and_each_draws_differently(start, three, changed):
    made = run(start, config_of(**changed), 2)
    assert made[1].frames.images.std() > 1
    if "geometry" in changed:
        off = made[1].frames.images.astype(int) - three[1].frames.images
        assert np.percentile(np.abs(off), 95) <= 2, "the twin in single precision differs by little"
    elif "retrieval_views" not in changed:  # which may well choose the same frames
        assert content(made) != content(three[:2])
    if changed.get("way") == "none":
        assert all(s.notes["retrieved"] == [] for s in made)


def test_a_scale_that_cameras_do_not_determine_is_refused_and_told(start):
    drawer = Lyra2(config_of(), open_network(config_of()))
    drawer.begin(start, {}, lambda _line: None)
    pose = pose_at(0.4, 0.16, 1.4)
    camera = drawer.camera(start.frames.intrinsics, 0)
    request = Request(cam_to_world=np.repeat(pose[None], 8, 0), intrinsics=camera, views=(), chosen=((),) * 8, seed=1)
    standing = np.repeat(drawer.past.known(request.cam_to_world).w2c[1:2], 2, 0)
    assert np.allclose(standing[0], standing[1])
    notes = drawer.generate(request).notes["depth"]
    assert notes["from_cameras"] is False and notes["why"] and notes["scale"] == 1.0
    assert drawer.generate(request).notes["prompt_source"].startswith("default for")


def test_memory_grows_by_what_is_remembered(start):
    """48 x 32 pixels: a segment's picture, depth and latents are 14 kB, all its frames in float 150 kB."""
    sizes = []
    config = config_of(steps=1, guidance=1.0)
    drawer = Lyra2(config, open_network(config))
    drawer.begin(start, {}, lambda _line: None)
    camera = drawer.camera(start.frames.intrinsics, 0)
    tracemalloc.start()  # sees arrays; the resident size hides what fits into freed memory
    for index in range(14):
        poses = np.stack([pose_at(0.5 + 0.01 * (8 * index + t), 0.3, 1.3) for t in range(8)])
        request = Request(cam_to_world=poses, intrinsics=camera, views=(), chosen=((),) * 8, seed=index)
        drawn = drawer.generate(request)
        drawer.remember(Segment(index=index, frames=drawn.frames, latents=drawn.latents, notes=drawn.notes))
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0] / 1e6)
    tracemalloc.stop()
    kept = sum(image.nbytes for image in drawer.past._images.values())
    assert len(drawer.past._images) == 2 + 14 and kept == 16 * 32 * 48 * 3
    assert np.polyfit(range(8), sizes[6:], 1)[0] < 0.05, "MB per segment"


def test_one_network_is_loaded_per_configuration(monkeypatch):
    made = []
    monkeypatch.setattr(module, "build_network", lambda config: made.append(config) or config)
    module._open_network.cache_clear()
    config = config_of(random_weights={"seed": 9})
    assert open_network(config) is open_network(config_of(random_weights={"seed": 9})) and len(made) == 1
    module._open_network.cache_clear()
