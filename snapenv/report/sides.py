"""Facts of both sides as rows: speed, conditions, and what differs. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import fields, replace

from snapenv.model.results import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from snapenv.model.exports import Export
    from snapenv.model.fingerprint import Conditions, Fingerprint, RanksSpeed
    from snapenv.model.outcome import Section
    from snapenv.model.results import Report

_HASH_DIGITS = 12
_NOT_THROTTLED = "no"
_TIMES = 10  # from here on, a change reads better as a factor
_SPEED: dict[str, tuple[str, Callable[[float], str]]] = {
    "images_per_s": ("images/s", "{:.1f}".format),
    "step_ms_median": ("a step, median", "{:.1f} ms".format),
    "step_ms_p95": ("a step, p95", "{:.1f} ms".format),
    "loading_share": ("of it, waiting for data", lambda share: f"{share * 100:.0f} %"),
    "peak_gpu_memory_mib": ("GPU memory, peak", "{:.0f} MiB".format),
    "gpu_utilization": ("GPU utilisation", lambda share: f"{share * 100:.0f} %"),
    "watts": ("power, mean", "{:.0f} W".format),
    "joules_per_image": ("energy an image", "{:.2f} J".format),
    "clock_mhz": ("SM clock, mean", "{:.0f} MHz".format),
    "max_clock_mhz": ("SM clock, highest", "{:.0f} MHz".format),
    "power_limit_w": ("power limit", "{:.0f} W".format),
    "shm_bytes": ("shared memory", lambda size: f"{size / 2**20:.0f} MiB"),
    "cpu_count": ("CPUs", "{:.0f}".format),
}
_RANKS: dict[str, tuple[str, Callable[[float], str]]] = {
    "bytes_per_s": ("all-reduce of all devices", lambda rate: f"{rate / 1e9:.1f} GB/s"),
    "step_ms_median": ("a step of all devices, median", "{:.1f} ms".format),
}
_EXPORT: dict[str, Callable[[Export], str | None]] = {
    "": lambda export: export.runtime or export.words,
    ", boxes apart": lambda export: _apart(export.box_difference),
    ", scores apart": lambda export: _apart(export.score_difference),
    ", boxes matched": lambda export: export.runtime and f"{export.matched} of {export.boxes}",
}


class SidesRow(Struct, frozen=True, kw_only=True):
    """A fact of both sides; ``change`` is how the actual one stands to the expected one."""

    label: str
    expected: str
    actual: str
    differs: bool
    change: str | None = None  # "+4 %", "12-fold"


class Table(Struct, frozen=True, kw_only=True):
    """Facts of both sides under a title, with what follows from them."""

    title: str
    rows: tuple[SidesRow, ...]
    reason: str = ""


def speed_rows(report: Report) -> Iterator[SidesRow]:
    """Yield the figures that either side has."""
    speeds = [side.speed if side else None for side in (report.expected, report.actual)]
    for name, (label, write) in _SPEED.items():
        expected, actual = (getattr(speed, name, None) for speed in speeds)
        if expected is not None or actual is not None:
            texts = [None if value is None else write(value) for value in (expected, actual)]
            row = Row(label=label, expected=texts[0], actual=texts[1])
            yield sides(row, _change(expected, actual))
    throttled = [
        (", ".join(speed.throttled) or _NOT_THROTTLED) if speed else None for speed in speeds
    ]
    if not set(throttled) <= {None, _NOT_THROTTLED}:
        yield sides(Row(label="throttled", expected=throttled[0], actual=throttled[1]))
    links = [speed.pcie if speed else None for speed in speeds]
    if any(links):
        yield sides(Row(label="PCIe", expected=links[0], actual=links[1]))
    yield from _rank_rows([speed.ranks if speed else None for speed in speeds])


def _rank_rows(speeds: Sequence[RanksSpeed | None]) -> Iterator[SidesRow]:
    """Yield how fast several devices were together, where they were tried."""
    if not any(speeds):
        return
    for name, (label, write) in _RANKS.items():
        expected, actual = (getattr(speed, name) if speed else None for speed in speeds)
        texts = [None if value is None else write(value) for value in (expected, actual)]
        row = Row(label=label, expected=texts[0], actual=texts[1])
        yield sides(row, _change(expected, actual))


def export_rows(report: Report) -> Iterator[SidesRow]:
    """Yield what came out of each export that was tried, beside that of the capture."""
    baseline = report.expected.exports if report.expected else None
    captured = {each.format: each for each in baseline or ()}
    for export in report.exports:
        before = captured.get(export.format)
        for what, text in _EXPORT.items():
            texts = [text(each) if each else None for each in (before, export)]
            if any(texts):
                label = f"{export.format}{what}"
                yield sides(Row(label=label, expected=texts[0], actual=texts[1]))


def _apart(difference: float | None) -> str | None:
    return None if difference is None else f"{difference:.1e}"


def _change(expected: float | None, actual: float | None) -> str | None:
    """Return the change, None where a side is unknown or nothing."""
    if not expected or actual is None or not math.isfinite(actual / expected):
        return None
    if actual / expected >= _TIMES:
        return f"{actual / expected:.3g}-fold"
    percent = round((actual / expected - 1) * 100)
    return f"{percent:+d} %" if percent else "0 %"


def difference_tables(report: Report, conditions: Sequence[SidesRow]) -> Iterator[Table]:
    """Yield what differs, and nothing of what is the same."""
    tables = (
        *map(_section_table, report.differences),
        Table(title="conditions of the smoke-train", rows=tuple(conditions)),
        Table(title="operators", rows=tuple(_of_both(report, _operator_texts))),
        Table(title="libraries in memory", rows=tuple(_of_both(report, _library_texts))),
    )
    for table in tables:
        rows = tuple(row for row in table.rows if row.differs)
        if rows:
            yield replace(table, rows=rows)


def _section_table(section: Section) -> Table:
    return Table(
        title=section.title,
        reason=section.reason,
        rows=tuple(
            sides(Row(label=difference.subject, expected=difference.left, actual=difference.right))
            for difference in section.differences
        ),
    )


def condition_rows(report: Report) -> Iterator[SidesRow]:
    """Yield all conditions, where both sides have trained."""
    return _of_both(report, lambda fingerprint: _condition_texts(fingerprint.conditions))


def _condition_texts(conditions: Conditions) -> dict[str, str]:
    plain = {field.name: getattr(conditions, field.name) for field in fields(conditions)}
    arguments = plain.pop("arguments")
    plain["images"] = f"sha256 {plain.pop('images_sha256')[:_HASH_DIGITS]}"
    plain["tf32"] = "on" if conditions.tf32 else "off"
    plain["cudnn"] = _cudnn(conditions.cudnn)
    return {
        **{name: str(value) for name, value in plain.items() if value is not None},
        **{f"{name} =": arguments[name] for name in sorted(arguments)},
    }


def _cudnn(number: int | None) -> str | None:
    """Read cuDNN's number: 91900 is 9.19.0, 8902 is 8.9.2."""
    if number is None:
        return None
    major, rest = divmod(number, 10_000 if number >= 90_000 else 1_000)  # noqa: PLR2004 since 9
    return f"{major}.{rest // 100}.{rest % 100}"


