"""Trains the video generator of Lyra 2.0 on posed clips.

    python -m lyra_sim.training.lyra2 WALKS... --config lyra2 --out RUN --steps 5000
    accelerate launch ... -m lyra_sim.training.lyra2 WALKS... --config lyra2 --out RUN --steps 5000

The run writes `log.jsonl`, a checkpoint every few hundred steps (the same command goes on from the last one), and at
the end `transformer/`, which `explore.generator.weights.transformer` takes. Weights to start with: those of the
configuration; `lyra_sim.training.start` makes them from Wan 2.1. Processes, sharding and mixed precision are those of
accelerate's launcher. Method: Lyra 2.0 (nv-tlabs/lyra, TRAINING.md and models/lyra2_model.py, as described publicly).
"""

from lyra_sim.core.packages import exit_without_networks

if __name__ == "__main__":  # before what needs them is imported
    exit_without_networks("lyra_sim.training.lyra2")

import argparse
import json
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from lyra_sim.config.load import load_config
from lyra_sim.config.lyra2 import Lyra2Config
from lyra_sim.core.errors import ConfigError, LyraError
from lyra_sim.training.clips import Clips, WalkClips
from lyra_sim.training.examples import Example, ExampleMaker, normal
from lyra_sim.training.flow import FlowTable, flow_loss, noised
from lyra_sim.training.recipe import Plan, Recipe, learning, plan
from lyra_sim.worldgen.lyra2.network import build_network
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel

_KEPT = 2
"""Checkpoints on disk."""
_MEAN_OVER = 50


def example_loss(net: Callable[..., Tensor], example: Example, maker: ExampleMaker, rng: np.random.Generator) -> Tensor:
    """Weighted flow loss of one example, at a time and with noise drawn from `rng`; a scalar with gradient."""
    entry = maker.table.entry(normal(rng, (1,)))
    clean = example.target
    eps = normal(rng, clean.shape).to(clean)
    window = torch.cat([example.history, noised(clean, eps, maker.table.sigmas[entry])], 2)
    velocity = example.velocity(net)(window, maker.table.timesteps[entry].to(clean))
    return flow_loss(velocity, clean, eps, maker.table.weights[entry]).mean()


class Trainer:
    """A network, its optimiser and how far the run has got.

    Args:
        maker: its network is trained, in float32; what the recipe does not train is frozen.
        out: folder of the run; it goes on from the newest checkpoint there.
        checkpointing: recompute activations in the backward pass: slower, far less memory.

    Raises:
        ConfigError: the clips are shorter than one segment.
    """

    def __init__(
        self,
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
        net = maker.network.transformer.float()
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
        """The next update of the run; (kind of example, loss)."""
        process = self.accelerator.process_index
        plans = [
            plan(self.recipe, self.done, self.segments, process=process, clip=k) for k in range(self.recipe.accumulate)
        ]
        loss = self.update((self.example(now), now.rng) for now in plans)
        return plans[0].kind, loss

    def update(self, batch: Iterable[tuple[Example, np.random.Generator]]) -> float:
        """One update of the weights, from `Recipe.accumulate` examples and what their times and noise are drawn from;
        the mean loss of all processes."""
        losses = []
        for example, rng in batch:
            loss = example_loss(self.net, example, self.maker, rng)
            self.accelerator.backward(loss / self.recipe.accumulate)
            losses.append(loss.detach())
        self.accelerator.clip_grad_norm_(self.net.parameters(), self.recipe.clip)
        self.adam.step()
        self.pace.step()
        self.adam.zero_grad()
        self.done += 1
        return float(self.accelerator.reduce(torch.stack(losses).mean(), "mean"))  # pyright: ignore[reportArgumentType]

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
            begin, rate = time.monotonic(), self.pace.get_last_lr()[0]
            kind, loss = self.step()
            recent.append((loss, time.monotonic() - begin))
            if main:
                mean, seconds = np.mean(recent, 0)
                line = {"step": self.done, "kind": kind, "loss": loss, "lr": rate}
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
        if target.exists():
            return
        partial = target.with_suffix(".partial")
        if self.accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(partial))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
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


def trainer(args: argparse.Namespace) -> Trainer:
    """What the command line asks for.

    Raises:
        ConfigError: a configuration without Lyra 2.0, or with LoRAs.
        InputError, ResourceError: no walks, no weights.
    """
    config = load_config(args.config, args.set).explore.generator
    if not isinstance(config, Lyra2Config) or config.loras:
        got = "LoRAs" if isinstance(config, Lyra2Config) else f"the generator {config.backend!r}"
        raise ConfigError(
            args.config, expected="Lyra 2.0 without LoRAs", got=got, todo="Use --config lyra2 or a file based on it."
        )
    size = (config.height_px, config.width_px)
    clips = WalkClips(args.walks, frames=args.frames, size=size, stride=args.stride)
    accelerator = Accelerator()
    device = accelerator.device
    network = build_network(config.model_copy(update={"device": str(device), "memory": "plain"}))
    network.texts(["", *clips.texts()])  # all at once: the text encoder need not be loaded again
    maker = ExampleMaker(network, FlowTable.build(config.shift), device, config.way)
    recipe = Recipe(lr=args.lr, accumulate=args.accumulate, seed=args.seed)
    return Trainer(maker, clips, recipe, args.out, accelerator=accelerator, checkpointing=not args.keep_activations)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("walks", type=Path, nargs="+", help="RGB-D walks, or folders of them")
    made.add_argument("--config", default="lyra2", help="a configuration with the backend lyra2")
    made.add_argument("--set", action="append", default=[], metavar="A.B=C", help="one setting of it")
    made.add_argument("--out", type=Path, required=True, help="folder of the run")
    made.add_argument("--steps", type=int, default=5000, help="in all, with those of earlier runs")
    made.add_argument("--frames", type=int, default=961, help="of a clip: 1 + a multiple of the frames of a segment")
    made.add_argument("--stride", type=int, default=1, help="every n-th frame of a walk is used")
    made.add_argument("--lr", type=float, default=Recipe.lr, help="learning rate")
    made.add_argument("--accumulate", type=int, default=1, help="clips per step and process")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--save-every", type=int, default=500, help="steps between checkpoints")
    made.add_argument("--keep-activations", action="store_true", help="faster, and far more memory")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Train; the exit code is that of `lyra-sim`."""
    args = parser().parse_args(arguments)
    try:
        trainer(args).run(args.steps, save_every=args.save_every)
    except LyraError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
