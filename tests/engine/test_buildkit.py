from __future__ import annotations

import json
from pathlib import Path

import pytest

from snapenv.engine.buildkit import TRACE, Log, Status, Steps, Trace, Vertex, parse_trace
from tests.fakes import FakeTask

RECORDED = Path(__file__).parents[1] / "recorded" / "buildkit"


def play(name: str) -> tuple[Steps, FakeTask]:
    """Hear a recorded stream to its end."""
    task = FakeTask()
    steps = Steps(task)
    for line in (RECORDED / name).read_text().splitlines():
        message = json.loads(line)
        if message.get("id") == TRACE:
            steps.update(parse_trace(message["aux"]))
    return steps, task


def step(name: str, *, error: str | None = None) -> Vertex:
    return Vertex(
        digest=name, name=name, cached=False, started=True, completed=bool(error), error=error
    )


def test_a_step_is_noted_when_it_starts_and_with_each_line_that_it_prints() -> None:
    _, task = play("built.jsonl")

    assert task.notes == [
        "[internal] load remote build context",
        "copy /context /",
        "[2/3] COPY x /x/",
        "[3/3] RUN echo one; sleep 1; echo two >&2",
        "[3/3] RUN echo one; sleep 1; echo two >&2: one",
        "[3/3] RUN echo one; sleep 1; echo two >&2: two",
        "exporting to image",
    ]


def test_a_build_that_went_well_has_no_failed_step() -> None:
    steps, _ = play("built.jsonl")

    assert steps.failed is None


def test_the_step_that_failed_is_known_with_its_last_lines() -> None:
    steps, _ = play("failed.jsonl")

    assert steps.failed is not None
    assert steps.failed.name.startswith("[2/3] RUN echo starting")
    assert str(steps.failed.error).endswith("exit code: 7")
    assert steps.lines(steps.failed, last=3) == ("line 38", "line 39", "line 40")


def test_a_step_that_was_cancelled_with_another_is_not_the_one_that_failed() -> None:
    steps = Steps(FakeTask())

    steps.update(Trace(vertexes=(step("a", error="context canceled"), step("b", error="no"))))

    assert steps.failed == step("b", error="no")


def test_the_bytes_of_all_parts_are_counted_together() -> None:
    task = FakeTask()
    steps = Steps(task)

    for part, current, total in (("a", 10, 100), ("b", 5, 50), ("a", 100, 100), ("c", 7, 0)):
        status = Status(id=part, vertex="fetch", current=current, total=total)
        steps.update(Trace(statuses=(status,)))

    assert task.counts == [(10, 100), (15, 150), (105, 150)]


def test_a_line_may_come_in_pieces() -> None:
    steps = Steps(FakeTask())

    steps.update(Trace(vertexes=(step("a"),), logs=(Log(vertex="a", text=b"half "),)))
    steps.update(Trace(logs=(Log(vertex="a", text="ünd half\n".encode()[:1]),)))
    steps.update(Trace(logs=(Log(vertex="a", text="ünd half\n".encode()[1:]),)))

    assert steps.lines(step("a"), last=1) == ("half ünd half",)


@pytest.mark.parametrize("encoded", ["not base64!", "/////w=="])
def test_what_is_no_progress_is_refused(encoded: str) -> None:
    with pytest.raises(ValueError, match="no progress of BuildKit"):
        parse_trace(encoded)
