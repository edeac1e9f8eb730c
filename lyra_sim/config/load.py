"""YAML and `--set` to a checked configuration. Unknown keys are errors with a suggestion."""

import difflib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lyra_sim.config.world import WorldConfig
from lyra_sim.core.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)
_MAX_BYTES = 1_000_000
_TAGS = {"path": "kind"}
"""The field that chooses between variants of a section, where that is not `backend`."""


def packaged_names() -> list[str]:
    """Names of the configurations that come with the package."""
    root = resources.files("configs")
    folders = {"": root, "corruption/": root / "corruption"}
    return sorted(
        f"{at}{p.name[:-5]}" for at, folder in folders.items() for p in folder.iterdir() if p.name.endswith(".yaml")
    )


def load_config(name_or_file: str = "default", overrides: list[str] | None = None) -> WorldConfig:
    """Read a configuration.

    Args:
        name_or_file: a packaged name (see `packaged_names`) or the path of a YAML file; the file may name one
            other as `base:`, which is read first.
        overrides: `a.b=value` strings; the value is YAML.
    Raises:
        ConfigError: unknown name, unreadable file, unknown key, wrong value.
    """
    return load_model(WorldConfig, name_or_file, overrides)


def load_model(model: type[Model], name_or_file: str | None, overrides: list[str] | None = None) -> Model:
    """The same for any configuration model; None: its defaults and the overrides.

    Raises:
        ConfigError: as `load_config`.
    """
    tree = _read(name_or_file) if name_or_file else {}
    base = tree.pop("base", None)
    if base is not None:
        tree = _merged(_read(str(base), relative_to=name_or_file), tree)
        if "base" in tree:
            raise ConfigError(
                f"{name_or_file}: base", expected="a base without a base", got=str(tree["base"]), todo="Flatten them."
            )
    tree = _merged(model().model_dump(mode="json"), tree)
    for override in sorted(overrides or [], key=_turn):
        tree = _apply(tree, override)
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise explained(error, name_or_file or "--set", model) from error


def _read(name_or_file: str, relative_to: str | None = None) -> dict[str, Any]:
    path = Path(name_or_file)
    if relative_to is not None and not path.is_absolute() and Path(relative_to).is_file():
        path = Path(relative_to).parent / path
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        text = read_text(path, expected="a readable configuration file", todo="Check --config.")
    elif name_or_file in packaged_names():
        text = (resources.files("configs") / f"{name_or_file}.yaml").read_text()
    else:
        raise ConfigError(
            "--config",
            expected=f"a YAML file or one of {', '.join(packaged_names())}",
            got=repr(name_or_file),
            todo=suggest(name_or_file, packaged_names()) or "Check the spelling.",
        )
    return parse_yaml(text, name_or_file)


def read_text(path: Path, *, expected: str, todo: str) -> str:
    """The text of a small YAML file.

    Raises:
        ConfigError: it cannot be read, or is larger than 1 MB.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(path, expected="a small YAML file", got=f"{path.stat().st_size} bytes", todo="Check it.")
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path, expected=expected, got=str(error), todo=todo) from error


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """The mapping that `text` holds; an empty one where it holds nothing.

    Raises:
        ConfigError: no YAML, or no mapping.
    """
    try:
        tree = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(where, expected="valid YAML", got=str(error), todo="Correct the file.") from error
    if not isinstance(tree, dict):
        raise ConfigError(where, expected="a mapping", got=type(tree).__name__, todo="Write `section: ...`.")
    return tree


def _merged(base: dict[str, Any], over: dict[str, Any], tag: str = "backend") -> dict[str, Any]:
    """`over` on top of `base`; a section whose `tag` names another variant replaces the old one whole."""
    if over.get(tag, base.get(tag)) != base.get(tag):
        return over
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _merged(old, value, _TAGS.get(key, "backend"))
        out[key] = value
    return out


def _turn(override: str) -> tuple[bool, int]:
    """Order of overrides: what chooses a variant comes before the settings of that variant, outer sections first."""
    keys = override.partition("=")[0].strip().split(".")
    chooses = len(keys) > 1 and keys[-1] == _TAGS.get(keys[-2], "backend")
    return not chooses, len(keys) if chooses else 0


def _apply(tree: dict[str, Any], override: str) -> dict[str, Any]:
    """`tree` with one override on top of it."""
    path, sign, text = override.partition("=")
    keys = path.strip().split(".")
    if not sign or not all(keys):
        raise ConfigError("--set", expected="section.field=value", got=repr(override), todo="For example --set seed=1.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {path}", expected="a YAML value", got=repr(text), todo="Quote it.") from error
    section: Any = tree
    for key in keys[:-1]:
        section = section.get(key)
        if section is None:
            break
        if not isinstance(section, dict):
            raise ConfigError(f"--set {path}", expected="a section", got=f"{key} is a value", todo="Check the path.")
    for key in reversed(keys):
        value = {key: value}
    return _merged(tree, value)


def explained(error: ValidationError, where: str, model: type[BaseModel]) -> ConfigError:
    """What is wrong with the first field that is, as an error of the configuration; a field that nobody knows comes
    first, because it often explains one that is missing."""
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"]]
    place = ": ".join([where, ".".join(path)]) if path else where
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        todo = suggest(path[-1], known) or f"Known here: {', '.join(known)}."
        return ConfigError(place, expected="a known field", got=repr(path[-1]), todo=todo)
    got = "nothing" if first["type"] == "missing" else repr(first["input"])
    return ConfigError(
        place, expected=first["msg"].removeprefix("Value error, "), got=got[:200], todo="Correct the value."
    )


def _fields_at(model: Any, path: list[str]) -> list[str]:
    for name in path:
        if isinstance(model, type) and issubclass(model, BaseModel) and name in model.model_fields:
            model = model.model_fields[name].annotation
        else:  # a union member, named by its tag in the error path
            members = getattr(model, "__args__", ())
            model = next((m for m in members if _tag(m) == name), model)
    if isinstance(model, type) and issubclass(model, BaseModel):
        return sorted(model.model_fields)
    return []


def _tag(model: Any) -> str | None:
    known = model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
    return next((known[tag].default for tag in ("backend", *_TAGS.values()) if tag in known), None)


def suggest(name: str, known: Sequence[str]) -> str:
    """The known name that is most like `name`, as a question; empty where none is."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else ""
