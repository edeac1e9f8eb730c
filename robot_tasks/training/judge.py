"""Policies and baselines through worlds that no policy was trained on: what `lyra-sim nav eval` does."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lyra_sim.core.errors import ConfigError, InputError
from lyra_sim.core.record import record
from robot_tasks.training.division import place_of, within
from robot_tasks.training.evaluate import BASELINES, Baseline, Learned, evaluate
from robot_tasks.training.pictures import Track, draw_tracks
from robot_tasks.training.scores import MEASURES, Estimate, Scores, as_tree, difference, table
from robot_tasks.training.session import Policy
from robot_tasks.worlds import NavWorld, read_worlds

_SHOWN = 4
"""Best and worst worlds that are drawn and told."""
_TRACKS = 8
"""Episodes drawn in each."""
_HOW_IT_LEARNED = ("reward", "random", "curriculum", "reset_to")
"""Settings of the simulation that may differ between policies that are compared."""


@record
class Verdict:
    """Scores of baselines and policies, by name."""

    unseen: dict[str, Scores]
    """In worlds that no policy was trained on."""
    seen: dict[str, Scores]
    """Of the first policy in those of its own worlds that the folder holds; empty where there are none."""
    apart: dict[str, dict[str, Estimate]]
    """The first policy less each other one, by measure, in the same worlds."""


def judge(
    out: Path, policies: Sequence[Policy], folder: Path, progress: Callable[[str], None], *, episodes: int, draws: int
) -> tuple[Verdict, str]:
    """Drive policies and baselines through the worlds of `out`; returns the scores and the text that tells them.

    Writes eval.json and tracks.png (best and worst worlds of the first policy) to `folder`. Where `out` also holds
    worlds that the first policy was trained on, a row of these shows what it loses on the way to new ones.

    Raises:
        ConfigError: policies of several robots, or trained for different tasks.
        InputError: no world is new to all policies.
    """
    robot, env, names = policies[0].robot, policies[0].config.env, _names(policies)
    _same_task(policies, names)
    unseen, seen = _sorted(out, policies)
    rows: dict[str, Scores] = {}
    tracks: list[list[Track]] = []
    for name in BASELINES:
        progress(f"{name} in {len(unseen)} worlds")
        rows[name], _ = evaluate(unseen, robot, env, Baseline(name), episodes)
    for name, policy in zip(names, policies, strict=True):
        progress(f"{name} in {len(unseen)} worlds")
        rows[name], found = evaluate(unseen, robot, env, Learned(policy.actor), episodes)
        tracks = tracks or found
    own: dict[str, Scores] = {}
    if seen:
        progress(f"{names[0]} in the {len(seen)} worlds it was trained on")
        own[names[0]], _ = evaluate(seen, robot, env, Learned(policies[0].actor), episodes)
    first = rows[names[0]]
    apart = {n: {m: difference(first.values(m), rows[n].values(m), draws) for m in MEASURES} for n in names[1:]}
    verdict = Verdict(unseen=rows, seen=own, apart=apart)
    folder.mkdir(parents=True, exist_ok=True)
    asked = {"worlds": str(out), "episodes_asked": episodes}
    tree = {**asked, "policies": [str(p.folder) for p in policies], **_tree(verdict, draws)}
    (folder / "eval.json").write_text(json.dumps(tree, indent=1) + "\n")
    order = _worst_first(first)
    _draw(unseen, first, order, tracks, folder / "tracks.png")
    return verdict, _text(verdict, names[0], order, episodes, draws)


def _same_task(policies: Sequence[Policy], names: Sequence[str]) -> None:
    """One driving under the rules of another would be judged by what it never learned."""
    if any(policy.robot != policies[0].robot for policy in policies):
        raise ConfigError("--policy", expected="policies of one robot", got="several", todo="Judge them one by one.")
    first = _task(policies[0])
    for name, policy in zip(names, policies, strict=True):
        task = _task(policy)
        if other := [field for field in first if task[field] != first[field]]:
            told = (f"{field} {task[field]} in {name} and {first[field]} in {names[0]}" for field in other)
            raise ConfigError(
                "--policy", expected="policies trained for the same task", got="; ".join(told),
                todo="Judge them one by one.",
            )  # fmt: skip


def _task(policy: Policy) -> dict[str, Any]:
    """The settings that say what an episode is and when it is won, by name."""
    env = policy.config.env.model_dump(mode="json", exclude=set(_HOW_IT_LEARNED))
    return {"geodesic_m": policy.config.geodesic_m, **{f"env.{name}": value for name, value in env.items()}}


def _names(policies: Sequence[Policy]) -> list[str]:
    names = [policy.folder.resolve().name for policy in policies]
    return names if len(set(names)) == len(names) else [str(policy.folder) for policy in policies]


def _sorted(out: Path, policies: Sequence[Policy]) -> tuple[list[NavWorld], list[NavWorld]]:
    """Worlds new to all policies, by name and source place, and those that the first was trained on."""
    worlds = within(read_worlds(out, policies[0].robot), policies[0].config.geodesic_m)
    known = {name for policy in policies for name in policy.worlds}
    places = {place for policy in policies for place in policy.places}
    unseen = [world for world in worlds if world.name not in known and place_of(world) not in places]
    if not unseen:
        raise InputError(
            out, expected="worlds that no policy was trained on", got=f"{len(worlds)} worlds, all known",
            todo="Give another folder, or train with --train-share.",
        )  # fmt: skip
    return unseen, [world for world in worlds if world.name in policies[0].worlds]


def _worst_first(scores: Scores) -> np.ndarray:
    return np.lexsort((scores.spl.mean(1), scores.success.mean(1)))


def _tree(verdict: Verdict, draws: int) -> dict[str, Any]:
    return {
        "unseen": {name: as_tree(scores, draws) for name, scores in verdict.unseen.items()},
        "trained_on": {name: as_tree(scores, draws) for name, scores in verdict.seen.items()},
        "first_less": {name: {m: e.as_tree() for m, e in apart.items()} for name, apart in verdict.apart.items()},
    }


def _text(verdict: Verdict, first: str, order: np.ndarray, asked: int, draws: int) -> str:
    scores = verdict.unseen[first]
    worlds = len(scores.worlds)
    lines = [f"{worlds} worlds that no policy was trained on, {_each(scores, asked)}", table(verdict.unseen, draws)]
    for name, own in verdict.seen.items():
        lines += [f"{name} in the {len(own.worlds)} worlds it was trained on, {_each(own, asked)}"]
        lines += [table(verdict.seen, draws)]
    for name, apart in verdict.apart.items():
        lines.append(f"{first} less {name}: " + ", ".join(f"{m} {e}" for m, e in apart.items()))
    success, spl = scores.success.mean(1), scores.spl.mean(1)
    worst = (f"{scores.worlds[k]} ({success[k]:.2f}, SPL {spl[k]:.2f})" for k in order[:_SHOWN])
    return "\n".join([*lines, f"worst worlds: {', '.join(worst)}"])


def _each(scores: Scores, asked: int) -> str:
    each = scores.success.shape[1]
    why = "" if each == asked else f" (not {asked}: the smallest of them has no more)"
    return f"{each} episode{'s' * (each > 1)} each{why}"


def _draw(
    worlds: Sequence[NavWorld], scores: Scores, order: np.ndarray, tracks: Sequence[list[Track]], path: Path
) -> None:
    """The best worlds, then the worst."""
    half = max(min(_SHOWN, len(order) // 2), 1)
    shown = [*order[::-1][:half], *(order[:half] if len(order) > 1 else [])]
    rows = []
    for k in shown:
        title = f"{worlds[k].name}\nsuccess {scores.success[k].mean():.2f}, SPL {scores.spl[k].mean():.2f}"
        each = tracks[k][:: max(len(tracks[k]) // _TRACKS, 1)][:_TRACKS]
        rows.append((worlds[k], title, each))
    draw_tracks(rows, path)
