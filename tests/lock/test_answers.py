from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from snapenv.lock.answers import Answer, keep_answers, key, question, read_answers
from snapenv.lock.ask import Uv
from snapenv.model.uv import UvSettings
from tests.fakes import FakeTarget
from tests.samples import sample_distribution, sample_facts, sample_files, sample_wheel

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "hunter2-canary"
ANSWERS = {
    "numpy==2.4.6 abc": Answer(wheel=sample_wheel("numpy", "2.4.6"), proved=True, asked_at=1000.0),
    "ours==1 def": Answer(wheel=None, proved=True, asked_at=500.0),
}


def uv(**variables: str) -> Uv:
    return Uv(machine=FakeTarget(), program="uv", settings=UvSettings(variables=variables))


def test_what_was_kept_comes_back_without_what_has_grown_old(tmp_path: Path) -> None:
    keep_answers(tmp_path / "answers", "q", ANSWERS)

    assert read_answers(tmp_path / "answers", "q", since=0) == ANSWERS
    assert list(read_answers(tmp_path / "answers", "q", since=600)) == ["numpy==2.4.6 abc"]
    assert read_answers(tmp_path / "answers", "another", since=0) == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": {}}', b"\xff"])
def test_what_is_damaged_was_never_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "q.json").write_bytes(content)

    assert read_answers(tmp_path, "q", since=0) == {}


def test_a_place_that_cannot_be_written_keeps_nothing_and_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    keep_answers(tmp_path / "file", "q", ANSWERS)
    keep_answers(None, "q", ANSWERS)

    assert read_answers(tmp_path / "file", "q", since=0) == read_answers(None, "q", since=0) == {}


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    keep_answers(tmp_path, "q", ANSWERS)
    keep_answers(tmp_path, "q", {})

    assert [path.name for path in tmp_path.iterdir()] == ["q.json"]


def test_another_index_python_or_platform_is_another_question() -> None:
    facts = sample_facts()
    older = replace(
        facts.environment, interpreter=replace(facts.environment.interpreter, version="3.10.1")
    )

    named = {
        question(facts, uv()),
        question(facts, uv(UV_DEFAULT_INDEX=f"https://user:{CANARY}@example.com/simple")),
        question(replace(facts, environment=older), uv()),
    }

    assert len(named) == 3
    assert question(facts, uv()) in named
    assert not any(CANARY in name for name in named)


def test_other_bytes_of_one_version_are_another_pin() -> None:
    one, other = sample_distribution(), sample_distribution(files=sample_files("other"))
    edited = sample_distribution(files=replace(sample_files("edited"), recorded=one.files.sha256))  # type: ignore[union-attr]

    assert key(one) != key(other)
    assert key(one) == key(edited)
