"""What is found about the speed of a training, from its measurement."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from snapenv.model.outcome import Severity

Layer = Literal["system", "application", "framework"]
"""Where it lies, in the order in which it is to be settled: the first makes the others untrue."""

Unit = Literal["share", "ratio", "count", "bytes"]
"""Of a figure; a share is 0 to 1, and of more than one CPU more."""


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that holds a training back, or may."""

    id: str  # "application.data-wait": its layer, and what is the matter
    layer: Layer  # where it lies
    severity: Severity  # an error holds the training back; a warning may, or blurs the measurement
    subject: str  # what was measured, in words
    figure: float  # what was measured
    threshold: float  # from which on it is found
    above: bool  # found above the threshold, or below it
    unit: Unit  # of the figure and the threshold
    source: str  # of the threshold: who gives it, or what was measured
    next: str  # the one thing to try
