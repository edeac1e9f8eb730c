"""Warp, rays, coordinates, selections and retrieval, numpy and twin, against numbers computed by the published code."""

from pathlib import Path

import pytest

from pipelines.vectors import compare
from tests.data import shared_data


def test_equals_published_numbers(capsys):
    file = Path(shared_data()).parent / "vectors" / "geometry.safetensors"
    if not file.exists():
        pytest.skip(f"reference vectors not on this machine: {file.name}")
    assert compare([file]) == 0, capsys.readouterr().err
