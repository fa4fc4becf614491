"""A run ends in time, and whatever goes wrong in a part is that part's outcome alone."""

from __future__ import annotations

import json
import time
import venv
from typing import TYPE_CHECKING

import pytest

from tests.gpu.parts import PARTS, Context, Notes, run_part
from tests.gpu.record import read_record
from tests.gpu.run import Asked, give_name, join_told, run
from tests.targets.processes import is_running

if TYPE_CHECKING:
    from pathlib import Path


def outcomes(path: Path) -> dict[str, tuple[str, str]]:
    return {part.name: (part.outcome, part.why) for part in read_record(path).parts}


def script(folder: Path, text: str) -> Path:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_part_that_cannot_be_run_ends_no_other(tmp_path: Path) -> None:
    asked = Asked(
        output=tmp_path / "out",
        name="none",
        python=tmp_path / "missing",
        rehearse=True,
        parts=("machine", "baseline", "bench"),
    )

    record = run(asked)

    assert give_name(asked, record) == record
    found = outcomes(tmp_path / "out" / "none.json")
    assert found["machine"] == (
        "failed",
        "InterpreterError: cannot run PATH: No such file or directory",
    )
    assert found["baseline"][0] == "failed"
    assert found["bench"] == ("skipped", "there is no baseline")


def test_a_part_that_hangs_is_cut_off_with_all_that_it_started(tmp_path: Path) -> None:
    python = script(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    asked = Asked(
        output=tmp_path,
        name="hangs",
        python=python,
        budget_s=8.0,
        parts=("machine", "baseline"),
    )

    run(asked)

    assert outcomes(tmp_path / "hangs.json") == {
        "machine": ("cut off", "it took more than 3 s"),
        "baseline": ("skipped", "skipped: time"),
    }
    pid = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_running(pid)


def test_a_training_that_takes_its_process_with_it_ends_no_other(tmp_path: Path) -> None:
    told = json.dumps({"name": "lr", "error": "RuntimeError: CUDA error: no"})
    python = script(tmp_path, f"echo >&2; echo 'snapenv-repeat: {told}' >&2; kill -9 $$")
    context = Context(
        python=str(python), folder=str(tmp_path), device="cpu", planted=2, only=("lr",)
    )
    lines: list[str] = []

    run_part("planted", context, Notes(lines.append))

    found = join_told(lines)
    assert found["ended"] == ["done", ""]
    killed = f"its process ended with -9: snapenv-repeat: {told}"
    assert [(one["name"], one["error"]) for one in found["planted"]] == [
        ("lr", "RuntimeError: CUDA error: no"),
        ("none", killed),
        ("lr", "RuntimeError: CUDA error: no"),
        ("none", killed),
    ]


@pytest.mark.parametrize("device", ["cpu", pytest.param("0", marks=pytest.mark.full)])
def test_the_commands_take_what_a_run_asks_of_them(device: str, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", symlinks=True)
    context = Context(
        python=str(tmp_path / "env" / "bin" / "python"), folder=str(tmp_path), device=device
    )
    lines: list[str] = []
    run_part("facts", context, Notes(lines.append))
    assert join_told(lines) == {"distributions": 0, "ended": ["done", ""]}

    for part in ("bench", "tune"):
        run_part(part, context, Notes(lines.append))

        (outcome, why) = join_told(lines)["ended"]
        assert outcome == "failed"
        assert why.startswith("RuntimeError: bench: ultralytics is not installed")


def test_what_was_told_before_a_part_was_cut_off_is_kept() -> None:
    lines = [
        json.dumps({"repeats": [1]}),
        json.dumps({"repeats": [2], "machine": "a"}),
        json.dumps({"machine": "b"}),
        '{"repeats": [3',
    ]

    assert join_told(lines) == {"repeats": [1, 2], "machine": "b"}


@pytest.mark.exact
def test_a_short_rehearsal_measures_what_was_planted(exact_python: Path, tmp_path: Path) -> None:
    asked = Asked(
        output=tmp_path,
        name="unnamed",
        python=exact_python,
        rehearse=True,
        parts=("machine", "baseline", "repeats", "planted"),
        repeats=1,
        planted=1,
        only=("lr", "tf32"),
    )

    record = give_name(asked, run(asked))

    assert (record.name, record.rehearsal) == ("cpu-torch2.11.0", True)
    assert [path.name for path in tmp_path.iterdir()] == ["cpu-torch2.11.0.json"]
    assert {part.name: part.outcome for part in record.parts} == dict.fromkeys(asked.parts, "done")
    assert record.baseline
    assert [one.losses for one in record.repeats] == [record.baseline.losses]
    assert [(one.name, one.error) for one in record.planted] == [
        ("tf32", "not applicable: it changes nothing without a GPU"),
        ("lr", None),
        ("none", None),
    ]
    lr, none = (one.training for one in record.planted[1:])
    assert lr
    assert none
    assert lr.losses[0] == record.baseline.losses[0] != lr.losses[1]
    assert (none.losses, none.operators) == (record.baseline.losses, ())


@pytest.mark.exact
@pytest.mark.full
def test_a_whole_rehearsal_does_every_part(exact_python: Path, tmp_path: Path) -> None:
    asked = Asked(
        output=tmp_path,
        name="whole",
        python=exact_python,
        rehearse=True,
        repeats=2,
        planted=1,
    )

    record = run(asked)

    found = {part.name: part.outcome for part in record.parts}
    assert found == {**dict.fromkeys(PARTS, "done"), "another ultralytics": "not applicable"}
    assert record.ranks
    assert record.bench
    assert record.tuning
    assert record.captured
