"""Configuration: packaged names, files, overrides, and errors that say what to do."""

import pytest

from lyra_sim.config.load import load_config, packaged_names
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
    ],
)
def test_wrong_override_says_what_to_do(override, said):
    with pytest.raises(ConfigError, match=said):
        load_config("default", [override])


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
