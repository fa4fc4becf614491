"""A search for the settings with which a training goes fastest, as values.

Times are seconds, ratios are of the chosen settings to the default: 1.2 is 20 % better. None is
unknown, or does not apply.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from snapenv.model.bench import BenchOptions, Cache

Objective = Literal["speed", "energy", "time"]
"""What is made better: images/s, joules an image, or the time to a number of images."""


class Settings(Struct, frozen=True, kw_only=True, order=True):
    """What may be varied: how a training runs, never with what."""

    batch: int  # images a step
    workers: int  # processes that load images
    cache: Cache = "none"  # where decoded images are kept
    amp: bool = True  # mixed precision
    compile: bool = False  # by torch.compile

    @property
    def label(self) -> str:
        """The settings as people read them; what is as usual is left out."""
        words = [f"batch {self.batch}", f"workers {self.workers}", f"cache {self.cache}"]
        words += [] if self.amp else ["no amp"]
        return ", ".join([*words, "compile"] if self.compile else words)


class Space(Struct, frozen=True, kw_only=True):
    """The values that each setting may take, in the order in which they are tried."""

    batch: tuple[int, ...]
    workers: tuple[int, ...]
    cache: tuple[Cache, ...] = ("none",)
    amp: tuple[bool, ...] = (True,)
    compile: tuple[bool, ...] = (False,)


class Trial(Struct, frozen=True, kw_only=True):
    """Settings that were measured, and what came of it."""

    settings: Settings  # that were tried
    score: float | None  # more is better; None where it is no candidate
    reason: str | None = None  # why it is none: it did not train, or its losses are no numbers
    images_per_s: float | None = None  # of the median step
    joules_per_image: float | None = None  # of the GPU
    setup_s: float | None = None  # to the first step
    workers: int | None = None  # that really ran


class Gain(Struct, frozen=True, kw_only=True):
    """The chosen settings against the default, measured in alternation."""

    ratios: tuple[float, ...]  # one a pair
    median: float  # of these
    worst: float  # of these
    resolution: float  # what must be exceeded: 0.05 is 5 %
    proven: bool  # even the worst pair is better by more than the resolution


class Profile(Struct, frozen=True, kw_only=True):
    """What ``snapenv run --profile`` adds to a training; the lock stays as it is."""

    snapshot: str  # the digest
    machine: str  # on which it was found
    objective: Objective  # what it makes better
    gain: float  # the median of the pairs
    train: Settings


class Tuning(Struct, frozen=True, kw_only=True):
    """A whole search: what was tried, what was chosen, and what that is worth."""

    options: BenchOptions  # the default, and what all trials share
    objective: Objective  # what was made better
    images: int  # of the objective "time"
    machine: str  # "2 x …", or the GPU's name
    trials: tuple[Trial, ...]  # in their order
    chosen: Settings  # the best, measured again; perhaps the default
    gain: Gain | None  # None where the default itself was best
