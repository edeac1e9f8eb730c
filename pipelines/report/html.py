"""Self-contained HTML: one page per world, one index per output folder."""

import base64
import html
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

_STYLE = (resources.files("pipelines.report") / "report.css").read_text()
_RETRIEVAL = "remembered views behind the generated frames; what none of them covers is red"


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><body>{body}</body></html>\n'
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _text(value)


def _figure(caption: str, png: bytes, css: str = "") -> str:
    return (
        f'<figure class="{css}"><img alt="{_text(caption)}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def world_page(report: dict[str, Any], panels: Sequence[tuple[str, bytes]], retrieval: bytes | None) -> str:
    """report.html of one world; pictures are embedded.

    Args:
        retrieval: PNG of what memory had to do with generated frames, where there are any.
    """
    status = report["status"]
    css = "ok" if status == "published" else "bad"
    figures = "".join(_figure(caption, png) for caption, png in panels)
    memory = "" if retrieval is None else f"<h2>Memory</h2>{_figure(_RETRIEVAL, retrieval, 'wide')}"
    frame = report["frame"]
    frame_rows = "".join(f"<tr><td>{_text(k)}<td>{_number(v)}" for k, v in frame.items())
    licences = "".join(
        f"<tr><td>{_text(x['subject'])}<td>{_text(x['name'])}<td>{_text(x['holder'])}<td>{_text(x['source'])}"
        for x in report["licences"]
    )
    body = (
        f"<h1>{_text(report['world'])} <span class={css}>{_text(status)}</span></h1>"
        + (f"<p class=bad>{_text(report['reason'])}</p>" if report["reason"] else "")
        + "".join(f"<p class=muted>{_text(line)}</p>" for line in report["warnings"])
        + figures
        + memory
        + f"<h2>Gates</h2>{gate_table(report['gates'])}"
        + f"<h2>Robots</h2>{_nav_table(report['nav'])}"
        + f"<h2>World frame</h2><table>{frame_rows}</table>"
        + f"<h2>Licences</h2><table><tr><th>what<th>licence<th>holder<th>stated in{licences}</table>"
    )
    return _page(report["world"], body)


def gate_table(gates: list[dict[str, Any]]) -> str:
    """The gates with value, limit and reason."""
    rows = "".join(
        f"<tr><td>{_text(g['name'])}<td class={'ok' if g['ok'] else 'bad'}>{_number(g['value'])}"
        f"<td>{_number(g['limit'])}<td>{_text(g['unit'])}<td>{_text(g['why'])}"
        for g in gates
    )
    return f"<table><tr><th>gate<th>value<th>limit<th>unit<th>why{rows}</table>"


def _nav_table(nav: dict[str, Any]) -> str:
    names = ["trainable", "nav_area_m2", "episodes", "follower_success", "follower_spl", "why"]
    rows = "".join(
        f"<tr><td>{_text(robot)}" + "".join(f"<td>{_number(result.get(name, ''))}" for name in names)
        for robot, result in sorted(nav.items())
    )
    return f"<table><tr><th>robot{''.join(f'<th>{n}' for n in names)}{rows}</table>"


def index_page(summary: dict[str, Any], out: Path) -> str:
    """index.html of an output folder: a card per world, what was skipped, what it cost."""
    cards = []
    for world in summary["worlds"]:
        css = {"published": "ok", "quarantined": "bad"}.get(world["status"], "muted")
        folder = world["path"]
        picture = ""
        if folder and (out / folder / "preview.png").exists():
            link = _text(folder)
            picture = f'<a href="{link}/report.html"><img alt="" loading="lazy" src="{link}/preview.png"></a>'
        robots = ", ".join(world["trainable"]) or "none"
        reason = f"<br>{_text(world['reason'])}" if world["reason"] else ""
        cards.append(
            f"<div class=card>{picture}<b>{_text(world['name'])}</b> "
            f"<span class={css}>{_text(world['status'])}</span>"
            f"{reason}<br>trainable for: {_text(robots)}"
            f"<br><span class=muted>{world['seconds']:.1f} s of work</span></div>"
        )
    skipped = "".join(f"<tr><td>{_text(s['path'])}<td>{_text(s['why'])}" for s in summary["skipped"])
    counts = ", ".join(f"{number} {name}" for name, number in summary["counts"].items())
    body = (
        f"<h1>lyra-sim worlds</h1><p>{_text(counts)}; "
        f"{summary['wall_s']:.0f} s on the {_text(summary['engine'])} engine</p>"
        + "".join(cards)
        + (f"<h2>Skipped</h2><table>{skipped}</table>" if skipped else "")
    )
    return _page("lyra-sim worlds", body)
