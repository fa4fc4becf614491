"""What a training of ultralytics was asked to do, read from its folder, from outside.

Sources: ``args.yaml``, which it writes at the start; its data's YAML
(https://docs.ultralytics.com/datasets/detect/); and its checkpoint, whose ``train_args`` alone tell
the batch that it really used: with ``batch=-1``, and after it was halved for want of memory.
"""

from __future__ import annotations

import os
import pickletools
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml
from msgspec.structs import replace

from snapenv.model.usage import Training
from snapenv.places import is_folder, open_plain
from snapenv.usage.stop_rule import Plan
from snapenv.zips import DAMAGED, open_bounded, read_member

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from snapenv.model.usage import EpochRow
    from snapenv.usage.results_csv import Row

_MOST_BYTES = 1 << 18  # of a file in YAML
_MOST_PICKLED_BYTES = 16 << 20  # of a checkpoint without its tensors
_MOST_ARCHIVE_BYTES = _MOST_PICKLED_BYTES + (2 << 20)  # with the directory, 100 bytes a tensor
_MOST_OPERATIONS = 1_000_000  # of a pickle, each at least a byte; they take a second
_IMAGES = (
    *(".bmp", ".dng", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp", ".pfm"),
    *(".heic", ".heif", ".avif", ".jp2", ".jpeg2000"),
)


def read_arguments(folder: Path) -> Mapping[str, Any]:
    """Return the training's arguments by their names; empty where they cannot be read."""
    return _read_yaml(folder / "args.yaml")


def read_plan(arguments: Mapping[str, Any]) -> Plan:
    """Return what tells when a training is not to be judged."""
    epochs, warmup = _whole(arguments.get("epochs")), arguments.get("warmup_epochs")
    return Plan(
        epochs=epochs,
        warmup_epochs=float(warmup) if isinstance(warmup, int | float) else 3.0,
        close_mosaic=_whole(arguments.get("close_mosaic")) or 0,
    )


def asked_batch(arguments: Mapping[str, Any]) -> int | None:
    """Return the batch that was asked for; None where ultralytics was to choose it."""
    batch = _whole(arguments.get("batch"))
    return batch if batch and batch > 0 else None


def describe_training(folder: Path, started_in: str | None) -> Training:
    """Return what a training was asked to do, and the batch that its checkpoint tells.

    ``started_in`` is the folder that relative paths are of.
    """
    arguments = read_arguments(folder)
    return Training(
        model=_text(arguments.get("model")),
        task=_text(arguments.get("task")),
        epochs=_whole(arguments.get("epochs")),
        images=count_images(_text(arguments.get("data")), started_in),
        imgsz=_whole(arguments.get("imgsz")),
        batch=find_batch(folder / "weights" / "last.pt") or asked_batch(arguments),
        amp=arguments["amp"] if isinstance(arguments.get("amp"), bool) else None,
        workers=_whole(arguments.get("workers")),
    )


def with_results(
    training: Training, rows: Sequence[EpochRow], *, metric: str | None, epoch_ms: int | None
) -> Training:
    """Add what came of a training: its rows are of one run, later attempts behind earlier ones."""
    judged = [row for row in rows if row.metric is not None]
    best = max(judged, key=lambda row: row.metric or 0.0, default=None)
    return replace(
        training,
        epochs_done=max((row.epoch for row in rows), default=0),
        metric=metric if best else None,
        best=best.metric if best else None,
        best_epoch=best.epoch if best else None,
        epoch_ms=epoch_ms,
    )


def epoch_duration_ms(rows: Sequence[Row], seen: Sequence[EpochRow]) -> int | None:
    """Return the median of an attempt's epochs but the first, which fills caches.

    Versions that write no times leave when each row was seen.
    """
    times = [row.elapsed_s * 1000 for row in rows if row.elapsed_s is not None]
    moments = times or [float(row.at_ms) for row in seen]
    steps = [after - before for before, after in pairwise(moments)]
    return round(median(steps)) if steps else None


def find_batch(checkpoint: Path) -> int | None:
    """Return the batch of a checkpoint's ``train_args``; None where it cannot be told.

    The pickle is read operation by operation, up to a limit: nothing of it is executed.
    """
    try:
        with open_plain(checkpoint) as file, open_bounded(file, _MOST_ARCHIVE_BYTES) as archive:
            name = next(each for each in archive.namelist() if each.endswith("data.pkl"))
            content = read_member(archive, archive.getinfo(name), _MOST_PICKLED_BYTES)
        return _batch(_strings_and_numbers(content))
    except (*DAMAGED, OSError, StopIteration, IndexError, KeyError):
        return None


def _batch(values: Iterable[str | int | None]) -> int | None:
    inside, before = False, None
    for value in values:
        if inside and before == "batch" and not isinstance(value, str):  # else it is no key
            return value
        inside = inside or value == "train_args"
        before = value
    return None


def _strings_and_numbers(content: bytes) -> Iterator[str | int | None]:
    """Yield the strings and whole numbers of a pickle in their order, None for other values."""
    memo = dict[int, str | int | None]()
    value: str | int | None = None
    for operation, argument, _ in islice(pickletools.genops(content), _MOST_OPERATIONS):
        name = operation.name
        if name.endswith("PUT"):
            memo[int(argument or 0)] = value
        elif name == "MEMOIZE":
            memo[len(memo)] = value
        elif name not in {"MARK", "EMPTY_DICT", "PROTO", "FRAME"}:
            if name.endswith("GET"):
                value = memo.get(int(argument or 0))
            else:
                value = argument if type(argument) in {str, int} else None
            yield value


def count_images(data: str | None, started_in: str | None) -> int | None:
    """Count the images of a data set's training part; None where they are not to be found.

    ``data`` is its YAML, or of a classification its folder.
    """
    if data is None:
        return None
    place = Path(started_in or "/", data)
    if is_folder(place):
        return _count(place / "train")
    described = _read_yaml(place)
    parts = described.get("train")
    above = place.parent / (_text(described.get("path")) or "")
    named = parts if isinstance(parts, list) else [parts]
    counts = [_count(above / part) for part in named if isinstance(part, str)]
    return sum(filter(None, counts)) or None


def _count(place: Path) -> int | None:
    """Count the images below a folder, or the lines of a list of them."""
    try:
        if is_folder(place):
            return sum(
                Path(name).suffix.lower() in _IMAGES
                for _, _, names in os.walk(place)
                for name in names
            )
        with open_plain(place) as lines:
            return sum(bool(line.strip()) for line in lines)
    except OSError:
        return None


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        with open_plain(path) as file:
            read = yaml.safe_load(file.read(_MOST_BYTES))
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
