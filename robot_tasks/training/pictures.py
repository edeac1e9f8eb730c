"""Pictures of a training: how it learned, and where its policy drives well and badly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float32

from lyra_sim.core.record import record
from robot_tasks.navmap import FREE, OCCUPIED
from robot_tasks.worlds import NavWorld

_GREY = {OCCUPIED: 0.2, FREE: 1.0}
_UNKNOWN_GREY = 0.75
_REACHED, _MISSED = "tab:blue", "tab:red"


@record
class Track:
    """Where a robot drove in one episode."""

    xy_m: Float32[np.ndarray, "T 2"]
    goal_m: Float32[np.ndarray, "2"]
    success: bool


def draw_curves(log: Sequence[dict[str, Any]], path: Path) -> None:
    """Success, SPL, contacts and return of recent episodes over steps, with minutes of training above."""
    lines = [line for line in log if "success" in line]
    steps = np.array([line["steps"] for line in lines]) / 1e6
    minutes = np.array([line["seconds"] for line in lines]) / 60
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for axis, name in zip(axes.flat, ("success", "spl", "return", "contacts"), strict=True):
        axis.plot(steps, [line[name] for line in lines], color=_REACHED)
        axis.set_xlabel("million steps")
        axis.set_ylabel({"spl": "SPL", "contacts": "contacts per episode"}.get(name, name))
        axis.grid(alpha=0.3)
        if name in ("success", "spl"):
            axis.set_ylim(0, 1)
        if len(steps) > 1:
            above = axis.twiny()
            above.set_xlim(axis.get_xlim())
            at = np.linspace(steps[0], steps[-1], 5)
            above.set_xticks(at, [f"{m:.1f}" for m in np.interp(at, steps, minutes)])
            above.set_xlabel("minutes of training")
    figure.suptitle("Episodes that ended last, with the noise of exploration, in the worlds trained on")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def draw_tracks(worlds: Sequence[tuple[NavWorld, str, Sequence[Track]]], path: Path) -> None:
    """Episodes over the maps of some worlds, each with a title: ring at the start, star at the goal, blue where the
    goal was reached, red where not."""
    columns = min(len(worlds), 4)
    rows = -(-len(worlds) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns, 4.4 * rows), layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (world, title, tracks) in zip(axes.flat, worlds, strict=False):
        grey = np.full(world.state.shape, _UNKNOWN_GREY)
        for value, shade in _GREY.items():
            grey[world.state == value] = shade
        (x0, y0), (x1, y1) = world.origin_m, world.origin_m + np.array(world.state.shape) * world.cell_m
        axis.imshow(grey.T, origin="lower", extent=(x0, x1, y0, y1), cmap="gray", vmin=0, vmax=1)
        for track in tracks:
            colour = _REACHED if track.success else _MISSED
            axis.plot(*track.xy_m.T, color=colour, linewidth=1, alpha=0.8)
            axis.plot(*track.xy_m[0], "o", color=colour, markersize=5, fillstyle="none")
            axis.plot(*track.goal_m, "*", color=colour, markersize=8)
        axis.set_title(title, fontsize=9)
    figure.savefig(path, dpi=90)
    plt.close(figure)
