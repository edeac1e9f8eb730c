# pyright: reportMissingImports=false
"""Trains the height network: camera height above the floor, and how sure, from one levelled photo.

    python -m lyra_sim.training.height_photos SHARDS --minutes 30
    python -m lyra_sim.training.height SHARDS --minutes 40 --out lyra_sim/depth/height_net.npz

Residual network with batch normalisation (He et al. 2016), folded into the convolutions at export; Laplace likelihood
of ln(height) (Kendall and Gal 2017). Places, not photos, are split: every tenth shard is held out.
"""

from lyra_sim.core.packages import exit_without_networks

if __name__ == "__main__":  # before what needs them is imported
    exit_without_networks("lyra_sim.training.height")

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lyra_sim.depth import familiar
from lyra_sim.depth.height_net import BLOCKS, HEAD, STEM, early_responses

# suffixes: B batch, C channels, H rows (elevation), W columns (azimuth)


class Block(nn.Module):
    """A strided convolution and one residual pair."""

    def __init__(self, inside: int, outside: int, residual: bool) -> None:
        super().__init__()
        self.down = _conv(inside, outside, 3, 2)
        self.first = _conv(outside, outside, 3, 1) if residual else None
        self.second = _conv(outside, outside, 3, 1) if residual else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = functional.relu(self.down(x_BCHW))
        if self.first is None or self.second is None:
            return x_BCHW
        return functional.relu(x_BCHW + self.second(functional.relu(self.first(x_BCHW))))


