"""What `lyra-sim validate` prints: findings with reason and mend, then gates; as text or JSON."""

import dataclasses
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from usd_export.validate.any_scene import Verdict, validate_any
from usd_export.validate.rule_table import Finding

_PLACES = 5
"""How many places of one rule the text names; JSON names all."""
_FAILED = 3


def judge_scene(scene: Path, *, physics: bool, as_json: bool, fix: bool, out: Path | None) -> int:
    """Print the verdict on a scene, with `fix` that on its corrected copy.

    Args:
        physics: drop balls too.
        fix: write a corrected copy to `out` (default: `<name>_fixed` beside the scene) and judge that.

    Returns:
        The exit code: 0, or 3 where a finding is an error or a gate is missed.
    """
    fixed: dict[str, Any] | None = None
    if fix:
        from usd_export.validate.mend import mend_scene

        mended = mend_scene(scene, out or scene.with_name(f"{scene.stem}_fixed"))
        done = [{"id": f.rule.id, "path": f.path, "what": f.what, "how": how} for f, how in mended.done]
        fixed = {"original": str(scene), "done": done}
        scene = mended.file
    verdict = validate_any(scene, physics=physics)
    report = {
        "scene": str(scene),
        "ok": verdict.ok,
        "fixed": fixed,
        "findings": [_told(found) for found in verdict.findings],
        "gates": [dataclasses.asdict(gate) for gate in verdict.gates],
    }
    if as_json:
        json.dump(report, sys.stdout, indent=1, ensure_ascii=False)
        print()
    else:
        print("\n".join(_text(report, verdict)))
    return 0 if verdict.ok else _FAILED


def _told(found: Finding) -> dict[str, Any]:
    rule = found.rule
    return {
        "id": rule.id,
        "severity": rule.severity,
        "path": found.path,
        "what": found.what,
        "why": rule.why,
        "issues": list(rule.issues),
        "mend": rule.mend,
        "fix": rule.fixed,
    }


def _text(report: dict[str, Any], verdict: Verdict) -> list[str]:
    lines = []
    if report["fixed"] is not None:
        lines.append(f"{report['fixed']['original']}: {len(report['fixed']['done'])} findings mended in the copy")
        lines += [f"  mended {done['id']} {done['path']}: {done['how']}" for done in report["fixed"]["done"]]
        lines.append("")
    lines.append(report["scene"])
    places: defaultdict[str, list[Finding]] = defaultdict(list)
    for found in verdict.findings:
        places[found.rule.id].append(found)
    order = {"error": 0, "warning": 1, "info": 2}
    for same in sorted(places.values(), key=lambda same: order[same[0].rule.severity]):
        rule = same[0].rule
        lines.append(f"  {rule.severity} {rule.id}: {rule.wrong}")
        lines += [f"    {found.path}: {found.what}" for found in same[:_PLACES]]
        if len(same) > _PLACES:
            lines.append(f"    and {len(same) - _PLACES} more places (--json names all)")
        lines.append(f"    why:  {rule.why}" + f" ({', '.join(rule.issues)})" * bool(rule.issues))
        lines.append(f"    mend: {rule.mend}" + " --fix does it where that is mechanical." * rule.fixed)
    lines += [_gate_line(gate) for gate in report["gates"]]
    count = Counter(found.rule.severity for found in verdict.findings)
    lines.append(f"{count['error']} errors, {count['warning']} warnings, {count['info']} notes")
    return lines


def _gate_line(gate: dict[str, Any]) -> str:
    limit = "" if gate["limit"] is None else f", limit {gate['limit']:g}"
    value = "-" if gate["value"] is None else f"{gate['value']:g}"
    return f"  gate {gate['name']}: {'kept' if gate['ok'] else 'missed'} ({value}{limit})" + f" {gate['why']}".rstrip()
