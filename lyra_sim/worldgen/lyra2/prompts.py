"""Which words a segment is generated with, and where they come from."""

from collections.abc import Mapping

DEFAULT = {
    "indoor": "A walk through the rooms of a lived-in building, filmed in one steady take with a wide lens. "
    "The rooms, their furniture and the light stay as they are; nobody is there and nothing moves.",
    "outdoor": "A walk along a quiet street, filmed in one steady take with a wide lens. "
    "The road, the buildings and the daylight stay as they are; nobody is there and nothing moves.",
}


def prompt_for(frame: int, configured: str | None, captions: Mapping[int, str], environment: str) -> tuple[str, str]:
    """(text, its source) for the segment whose first frame this is: the configured prompt, else the last caption that
    holds by then, else the default sentence for such a place ("indoor" or "outdoor")."""
    if configured is not None:
        return configured, "configuration"
    holding = [key for key in captions if key <= frame]
    if holding:
        return captions[max(holding)], "beside the input"
    return DEFAULT[environment], f"default for {environment} places"
