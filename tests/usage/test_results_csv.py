"""``results.csv`` of real trainings, each recorded from the version that it is named by."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapenv.usage.results_csv import Row, parse_results

RECORDED = Path(__file__).parents[1] / "recorded" / "results_csv"
HEADER = b"epoch,time,train/box_loss,metrics/mAP50-95(B),val/box_loss\n"


def recorded(name: str) -> bytes:
    return (RECORDED / f"{name}.csv").read_bytes()


@pytest.mark.parametrize(
    ("version", "losses", "elapsed_s"),
    [
        ("8.0.100", (29.20816, 7.82736, 12.55719, 14.73534), None),
        ("8.2.103", (0.08711, 0.31071, 0.08288, 0.10622), None),
        ("8.3.0", (0.0845, 0.37393, 0.07908, 0.1059), None),
        ("8.3.200", (0.10104, 0.08212, 0.08195, 0.08305), (0.257978, 1.09343, 1.58465, 1.92037)),
        ("8.4.190", (1.01227, 0.6919, 0.45392, 1.36231), (0.205552, 0.926455, 1.23075, 1.54508)),
    ],
)
def test_each_version_is_read(
    version: str, losses: tuple[float, ...], elapsed_s: tuple[float, ...] | None
) -> None:
    results = parse_results(recorded(version))

    assert (results.metric, results.skipped, len(results.attempts)) == ("mAP50-95(B)", 0, 1)
    assert [row.epoch for row in results.latest] == [1, 2, 3, 4]
    assert [row.loss for row in results.latest] == pytest.approx(losses)
    assert [row.elapsed_s for row in results.latest] == list(elapsed_s or (None,) * 4)
    assert [row.metric for row in results.latest] == [0.0] * 4


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        ("killed-8.2.103", [[1, 2, 3], [3, 4, 5, 6]]),
        ("killed-8.3.200", [[1, 2, 3], [3, 4, 5, 6]]),
        ("twice-8.3.0", [[1, 2, 3, 4], [1, 2, 3, 4]]),
        ("twice-8.3.200", [[1, 2, 3, 4], [1, 2, 3, 4]]),
    ],
)
def test_a_training_that_began_again_is_another_attempt(name: str, epochs: list[list[int]]) -> None:
    results = parse_results(recorded(name))

    assert [[row.epoch for row in attempt] for attempt in results.attempts] == epochs


def test_a_time_that_falls_is_another_attempt_too() -> None:
    results = parse_results(HEADER + b"1,10,1,0.1,1\n2,20,1,0.1,1\n3,4,1,0.1,1\n")

    assert [[row.epoch for row in attempt] for attempt in results.attempts] == [[1, 2], [3]]


def test_zeros_of_an_epoch_without_validation_are_no_metric() -> None:
    metrics = [row.metric for row in parse_results(recorded("no-validation-8.4.190")).latest]

    assert metrics == [None, None, None, 0.0]


def test_a_line_that_is_being_written_is_not_read() -> None:
    whole = recorded("8.4.190")

    for cut in range(len(whole)):
        rows = parse_results(whole[:cut]).latest
        assert len(rows) == max(whole[:cut].count(b"\n") - 1, 0)


def test_what_is_no_number_is_no_loss() -> None:
    rows = parse_results(HEADER + b"1,1,nan,nan,nan\n2,2,inf,0.5,1\n3,3,0.5,0.5,1\n").latest

    assert [(row.loss, row.metric) for row in rows] == [(None, None), (None, 0.5), (0.5, 0.5)]


def test_lines_that_are_no_rows_are_counted() -> None:
    results = parse_results(
        HEADER + b"\xff\xfe\0,1\n1,1,1\r\n\n1,1,one,1,1\n1,1,2,0.5,1\r\nnan,1,1,1,1\n"
    )

    assert results.skipped == 4
    assert results.latest == (Row(epoch=1, elapsed_s=1.0, loss=2.0, metric=0.5),)


@pytest.mark.parametrize(
    ("columns", "metric"),
    [
        (("metrics/mAP50-95(B)", "metrics/mAP50-95(M)"), "mAP50-95(M)"),
        (("metrics/mAP50-95(B)", "metrics/mAP50-95(P)"), "mAP50-95(P)"),
        (("metrics/accuracy_top1", "metrics/accuracy_top5"), "accuracy_top1"),
        (("metrics/mIoU", "metrics/pixel_acc"), "mIoU"),
        (("metrics/rmse", "metrics/delta1"), "delta1"),
        (("lr/pg0", "lr/pg1"), None),
    ],
)
def test_a_task_is_judged_by_its_own_metric(columns: tuple[str, str], metric: str | None) -> None:
    text = f"epoch,train/loss,{','.join(columns)}\n1,3,0.25,0.75\n"

    results = parse_results(text.encode())

    values = dict(zip(columns, (0.25, 0.75), strict=True))
    assert results.metric == metric
    assert results.latest[0].metric == (values[f"metrics/{metric}"] if metric else None)


@given(st.binary())
def test_rubbish_is_no_failure(rubbish: bytes) -> None:
    results = parse_results(recorded("8.4.190") + rubbish)

    assert [row.epoch for row in results.attempts[0]][:4] == [1, 2, 3, 4]


@given(st.binary())
def test_rubbish_alone_has_no_rows_or_a_header(rubbish: bytes) -> None:
    assert parse_results(rubbish).attempts == () or b"epoch" in rubbish
