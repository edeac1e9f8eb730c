"""Do the views that memory retrieves for a walk cover what its frames show, and does the walk come back?

    python benchmarks/overlap.py [--flats 3] [--first 101] [--frames 800] [--height 1.4] [--segment 24]
        [--pictures FOLDER]

The whole loop (plan, retrieve, generate, remember) with the `truth` generator in procedural flats of 3 to 6 rooms, from
a photo with exact depth, 70 degrees wide, frames 120 pixels high. `truth` is shown no memory: its segments name the
views that a generator with three views per group of 4 frames would be shown. Overlap (`lyra_sim/memory/overlap.py`) is
that of every single frame with all views of its segment. Beside it stand what the best three views per group would have
given (chosen with the drawn frames at hand), and all of memory before the segment, which no retrieval exceeds: where
that is low, the way goes into the unseen too fast. A frame returns when it overlaps with one that is more than 160
frames older; every 8th frame is compared with every 8th. The walk ends where the planner knows of nothing unseen, so
floor is left to see in every window of 240 frames. Exits 1 when a bar is missed.
"""

import argparse
import math
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from lyra_sim.config.explore import ExploreConfig
from lyra_sim.core.records import Frames, PixelOrigin, PosedFrames, Provenance, Segment, WorldFrame
from lyra_sim.explore import explore
from lyra_sim.memory.overlap import Coverage, DepthView, coverage, geometry_of
from lyra_sim.memory.revisits import APART
from lyra_sim.memory.spatial import STRIDE
from lyra_sim.procedural.cameras import photo_camera, pinhole
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import render
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.write import write_photo
from lyra_sim.trajectory.motion import heading_of
from pipelines.report.retrieval import tinted

PHOTO = pinhole(208, 120, 70.0)
PITCH_DEG = 12.0
LEAST_OVERLAP, LEAST_RETURN, WINDOW = 0.60, 0.50, 240
GROUP, VIEWS = 4, 3
CHOSEN, BEST, ALL = "the views of its segment", "the best views of that number", "all of memory"


def start_at(scene: ProceduralScene, pose: np.ndarray) -> PosedFrames:
    """The photo with exact depth, in the frame of the scene."""
    view = render(scene, pose, PHOTO)
    frames = Frames(
        images=view.image[None],
        depth_m=view.depth_m[None],
        valid=view.valid[None],
        origin=np.full((1, *view.valid.shape), int(PixelOrigin.MEASURED), np.uint8),
        label=view.label[None],
        cam_to_world=pose[None],
        intrinsics=PHOTO,
    )
    return PosedFrames(
        frames=frames,
        frame=WorldFrame(
            metric="camera_height_given",
            gravity="planes",
            gravity_sigma_rad=0.01,
            scale_sigma=0.01,
            T_world_source=pose,
        ),
        environment="indoor",
        provenance=Provenance(backend="truth", version="1", config_hash="", seed=0, inputs=(), licences=()),
    )


class Walk:
    """What a walk showed, frame by frame; frame 0 is the photo.

    Args:
        pictures: of every segment's worst frame that misses the bar: in red what the views of the segment do not cover,
            what all of memory does not, and the segment's views.
    """

    def __init__(self, start: Frames, pictures: Path | None) -> None:
        self.pictures = pictures
        self.kept: dict[int, DepthView] = {0: geometry_of(start, 0)}
        """Every 8th frame, and ..."""
        self.images = {0: start.images[0]}
        self.poses = [start.cam_to_world[0]]
        self.overlap: dict[str, list[float]] = {CHOSEN: [], BEST: [], ALL: []}
        """Of frames 1, 2, ... with views that were there before their segment."""
        self.returns: dict[int, float] = {}
        """Frame -> largest overlap with one frame that is more than 160 older."""
        self.first: list[int] = []
        """First frame of each segment."""

    def add(self, segment: Segment) -> None:
        """The next segment."""
        frames, begin, ids = segment.frames, len(self.poses), list(self.kept)
        self.first.append(begin)
        found = [coverage(frames, t, list(self.kept.values())) for t in range(len(frames))]
        chosen = [ids.index(i) for i in segment.notes["overlap"]["views"]]
        picks = {CHOSEN: chosen, BEST: best_views(found), ALL: list(range(len(ids)))}
        for name, picked in picks.items():
            self.overlap[name] += [1.0 if (o := part(c, picked).overlap) is None else o for c in found]
        for t, seen in enumerate(found):
            self.poses.append(frames.cam_to_world[t])
            if (number := begin + t) % STRIDE == 0:
                self.kept[number], self.images[number] = geometry_of(frames, t), frames.images[t].copy()
                old = [share for i, share in zip(ids, seen.shares, strict=True) if number - i > APART]
                self.returns[number] = max(old, default=0.0)
        t = int(np.argmin(self.overlap[CHOSEN][begin - 1 :]))
        if self.pictures and self.overlap[CHOSEN][begin - 1 + t] < LEAST_OVERLAP:
            self.pictures.mkdir(parents=True, exist_ok=True)
            tints = [
                np.asarray(tinted(frames.images[t], part(found[t], picks[name]).uncovered)) for name in (CHOSEN, ALL)
            ]
            shown = np.concatenate(tints + [self.images[ids[i]] for i in chosen], 1)
            Image.fromarray(shown).save(self.pictures / f"{begin + t:03d}.png")


