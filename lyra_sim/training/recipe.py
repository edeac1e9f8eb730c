"""How the video generator is trained: which weights learn, how fast, what each step is trained on.

Source: the published recipe of Lyra 2.0 (nv-tlabs/lyra, configs/experiment.py, as described publicly).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import nn

LEARNS = re.compile(
    r"^(clean_patch_embeddings|patch_embedding)\.|^blocks\.\d+\.(self_attn|cam_encoder|buffer_encoder)\."
)
"""Names of the parameters that are trained; all others stay as they are."""


@dataclass(frozen=True)
class Recipe:
    """The published numbers."""

    lr: float = 3e-5
    weight_decay: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    warm_up: int = 100
    """Steps until the learning rate is reached."""
    decay: tuple[float, float, int] = (0.99, 0.4, 400_000)
    """Share of the learning rate at the beginning, at the end, and after how many steps that is."""
    clip: float = 0.1
    """Largest norm of the gradient."""
    accumulate: int = 1
    """Clips per step and process."""
    augment_every: int = 2
    """Every n-th step trains on a history of the model's own, or on a walk that begins from one image."""
    image_share: float = 0.3
    """Share of the latter."""
    most_segments: int = 13
    """Only so many segments of a clip are used."""
    seed: int = 0

    def lr_factor(self, step: int) -> float:
        """Share of the learning rate at a step, counted from 0."""
        first, last, steps = self.decay
        return min((step + 1) / self.warm_up, 1.0) * (last + (first - last) * max(1 - step / steps, 0.0))


@dataclass(frozen=True)
class Plan:
    """What a step is trained on."""

    kind: Literal["clean", "augmented", "image"]
    segment: int
    """The one that is learned; of `augmented` the one before, which is predicted."""
    rng: np.random.Generator


def plan(recipe: Recipe, step: int, segments: int, *, process: int = 0, clip: int = 0) -> Plan:
    """The plan of a step (counted from 0), drawn from the seed and the step alone: a run that is resumed goes on as it
    would have.

    All processes draw the same kind, because an augmented step has one forward pass more.
    """
    shared = np.random.default_rng([recipe.seed, step, 0])
    rng = np.random.default_rng([recipe.seed, step, 1, process, clip])
    usable = min(segments, recipe.most_segments)
    if (step + 1) % recipe.augment_every:
        return Plan("clean", int(rng.integers(usable)), rng)
    if shared.random() > recipe.image_share and usable > 1:
        return Plan("augmented", int(rng.integers(usable - 1)), rng)
    return Plan("image", 0, rng)


def learning(net: nn.Module) -> Iterator[nn.Parameter]:
    """Freeze the network but for what is trained (`LEARNS`), and give that."""
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(LEARNS.match(name) is not None)
        if parameter.requires_grad:
            yield parameter