def _conv(inside: int, outside: int, size: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, size, stride, size // 2, bias=False), nn.BatchNorm2d(outside))


class HeightNet(nn.Module):
    """Levelled photo (B, 5, 128, 176) to (B, 2): ln of the height in metres and ln of its Laplace scale."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(5, STEM, 5, 2)
        widths = (STEM, *(width for width, _ in BLOCKS))
        self.blocks = nn.ModuleList(Block(widths[i], width, residual) for i, (width, residual) in enumerate(BLOCKS))
        self.hidden = nn.Linear(BLOCKS[-1][0] * 4, HEAD)
        self.out = nn.Linear(HEAD, 2)
        self.drop = nn.Dropout(0.2)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = functional.relu(self.stem(x_BCHW))
        for block in self.blocks:
            x_BCHW = block(x_BCHW)
        rows = x_BCHW.float().mean(3).flatten(1)  # where in azimuth does not matter, where in elevation does
        return self.out(self.drop(functional.relu(self.hidden(rows)))).float()


def export(net: HeightNet, spread: float, path: Path) -> None:
    """Write the folded weights as float16 arrays; `spread` multiplies the network's sigma (calibration)."""
    out: dict[str, Any] = {"spread": np.float32(spread)}
    convolutions = {"stem": net.stem}
    for i, block in enumerate(net.blocks):
        convolutions |= {f"{i}.{n}": m for n, m in block.named_children() if isinstance(m, nn.Sequential)}
    for name, (conv, norm) in convolutions.items():
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None and norm.running_var is not None
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        out[f"{name}.w"] = (conv.weight * gain[:, None, None, None]).detach().numpy().astype(np.float16)
        out[f"{name}.b"] = (norm.bias - norm.running_mean * gain).detach().numpy().astype(np.float32)
    for name, layer in (("hidden", net.hidden), ("out", net.out)):
        out[f"{name}.w"] = layer.weight.detach().numpy().astype(np.float16)
        out[f"{name}.b"] = layer.bias.detach().numpy().astype(np.float32)
    np.savez_compressed(path, **out)


def export_familiar(path: Path, kept: list[Path], held: list[Path], *, step: int = 5) -> None:
    """Add to the weights what photos of their training places look like (every `step`-th photo)."""
    weights = {name: array.astype(np.float64) for name, array in np.load(path).items()}
    found = []
    for shards in (kept, held):
        views = [
            (c, s)
            for p in shards
            for d in (np.load(p),)
            for c, s in zip(d["colours"][::step], d["seen"][::step], strict=True)
        ]
        found.append(np.stack([familiar.statistics(c, s, early_responses(c, s, weights)) for c, s in views]))
    fitted = {f"familiar.{n}": a.astype(np.float32) for n, a in familiar.fit(*found).items()}
    everything: dict[str, Any] = {**np.load(path), **fitted}
    np.savez_compressed(path, **everything)


class Photos:
    """Shards in memory."""

    def __init__(self, paths: list[Path]) -> None:
        shards = [np.load(p) for p in paths]
        self.colours = torch.from_numpy(np.concatenate([s["colours"] for s in shards]))
        self.seen = torch.from_numpy(np.concatenate([s["seen"] for s in shards]))
        self.log_height = torch.from_numpy(np.log(np.concatenate([s["height_m"] for s in shards]))).float()
        self.street = torch.from_numpy(np.concatenate([s["street"] for s in shards]))

    def batch(self, index: Tensor, rng: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """(inputs (B, 5, H, W), ln height (B,)); augmented where a generator is given."""
        colours, seen = self.colours[index], self.seen[index].float()[:, None]
        if rng is None:
            rgb = colours.permute(0, 3, 1, 2).float() / 255
        else:
            rgb, seen = augment(colours, seen, rng)
        elevation = torch.linspace(-1, 1, rgb.shape[2])[None, None, :, None]
        return torch.cat([(rgb - 0.5) * 2 * seen, seen, elevation * seen], 1), self.log_height[index]


def augment(colours: Tensor, seen: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """What cameras, developers and framing do; heights stay what they are. The mirror image is as good.

    Args:
        colours: (B, H, W, 3) uint8.
        seen: (B, 1, H, W) float.

    Returns:
        (B, 3, H, W) in 0..1 and the pixels still seen.
    """
    n, height, width, _ = colours.shape

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(n, channels, 1, 1, generator=rng)

    tone = torch.linspace(0, 1, 256) ** torch.exp(draw(-0.5, 0.5))  # one curve for each photo and channel
    tone = ((tone - 0.5) * torch.exp(draw(-0.4, 0.4)) + 0.5 + draw(-0.12, 0.12)) * torch.exp(draw(-0.25, 0.25, 3))
    curves, source = tone[:, :, 0].numpy(), colours.numpy()
    rgb = torch.from_numpy(
        np.stack([[c[p[..., k]] for k, c in enumerate(t)] for t, p in zip(curves, source, strict=True)])
    )
    gray = rgb.mean(1, keepdim=True)
    rgb = torch.lerp(gray, rgb, draw(0.0, 1.4))
    if torch.rand(1, generator=rng) < 0.3:
        rgb = rgb[:, torch.randperm(3, generator=rng)]
    rgb = torch.lerp(functional.avg_pool2d(rgb, 3, 1, 1), rgb, draw(0.0, 1.6))
    rgb += draw(0.0, 0.04) * torch.randn(n, 1, height, width, generator=rng)
    flip = torch.rand(n, 1, 1, 1, generator=rng) < 0.5
    rgb, seen = torch.where(flip, rgb.flip(3), rgb), torch.where(flip, seen.flip(3), seen)
    column, row = torch.arange(width)[None, None, None], torch.arange(height)[None, None, :, None]
    left = draw(-0.6, 0.35) * width
    keep = (column >= left) & (column < left + draw(0.8, 2.2) * width) & (row >= draw(-0.5, 0.2) * height)
    hole_x, hole_y, size = draw(-0.3, 1.0) * width, draw(-0.3, 1.0) * height, draw(0.05, 0.3) * height
    hole = (column >= hole_x) & (column < hole_x + 1.5 * size) & (row >= hole_y) & (row < hole_y + size)
    return rgb.clamp_(0, 1), seen * (keep & ~hole)


def train(train_set: Photos, held: Photos, minutes: float, seed: int, batch: int = 64) -> HeightNet:
    """Train for a fixed time; the learning rate follows the clock (warm-up, then a cosine)."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    net = HeightNet().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.02)
    start, spent, step, told = time.monotonic(), 0.0, 0, 0.0
    while spent < 1:
        for index in torch.randperm(len(train_set.log_height), generator=rng).split(batch):
            spent = (time.monotonic() - start) / (60 * minutes)
            if spent >= 1:
                break
            rate = 2e-3 * min(1.0, step / 200) * 0.5 * (1 + np.cos(np.pi * spent))
            for group in optimiser.param_groups:
                group["lr"] = rate
            inputs, truth = train_set.batch(index, rng)
            net.train()
            with torch.autocast("cpu", torch.bfloat16):
                out = net(inputs.contiguous(memory_format=torch.channels_last))
            scale = out[:, 1].clamp(-4, 1)
            loss = ((out[:, 0] - truth).abs() * torch.exp(-scale) + scale).mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 2.0)
            optimiser.step()
            step += 1
            if spent - told > 0.05:
                told = spent
                print(f"{spent:4.0%} step {step} {judge(net, held)[0]}", file=sys.stderr, flush=True)
    return net


def judge(net: HeightNet, held: Photos) -> tuple[str, float]:
    """(errors on held-out places in words, factor that makes 68 % of them lie within one sigma)."""
    net.eval()
    with torch.no_grad():
        outs = [net(held.batch(index, None)[0]) for index in torch.arange(len(held.log_height)).split(128)]
    out = torch.cat(outs)
    error = out[:, 0] - held.log_height
    parts = []
    for name, where in (("flats", ~held.street), ("streets", held.street)):
        e = error[where]
        parts.append(f"{name}: rms {e.square().mean().sqrt():.3f} relative {(e.exp() - 1).abs().mean():.3f}")
    sigma = out[:, 1].clamp(-4, 1).exp() * 2**0.5
    return "; ".join(parts), float(torch.quantile(error.abs() / sigma, 0.683))


def main() -> None:
    """Train, judge on held-out places, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    paths = sorted(args.shards.glob("heights-*.npz"))
    held_paths, kept_paths = paths[5::10], [p for i, p in enumerate(paths) if i % 10 != 5]
    held, kept = Photos(held_paths), Photos(kept_paths)
    print(f"{len(kept.log_height)} photos to learn from, {len(held.log_height)} held out", file=sys.stderr)
    net = train(kept, held, args.minutes, args.seed)
    words, spread = judge(net, held)
    print(f"held out: {words}; sigma x {spread:.2f}")
    export(net, spread, args.out)
    export_familiar(args.out, kept_paths, held_paths)


if __name__ == "__main__":
    main()
