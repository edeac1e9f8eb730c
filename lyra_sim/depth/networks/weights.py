"""Weights on this machine: found, never downloaded; what they are and who allows what."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from lyra_sim.core.errors import ResourceError
from lyra_sim.core.licence import Licence

_NC = "CC-BY-NC-4.0"
_DA2 = "Depth-Anything-V2-Metric-{}-{}-hf"
_DA3_NC = ("DA3-LARGE", "DA3-GIANT", "DA3NESTED-GIANT-LARGE")
LICENCES = {
    **{_DA2.format(scene, "Small"): "Apache-2.0" for scene in ("Indoor", "Outdoor")},
    **{_DA2.format(scene, size): _NC for scene in ("Indoor", "Outdoor") for size in ("Base", "Large")},
    **dict.fromkeys(("DA3-SMALL", "DA3-BASE", "DA3METRIC-LARGE", "DA3MONO-LARGE"), "Apache-2.0"),
    **{name + version: _NC for name in _DA3_NC for version in ("", "-1.1")},
}  # fmt: skip
"""Released checkpoint -> licence, as the READMEs of DepthAnything/Depth-Anything-V2 and ByteDance-Seed/Depth-Anything-3
state them by size. Model cards of fine-tuned checkpoints contradict each other; the stricter statement counts."""
GET_DA3 = (
    "pip install --no-deps depth-anything-3, then "
    "pip install addict einops evo moviepy==1.0.3 omegaconf plyfile pycolmap torchvision"
)
"""How to get the package: it pins numpy below 2 and asks for xformers, and needs neither (version 0.1.1)."""
_HOLDER = {"Depth": "HKU and TikTok (Depth Anything V2)", "DA3": "ByteDance (Depth Anything 3)"}


def locate(weights: str, files: Sequence[str], *, setting: str) -> Path:
    """The folder of a checkpoint: a folder as it is, else the Hugging Face cache of this machine.

    Args:
        weights: folder, or `owner/name` on Hugging Face.
        files: what the folder has to hold.
        setting: where the user named it, for messages.

    Raises:
        ResourceError: not there, or not whole.
    """
    folder = Path(weights).expanduser()
    if not folder.is_dir():
        folder = _cached(weights)
    missing = list(files) if folder is None else [name for name in files if not (folder / name).is_file()]
    if folder is None or missing:
        raise ResourceError(
            f"{setting}: {weights}",
            expected=f"a folder, or a Hugging Face name in the local cache, with {', '.join(files)}",
            got="nothing of that name" if folder is None else f"no {', '.join(missing)} in {folder}",
            todo=f"`hf download {weights}` fetches released weights (licence {licence_of(weights).name}), or name a "
            "folder.",
        )
    return folder


def _cached(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def licence_of(weights: str) -> Licence:
    """What is known of the rights in a checkpoint, by the last part of its name or folder."""
    name = Path(weights).name
    known = LICENCES.get(name)
    holder = next((who for start, who in _HOLDER.items() if name.startswith(start)), "") if known else ""
    return Licence(
        subject=f"weights {name}",
        name=known or "not stated",
        holder=holder or "not stated",
        source="README of the release" if known else "no release of that name is known",
    )


def file_hashes(folder: Path, files: Sequence[str]) -> dict[str, str]:
    """File -> sha256."""
    made = {}
    for name in files:
        with (folder / name).open("rb") as file:
            made[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return made
