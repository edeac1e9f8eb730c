"""Configuration: packaged names, files, overrides, and errors that say what to do."""

from pathlib import Path

import pytest

from lyra_sim.config.explore import ReprojectConfig, TruthConfig
from lyra_sim.config.load import load_config, packaged_names
from lyra_sim.config.path import FilePath, OrbitPath, PlannedPath, SpiralPath, ZoomPath
from lyra_sim.core.errors import ConfigError


def test_packaged_configurations_load():
    assert "default" in packaged_names()
    for name in packaged_names():
        load_config(name)


def test_file_with_base_and_overrides(tmp_path):
    (tmp_path / "base.yaml").write_text("seed: 4\nsurface: {snap_m: 0.01}\n")
    (tmp_path / "mine.yaml").write_text("base: base.yaml\nsurface: {fill_hole_m: 0.2}\n")
    config = load_config(str(tmp_path / "mine.yaml"), ["tasks.cell_m=0.1", "observe.photo.height_prior_m=1.1"])
    assert (config.seed, config.surface.snap_m, config.surface.fill_hole_m) == (4, 0.01, 0.2)
    assert config.tasks.cell_m == 0.1
    assert config.observe.photo.height_prior_m == 1.1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("sed=3", "Did you mean 'seed'"),
        ("observe.photo.height_prio_m=3", "Did you mean 'height_prior_m'"),
        ("observe.photo.height_prior_m=-3", "greater than 0.05"),
        ("tasks.cell_m=wide", "valid number"),
        ("tasks", "section.field=value"),
        ("seed.a=1", "a section"),
        ("explore=3", "valid dictionary"),
        ("observe.photo.backend=psychic", "'ground'"),
        ("explore.path.kind=orbt", "'orbit'"),
        ("explore.path.radius_m=2", r"path\.planned\.radius_m"),
        ("explore.path={kind: orbit, radus_m: 2}", "Did you mean 'radius_m'"),
        ("explore.path={kind: orbit, angle_deg: 0}", "other than 0"),
        ("explore.path={kind: dolly, right_m: 0}", "other than 0"),
        ("explore.path={kind: lawn_mower, length_m: 1}", "at least 1.2 spacing_m"),
        ("explore.path.kind=file", r"path\.file.*required"),
    ],
)
def test_wrong_override_says_what_to_do(override, said):
    with pytest.raises(ConfigError, match=said):
        load_config("default", [override])


def test_another_variant_brings_nothing_of_the_old_one(tmp_path):
    """Whatever chose the old one, and in whatever order the new one and its settings are named."""
    (tmp_path / "mine.yaml").write_text(
        "explore:\n  path: {kind: orbit, radius_m: 5, angle_deg: 90}\n  generator: {views: 2}\n"
    )
    mine = str(tmp_path / "mine.yaml")
    kept = load_config(mine, ["explore.path.angle_deg=45"]).explore
    assert kept.path == OrbitPath(radius_m=5, angle_deg=45)
    assert kept.generator == ReprojectConfig(views=2)
    for overrides in (["path.end_radius_m=3", "path.kind=spiral"], ["path.kind=spiral", "path.end_radius_m=3"]):
        made = load_config(mine, [f"explore.{o}" for o in [*overrides, "generator.backend=truth"]]).explore
        assert made.path == SpiralPath(end_radius_m=3) and made.generator == TruthConfig()
    assert load_config(mine, ["explore.path={kind: zoom}"]).explore.path == ZoomPath()
    assert load_config().explore.path == PlannedPath()
    assert load_config(mine, ["explore.path={kind: file, path: a/b.npz}"]).explore.path == FilePath(
        path=Path("a/b.npz")
    )


def test_fewer_episodes_than_a_robot_needs_are_refused():
    with pytest.raises(ConfigError, match=r"at least min_episodes \(20\): with 10 no robot could be trainable"):
        load_config("default", ["tasks.episodes=10"])
    assert load_config("default", ["tasks.episodes=10", "tasks.min_episodes=10"]).tasks.episodes == 10
    assert load_config("default", ["tasks.episodes=20"]).tasks.episodes == 20
    assert load_config("default", ["tasks.episodes=0"]).tasks.episodes == 0


def test_wrong_files_say_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'default'"):
        load_config("defalt")
    bad = tmp_path / "bad.yaml"
    bad.write_text("seed: [1\n")
    with pytest.raises(ConfigError, match="valid YAML"):
        load_config(str(bad))
    bad.write_text("!!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigError, match="valid YAML"):
        load_config(str(bad))
    bad.write_text("- 1\n")
    with pytest.raises(ConfigError, match="a mapping"):
        load_config(str(bad))
    (tmp_path / "two.yaml").write_text("base: one.yaml\n")
    (tmp_path / "one.yaml").write_text("base: default\n")
    with pytest.raises(ConfigError, match="a base without a base"):
        load_config(str(tmp_path / "two.yaml"))
