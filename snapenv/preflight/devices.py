"""Which GPUs the words of ``--device`` name: numbers, UUIDs, or MIG instances.

Source: https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.hardware import Gpu

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.hardware import Hardware
    from snapenv.model.host import GpuState

_MOST_DIGITS = 9
_INSTANCE = "MIG-"
_WHOLE = "GPU-"


class Chosen(Struct, frozen=True, kw_only=True):
    """What some words name, with the driver's numbers; ``numbers`` is None for every GPU.

    Of a GPU that is named by MIG instances, those alone are left in ``mig_devices``.
    """

    gpus: tuple[tuple[int, Gpu], ...] = ()
    numbers: frozenset[int] | None = None
    absent: tuple[str, ...] = ()  # words that name none

    def has(self, number: int) -> bool:
        """Return whether a GPU is named, one that does not answer too."""
        return self.numbers is None or number in self.numbers


class _Device(Struct, frozen=True):
    """A GPU, or one MIG instance of it."""

    number: int
    instance: int | None = None


def choose(words: Sequence[str], hardware: Hardware, states: Sequence[GpuState]) -> Chosen:
    """Find the GPUs that words name; all of them where there is none, or one that is not known.

    A UUID is known where every GPU has told its own.
    """
    every = hardware.numbered_gpus
    silent = {fault.number for fault in hardware.gpu_faults}
    if not words or not (every or silent):
        return Chosen(gpus=every)
    named = {word: _find(word, every, silent, states) for word in words}
    absent = tuple(word for word, of_word in named.items() if of_word == ())
    if None in named.values():
        return Chosen(gpus=every, absent=absent)
    places = [place for of_word in named.values() for place in of_word or ()]
    return Chosen(
        gpus=tuple(
            (number, _narrow(gpu, [place.instance for place in places if place.number == number]))
            for number, gpu in every
            if any(place.number == number for place in places)
        ),
        numbers=frozenset(place.number for place in places),
        absent=absent,
    )


def _narrow(gpu: Gpu, instances: Sequence[int | None]) -> Gpu:
    """Leave the MIG instances that are named, where the whole GPU is not."""
    if None in instances:
        return gpu
    kept = (name for index, name in enumerate(gpu.mig_devices) if index in instances)
    return replace(gpu, mig_devices=tuple(kept))


def _find(
    word: str,
    every: Sequence[tuple[int, Gpu]],
    silent: set[int],
    states: Sequence[GpuState],
) -> tuple[_Device, ...] | None:
    """Return what one word names; None where that cannot be told."""
    if word.isdecimal() and len(word) <= _MOST_DIGITS:
        number = int(word)
        return (_Device(number),) if number in silent or number in dict(every) else ()
    if not word.startswith((_WHOLE, _INSTANCE)):
        return None
    by_uuid = tuple(_by_uuid(word.lower(), states))
    all_known = all(state.uuid and all(state.mig_uuids) for state in states)
    untold = silent or len(states) < len(every) or not all_known
    return None if untold and not by_uuid else by_uuid


def _by_uuid(word: str, states: Sequence[GpuState]) -> Iterator[_Device]:
    """Find a UUID by its beginning, as CUDA does."""
    for state in states:
        if (state.uuid or "").lower().startswith(word):
            yield _Device(state.number)
        for index, uuid in enumerate(state.mig_uuids):
            if (uuid or "").lower().startswith(word):
                yield _Device(state.number, index)
