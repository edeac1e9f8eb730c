"""Where the private test data lies: a folder beside the project; tests that need it are skipped by name elsewhere."""

import os
from pathlib import Path

import pytest


def shared_data(*parts: str) -> Path:
    """Path below the data folder (`LYRA_SIM_DATA`, else `../shared/data`); skips the calling test where absent."""
    root = Path(os.environ.get("LYRA_SIM_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"test data not on this machine: {'/'.join(parts) or root}")
    return path
