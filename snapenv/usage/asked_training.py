"""What a command asks a training for, before it runs. Pure.

Read are options as ultralytics' own program takes them, ``epochs=100``, and as scripts usually do,
``--epochs 100`` or ``--epochs=100``. What an option does not tell is taken from an earlier run of
the same command, such as how many images its data has.

Source: https://docs.ultralytics.com/usage/cfg/ (the defaults have been the same since 8.0)
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.usage import Training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from snapenv.model.usage import UsageRun

_MOST_DIGITS = 18
_NAMES = {
    "model": "model",
    "weights": "model",
    "epochs": "epochs",
    "imgsz": "imgsz",
    "img": "imgsz",
    "img_size": "imgsz",
    "batch": "batch",
    "batch_size": "batch",
    "workers": "workers",
    "amp": "amp",
}
_OPTION = re.compile(r"(?:--?)?([A-Za-z][A-Za-z_-]*)=(.*)", re.DOTALL)
_YOLO = {"yolo", "ultralytics"}
_DEFAULTS: dict[str, Any] = {"epochs": 100, "imgsz": 640, "batch": 16, "workers": 8, "amp": True}


class AskedFor(Struct, frozen=True):
    """A command, apart from the options that a training of the same data may change."""

    rest: tuple[str, ...]
    options: dict[str, Any]  # by the name in Training; None where the value is decided later


def asked_training(command: Sequence[str], history: Iterable[UsageRun]) -> Training | None:
    """Return what a command asks for; ``history`` has earlier runs, the latest first.

    None if it was never run on its data, by whatever number of epochs and the like: nothing is
    known then of the data.
    """
    read = read_command(command)
    for run in history:
        earlier = read_command(run.command)
        if run.training and run.training.images and earlier.rest == read.rest:
            return _changed(run.training, earlier.options, read)
    return None


def new_training(
    command: Sequence[str], count_images: Callable[[str], int | None]
) -> Training | None:
    """Return what ultralytics' own program is asked for with data that no earlier run had.

    None of another program, which says neither its data nor its defaults.
    """
    read = read_command(command)
    data = [word.removeprefix("data=") for word in read.rest if word.startswith("data=")]
    if not _is_yolo(read) or "train" not in read.rest or not data:
        return None
    return Training(**{**_DEFAULTS, **read.options}, images=count_images(data[-1]))


def _is_yolo(read: AskedFor) -> bool:
    return any(PurePosixPath(word).name in _YOLO for word in read.rest[:1])


def _changed(training: Training, earlier: dict[str, Any], read: AskedFor) -> Training:
    """Return an earlier training with other options; one that is left out now has its default."""
    defaults = _DEFAULTS if _is_yolo(read) else {}
    left_out = {name: defaults.get(name) for name in earlier if name not in read.options}
    return replace(training, **{**left_out, **read.options})


def read_command(command: Sequence[str]) -> AskedFor:
    """Return the options of a command that are known from all its other words."""
    rest: list[str] = []
    options: dict[str, Any] = {}
    words = list(command)
    while words:
        word = words.pop(0)
        match = _OPTION.fullmatch(word)
        name = _name(match[1] if match else word.lstrip("-") if word.startswith("-") else "")
        if name and match:
            options[name] = _value(name, match[2])
        elif name and words and not words[0].startswith("-"):
            options[name] = _value(name, words.pop(0))
        else:
            rest.append(word)
    return AskedFor(tuple(rest), options)


def _name(word: str) -> str | None:
    return _NAMES.get(word.replace("-", "_").lower())


def _value(name: str, text: str) -> str | int | bool | None:
    read: dict[str, Callable[[str], str | bool | None]] = {"model": str, "amp": _boolean}
    return read[name](text) if name in read else _count(text)


def _boolean(text: str) -> bool | None:
    return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())


def _count(text: str) -> int | None:
    """Return a number; ultralytics finds a batch of -1, or of a share, by itself."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    return (int(text) or None) if is_number else None
