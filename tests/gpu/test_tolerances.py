"""Limits are widened by what was measured on GPUs, and by nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from snapenv.verify import fingerprint
from tests.gpu.record import Planted
from tests.gpu.samples import H200, record, training
from tests.gpu.tolerances import (
    CLOSE,
    NOT_MEASURED,
    OPERATORS,
    OTHER_DEVICE,
    Apart,
    compute,
    read_records,
    table,
    texts,
    update,
    widened,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.gpu.record import Record

A = 60.0 * (1 + 2e-6)


def text_of(records: Sequence[Record], name: str) -> str:
    (text,) = (text for path, text in texts(records).items() if str(path).endswith(name))
    return text


@pytest.mark.parametrize(
    ("measured", "limits"),
    [
        (Apart(0.0, 0.0), Apart(1e-6, 1e-4)),
        (Apart(3e-7, 3e-5), Apart(1e-6, 1e-4)),
        (Apart(4e-7, 0.0), Apart(2e-6, 1e-4)),
        (Apart(0.0, 1e-4), Apart(1e-6, 5e-4)),
        (Apart(0.0, 3e-4), Apart(1e-6, 1e-3)),
    ],
)
def test_a_limit_is_three_times_what_was_measured_or_as_it_was(
    measured: Apart, limits: Apart
) -> None:
    assert widened(CLOSE, measured) == limits


def test_a_rehearsal_measures_no_gpu() -> None:
    records = [record("cpu", repeats=[training()])]

    found = compute(records)

    assert found.measured_on == ()
    assert (found.close, found.other_device) == (CLOSE, OTHER_DEVICE)
    assert found.operators == OPERATORS
    assert table(records).startswith(NOT_MEASURED)
    assert table([]) == f"{NOT_MEASURED}\n"


def test_repeats_of_a_gpu_widen_what_is_close_and_planted_differences_do_not() -> None:
    planted = [
        Planted(name="none", training=training((A, 59.0, 58.0))),
        Planted(name="lr", training=training((60.0, 59.0, 50.0))),
        Planted(name="amp", error="RuntimeError: no"),
    ]
    records = [record(H200, repeats=[training()], planted=planted)]

    found = compute(records)

    assert found.measured_on == (H200,)
    assert (found.close, found.other_device) == (Apart(1e-5, 1e-4), OTHER_DEVICE)
    assert table(records).splitlines()[2:] == [
        f"| {H200}, again | 2 | 2e-6 | the same |",
        f"| {H200}, with a learning rate of 0.0011 for 0.001 | 1 | the same | 1e-1 |",
    ]


def test_two_devices_widen_what_other_devices_may_be_apart_and_their_operators() -> None:
    records = [record("cpu"), record(H200, (60.0, 59.0, 54.0), operator=1.00001)]

    found = compute(records)

    assert found.close == CLOSE
    assert found.other_device == Apart(1e-3, 0.5)
    assert found.operators == {**OPERATORS, "fp32": 5e-5}
    assert f"| CPU and {H200} | 2 | the same | 7e-2 |" in table(records)


def test_what_is_computed_is_written_where_it_is_used_and_told() -> None:
    repeats = [training((60.0, 59.0, 54.0))]
    records = [record("cpu"), record(H200, (A, 59.0, 54.0), repeats=repeats, operator=1.00001)]

    judged = text_of(records, "verify/fingerprint.py")
    assert "\n_CLOSE = (1e-05, 0.0001)\n" in judged
    assert f'\n_MEASURED_ON: tuple[str, ...] = ("{H200}",)\n' in judged
    assert "\n_OTHER_DEVICE = (0.001, 0.5)\n" in text_of(records, "snapenv_check/losses.py")
    assert '"fp32": 5e-05,' in text_of(records, "verify/operators.py")
    page = text_of(records, "restoring.md")
    assert NOT_MEASURED not in page
    assert re.search(
        r"^\| other device \|.*within 1e-3 at step 1, 5e-1 after it \|$", page, re.MULTILINE
    )


def test_what_is_kept_is_computed_of_what_was_recorded(tmp_path: Path) -> None:
    records = read_records()

    assert update((), check=True) == 0
    assert fingerprint.tier_limits("close") == tuple(compute(records).close)
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"schema": 1}')
    with pytest.raises(ValueError, match=r"wrong.json: Object missing required field `name`"):
        read_records([wrong])
