"""Compare the metrics of two trainings of Ultralytics, as a table in Markdown.

    python3 compare_metrics.py NOW.csv [--last FILE | --baseline FILE] [--max-drop 0.01]

Each file is a results.csv; its best epoch counts, by mAP50-95 (by top-1 accuracy where images are
classified). Where there is no last run yet, the table has this run alone; a baseline must be there.

Exit codes: 0 compared; 1 the best epoch is worse by more than --max-drop, or is no number; 2 a file
cannot be read. Needs Python 3.8 and nothing else.
Source of results.csv: https://docs.ultralytics.com/guides/yolo-performance-metrics/
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from pathlib import Path

JUDGED = ("metrics/mAP50-95", "metrics/accuracy_top1")  # how the name of such a column begins


def main() -> int:
    """Print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description="Compare the metrics of two trainings.")
    parser.add_argument("now", type=Path, help="results.csv of this run")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--last", type=Path, help="results.csv of the last run, if there is one")
    other.add_argument("--baseline", type=Path, help="results.csv to compare every run with")
    parser.add_argument("--max-drop", type=float, help="fail where the best epoch is worse by more")
    parser.add_argument("--summary", type=Path, help="append the table to this file too")
    arguments = parser.parse_args()
    before = arguments.baseline or arguments.last
    if before == arguments.last and before and not before.exists():
        before = None
    try:
        now_best = best_epoch(read_epochs(arguments.now))
        before_best = best_epoch(read_epochs(before)) if before else None
    except (OSError, ValueError, csv.Error) as error:
        print(f"compare_metrics: {error}", file=sys.stderr)
        return 2
    lines = table(before_best, now_best)
    fall = describe_fall(before_best, now_best, arguments.max_drop)
    text = "\n".join([*lines, "", *([fall, ""] if fall else [])])
    print(text, end="")
    if arguments.summary:
        with arguments.summary.open("a", encoding="utf-8") as file:
            file.write(text)
    return 1 if fall else 0


def read_epochs(path: Path) -> list[dict[str, float]]:
    """Return the epochs of a results.csv in their order; older versions pad its columns.

    Raises:
        ValueError: There is no epoch in it, no column to judge by, or a value is no number.
    """
    with path.open(encoding="utf-8", newline="") as file:
        epochs = [
            {name.strip(): float(value) for name, value in row.items() if name and value}
            for row in csv.DictReader(file)
        ]
    if not epochs or any(not judged_column(each) or "epoch" not in each for each in epochs):
        raise ValueError(f"{path} holds no epochs with {' or '.join(JUDGED)}")
    return epochs


def judged_column(epoch: dict[str, float]) -> str | None:
    """Return the column that decides which epoch is the best; None where there is none."""
    return next((name for start in JUDGED for name in epoch if name.startswith(start)), None)


def best_epoch(epochs: list[dict[str, float]]) -> dict[str, float]:
    """Return the epoch with the highest value to judge by; one that is no number is the worst."""
    column = str(judged_column(epochs[0]))
    return max(epochs, key=lambda epoch: -1 if math.isnan(epoch[column]) else epoch[column])


def table(before: dict[str, float] | None, now: dict[str, float]) -> list[str]:
    """Return the lines of a table: each metric of both runs, and the change."""
    rows = []
    for name, value in now.items():
        if name.startswith("metrics/"):
            old = (before or {}).get(name)
            known = ["-", ""] if old is None else [f"{old:.4f}", f"{value - old:+.4f}"]
            rows.append(f"| {short(name)} | {known[0]} | {value:.4f} | {known[1]} |")
    epochs = [f"{epoch['epoch']:.0f}" if epoch else "-" for epoch in (before, now)]
    return [
        "| best epoch | before | now | change |",
        "| --- | ---: | ---: | ---: |",
        *rows,
        f"| epoch | {epochs[0]} | {epochs[1]} | |",
    ]


def describe_fall(
    before: dict[str, float] | None, now: dict[str, float], max_drop: float | None
) -> str | None:
    """Return a sentence where the judged metric fell by more than is allowed, else None."""
    column = str(judged_column(now))
    if before is None or max_drop is None or column not in before:
        return None
    if before[column] - now[column] <= max_drop + 1e-9:  # never so of what is no number
        return None
    values = f"from {before[column]:.4f} to {now[column]:.4f}"
    return f"**{short(column)} fell {values}, by more than {max_drop:g}.**"


def short(column: str) -> str:
    """Return the name of a metric without its group."""
    return column.split("/", 1)[1]


if __name__ == "__main__":
    sys.exit(main())
