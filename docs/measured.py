"""What was measured beside others, as tables and pictures: from the recorded run alone.

``python -m tests.benchmarks --record`` writes the figures; nothing here measures.
"""

from __future__ import annotations

import math
from collections import Counter
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.results import RECORDED, read_result
from tests.benchmarks.shown import cells_of, growth_of, median

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.benchmarks.results import Outcome, Result, Row, Table

PICTURES = Path(__file__).parent / "benchmarks"
NOT_YET = "Not yet recorded.\n"
SUMMARY = """
[Compared with other tools](docs/benchmarks.md): of unusual environments that were created,
captured, removed and restored, how many are the same, how many work with different files, how many
are broken without an error, and how many ended with an error, at the restore or at the capture."""
OUTCOMES = ("same", "works", "broken", "failed", "refused")
_COLOURS = ("#2f6fbb", "#8fb4dd", "#c0392b", "#e6a15c", "#b8b8b8")
_STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.ours { fill: #2f6fbb } .other { fill: #9aa4ae } .line { stroke: #57606a; fill: none }
.grid { stroke: #d0d7de; stroke-width: .5 }
@media (prefers-color-scheme: dark) { text { fill: #d0d7de } .grid { stroke: #484f58 } }
</style>"""
_WIDTH, _NAMES, _ROW = 760, 330, 26  # pixels


def block(name: str) -> str:
    """Return what a page shows of a part, or that it was not recorded yet."""
    result = read_result(name)
    if result is None:
        return NOT_YET
    parts = [_conditions(result)]
    if result.outcomes:
        parts += [_picture(name, None, "What each tool restored"), *_outcomes(result.outcomes)]
    for number, table in enumerate(result.tables):
        parts += [f"**{table.title}**", _markdown(cells_of(table))]
        if _is_drawn(table):
            parts.append(_picture(name, number, table.title))
        parts += [note for note in (table.note, "; ".join(growth_of(table))) if note]
    return "\n\n".join(parts) + "\n"


def summary() -> str:
    """Return the count of what each tool brought back, for pages that only mention it."""
    result = read_result("faithfulness")
    if result is None:
        return ""
    return f"{SUMMARY}\n\n{_counts(result.outcomes)}\n"


def pictures() -> dict[Path, str]:
    """Return each picture by its place."""
    found: dict[Path, str] = {}
    for path in sorted(RECORDED.glob("*.json")):
        result = read_result(path.stem)
        assert result is not None  # noqa: S101 - its file is there
        if result.outcomes:
            found[_place(result.name, None)] = _draw_outcomes(result.outcomes)
        for number, table in enumerate(result.tables):
            if _is_drawn(table):
                draw = _draw_growth if table.unit else _draw_bars
                found[_place(result.name, number)] = draw(table)
    return found


def _place(name: str, number: int | None) -> Path:
    """Return where the picture of a table lies, or that of all outcomes."""
    suffix = "" if number is None else f"-{number + 1}"
    return PICTURES / f"{name.replace('_', '-')}{suffix}.svg"


def _picture(name: str, number: int | None, title: str) -> str:
    return f"![{title}](benchmarks/{_place(name, number).name})"


def _is_drawn(table: Table) -> bool:
    return len(table.rows) > 1 and all(row.seconds for row in table.rows)


def _conditions(result: Result) -> str:
    one = result.conditions
    versions = ", ".join(f"{name} {version}" for name, version in one.versions.items())
    load = f"load {one.load[0]:.1f} before, {one.load[1]:.1f} after"
    return f"Recorded {one.date} on {one.machine}; {load}. {versions}."


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *others = rows
    line = f"|{' --- |' * len(head)}"
    return "\n".join((_line(head), line, *(_line(row) for row in others)))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _outcomes(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield the counts, and a table for each group of environments."""
    yield _counts(outcomes)
    for group in dict.fromkeys(one.group for one in outcomes):
        found = [one for one in outcomes if one.group == group]
        tools = list(dict.fromkeys(one.tool for one in found))
        by_place = {(one.case, one.tool): one for one in found}
        cases = dict.fromkeys(one.case for one in found)
        rows = [[case, *(by_place[case, tool].outcome for tool in tools)] for case in cases]
        yield f"**{group[0].upper()}{group[1:]}**"
        yield _markdown([["environment", *tools], *rows])


def _counts(outcomes: Sequence[Outcome]) -> str:
    rows = [
        [tool, *(str(counted[outcome] or "") for outcome in OUTCOMES)]
        for tool, counted in _counted(outcomes).items()
    ]
    return _markdown([["tool", *OUTCOMES], *rows])


def _counted(outcomes: Sequence[Outcome]) -> dict[str, Counter[str]]:
    tools = dict.fromkeys(one.tool for one in outcomes)
    return {tool: Counter(one.outcome for one in outcomes if one.tool == tool) for tool in tools}


def _svg(height: float, parts: Iterator[str]) -> str:
    size = f'width="{_WIDTH}" height="{height:.0f}" viewBox="0 0 {_WIDTH} {height:.0f}"'
    return "\n".join(
        (f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', _STYLE, *parts, "</svg>", "")
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _draw_bars(table: Table) -> str:
    """Draw the medians as bars, each with a line from the lowest to the highest."""

    def parts() -> Iterator[str]:
        most = max(max(row.seconds) for row in table.rows)
        scale = (_WIDTH - _NAMES - 90) / most
        for number, row in enumerate(table.rows):
            y = 8 + number * _ROW
            width = median(row.seconds) * scale
            kind = "ours" if row.name.startswith("snapenv") else "other"
            low, high = (_NAMES + bound(row.seconds) * scale for bound in (min, max))
            yield _text(_NAMES - 8, y + 14, row.name, "end")
            place = f'x="{_NAMES}" y="{y}" width="{width:.1f}" height="18" rx="2"'
            yield f'<rect class="{kind}" {place}/>'
            yield f'<path class="line" d="M{low:.1f} {y + 9}H{high:.1f}"/>'
            yield _text(high + 8, y + 14, f"{median(row.seconds):.3g} s")

    return _svg(16 + _ROW * len(table.rows), parts())


def _draw_outcomes(outcomes: Sequence[Outcome]) -> str:
    """Draw for each tool which share of the environments came back how."""

    def parts() -> Iterator[str]:
        for number, (outcome, colour) in enumerate(zip(OUTCOMES, _COLOURS, strict=True)):
            left = 120 + number * 90
            yield f'<rect fill="{colour}" x="{left}" y="8" width="14" height="14" rx="2"/>'
            yield _text(left + 20, 20, outcome)
        for number, (tool, counted) in enumerate(_counted(outcomes).items()):
            y, x = 36 + number * _ROW, 120.0
            scale = (_WIDTH - 140) / counted.total()
            yield _text(112, y + 14, tool, "end")
            for outcome, colour in zip(OUTCOMES, _COLOURS, strict=True):
                width = counted[outcome] * scale
                yield f'<rect fill="{colour}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="18"/>'
                x += width

    return _svg(44 + _ROW * len(_counted(outcomes)), parts())


def _draw_growth(table: Table) -> str:
    """Draw seconds over size, both in powers of ten: a line of slope 1 is linear."""
    rows = [row for row in table.rows if row.size]
    left, top, width, height = 70, 16, 420, 240
    seconds = [median(row.seconds) for row in rows]
    x_of = _scale([row.size or 1 for row in rows], left, left + width)
    y_of = _scale(seconds, top + height, top)
    series = list(dict.fromkeys(row.name for row in rows))

    def parts() -> Iterator[str]:
        for size in sorted({row.size or 1 for row in rows}):
            x = x_of(size)
            yield f'<path class="grid" d="M{x:.1f} {top}V{top + height}"/>'
            yield _text(x, top + height + 18, f"{size:,g}", "middle")
        for power in range(math.floor(math.log10(min(seconds))), 5):
            y = y_of(10.0**power)
            if top <= y <= top + height:
                yield f'<path class="grid" d="M{left} {y:.1f}H{left + width}"/>'
                yield _text(left - 8, y + 4, f"{10.0**power:g} s", "end")
        yield _text(left + width / 2, top + height + 36, table.unit or "", "middle")
        for number, name in enumerate(series):
            yield from _series([row for row in rows if row.name == name], number, name)

    def _series(found: list[Row], number: int, name: str) -> Iterator[str]:
        colour = _LINES[number % len(_LINES)]
        places = [(x_of(row.size or 1), y_of(median(row.seconds))) for row in found]
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for x, y in places:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
        y = top + 12 + number * 20
        yield f'<rect fill="{colour}" x="{left + width + 24}" y="{y - 9}" width="12" height="12"/>'
        yield _text(left + width + 42, y + 2, name)

    return _svg(top + height + 48, parts())


_LINES = ("#2f6fbb", "#c0392b", "#2d8a4e", "#b7791f", "#7b4fa3", "#4a5560")


def _scale(values: Sequence[float], low: float, high: float) -> Callable[[float], float]:
    """Return a function that places a value between two pixels, by its logarithm."""
    first, last = math.log10(min(values)), math.log10(max(values))
    span = (last - first) or 1.0
    return lambda value: low + (math.log10(value) - first) / span * (high - low)
