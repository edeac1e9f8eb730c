"""The classes of the package `depth_anything_3` at tiny size with random weights, in the files of a checkpoint. Works
only where the package is installed."""

from pathlib import Path
from typing import Any

import torch
import yaml

_AT = "depth_anything_3.model."
_SIZES = {"features": 32, "out_channels": [24, 48, 96, 192]}


def _object(path: str, class_name: str, /, **settings: Any) -> dict[str, Any]:
    return {"__object__": {"path": _AT + path, "name": class_name, "args": "as_params"}, **settings}


def _backbone(from_layer: int, cat_token: bool) -> dict[str, Any]:
    starts = dict.fromkeys(("alt_start", "qknorm_start", "rope_start"), from_layer)
    return _object("dinov2.dinov2", "DinoV2", name="vits", out_layers=[5, 7, 9, 11], cat_token=cat_token, **starts)


def _many_view() -> dict[str, Any]:
    return _object(
        "da3", "DepthAnything3Net", net=_backbone(4, True),
        head=_object("dualdpt", "DualDPT", dim_in=768, output_dim=2, **_SIZES),
        cam_enc=_object("cam_enc", "CameraEnc", dim_out=384), cam_dec=_object("cam_dec", "CameraDec", dim_in=768),
        gs_head=_object("gsdpt", "GSDPT", dim_in=768, output_dim=38, **_SIZES),
        gs_adapter=_object(
            "gs_adapter", "GaussianAdapter", sh_degree=2, pred_color=False, pred_offset_depth=True,
            pred_offset_xy=True, gaussian_scale_min=1e-5, gaussian_scale_max=30.0,
        ),
    )  # fmt: skip


def _metric() -> dict[str, Any]:
    head = _object("dpt", "DPT", dim_in=384, output_dim=1, **_SIZES)
    return _object("da3", "DepthAnything3Net", net=_backbone(-1, False), head=head)


def save_tiny(folder: Path, model_name: str) -> Path:
    """Register a tiny network of this name with the package and save random weights of it."""
    from depth_anything_3.api import MODEL_REGISTRY, DepthAnything3  # pyright: ignore[reportMissingImports]

    tree = _many_view()
    if "nested" in model_name:
        tree = _object("da3", "NestedDepthAnything3Net", anyview=tree, metric=_metric())
    (folder / "net.yaml").write_text(yaml.safe_dump(tree))
    MODEL_REGISTRY[model_name] = str(folder / "net.yaml")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        DepthAnything3(model_name=model_name).save_pretrained(folder / "weights")
    return folder / "weights"
