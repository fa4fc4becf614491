"""Which settings are tried: around the default, within memory and processors."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import asdict, replace

from snapenv.errors import UsageError
from snapenv.model.tuning import Settings, Space

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.bench import BenchOptions, BenchRun

MOST_OF_MEMORY = 0.9
"""The share that a training may take; the rest is for validation and for what others take."""

_FACTORS = (0.25, 0.5, 1, 2, 4)  # of the default's batch
_WORKERS = (0, 1, 2, 4, 8, 16)
_SETTINGS = Settings.__struct_fields__


def settings_of(options: BenchOptions) -> Settings:
    """Return what may be varied out of what is trained."""
    return Settings(**{name: getattr(options, name) for name in _SETTINGS})


def with_settings(options: BenchOptions, settings: Settings) -> BenchOptions:
    """Return what is trained, with other settings."""
    return replace(options, **asdict(settings))


def make_space(first: BenchRun, memory_bytes: int | None, vary: Mapping[str, str]) -> Space:
    """Return what is worth a trial, judged by one run of the default.

    ``memory_bytes`` is the host's that is available, for a cache; on a GPU its own limits the
    batch. ``vary`` are values by a setting's name, as a user writes them: ``8,16``; the
    default is one of them, and memory does not limit them.

    Raises:
        UsageError: ``vary`` names no setting, or no values of it.
    """
    options, on_gpu = first.options, first.gpu is not None
    around = {max(1, round(options.batch * factor)) for factor in _FACTORS}
    most = _most_batch(first, memory_bytes)
    available = math.floor(first.cpu.quota or first.cpu.available) or 1
    workers = {each for each in _WORKERS if each <= available} | {options.workers}
    space = Space(
        batch=tuple(sorted({each for each in around if each <= most} | {options.batch})),
        workers=tuple(sorted(workers)),
        cache=("none", "ram"),
        amp=(True, False) if on_gpu else (options.amp,),
        compile=(False, True) if on_gpu else (options.compile,),
    )
    given = {
        name: tuple(sorted({*_values(name, text), getattr(options, name)}))
        for name, text in vary.items()
    }
    return replace(space, **given)


def combinations(space: Space) -> tuple[Settings, ...]:
    """Return all settings of a space."""
    values = asdict(space)
    return tuple(
        Settings(**dict(zip(values, each, strict=True))) for each in product(*values.values())
    )


def _most_batch(first: BenchRun, memory_bytes: int | None) -> float:
    """Return the largest batch that fits, if memory grows with it: that errs on the safe side."""
    batch = first.options.batch
    if first.gpu:
        limit = (first.gpu.memory_free + first.gpu.memory_peak) * MOST_OF_MEMORY
        return batch * limit / first.gpu.memory_peak if first.gpu.memory_peak else batch
    if memory_bytes is None or not first.host_memory_peak:
        return batch
    return batch * memory_bytes * MOST_OF_MEMORY / first.host_memory_peak


def _values(name: str, text: str) -> tuple[Any, ...]:
    """Read the values of a setting.

    Raises:
        UsageError: They are none.
    """
    if name not in _SETTINGS:
        raise UsageError(f"there is no setting {name!r}", hint=f"Vary {', '.join(_SETTINGS)}.")
    words = {"on": True, "off": False}
    raw = [words.get(word.strip(), word.strip()) for word in text.split(",")]
    kind = {field.name: field.type for field in msgspec.structs.fields(Space)}[name]
    try:
        values: tuple[Any, ...] = msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{text!r} are no values of {name}", hint="Separate them by commas: batch=8,16"
        ) from error
    lowest = {"batch": 1, "workers": 0}.get(name)
    if lowest is not None and min(values) < lowest:
        raise UsageError(f"{name} {min(values)} is too low", hint=f"Give at least {lowest}.")
    return values
