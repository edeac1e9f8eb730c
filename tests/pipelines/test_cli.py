"""The command line reaches what it calls."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lyra_sim.core.errors import ConfigError
from lyra_sim.procedural import example
from pipelines.cli import app


def test_example_writes_into_a_new_folder_only(tmp_path, monkeypatch):
    made: list[Path] = []
    monkeypatch.setattr(example, "write_example", made.append)
    result = CliRunner().invoke(app, ["example", str(tmp_path / "new")])
    assert result.exit_code == 0 and made == [tmp_path / "new"]
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="new or empty"):
        CliRunner().invoke(app, ["example", str(tmp_path)], catch_exceptions=False)
