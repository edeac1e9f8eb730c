"""The picture of retrieval in a world's report."""

import io

import numpy as np
import pytest
from PIL import Image

from lyra_sim.config.explore import ExploreConfig
from lyra_sim.core.records import Frames, PosedFrames, Segment, World
from lyra_sim.explore import explore
from lyra_sim.geometry.camera import scaled
from pipelines.report.html import world_page
from pipelines.report.retrieval import retrieval_picture, tinted
from tests.trajectory.box_room import CAMERA, pose_at, room_frames, start_of

REPORT = {
    "world": "room", "status": "published", "reason": "", "warnings": [], "gates": [], "nav": {}, "frame": {},
    "licences": [],
}  # fmt: skip


def grey(frames: Frames) -> Frames:
    """So that what is red in the picture was tinted."""
    arrays = {k: getattr(frames, k) for k in Frames.__dataclass_fields__}
    return Frames(**{**arrays, "images": np.full_like(frames.images, 128)})


@pytest.fixture(scope="module")
def world() -> World:
    start: PosedFrames = start_of(grey(room_frames(pose_at(0.2, 0.1, 1.4)[None], scaled(CAMERA, 160, 120))))
    made: list[Segment] = []
    explore(
        start, ExploreConfig(photo_frames=60, segment_frames=12, height_px=120), seed=0, source_dir=None, captions={},
        done=(), commit=made.append, progress=lambda _: None,
    )  # fmt: skip
    return World(start=start, segments=tuple(made))


def test_red_is_as_much_of_each_frame_as_no_view_covers(world):
    made = retrieval_picture(world)
    assert made is not None and made == retrieval_picture(world) and len(made) < 400_000
    picture = np.asarray(Image.open(io.BytesIO(made)), int)
    lowest = [segment.notes["overlap"]["lowest"] for segment in world.segments]
    assert len(lowest) >= 5 and picture.shape == (150 + 4 * 264, 1000, 3)
    rows = sorted(sorted(range(len(lowest)), key=lambda i: lowest[i])[:4])
    for row, i in enumerate(rows):
        frame = picture[150 + 264 * row + 18 :][:240, :320]
        red = (frame[..., 0] > frame[..., 1] + 40).mean()
        assert red == pytest.approx(1 - lowest[i], abs=0.01)
        assert picture[150 + 264 * row + 18 :][:120, 328:488].std() < 30, "a view beside it"


def test_a_world_without_generated_frames_has_none(world):
    assert retrieval_picture(World(start=world.start, segments=())) is None
    assert "Memory" not in world_page(REPORT, [], None)
    made = retrieval_picture(world)
    assert made is not None and "<h2>Memory</h2>" in world_page(REPORT, [], made)


def test_tint_leaves_the_rest_as_it_is():
    image = np.random.default_rng(0).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    mask = np.zeros((6, 8), bool)
    mask[2:4] = True
    shown = np.asarray(tinted(image, mask), int)
    assert np.array_equal(shown[~mask], image[~mask])
    assert (shown[mask][:, 0] > shown[mask][:, 1:].max(1) + 40).all()
