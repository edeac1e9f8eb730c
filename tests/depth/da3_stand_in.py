"""A stand-in of the package `depth_anything_3` (0.1.1) with a Gaussian head: the public parts and the modules that the
adapter touches, with tiny random weights from a checkpoint's files, or the depth of a walk in place of the network."""

import importlib.machinery
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from lyra_sim.geometry.camera import invert

CHANNELS = 37
Answer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Images (V, H, W, 3) uint8 -> z-depth (V, H, W), channels of the head (V, H, W, 37), predicted w2c (V, 4, 4)."""


class Adapter(nn.Module):
    """Stands for the package's `gs_adapter`; never asked."""

    def __init__(self, *, pred_color: bool = False, sh_degree: int = 2) -> None:
        super().__init__()
        self.pred_color, self.sh_degree, self.pred_offset_xy, self.pred_offset_depth = pred_color, sh_degree, True, True
        self.gaussian_scale_min, self.gaussian_scale_max = 1e-5, 30.0

    def forward(self, **_: Any) -> Any:
        raise AssertionError("Gaussians must not be placed by predicted cameras")


class Inner(nn.Module):
    """The many-view network."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.gs_head = None if "nogs" in kind else nn.Conv2d(3, CHANNELS + 1, 3, padding=1)
        self.gs_adapter = None if "nogs" in kind else Adapter(pred_color="colour" in kind)


class Nested(nn.Module):
    """The many-view network beside one that knows metres."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.da3 = Inner(kind)


class StandIn(nn.Module):
    """See the package's `api.DepthAnything3`."""

    answer: ClassVar[Answer | None] = None
    factor = 3.0
    """Of the nested network: metres per unit of the other one."""

    def __init__(self, model_name: str) -> None:
        super().__init__()
        self.model_name = model_name
        self.model = Nested(model_name) if "nested" in model_name else Inner(model_name)

    @classmethod
    def from_pretrained(cls, folder: str) -> "StandIn":
        net = cls(json.loads((Path(folder) / "config.json").read_text())["model_name"])
        net.model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
        return net

    def input_processor(self, image, extrinsics=None, intrinsics=None, process_res=504,
                        process_res_method="upper_bound_resize", *, num_workers=8):  # fmt: skip
        assert process_res_method == "upper_bound_resize"
        height, width = image[0].shape[:2]
        assert (height % 14, width % 14, max(height, width)) == (0, 0, process_res), "nothing is left to resize"
        batch = torch.stack([torch.tensor(x).permute(2, 0, 1).float() / 255 for x in image])
        return batch, torch.tensor(extrinsics).float(), torch.tensor(intrinsics).float()

    def forward(self, image, extrinsics=None, intrinsics=None, export_feat_layers=None, infer_gs=False):
        assert infer_gs and export_feat_layers == []
        inner: Any = self.model.da3 if isinstance(self.model, Nested) else self.model
        with torch.no_grad():
            raw = inner.gs_head(image[0]).permute(0, 2, 3, 1)[None]
        opacity, raw = raw[..., -1].sigmoid(), raw[..., :-1]
        depth, cameras = 2 + image[:, :, 0], extrinsics[:, :, :3].clone()
        if StandIn.answer is not None:
            pixels = (image[0].permute(0, 2, 3, 1) * 255).round().byte().numpy()
            depth, raw, cameras = (torch.tensor(x).float()[None] for x in StandIn.answer(pixels))
            opacity = torch.full(depth.shape, 0.9)
        out = {"extrinsics": cameras[:, :, :3].clone(), "depth": depth}
        out["gaussians"] = inner.gs_adapter(
            extrinsics=cameras, intrinsics=intrinsics, depths=depth, opacities=opacity, raw_gaussians=raw,
            image_shape=image.shape[-2:], gt_extrinsics=extrinsics,
        )  # fmt: skip
        if isinstance(self.model, Nested):
            out["depth"] *= self.factor
            out["extrinsics"][..., 3] *= self.factor
        return out

    def output_processor(self, raw):
        nested = isinstance(self.model, Nested)
        return types.SimpleNamespace(
            depth=raw["depth"][0].numpy(), extrinsics=raw["extrinsics"][0].numpy(),
            scale_factor=self.factor if nested else None, gaussians=raw["gaussians"],
        )  # fmt: skip


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `import depth_anything_3` find the stand-in."""
    for name in ("depth_anything_3", "depth_anything_3.api"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.DepthAnything3 = StandIn  # pyright: ignore[reportAttributeAccessIssue]
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(StandIn, "answer", None)


def save(folder: Path, model_name: str = "da3nested-tiny", seed: int = 0) -> Path:
    """A checkpoint of random weights, in the files of the released ones."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_name": model_name}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        save_file(dict(StandIn(model_name).model.state_dict()), folder / "model.safetensors")
    return folder


def channels(depth: np.ndarray, ranges: np.ndarray, images: np.ndarray) -> np.ndarray:
    """What the head of a network says that knows better: no offsets, round Gaussians of a pixel, the images' colours,
    the distance along the ray in place of the depth."""
    raw = np.zeros((*depth.shape, CHANNELS))
    wide = 5.0  # tenths of a pixel's two angles
    raw[..., 2:5] = np.log(wide / (30.0 - wide))
    raw[..., 8] = 1.0
    raw[..., 9:36:9] = (images / 255 - 0.5) / 0.28209479177387814
    raw[..., 36] = ranges - depth
    return raw


def walk_answer(folder: Path) -> Answer:
    """The network that knows an RGB-D walk: each image is answered with the depth and the pose of the frame that it
    looks like."""
    colours = [np.asarray(Image.open(path).convert("RGB")) for path in sorted((folder / "color").iterdir())]
    depths = [np.asarray(Image.open(path)) / 1000.0 for path in sorted((folder / "depth").iterdir())]
    w2c = invert(np.loadtxt(folder / "poses.txt").reshape(-1, 4, 4))
    lens = json.loads((folder / "camera.json").read_text())

    def answer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        height, width = images.shape[1:3]
        small = np.stack([cv2.resize(c, (width, height), interpolation=cv2.INTER_AREA) for c in colours]).astype(float)
        found = [int(np.square(small - image).mean((1, 2, 3)).argmin()) for image in images]
        depth = np.stack([cv2.resize(depths[k], (width, height), interpolation=cv2.INTER_NEAREST) for k in found])
        v, u = np.mgrid[:height, :width] + 0.5
        x = (u * lens["width"] / width - 0.5 - lens["cx"]) / lens["fx"]
        y = (v * lens["height"] / height - 0.5 - lens["cy"]) / lens["fy"]
        return depth, channels(depth, depth * np.sqrt(1 + x * x + y * y), images), w2c[found]

    return answer
