"""Maps as files: ROS map_server (which nav2, Isaac Sim, MobilityGen and COMPASS read) and the grids as npz."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from robot_tasks.episodes import Fields
from robot_tasks.geodesic import sample
from robot_tasks.islands import Space
from robot_tasks.navmap import NavMap


def write_ros_map(nav: NavMap, folder: Path, name: str, *, pgm: bool) -> None:
    """`<name>.yaml` and `<name>.png` (and `.pgm`): 0 occupied, 127 unknown, 255 free; image row 0 is the largest y.

    `origin` is the world position of the lower left corner of the image's lower left pixel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.ascontiguousarray(nav.state.T[::-1])
    Image.fromarray(rows).save(folder / f"{name}.png")
    if pgm:
        header = f"P5\n{rows.shape[1]} {rows.shape[0]}\n255\n".encode()
        (folder / f"{name}.pgm").write_bytes(header + rows.tobytes())
    x, y = (round(float(v), 6) for v in nav.origin_m)
    (folder / f"{name}.yaml").write_text(
        f"image: {name}.png\nresolution: {round(nav.cell_m, 6)}\norigin: [{x}, {y}, 0.0]\n"
        "negate: 0\noccupied_thresh: 0.65\nfree_thresh: 0.196\nmode: trinary\n"
    )


def write_fields(nav: NavMap, space: Space, fields: Fields, path: Path) -> None:
    """`fields.npz`: the arrays of `field_grids`."""
    np.savez_compressed(path, **field_grids(nav, space, fields))


def field_grids(nav: NavMap, space: Space, fields: Fields) -> dict[str, Any]:
    """All grids on the map's cells, indexed [x, y] from `origin_m`:

    goals (G, 2) metres; distance_m float16 (G, X, Y), inf where unreachable; clearance_m float16 (X, Y);
    island int16 (X, Y), 0 not navigable, 1 the largest; origin_m (2,); cell_m.
    """
    shape = nav.state.shape
    at = (np.indices(shape).reshape(2, -1).T + 0.5) * nav.cell_m + nav.origin_m
    clearance = sample(nav.clearance_m, nav.origin_m, nav.fine_m, at).reshape(shape)
    ratio = round(nav.cell_m / space.cell_m)
    cut = space.island.reshape(shape[0], ratio, shape[1], ratio)
    island = np.where((cut > 0).any((1, 3)), np.where(cut > 0, cut, 10_000).min((1, 3)), 0)
    blocks = fields.distance_m.reshape(-1, shape[0], ratio, shape[1], ratio)
    known = np.isfinite(blocks)
    mean = np.where(known, blocks, 0).sum((2, 4)) / np.maximum(known.sum((2, 4)), 1)
    distance = np.where(known.any((2, 4)), mean, np.inf)
    return {
        "goals": fields.goals,
        "distance_m": distance.astype(np.float16),
        "clearance_m": clearance.astype(np.float16),
        "island": island.astype(np.int16),
        "origin_m": nav.origin_m,
        "cell_m": np.float64(nav.cell_m),
    }
