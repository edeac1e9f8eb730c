"""How a generator's window packs its latents: recent ones fine, old ones coarse, remembered views beside them.

Grammar: segments `f<latents><k|s><kernel>` one after the other, then `_g<new latents>`. A `k` segment holds temporal
history and enlarges the patch along time, height and width; an `s` segment holds spatial memory, one latent per
remembered view, and enlarges height and width only. Method: FramePack (Zhang and Agrawala 2025) with the memory slots
of Lyra 2.0; the release uses `RELEASED`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from lyra_sim.core.errors import ConfigError

RELEASED = "f1k1f4s2f1s1f16k4f2k2f1k1_g20"
FRAMES_PER_LATENT = 4
_SEGMENT = r"f([1-9]\d*)([ks])([1-9]\d*)"


@dataclass(frozen=True)
class Run:
    """Neighbouring latents that are packed alike."""

    latents: int
    kind: Literal["k", "s", "g"]
    """Temporal history, spatial memory, or generated."""
    kernel: int

    @property
    def stretch(self) -> tuple[int, int, int]:
        """How much larger its patches are than those of generated latents, along (T, H, W)."""
        return (self.kernel if self.kind == "k" else 1, self.kernel, self.kernel)

    def tokens(self, sides: Sequence[int]) -> int:
        """How many tokens it makes of latents of this height and width; generated ones take patches of (1, 2, 2)."""
        kt, kh, kw = self.stretch
        return -(-self.latents // kt) * -(-sides[0] // (2 * kh)) * -(-sides[1] // (2 * kw))


@dataclass(frozen=True)
class Packing:
    """A parsed packing string; `runs` in the order of the window, the generated one last.

    Raises:
        ConfigError: from `parse`, when the string does not follow the grammar.
    """

    runs: tuple[Run, ...]

    @classmethod
    def parse(cls, text: str) -> "Packing":
        if not re.fullmatch(rf"(?:{_SEGMENT})+_g[1-9]\d*", text):
            raise ConfigError(
                "packing",
                expected="segments f<latents><k|s><kernel>, then _g<new latents>, all numbers above 0",
                got=repr(text),
                todo=f"Write it like {RELEASED!r}.",
            )
        body, _, new = text.rpartition("_g")
        history: list[Run] = []
        for count, kind, kernel in re.findall(_SEGMENT, body):
            history.append(Run(int(count), "k" if kind == "k" else "s", int(kernel)))
        return cls((*history, Run(int(new), "g", 1)))

    @property
    def history(self) -> tuple[Run, ...]:
        return self.runs[:-1]

    @property
    def new_latents(self) -> int:
        return self.runs[-1].latents

    @cached_property
    def kinds(self) -> str:
        """One letter per latent of the window."""
        return "".join(run.kind * run.latents for run in self.runs)

    @property
    def history_latents(self) -> int:
        return len(self.kinds) - self.new_latents

    @property
    def spatial_slots(self) -> int:
        """Remembered views in the window."""
        return self.kinds.count("s")

    @property
    def repeats(self) -> int:
        """How often frame 0 stands at the beginning of the time line, so that the first window is full."""
        return FRAMES_PER_LATENT * (self.history_latents - 1) + 1

    def temporal(self, latents: int) -> list[int]:
        """Which of `latents` history latents fill the `k` positions: the first, then the most recent ones."""
        slots = self.kinds.count("k")
        assert latents >= slots, "the time line begins with repeats of frame 0, so that this cannot happen"
        return [0, *range(latents - slots + 1, latents)][:slots]
