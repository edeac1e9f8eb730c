"""What keeps a world from being published, and what its summary tells of it."""

from lyra_sim.core.records import Gate
from pipelines.report.world import quarantine_reason


def gate(name: str, ok: bool) -> Gate:
    return Gate(name=name, value=1.0, limit=2.0, unit="1", ok=ok, why="" if ok else "too low")


def test_inconsistent_returns_are_reported_and_published():
    sound = (gate("scale_sigma", True), gate("revisit_psnr_db", False))
    assert quarantine_reason(sound) == ""
    assert quarantine_reason((*sound, gate("floor_hole_m2", False))) == "floor_hole_m2: too low"
