"""Compute from records what the tiers allow, and write it where it is used and told.

What is measured only ever widens a limit: where no record has more than a third of it, it stays as
it is. ``--check`` says what is not as computed.
"""

from __future__ import annotations

import math
import re
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from snapenv.model.fingerprint import Fingerprint
from snapenv.verify.operators import compare_operator
from tests.gpu.record import RECORDED, read_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tests.gpu.record import Record, Training

_ROOT = Path(__file__).parents[2]
_FINGERPRINT = _ROOT / "snapenv" / "verify" / "fingerprint.py"
_OPERATORS = _ROOT / "snapenv" / "verify" / "operators.py"
_CHECK = _ROOT / "snapenv" / "travel" / "programs" / "snapenv_check" / "losses.py"
_PAGE = _ROOT / "docs" / "restoring.md"
_BLOCK = re.compile(r"(<!-- generated: tolerances -->\n).*?(<!-- end -->)", re.DOTALL)

_MARGIN = 3.0
_STEPS = (1.0, 2.0, 5.0, 10.0)  # of the digits that a limit has
_UNCHANGED = "none"  # as a planted difference
NOT_MEASURED = "The rows with a GPU are not yet measured on a GPU."


class Apart(NamedTuple):
    """How far losses are apart, relative to them."""

    first: float  # at step 1
    later: float  # at any later one

    def joined(self, other: Apart) -> Apart:
        return Apart(max(self.first, other.first), max(self.later, other.later))


# What was chosen by arithmetic, and holds on every CPU that was tried.
CLOSE = Apart(1e-6, 1e-4)
OTHER_DEVICE = Apart(1e-3, 5e-2)
OPERATORS = {"fp64": 1e-12, "fp32": 1e-5, "tf32": 5e-3, "fp16": 5e-3, "bf16": 4e-2}
_NOTHING = Apart(0.0, 0.0)


class Tolerances(NamedTuple):
    """What the tiers allow."""

    close: Apart
    other_device: Apart
    operators: Mapping[str, float]  # by precision
    measured_on: tuple[str, ...]  # GPUs


class Row(NamedTuple):
    """A line of the table."""

    what: str
    trainings: int
    apart: Apart  # the largest; of planted differences the smallest that one of them made


def compute(records: Sequence[Record]) -> Tolerances:
    """Return the limits for all records."""
    on_gpu = [one for one in records if is_of_gpu(one)]
    again, across = _NOTHING, _NOTHING
    for record in records:
        again = again.joined(_largest(record, _again(record)))
    for left, right in _comparable(records):
        across = across.joined(apart(left, right))
    return Tolerances(
        close=widened(CLOSE, again),
        other_device=widened(OTHER_DEVICE, across),
        operators=_operators(records),
        measured_on=tuple(sorted({one.device for one in on_gpu})),
    )


def is_of_gpu(record: Record) -> bool:
    return record.device not in {"cpu", "unknown"}


def widened(limits: Apart, measured: Apart) -> Apart:
    """Return limits that are at least three times what was measured."""
    return Apart(
        *(max(limit, _round(_MARGIN * one)) for limit, one in zip(limits, measured, strict=True))
    )