def part(found: Coverage, picked: list[int]) -> Coverage:
    """By some of the views."""
    return Coverage(valid=found.valid, by=found.by[picked])


def best_views(found: list[Coverage]) -> list[int]:
    """The `VIEWS` views for each group of 4 frames that cover its first and last frame best, chosen greedily by one who
    has drawn the frames already: what no retrieval of this kind can exceed by much."""
    picked: set[int] = set()
    for group in (found[k : k + GROUP] for k in range(0, len(found), GROUP)):
        seen = np.concatenate([(c.by & c.valid).reshape(len(c.by), -1) for c in (group[0], group[-1])], 1)
        for _ in range(VIEWS):
            best = int(seen.sum(1).argmax())
            picked.add(best)
            seen &= ~seen[best]
    return sorted(picked)


def longest_away(walk: Walk) -> tuple[int, int]:
    """Longest run of frames without a return: first frame and length."""
    back = [number for number, share in walk.returns.items() if share >= LEAST_RETURN]
    marks = [0, *back, len(walk.poses)]
    gaps = np.diff(marks) - 1
    at = int(gaps.argmax())
    return marks[at] + 1, int(gaps[at])


def told(seed: int, walk: Walk, end: str, seconds: float) -> bool:
    """Prints a walk; True when it keeps the bars."""
    print(f"flat {seed}: {end}, {seconds:.0f} s")
    for name, shares in walk.overlap.items():
        share = np.array(shares)
        print(
            f"  overlap with {name}: lowest {share.min():.3f} at frame {int(share.argmin()) + 1}, "
            f"1st percentile {np.percentile(share, 1):.3f}, median {np.median(share):.3f}, "
            f"below {LEAST_OVERLAP}: {(share < LEAST_OVERLAP).mean():.1%}"
        )
    for begin in range(1, len(walk.poses) - WINDOW + 1, WINDOW):
        inside = range(begin, begin + WINDOW)
        share, number = max((share, number) for number, share in walk.returns.items() if number in inside)
        print(f"  frames {inside[0]} to {inside[-1]}: best return {share:.2f} at frame {number}")
    begin, away = longest_away(walk)
    print(f"  longest without a return: {away} frames from {begin}")
    low = np.flatnonzero(np.array(walk.overlap[CHOSEN]) < LEAST_OVERLAP)
    for run in np.split(low, np.flatnonzero(np.diff(low) > 1) + 1) if len(low) else []:
        print(f"  misses {cause(walk, run)}")
    return not len(low) and away < WINDOW


def cause(walk: Walk, run: np.ndarray) -> str:
    """One run of frames below the bar (their numbers less 1): where in its segment the worst is, how far the camera
    turned and moved since the segment began, and what other views would have given."""
    share = {name: np.array(shares) for name, shares in walk.overlap.items()}
    worst = int(run[share[CHOSEN][run].argmin()]) + 1
    begin = max(first for first in walk.first if first <= worst)
    heading = np.unwrap([heading_of(pose)[0] for pose in walk.poses[begin - 1 : worst + 1]])
    gone = float(np.linalg.norm(walk.poses[worst][:3, 3] - walk.poses[begin - 1][:3, 3]))
    return (
        f"frames {run[0] + 1} to {run[-1] + 1}, lowest {share[CHOSEN][worst - 1]:.2f} at {worst} "
        f"(best views {share[BEST][worst - 1]:.2f}, memory {share[ALL][worst - 1]:.2f}): "
        f"frame {worst + 1 - begin} of its segment, "
        f"{math.degrees(heading[-1] - heading[0]):+.0f} degrees and {gone:.1f} m since it began"
    )


def main() -> int:
    """Print every walk and the verdict; 0 when all keep the bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flats", type=int, default=3)
    parser.add_argument("--first", type=int, default=101, help="seed")
    parser.add_argument("--frames", type=int, default=800)
    parser.add_argument("--height", type=float, default=1.4, help="of the photo's camera, metres")
    parser.add_argument("--segment", type=int, default=ExploreConfig().segment_frames, help="most frames of a segment")
    parser.add_argument("--pictures", type=Path, help="keep the worst frame of every segment that misses there")
    args = parser.parse_args()
    print(f"{os.uname().machine}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    config = ExploreConfig.model_validate(
        {
            "generator": {"backend": "truth"},
            "height_px": PHOTO.height,
            "photo_frames": args.frames,
            "segment_frames": args.segment,
        }
    )
    ok = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(args.first, args.first + args.flats):
            scene = make_flat(seed, rooms=3 + seed % 4)
            home = photo_camera(scene, seed, height_m=args.height, pitch_deg=PITCH_DEG, intrinsics=PHOTO)
            source = Path(scratch) / f"{seed}.jpg"
            write_photo(source, scene, home, PHOTO)
            start, began = start_at(scene, home), time.monotonic()
            walk = Walk(start.frames, args.pictures and args.pictures / str(seed))
            made = explore(
                start, config, seed=seed, source_dir=source, captions={}, done=(), commit=walk.add,
                progress=lambda _: None,
            )  # fmt: skip
            ok.append(told(seed, walk, made.end, time.monotonic() - began))
            sys.stdout.flush()
    bars = f"every frame >= {LEAST_OVERLAP}, a return >= {LEAST_RETURN} in every {WINDOW} frames"
    print(f"bars: {bars}: kept in {sum(ok)} of {len(ok)} flats")
    return 0 if all(ok) else 1


if __name__ == "__main__":
    sys.exit(main())
