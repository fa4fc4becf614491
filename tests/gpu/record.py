"""The record of a run: its keys, and what may stand in it.

A record is JSON, is kept in the repository, and names no machine: no host, no path, no serial
number. ``write_record`` refuses one that does.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from snapenv.model.bench import Bench
from snapenv.model.exports import Export
from snapenv.model.fingerprint import Fingerprint, Operator, Ranks, RanksSpeed
from snapenv.model.hardware import Hardware
from snapenv.model.sampling import GpuReading
from snapenv.model.tuning import Tuning

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = 1
RECORDED = Path(__file__).parents[1] / "recorded" / "gpu"

Outcome = Literal["done", "failed", "cut off", "skipped", "not applicable"]
"""How a part ended; all but ``done`` say why. What a part had until then is in the record."""

_PATH = re.compile(r"(?<![\w.:/])/(?:[\w.@+-]+/)*[\w.@+-]+")
_UUID = re.compile(r"\b(?:GPU|MIG)-[0-9a-f-]{8,}")
_ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b|\bhttps?://\S+")


class Part(Struct, frozen=True, kw_only=True):
    """How one part of the run went."""

    name: str
    outcome: Outcome
    why: str = ""  # "skipped: time", or the error in one line
    seconds: float = 0.0


class Training(Struct, frozen=True, kw_only=True):
    """One smoke-train, as far as it is compared with the baseline."""

    losses: tuple[str, ...]  # of each step, as ``float.hex`` writes it
    operators: tuple[Operator, ...] = ()  # that are not the baseline's bit for bit
    tf32: bool = False  # whether anything could use it
    ultralytics: str = ""  # the version that trained
    seconds: float = 0.0


class Planted(Struct, frozen=True, kw_only=True):
    """A smoke-train with one difference planted, or why it could not be trained."""

    name: str  # "tf32", "cudnn off"; "none" is a training between others
    training: Training | None = None
    error: str | None = None


class Sampling(Struct, frozen=True, kw_only=True):
    """What looking at the GPUs costs; trainings without and with it took turns."""

    looks: int
    cpu_ms: float  # median of a look, of this machine's processor
    without: tuple[float, ...]  # images a second
    beside: tuple[float, ...]  # the same while a look was taken four times a second


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run on one machine. What could not be measured is None or empty; ``parts`` say why."""

    schema: int = SCHEMA
    name: str  # the file's, without its end
    at: str  # RFC 3339
    rehearsal: bool  # on a CPU: nothing in it is about a GPU
    snapenv: str  # the version that measured
    seconds: float = 0.0  # of the whole run
    parts: tuple[Part, ...] = ()  # in their order
    machine: Hardware | None = None
    distributions: int | None = None  # packages that the probe saw in the environment
    captured: str | None = None  # the tag of the real capture
    baseline: Fingerprint | None = None  # without its libraries, which are paths
    separate: tuple[Training, ...] = ()  # each in a process of its own
    repeats: tuple[Training, ...] = ()  # all in one process
    planted: tuple[Planted, ...] = ()
    ranks: Ranks | None = None  # of several devices, or of two processes on a CPU
    ranks_speed: RanksSpeed | None = None
    readings: tuple[GpuReading, ...] = ()  # NVML's and GPM's, while a training ran
    sampling: Sampling | None = None
    bench: Bench | None = None
    tuning: Tuning | None = None
    exports: tuple[Export, ...] = ()

    @property
    def device(self) -> str:
        """What trained: ``cpu``, or the GPU's name."""
        return self.baseline.conditions.device if self.baseline else "unknown"


def of_training(
    fingerprint: Fingerprint, baseline: Fingerprint | None, seconds: float = 0.0
) -> Training:
    """Return what is kept of a smoke-train."""
    known = {one.name: one.sha256 for one in baseline.operators} if baseline else {}
    return Training(
        losses=fingerprint.losses,
        operators=tuple(one for one in fingerprint.operators if known.get(one.name) != one.sha256),
        tf32=fingerprint.conditions.tf32,
        ultralytics=fingerprint.conditions.ultralytics,
        seconds=round(seconds, 2),
    )


def clean(value: Any) -> Any:  # noqa: ANN401 - what JSON has
    """Take out of every text what would name this machine or a file on it."""
    if isinstance(value, dict):
        return {name: clean(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [clean(one) for one in value]
    if not isinstance(value, str):
        return value
    hidden = _ADDRESS.sub("ADDRESS", _UUID.sub("GPU", _PATH.sub("PATH", value)))
    for name in _own_names():
        hidden = re.sub(rf"\b{re.escape(name)}\b", "HOST", hidden)
    return hidden


def leaks(document: object) -> tuple[str, ...]:
    """Return the texts in which a machine or a path is named."""
    return tuple(dict.fromkeys(text for text in _texts(document) if clean(text) != text))


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        ValueError: It is none; the message names the file and the key.
    """
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path.name}: {error}") from error
    if record.schema != SCHEMA:
        raise ValueError(f"{path.name}: schema {record.schema}, not {SCHEMA}")
    return record


def write_record(record: Record, folder: Path) -> Path:
    """Write a record under its name, whole or not at all.

    Raises:
        ValueError: It names a machine or a path.
    """
    document = msgspec.to_builtins(record)
    named = leaks(document)
    if named:
        raise ValueError(f"the record names a machine or a path: {', '.join(named[:3])}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record.name}.json"
    partial = folder / f"{record.name}.json.part"
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    partial.replace(path)
    return path


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _texts(name)
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _own_names() -> tuple[str, ...]:
    names = (platform.node(), platform.node().partition(".")[0], os.environ.get("HOSTNAME", ""))
    return tuple(name for name in dict.fromkeys(names) if len(name) > 3 and name != "localhost")
