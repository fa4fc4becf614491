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
    score: float | None  # more is better; None where it is invalid
    reason: str | None = None  # why it is: it did not train, or its losses are no numbers
    ended_after: int | None = None  # measured steps, as it was behind; None where it ran whole
    images_per_s: float | None = None  # of the median step
    joules_per_image: float | None = None  # of the GPU
    setup_s: float | None = None  # to the first step
    workers: int | None = None  # that really ran

    @property
    def is_candidate(self) -> bool:
        """Whether it is valid and ran whole."""
        return self.score is not None and self.ended_after is None


class DefaultRun(Struct, frozen=True, kw_only=True):
    """The default, measured in the course of a search."""

    after: int  # so many trials were done; the first of them is the default itself
    score: float  # more is better
    images_per_s: float  # of the median step


class Gain(Struct, frozen=True, kw_only=True):
    """The chosen settings against the default, measured in alternation."""

    default: tuple[float, ...]  # its score in each pair
    chosen: tuple[float, ...]  # and that of the chosen settings
    ratios: tuple[float, ...]  # of the second to the first
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
    defaults: tuple[DefaultRun, ...]  # at the start, in the middle and at the end of the trials
    drift: float  # how far these are apart: 0.1 is 10 %
    drifted: bool  # by more than can be told apart: trials long after one another do not compare
    chosen: Settings  # the best, measured again; perhaps the default
    gain: Gain | None  # None where the default itself was best
    at: str  # when it ended, RFC 3339
