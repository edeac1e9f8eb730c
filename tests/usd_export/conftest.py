"""The analytic room, written once for all tests that only read it."""

from pathlib import Path

import pytest

from tests.usd_export import rooms
from usd_export import write_scene


@pytest.fixture(scope="session")
def room_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("room")
    write_scene(
        folder,
        surface=rooms.surface(),
        colliders=rooms.colliders(),
        world=rooms.world(),
        provenance=rooms.PROVENANCE,
        name="room-00000000",
    )
    return folder
