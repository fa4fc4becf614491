"""Streams as users have them: full, closed, read no further, of few signs; and empty words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.lock.store import write_snapshot
from tests.command import EXIT_CODES, Command
from tests.samples import TAG, sample_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
# A word with a yes, and one with a no: all print an answer on stdout.
ANSWERS = (("show", "snapshot"), ("--json", "show", "snapshot"), ("--help",))
FAILURES = (("--json", "show", "nosuch"), ("nosuch",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a snapshot, and one of a name that is no ASCII."""
    folder = tmp_path_factory.mktemp("é")
    write_snapshot(sample_snapshot(), folder / "snapshot")
    write_snapshot(sample_snapshot(), folder / "snapshots" / TAG)
    return folder


def run(
    folder: Path,
    *words: str,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
    variables: Mapping[str, str] = NOWHERE,
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "snapenv", *words],
        env={**os.environ, **NOWHERE, **variables},
        cwd=folder,
        stdout=stdout,
        stderr=stderr,
        check=False,
    )


@pytest.mark.parametrize("words", [*ANSWERS, ("--json", "show", "nosuch")])
def test_an_answer_that_finds_no_room_is_said(folder: Path, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(folder, *words, stdout=full)

    assert done.stderr.decode().splitlines()[-2:] == wording(
        [
            "error: cannot write the answer to stdout: No space left on device",
            "hint: Free some space, or send it to another place.",
        ]
    )
    assert done.returncode == EXIT_CODES["write"]


@pytest.mark.parametrize("words", ANSWERS)
def test_a_reader_that_has_gone_is_no_failure(folder: Path, words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    with os.fdopen(writer, "wb") as pipe:
        done = run(folder, *words, stdout=pipe)

    assert b"error" not in done.stderr
    assert done.returncode == (1 if "--help" in words else 0)  # Click's own


@pytest.mark.parametrize("words", [*ANSWERS, *FAILURES])
def test_where_stderr_takes_nothing_all_else_is_the_same(
    folder: Path, words: tuple[str, ...]
) -> None:
    usual = run(folder, *words)

    with Path("/dev/full").open("wb") as full:
        done = run(folder, *words, stderr=full)

    assert (done.returncode, done.stdout) == (usual.returncode, usual.stdout)


@pytest.mark.parametrize("words", [("show", "./é"), ("--json", "show", "./é"), ("show", "-é")])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_no_sign_that_a_stream_lacks_is_a_failure(
    folder: Path, words: tuple[str, ...], encoding: str
) -> None:
    done = run(folder, *words, variables={"PYTHONIOENCODING": encoding})

    said = done.stderr.decode()
    assert done.returncode == EXIT_CODES["usage" if "-é" in words else "not-found"]
    assert "bug" not in said
    assert "Traceback" not in said
    if "--json" in words:
        assert "./é" in json.loads(done.stdout.decode(encoding))["error"]["message"]


def test_marks_become_words_where_there_are_none(folder: Path) -> None:
    words = ("diff", "snapshot", f"snapshots/{TAG}")

    done = run(folder, *words, variables={"PYTHONIOENCODING": "ascii"})

    said = done.stdout.decode("ascii")
    assert "?" not in said
    assert "ok abi" in said.lower()


@pytest.mark.parametrize(
    "words",
    [
        ("show", ""),
        ("build", ""),
        ("capture", "-o", ""),
        ("capture", "--output="),
        ("capture", "--container", ""),
        ("restore", "snapshot", "--into", ""),
        ("export", "snapshot", "-o", ""),
        ("list", "--repository="),
    ],
)
def test_an_empty_word_is_a_usage_error(folder: Path, words: tuple[str, ...]) -> None:
    done = Command(NOWHERE).run(*words, folder=folder)

    assert done.returncode == 2
    assert done.stderr.rpartition(" is empty")[2] == wording(": give a value, or leave it out\n")


@pytest.mark.parametrize(
    ("value", "is_json"), [("0", False), ("no", False), ("", False), ("1", True), ("yes", True)]
)
def test_a_variable_says_yes_or_no_as_an_option_does(
    folder: Path, value: str, *, is_json: bool
) -> None:
    for words in (("show", "snapshot"), ("show", "nosuch")):
        done = Command({**NOWHERE, "SNAPENV_JSON": value}).run(*words, folder=folder)

        assert done.stdout.startswith("{") == is_json


@pytest.mark.parametrize("command", ["show", "verify", "doctor", "restore", "export", "build"])
def test_what_is_nowhere_is_not_found_without_an_engine(
    folder: Path, tmp_path: Path, command: str
) -> None:
    output = ("-o", str(tmp_path / "out")) if command == "export" else ()

    done = Command(NOWHERE).run(command, "n" * 5000, *output, folder=folder)

    assert done.returncode == EXIT_CODES["not-found"], done.stderr
    assert "there is no snapshot folder" in done.stderr
    assert len(done.stderr) < 400


@pytest.mark.parametrize("command", ["show", "build"])
def test_a_snapshot_is_known_by_its_name_alone(folder: Path, command: str) -> None:
    done = run(folder, command, TAG)

    code = 0 if command == "show" else EXIT_CODES["engine-missing"]
    assert done.returncode == code, done.stderr


def test_a_repository_of_large_letters_is_said_to_be_so(folder: Path) -> None:
    done = run(folder, "list", "--repository", "example.com/Team/Env")

    assert done.returncode == 2
    assert b"a repository is in lower case, as in example.com/team/env" in done.stderr


def test_a_help_has_words_in_the_place_of_signs_that_stdout_has_not(folder: Path) -> None:
    """As in a locale of Western Europe that is not of UTF-8."""
    done = run(folder, "capture", "--help", variables={"PYTHONIOENCODING": "iso-8859-9"})

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"..." in done.stdout


def test_json_tells_a_name_that_is_no_text(folder: Path) -> None:
    done = run(folder, "--json", "show", os.fsdecode(b"./\xff"))

    assert done.returncode == EXIT_CODES["not-found"]
    assert "./\\udcff" in json.loads(done.stdout)["error"]["message"]
    assert done.stderr == b"" or b"Traceback" not in done.stderr