def _operator_texts(fingerprint: Fingerprint) -> dict[str, str]:
    return {
        operator.name: operator.error or f"sha256 {operator.sha256[:_HASH_DIGITS]}"
        for operator in fingerprint.operators
    }


def _library_texts(fingerprint: Fingerprint) -> dict[str, str]:
    """Return each soname with where it was loaded from; two copies stand side by side."""
    texts: dict[str, list[str]] = {}
    for library in fingerprint.libraries:
        version = f"{library.version}, " if library.version else ""
        texts.setdefault(library.soname, []).append(f"{version}{library.path}")
    return {soname: "; ".join(copies) for soname, copies in texts.items()}


def _of_both(
    report: Report, texts: Callable[[Fingerprint], Mapping[str, str]]
) -> Iterator[SidesRow]:
    """Yield a row for each name, those of the expected side first; none where a side has none."""
    expected, actual = (texts(side) if side else {} for side in (report.expected, report.actual))
    for name in dict.fromkeys((*expected, *actual)) if expected and actual else ():
        yield sides(Row(label=name, expected=expected.get(name), actual=actual.get(name)))


def sides(row: Row, change: str | None = None) -> SidesRow:
    """Return a fact as the page has it: what a side does not have is called absent."""
    return SidesRow(
        label=row.label,
        expected=_text(row.expected),
        actual=_text(row.actual),
        differs=row.expected != row.actual,
        change=change,
    )


def _text(value: str | None) -> str:
    return "absent" if value is None else value
