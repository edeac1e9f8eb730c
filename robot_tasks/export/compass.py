"""What COMPASS needs to know to train in these worlds: one entry for each, as data for its `EnvSceneAssetCfg`.

    out/compass/scenes.json

The map itself lies where COMPASS looks for it, `<world>/omap/occupancy_map.yaml` beside the scene; do not name it in
`OMAP_PATHS`, whose plain paths are read from the top left corner. COMPASS draws poses uniformly from
`pose_sample_range` and tries again, ten times, where its square of 1.5 m does not fit; so the range is the smallest
that holds all places where it fits, and `pose_fits_share` says how much of the range they are.
Sources: NVlabs/COMPASS `mobility_es/config/environments.py`, `utils/occupancy_map.py`, `mdp/events.py`,
`scripts/generate_omap_from_usd.py`, `docs/handbook/omap.md`.
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from lyra_sim.config.tasks import RobotConfig
from robot_tasks.export.written import WrittenMap, read_map
from robot_tasks.navmap import FREE

MARGIN_M = 0.75
"""Half the side of the square that must be free around a pose (COMPASS, `is_in_collision`)."""
_BETWEEN_M = 2.0


def write_scenes(
    out: Path, worlds: Sequence[dict[str, Any]], robots: Sequence[RobotConfig], cell_m: float, fresh: Path
) -> None:
    """`scenes.json`: entries by world, paths relative to the output folder.

    Raises:
        InputError: a world's map is missing or broken.
    """
    entries = {line["path"]: scene_entry(out, line["path"]) for line in worlds}
    (fresh / "scenes.json").write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n")


def scene_entry(out: Path, world: str) -> dict[str, Any]:
    """The arguments of one `EnvSceneAssetCfg`, ranges in metres of the scene's own frame, quaternion xyzw (Isaac Lab
    3); and `seed_xy`: a free place for COMPASS' own map generator to start from, null where nothing is free."""
    found = read_map(out / world / "omap" / "occupancy_map.yaml")
    free = found.state == FREE
    fits = pose_fits(free, found.cell_m)
    cells = np.argwhere(fits if fits.any() else free)
    low, high = (cells.min(0), cells.max(0) + 1) if len(cells) else (np.zeros(2, int), np.zeros(2, int))
    share = float(fits[low[0] : high[0], low[1] : high[1]].mean()) if len(cells) else 0.0
    x, y = np.round(found.origin_m[:, None] + np.stack([low, high], axis=1) * found.cell_m, 4).tolist()
    name = "".join(part.capitalize() for part in re.split(r"[^a-z0-9]+", world))
    return {
        "usd_path": f"{world}/scene.usda",
        "omap_path": f"{world}/omap/occupancy_map.yaml",
        "prim_path": f"{{ENV_REGEX_NS}}/{name}",
        "init_state": {"pos": [0.0, 0.0, 0.01], "rot": [0.0, 0.0, 0.0, 1.0]},
        "pose_sample_range": {"x": x, "y": y, "yaw": [-3.14, 3.14]},
        "pose_fits_share": round(share, 4),
        "env_spacing": math.ceil(max(found.state.shape) * found.cell_m + _BETWEEN_M),
        "replicate_physics": True,
        "seed_xy": _seed(found),
    }


def pose_fits(free: Bool[np.ndarray, "X Y"], cell_m: float) -> Bool[np.ndarray, "X Y"]:
    """Cells on which COMPASS accepts a pose: its square, from `reach` cells before to `reach` - 1 after in each
    direction of the image, is free, and one more cell lies inside the map."""
    reach = math.ceil(MARGIN_M / cell_m)
    ok = ndimage.minimum_filter(free.T[::-1], size=2 * reach, mode="constant", cval=False)
    ok[-reach:], ok[:, -reach:] = False, False
    return ok[::-1].T


def _seed(found: WrittenMap) -> list[float] | None:
    """Centre of the free cell nearest the world's origin; None where nothing is free."""
    cells = np.argwhere(found.state == FREE)
    if len(cells) == 0:
        return None
    centre = found.origin_m + (cells + 0.5) * found.cell_m
    return [round(float(v), 4) for v in centre[np.hypot(*centre.T).argmin()]]
