from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.fingerprint import RanksSpeed, Speed
from snapenv.model.outcome import Check
from snapenv.report.view import make_page
from tests.report.reports import (
    HELD,
    LOSSES,
    NUMPY,
    SLOW,
    close,
    different,
    facts_alone,
    identical,
    train,
)

if TYPE_CHECKING:
    from snapenv.report.sides import SidesRow


def speed_row(expected: float | None, actual: float | None) -> list[SidesRow]:
    sides = [
        Speed(images_per_s=1, step_ms_median=1, step_ms_p95=1, watts=watts)
        for watts in (expected, actual)
    ]
    page = make_page(
        replace(identical(), expected=train(speed=sides[0]), actual=train(speed=sides[1]))
    )
    return [row for row in page.speed if row.label == "power, mean"]


def test_how_fast_several_devices_were_together_stands_beside_the_capture() -> None:
    together = [
        RanksSpeed(bytes_per_s=rate, step_ms_median=12.5, pairs=()) for rate in (400e9, 200e9)
    ]
    speeds = [
        Speed(images_per_s=1, step_ms_median=1, step_ms_p95=1, ranks=ranks) for ranks in together
    ]

    page = make_page(
        replace(identical(), expected=train(speed=speeds[0]), actual=train(speed=speeds[1]))
    )

    rows = {row.label: (row.expected, row.actual, row.change) for row in page.speed}
    assert rows["all-reduce of all devices"] == ("400.0 GB/s", "200.0 GB/s", "-50 %")
    assert rows["a step of all devices, median"] == ("12.5 ms", "12.5 ms", "0 %")


def test_the_verdict_is_named_by_its_tier() -> None:
    assert (make_page(identical()).mark, make_page(identical()).word) == ("✓", "identical")
    assert (make_page(different()).mark, make_page(different()).word) == ("✗", "different")
    assert make_page(facts_alone()).word == "the same"


@pytest.mark.parametrize(
    ("proof", "report"),
    [
        (wording("All 10 losses are the same, bit for bit."), identical()),
        (wording("The losses differ from step 2 of 10, by at most 2.7e-06."), close()),
        (wording("The losses differ from step 5 of 10, by at most 6.0e-04."), different()),
        (wording("No smoke-train was run: this rests on the facts alone."), facts_alone()),
        (
            wording("There are no losses of the capture to compare with."),
            replace(identical(), expected=None),
        ),
        (
            wording("The losses differ from step 9 of 10, and are not all comparable."),
            replace(identical(), actual=train(LOSSES[:8])),
        ),
    ],
)
def test_the_losses_are_told_in_a_sentence(proof: str, report: object) -> None:
    assert make_page(report).proof == proof  # type: ignore[arg-type]


def test_a_step_that_one_side_lacks_is_absent_in_the_table() -> None:
    steps = make_page(replace(identical(), actual=train(LOSSES[:9]))).steps

    assert (steps[-1].expected, steps[-1].actual) == ("59.9322", "absent")
    assert [step.differs for step in steps] == [False] * 9 + [True]


def test_a_loss_is_written_with_the_nine_digits_that_tell_floats_apart() -> None:
    page = make_page(replace(identical(), expected=train([60.4184608]), actual=train([60.4184647])))

    assert (page.steps[0].expected, page.steps[0].actual) == ("60.4184608", "60.4184647")


@pytest.mark.parametrize(
    ("expected", "actual", "shown"),
    [
        (200.0, 150.0, ("200 W", "150 W", "-25 %")),
        (200.0, 200.4, ("200 W", "200 W", "0 %")),
        (100.0, 104.0, ("100 W", "104 W", "+4 %")),
        (100.0, 1200.0, ("100 W", "1200 W", "12-fold")),
        (None, 104.0, ("absent", "104 W", None)),
        (0.0, 104.0, ("0 W", "104 W", None)),
    ],
)
def test_a_speed_figure_says_how_far_it_is_from_the_capture(
    expected: float | None, actual: float, shown: tuple[str, str, str | None]
) -> None:
    row = speed_row(expected, actual)[0]

    assert (row.expected, row.actual, row.change) == shown


def test_a_figure_that_neither_side_has_is_not_shown() -> None:
    assert speed_row(None, None) == []


def test_throttling_is_told_only_where_there_was_any() -> None:
    labels = {row.label: (row.expected, row.actual) for row in make_page(different()).speed}

    assert labels["throttled"] == ("no", "power cap, thermal")
    assert "throttled" not in {row.label for row in make_page(identical()).speed}


def test_checks_stand_by_the_part_that_they_ask_and_are_counted() -> None:
    page = make_page(replace(identical(), checks=(SLOW, NUMPY, *HELD)))

    assert [group.part for group in page.groups] == [
        "host",
        "transport",
        "environment",
        "workload",
    ]
    assert [(line.mark, line.check.id) for line in page.groups[-1].lines] == [
        ("!", "speed"),
        ("✓", "fingerprint"),
    ]
    assert page.counts == wording("1 failed, 1 warning, 6 passed")


def test_only_what_differs_is_among_the_differences() -> None:
    tables = {table.title: table.rows for table in make_page(different()).differing}

    assert [
        (row.label, row.expected, row.actual) for row in tables["conditions of the smoke-train"]
    ] == [
        ("numpy", "2.4.6", "2.4.5"),
        ("albumentations", "absent", "2.0.8"),
    ]
    assert [row.label for row in tables["operators"]] == ["nms fp32"]
    assert [row.label for row in tables["libraries in memory"]] == ["libcudnn.so.9"]
    assert make_page(identical()).differing == ()


def test_what_one_side_has_not_looked_for_is_no_difference() -> None:
    older = replace(train(), operators=(), libraries=())

    page = make_page(replace(identical(), expected=older))

    assert page.differing == ()


def test_the_conditions_read_as_people_write_them() -> None:
    rows = {row.label: row.expected for row in make_page(identical()).conditions}

    assert (rows["cudnn"], rows["tf32"], rows["seed ="]) == ("9.19.0", "off", "0")


def test_a_check_of_no_consequence_is_a_warning() -> None:
    check = Check(id="shm", ok=False, expected="1 GiB", actual="64 MiB", severity="warning")

    lines = make_page(replace(identical(), checks=(check,))).groups[0].lines

    assert [line.kind for line in lines] == ["warning"]
