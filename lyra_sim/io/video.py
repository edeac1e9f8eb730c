"""Walk videos: frames to MP4 (H.264), the same frames give the same bytes."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8

from lyra_sim.core.errors import ResourceError

INSTALL = "Install it: pip install imageio-ffmpeg."


def write_mp4(path: Path, frames: Iterable[UInt8[np.ndarray, "H W 3"]], *, fps: float = 16.0, crf: int = 20) -> int:
    """Write frames of one size as H.264 in yuv420p and return how many there were. Odd sizes are padded by one
    repeated row or column, as the format needs even ones.

    One encoder thread, no time stamps, no tool versions in the container: the number of cores changes nothing.

    Raises:
        ResourceError: ffmpeg is absent or fails.
    """
    encoder: subprocess.Popen[bytes] | None = None
    count, shape = 0, (0, 0)
    try:
        for frame in frames:
            if encoder is None:
                shape = frame.shape[:2]
                encoder = _start(path, (shape[0] + shape[0] % 2, shape[1] + shape[1] % 2), fps, crf)
            assert frame.dtype == np.uint8 and frame.shape == (*shape, 3), (frame.dtype, frame.shape, shape)
            assert encoder.stdin is not None
            even = np.pad(frame, ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0)), mode="edge")
            encoder.stdin.write(even.tobytes())
            count += 1
        assert encoder is not None, "a video needs at least one frame"
        complaint = encoder.communicate()[1]
        if encoder.returncode != 0:
            raise _failed(path, complaint)
    except BrokenPipeError as error:
        assert encoder is not None and encoder.stderr is not None
        raise _failed(path, encoder.stderr.read()) from error
    finally:
        if encoder is not None and encoder.poll() is None:
            encoder.kill()
            encoder.wait()
    return count


def _start(path: Path, size: tuple[int, int], fps: float, crf: int) -> subprocess.Popen[bytes]:
    height, width = size
    path.parent.mkdir(parents=True, exist_ok=True)
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
    threads = "threads=1:lookahead_threads=1:sliced_threads=0"
    codec = ["-c:v", "libx264", "-preset", "medium", "-crf", str(crf), "-threads", "1", "-x264-params", threads]
    color = ["-vf", "scale=out_color_matrix=bt709:flags=bicubic+accurate_rnd+bitexact", "-pix_fmt", "yuv420p"]
    color += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1", "-movflags", "+faststart"]
    quiet = ["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-filter_threads", "1"]
    try:
        return subprocess.Popen(
            [imageio_ffmpeg.get_ffmpeg_exe(), *quiet, *source, *codec, *color, *exact, "-f", "mp4", os.fspath(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except (OSError, RuntimeError) as error:
        raise ResourceError("video", expected="an ffmpeg program", got=str(error)[:200], todo=INSTALL) from error


def _failed(path: Path, complaint: bytes) -> ResourceError:
    got = complaint.decode("utf-8", "replace").strip()[-300:] or "no message"
    return ResourceError(path, expected="ffmpeg to encode the walk", got=got, todo=f"Check the disk. {INSTALL}")