def _round(value: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten; 0 stays."""
    if value <= 0 or not math.isfinite(value):
        return value
    power = math.floor(math.log10(value))
    digit = next(one for one in _STEPS if value <= one * 10.0**power * (1 + 1e-9))
    return float(f"{digit * 10.0**power:.0e}")


def apart(left: Fingerprint, right: Fingerprint | Training) -> Apart:
    """Compare losses step by step; infinite where one is missing."""
    other = right if isinstance(right, Fingerprint) else _with_losses(left, right.losses)
    differences = left.relative_differences(other)
    return Apart(differences[0], max(differences[1:], default=0.0))


def _with_losses(fingerprint: Fingerprint, losses: tuple[str, ...]) -> Fingerprint:
    return Fingerprint(losses=losses, conditions=fingerprint.conditions)


def _again(record: Record) -> list[Training]:
    """Return the trainings of a record in which nothing was changed."""
    between = (one.training for one in record.planted if one.name == _UNCHANGED)
    return [*record.separate, *record.repeats, *filter(None, between)]


def _largest(record: Record, trainings: Iterable[Training]) -> Apart:
    largest = _NOTHING
    for training in trainings:
        assert record.baseline
        largest = largest.joined(apart(record.baseline, training))
    return largest


def _comparable(records: Sequence[Record]) -> Iterator[tuple[Fingerprint, Fingerprint]]:
    """Yield the baselines of two devices that trained the same, without TF32."""
    baselines = [one.baseline for one in records if one.baseline]
    for left, right in combinations(baselines, 2):
        ours, theirs = left.conditions, right.conditions
        same = all(
            getattr(ours, name) == getattr(theirs, name)
            for name in ("ultralytics", "images_sha256", "arguments", "threads")
        )
        if same and ours.device != theirs.device and not (ours.tf32 or theirs.tf32):
            yield left, right


def _operators(records: Sequence[Record]) -> dict[str, float]:
    """Return the limits of operators by their precision; a choice is the same or it is not."""
    measured = dict.fromkeys(OPERATORS, 0.0)
    for left, right in _comparable(records):
        by_name = {one.name: one for one in right.operators}
        for one in left.operators:
            pair = compare_operator(one, by_name[one.name]) if one.name in by_name else None
            if pair and pair.distance is not None and pair.family != "nms":
                measured[pair.precision] = max(measured.get(pair.precision, 0.0), pair.distance)
    return {name: max(limit, _round(_MARGIN * measured[name])) for name, limit in OPERATORS.items()}


def rows(records: Sequence[Record]) -> list[Row]:
    """Return what was measured: repeats, devices against one another, planted differences."""
    found = []
    for record in records:
        again = _again(record)
        if record.baseline and again:
            found.append(Row(f"{_place(record)}, again", len(again), _largest(record, again)))
    for left, right in _comparable(records):
        names = f"{_named(left)} and {_named(right)}"
        found.append(Row(names, 2, apart(left, right)))
    for record in records:
        planted = dict.fromkeys(one.name for one in record.planted if one.name != _UNCHANGED)
        found += [row for name in planted if (row := _planted_row(record, name))]
    return found


def _planted_row(record: Record, name: str) -> Row | None:
    trainings = [one.training for one in record.planted if one.name == name and one.training]
    if not trainings or record.baseline is None:
        return None
    least = min((apart(record.baseline, one) for one in trainings), key=max)
    return Row(f"{_place(record)}, with {_TOLD.get(name, name)}", len(trainings), least)


_TOLD = {
    "lr": "a learning rate of 0.0011 for 0.001",
    "seed": "another seed",
    "batch order": "another order of the batches",
    "threads": "two threads",
    "tf32": "TF32",
    "cudnn off": "cuDNN off",
    "amp": "AMP",
    "amp bf16": "AMP in bf16",
    "onednn off": "oneDNN off",
    "matmul medium": "matrix products in bf16",
}


def _place(record: Record) -> str:
    return _named(record.baseline) if record.baseline else record.name


def _named(fingerprint: Fingerprint) -> str:
    device = fingerprint.conditions.device
    return "CPU" if device == "cpu" else device


def table(records: Sequence[Record]) -> str:
    """Return the part of the page that tells what was measured."""
    head = () if compute(records).measured_on else (NOT_MEASURED, "")
    lines = [
        f"| {row.what} | {row.trainings} | {_words(row.apart.first)} | {_words(row.apart.later)} |"
        for row in rows(records)
    ]
    if lines:
        lines = [
            "| measured | trainings | step 1 | later |",
            "| --- | --- | --- | --- |",
            *lines,
        ]
    return "\n".join((*head, *lines)).rstrip() + "\n"


def _words(value: float) -> str:
    return "the same" if value == 0 else _short(value)


def read_records(files: Sequence[Path] = ()) -> list[Record]:
    """Read records, by default all that are kept, in the order of their names.

    Raises:
        ValueError: One is none.
    """
    return [read_record(path) for path in files or sorted(RECORDED.glob("*.json"))]


def texts(records: Sequence[Record]) -> dict[Path, str]:
    """Return the files that hold limits or tell them, as they should be."""
    found = compute(records)
    limits = {"_CLOSE": str(tuple(found.close)), "_OTHER_DEVICE": str(tuple(found.other_device))}
    measured = "".join(f'"{name}", ' for name in found.measured_on).rstrip(" ")
    constants: dict[Path, dict[str, str]] = {
        _FINGERPRINT: {**limits, "_MEASURED_ON: tuple[str, ...]": f"({measured})"},
        _CHECK: limits,
        _OPERATORS: {"_TOLERANCES": _dictionary(found.operators)},
    }
    filled = {path: _with_constants(path, values) for path, values in constants.items()}
    page = _PAGE.read_text(encoding="utf-8")
    block = table(records)
    page = _BLOCK.sub(lambda match: match[1] + block + match[2], page)
    for tier, limit in (("close", found.close), ("other device", found.other_device)):
        told = "within {} at step 1, {} after it".format(*map(_short, limit))
        page = re.sub(
            rf"^(\| {tier} \|.*\| )within [^|]*?( \|)$", rf"\g<1>{told}\2", page, flags=re.MULTILINE
        )
    return {**filled, _PAGE: page}


def _short(limit: float) -> str:
    """Return ``1e-6`` for 0.000001."""
    return f"{limit:.0e}".replace("e-0", "e-")


def _dictionary(operators: Mapping[str, float]) -> str:
    names = (
        ("_TF32" if name == "tf32" else f'"{name}"', limit) for name, limit in operators.items()
    )
    return "{" + ", ".join(f"{name}: {limit!r}" for name, limit in names) + "}"


def _with_constants(path: Path, values: Mapping[str, str]) -> str:
    """Return a module with other values of some constants; numbers that are equal stay as written.

    Raises:
        ValueError: A constant is not there, or not on one line.
    """
    text = path.read_text(encoding="utf-8")
    for name, value in values.items():
        line = re.compile(rf"^{re.escape(name)} = (.*)$", re.MULTILINE)
        found = line.findall(text)
        if len(found) != 1:
            raise ValueError(f"{path.name} has no {name} on a line of its own")
        if _normal(found[0]) != _normal(value):
            text = line.sub(f"{name} = {value}", text)
    return text


def _normal(written: str) -> list[object]:
    """Return the words of a value, its numbers as numbers."""
    words = re.findall(r'"[^"]*"|[\w.+-]+', written)
    return [float(word) if re.fullmatch(r"[\d.]+(e[+-]?\d+)?", word) else word for word in words]


def update(files: Sequence[Path], *, check: bool) -> int:
    """Print what the tiers allow, and write it; with ``check`` return 1 where something differs."""
    records = read_records(files)
    found = compute(records)
    print(f"records: {', '.join(one.name for one in records) or 'none'}")
    print(f"GPUs: {', '.join(found.measured_on) or 'not yet measured on a GPU'}")
    print(f"close: {found.close.first:.0e}, later {found.close.later:.0e}")
    print(f"other device: {found.other_device.first:.0e}, later {found.other_device.later:.0e}")
    for row in rows(records):
        print(f"{row.what}: {row.trainings}, {_words(row.apart.first)}, {_words(row.apart.later)}")
    different = [
        path for path, text in texts(records).items() if path.read_text(encoding="utf-8") != text
    ]
    for path in different:
        print(f"{path.relative_to(_ROOT)} is {'not ' if check else ''}as computed")
    if not check:
        for path, text in texts(records).items():
            path.write_text(text, encoding="utf-8")
    return 1 if check and different else 0
