"""Trains the video generator of Lyra 2.0 on posed clips.

    python -m lyra_sim.training.lyra2 WALKS... --config lyra2 --out RUN --steps 5000
    accelerate launch --use_fsdp ... -m lyra_sim.training.lyra2 WALKS... --config lyra2 --out RUN --steps 5000

The run writes `log.jsonl`, a checkpoint every few hundred steps (the same command goes on from the last one), and at
the end `transformer/`, which `LyraTransformer3DModel.from_pretrained` reads. Distribution and mixed precision are
accelerate's: see its launcher.
"""

import json
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from lyra_sim.core.errors import ConfigError
from lyra_sim.training.clips import Clips
from lyra_sim.training.examples import Example, ExampleMaker, normal
from lyra_sim.training.flow import flow_loss, noised
from lyra_sim.training.recipe import Plan, Recipe, learning, plan
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel

_KEPT = 2
"""Checkpoints on disk."""
_MEAN_OVER = 50


def example_loss(net: Callable[..., Tensor], example: Example, maker: ExampleMaker, rng: np.random.Generator) -> Tensor:
    """Weighted flow loss of one example, at a time and with noise drawn from `rng`; a scalar with gradient."""
    entry = maker.table.entry(normal(rng, (1,)))
    clean = example.target
    eps = normal(rng, clean.shape).to(clean)
    window = torch.cat([example.given.history, noised(clean, eps, maker.table.sigmas[entry])], 2)
    velocity = example.velocity(net)(window, maker.table.timesteps[entry].to(clean))
    return flow_loss(velocity, clean, eps, maker.table.weights[entry]).mean()


class Trainer:
    """A network, its optimiser and how far the run has got.

    Args:
        net: float32; what is not trained gets frozen.
        out: folder of the run; it goes on from the newest checkpoint there.
        checkpointing: recompute activations in the backward pass: slower, far less memory.

    Raises:
        ConfigError: the clips are shorter than one segment.
    """

    def __init__(
        self,
        net: LyraTransformer3DModel,
        maker: ExampleMaker,
        clips: Clips,
        recipe: Recipe,
        out: Path,
        *,
        accelerator: Accelerator | None = None,
        checkpointing: bool = True,
    ) -> None:
        self.accelerator = accelerator or Accelerator()
        self.maker, self.clips, self.recipe, self.out, self.done = maker, clips, recipe, out, 0
        self.segments = maker.segments(clips.frames)
        if not self.segments:
            expected = f"clips of {1 + maker.new_frames} frames or more, with this packing"
            raise ConfigError("frames", expected=expected, got=str(clips.frames), todo="Ask for longer clips.")
        if checkpointing:
            net.enable_gradient_checkpointing()
        self.sizes = net.config
        adam = torch.optim.AdamW(learning(net), lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay)
        self.pace = torch.optim.lr_scheduler.LambdaLR(adam, recipe.lr_factor)
        self.net, self.adam = self.accelerator.prepare(net.train(), adam)
        self.accelerator.register_for_checkpointing(self.pace)
        found = sorted(out.glob("step-*[0-9]"))
        if found:
            self.accelerator.load_state(str(found[-1]))
            self.done = int(found[-1].name.removeprefix("step-"))

    def step(self) -> tuple[str, float]:
        """One update of the weights; (kind of example, loss)."""
        losses, kind = [], ""
        for k in range(self.recipe.accumulate):
            now = plan(self.recipe, self.done, self.segments, process=self.accelerator.process_index, clip=k)
            loss = example_loss(self.net, self.example(now), self.maker, now.rng)
            self.accelerator.backward(loss / self.recipe.accumulate)
            losses.append(loss.detach())
            kind = now.kind
        self.accelerator.clip_grad_norm_(self.net.parameters(), self.recipe.clip)
        self.adam.step()
        self.pace.step()
        self.adam.zero_grad()
        self.done += 1
        return kind, float(self.accelerator.reduce(torch.stack(losses).mean(), "mean"))  # pyright: ignore[reportArgumentType]

    def example(self, now: Plan) -> Example:
        """What a plan asks for, from a clip that it draws."""
        clip = self.clips.clip(int(now.rng.integers(len(self.clips))), now.rng)
        if now.kind == "augmented":
            return self.maker.augmented(clip, now.segment, self.net, now.rng)
        return self.maker.clean(clip, now.segment, now.rng, first_only=now.kind == "image")

    def run(self, steps: int, *, save_every: int = 500, say: Callable[[str], None] | None = None) -> None:
        """Train up to `steps` in all, then write `transformer/`."""
        say = say or (lambda line: print(line, file=sys.stderr, flush=True))
        main = self.accelerator.is_main_process
        recent: deque[tuple[float, float]] = deque(maxlen=_MEAN_OVER)
        self.out.mkdir(parents=True, exist_ok=True)
        while self.done < steps:
            begin = time.monotonic()
            kind, loss = self.step()
            recent.append((loss, time.monotonic() - begin))
            if main:
                mean, seconds = np.mean(recent, 0)
                line = {"step": self.done, "kind": kind, "loss": loss, "lr": self.pace.get_last_lr()[0]}
                with (self.out / "log.jsonl").open("a") as log:
                    log.write(json.dumps({**line, "seconds": round(recent[-1][1], 3)}) + "\n")
                pace = f"{seconds:.1f} s/step  {_time(seconds * (steps - self.done))} left"
                say(f"{self.done}/{steps}  {kind:9}  loss {loss:.4f} (mean {mean:.4f})  {pace}")
            if self.done % save_every == 0 and self.done < steps:
                self.save()
        self.save()
        self.export(self.out / "transformer")

    def save(self) -> None:
        """Write a checkpoint; older ones but the last go when it is complete."""
        target = self.out / f"step-{self.done:07d}"
        partial = target.with_suffix(".partial")
        if self.accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(partial))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process and not target.exists():
            partial.rename(target)
            for old in sorted(self.out.glob("step-*[0-9]"))[:-_KEPT]:
                shutil.rmtree(old)

    def export(self, folder: Path) -> None:
        """Write the whole network as `from_pretrained` reads it."""
        state = self.accelerator.get_state_dict(self.net)
        if self.accelerator.is_main_process:
            with torch.device("meta"):
                net = LyraTransformer3DModel.from_config(self.sizes)
            net.load_state_dict(state, assign=True)
            net.save_pretrained(folder)


def _time(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60:02d} min" if hours else f"{rest // 60} min {rest % 60:02d} s"
