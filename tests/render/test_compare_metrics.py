"""The script that compares the metrics of two trainings, as a job runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from inline_snapshot import snapshot as wording

import snapenv.render

SCRIPT = Path(snapenv.render.__file__).parent / "in_repository" / "compare_metrics.py"
COLUMNS = "epoch,time,metrics/mAP50(B),metrics/mAP50-95(B),metrics/mAP50-95(M),val/box_loss"
# As ultralytics 8.0 to 8.2 wrote it.
PADDED = "                  epoch,   metrics/mAP50-95(B)\n                      3,               0.41000\n"


def results(path: Path, *epochs: str, columns: str = COLUMNS) -> str:
    path.write_text("\n".join([columns, *epochs, ""]), encoding="utf-8")
    return str(path)


def compare(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C"},
    )


def test_the_best_epochs_are_compared_metric_by_metric(tmp_path: Path) -> None:
    last = results(tmp_path / "last.csv", "1,9.5,0.5,0.30,0.2,1.5", "2,9.6,0.6,0.40,0.3,1.4")
    now = results(tmp_path / "now.csv", "1,9.5,0.7,0.42,0.1,1.5", "2,9.6,0.6,0.41,0.3,1.4")
    summary = tmp_path / "summary.md"
    summary.write_text("before\n", encoding="utf-8")

    done = compare(now, "--last", last, "--max-drop", "0.01", "--summary", str(summary))

    assert done.returncode == 0, done.stderr
    assert done.stdout == wording("""\
| best epoch | before | now | change |
| --- | ---: | ---: | ---: |
| mAP50(B) | 0.6000 | 0.7000 | +0.1000 |
| mAP50-95(B) | 0.4000 | 0.4200 | +0.0200 |
| mAP50-95(M) | 0.3000 | 0.1000 | -0.2000 |
| epoch | 2 | 1 | |
""")
    assert summary.read_text("utf-8") == f"before\n{done.stdout}"


@pytest.mark.parametrize(
    ("value", "max_drop", "code"),
    [
        ("0.38", "0.02", 0),  # by just as much
        ("0.3799", "0.02", 1),
        ("0.01", None, 0),
        ("nan", "0.02", 1),
        ("nan", None, 0),
        ("0.4", "0", 0),
        ("0.3999", "0", 1),
    ],
)
def test_a_fall_by_more_than_is_allowed_fails_the_job(
    value: str, max_drop: str | None, code: int, tmp_path: Path
) -> None:
    last = results(tmp_path / "last.csv", "1,9.5,0.5,0.40,0.2,1.5")
    now = results(tmp_path / "now.csv", f"1,9.5,0.5,{value},0.2,1.5")

    done = compare(now, "--last", last, *(("--max-drop", max_drop) if max_drop else ()))

    assert done.returncode == code, done.stdout
    assert ("fell from 0.4000" in done.stdout) == (code == 1)


def test_the_sentence_about_a_fall(tmp_path: Path) -> None:
    last = results(tmp_path / "last.csv", "1,9.5,0.5,0.40,0.2,1.5")
    now = results(tmp_path / "now.csv", "1,9.5,0.5,0.35,0.2,1.5")

    done = compare(now, "--baseline", last, "--max-drop", "0.02")

    assert done.stdout.splitlines()[-1] == wording(
        "**mAP50-95(B) fell from 0.4000 to 0.3500, by more than 0.02.**"
    )


def test_an_epoch_that_is_no_number_is_not_the_best(tmp_path: Path) -> None:
    now = results(tmp_path / "now.csv", "1,1,0,nan,0,0", "2,1,0,0.0,0,0", "3,1,0,nan,0,0")

    assert "| epoch | - | 2 | |" in compare(now).stdout


def test_the_first_run_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    now = results(tmp_path / "now.csv", "1,9.5,0.5,0.40,0.2,1.5")

    done = compare(now, "--last", str(tmp_path / "none.csv"), "--max-drop", "0.01")

    assert done.returncode == 0, done.stderr
    assert "| mAP50-95(B) | - | 0.4000 |  |" in done.stdout


def test_older_versions_pad_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "padded.csv"
    path.write_text(PADDED, encoding="utf-8")

    assert (
        "| mAP50-95(B) | 0.4100 | 0.4100 | +0.0000 |"
        in compare(str(path), "--last", str(path)).stdout
    )


def test_a_classification_is_judged_by_its_accuracy(tmp_path: Path) -> None:
    columns = "epoch,metrics/accuracy_top1,metrics/accuracy_top5"
    last = results(tmp_path / "last.csv", "1,0.9,1", "2,0.8,1", columns=columns)
    now = results(tmp_path / "now.csv", "1,0.85,1", columns=columns)

    done = compare(now, "--last", last, "--max-drop", "0.01")

    assert done.returncode == 1
    assert "accuracy_top1 fell from 0.9000 to 0.8500" in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "",
        COLUMNS,
        "epoch,loss\n1,2\n",
        f"{COLUMNS}\n1,2,3,many,5,6\n",
        f"{COLUMNS}\n1,2,3\n",
        "metrics/mAP50-95(B)\n0.4\n",
        f"{COLUMNS}\n{'1' * 200_000},2,3,4,5,6\n",
        "\x00\n",
    ],
    ids=["nothing", "no epoch", "no metric", "words", "cut off", "no number", "endless", "binary"],
)
def test_what_is_no_results_csv_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text(text, encoding="utf-8")

    done = compare(str(path))

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("compare_metrics: ")
    assert done.stderr.count("\n") == 1


def test_a_baseline_must_be_there(tmp_path: Path) -> None:
    now = results(tmp_path / "now.csv", "1,9.5,0.5,0.40,0.2,1.5")

    done = compare(now, "--baseline", str(tmp_path / "none.csv"))

    assert done.returncode == 2
    assert "none.csv" in done.stderr
