"""Which worlds a policy is trained on and which are kept from it. Worlds of one source place are never divided."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence

from lyra_sim.config.nav_training import NavTrainingConfig
from lyra_sim.core.errors import ConfigError, InputError
from lyra_sim.core.record import record
from robot_tasks.worlds import EpisodeTable, NavWorld


@record
class Division:
    """Worlds to train on, worlds kept from the policy, and by what rule."""

    train: tuple[NavWorld, ...]
    held_out: tuple[NavWorld, ...]
    rule: str


def divide(worlds: Sequence[NavWorld], config: NavTrainingConfig) -> Division:
    """By the lists of the settings, else by share, else by each world's split.

    Raises:
        ConfigError: nothing to train on or nothing to test on, unknown names, or one place on both sides.
    """
    if config.train_worlds or config.test_worlds:
        return _by_name(worlds, config)
    if config.train_share is not None:
        return _by_share(worlds, config.train_share)
    train = tuple(world for world in worlds if world.split == "train")
    held_out = tuple(world for world in worlds if world.split != "train")
    if not train or not held_out:
        raise ConfigError(
            "worlds",
            expected="worlds of the splits train and val or test",
            got=f"{len(train)} of train, {len(held_out)} of val and test",
            todo="Make more worlds, or divide these by --train-share 0.7 or by train_worlds and test_worlds.",
        )
    return Division(train=train, held_out=held_out, rule="split of worlds.jsonl: train; val and test")


def _by_share(worlds: Sequence[NavWorld], share: float) -> Division:
    places = sorted({place_of(world) for world in worlds}, key=_hash)
    if len(places) < 2:
        raise ConfigError(
            "--train-share", expected="worlds of two or more places", got=f"{len(places)}", todo="Make more worlds."
        )
    count = min(max(round(share * len(places)), 1), len(places) - 1)
    chosen = set(places[:count])
    return Division(
        train=tuple(w for w in worlds if place_of(w) in chosen),
        held_out=tuple(w for w in worlds if place_of(w) not in chosen),
        rule=f"{count} of {len(places)} places by hash, their splits ignored (train_share {share:g})",
    )


def _by_name(worlds: Sequence[NavWorld], config: NavTrainingConfig) -> Division:
    known = {world.name: world for world in worlds}
    for field in ("train_worlds", "test_worlds"):
        names = getattr(config, field)
        if not names or (unknown := sorted(set(names) - known.keys())):
            raise ConfigError(
                field,
                expected="names of worlds in which the robot can be trained, for both lists",
                got=", ".join(unknown) if names else "none",
                todo=f"Known: {', '.join(sorted(known)[:20])}.",
            )
    train, test = (tuple(known[name] for name in names) for names in (config.train_worlds, config.test_worlds))
    if both := {place_of(w) for w in train} & {place_of(w) for w in test}:
        raise ConfigError(
            "test_worlds", expected="other places than train_worlds", got=", ".join(sorted(both)), todo="Move them."
        )
    return Division(train=train, held_out=test, rule="the lists train_worlds and test_worlds")


def within(worlds: Sequence[NavWorld], geodesic_m: tuple[float, float]) -> tuple[NavWorld, ...]:
    """The worlds with only those episodes whose shortest way is that long; worlds without any are left out.

    Raises:
        ConfigError: no episode is.
    """
    low, high = geodesic_m
    cut = []
    for world in worlds:
        table = world.episodes
        fits = (table.geodesic_m >= low) & (table.geodesic_m <= high)
        if fits.any():
            kept = {field.name: getattr(table, field.name)[fits] for field in dataclasses.fields(table)}
            cut.append(dataclasses.replace(world, episodes=EpisodeTable(**kept)))
    if not cut:
        raise ConfigError(
            "geodesic_m", expected="episodes in the range", got=f"none of {low:g} to {high:g} m", todo="Widen it."
        )
    return tuple(cut)


def place_of(world: NavWorld) -> str:
    """The source place of a world, as its report tells; of a world in memory its name.

    Raises:
        InputError: the world's report.json is missing, broken or names no place.
    """
    if world.folder is None:
        return world.name
    report = world.folder / "report.json"
    try:
        source = json.loads(report.read_bytes())["provenance"]
        return str(source.get("place") or source["digest"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            report, expected="the report of a world, with the place it was made of",
            got=f"{type(error).__name__}: {error}",
            todo="Copy it from the output folder, or make the world again with --fresh.",
        ) from error  # fmt: skip


def _hash(place: str) -> str:
    return hashlib.sha256(place.encode()).hexdigest()
