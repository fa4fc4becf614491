"""``snapenv diff`` as a user sees it: words in, lines or a document out, an exit code."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.lock.store import write_snapshot
from snapenv.model.python import UntrackedFile
from snapenv.model.snapshot import SUMS_FILE
from tests.command import Command, Program
from tests.samples import (
    sample_distribution,
    sample_distributions,
    sample_environment,
    sample_facts,
    sample_files,
    sample_hardware,
    sample_lock,
    sample_snapshot,
)

if TYPE_CHECKING:
    from snapenv.model.facts import Facts

NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock", "VIRTUAL_ENV": "", "CONDA_PREFIX": ""}
KEYS = {"schema", "command", "ok", "exit_code", "result", "checks", "warnings", "verdict", "error"}

EDITED = sample_files("by hand", edited=("ultralytics/utils/loss.py",))
CHANGED = (
    sample_distribution("numpy", "2.3.0"),
    sample_distribution("ultralytics", "8.4.190", files=EDITED),
)


def changed(*loose: str) -> Facts:
    """Return the sample's facts with another numpy, an edited file, and files of no package."""
    others = {one.name: one for one in (*sample_distributions(), *CHANGED)}
    return sample_facts(
        environment=sample_environment(
            distributions=tuple(others.values()),
            untracked=tuple(UntrackedFile(path=path, sha256="ab" * 32) for path in loose),
        ),
        hardware=sample_hardware(driver=None, glibc="2.39"),
    )


def written(folder: Path, facts: Facts) -> str:
    write_snapshot(sample_snapshot(sample_lock(facts=facts)), folder)
    return str(folder)


@pytest.fixture
def plain(tmp_path: Path) -> str:
    return written(tmp_path / "plain", sample_facts())


@pytest.fixture
def other(tmp_path: Path) -> str:
    return written(tmp_path / "other", changed("ours.py"))


def on_terminal(*words: str, **environment: str) -> str:
    """Run on a terminal of 60 columns, and give what it is sent."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "snapenv", *words],
        env={**os.environ, **NOWHERE, "TERM": "xterm", "COLUMNS": "60", **environment},
        stdout=follower,
    ):
        os.close(follower)
        said = b""
        with contextlib.suppress(OSError):  # how a terminal says that its other end is closed
            while part := os.read(leader, 4096):
                said += part
    os.close(leader)
    return said.decode().replace("\r\n", "\n")


def test_what_differs_stands_below_its_consequence(plain: str, other: str) -> None:
    done = Command(NOWHERE).run("diff", plain, other)

    assert done.returncode == 1
    assert done.stderr == f"next: snapenv restore {plain}\n"
    sides, consequences = done.stdout.splitlines()[:2], done.stdout.splitlines()[2:]
    assert sides == [f"left   {plain}", f"right  {other}"]
    assert consequences == wording(
        [
            "✗ ABI        compiled code of one may not load in the other",
            "  glibc  2.36 → 2.39",
            "✗ numerics   the same training may give different losses",
            "  numpy                      2.4.6 → 2.3.0",
            "  ultralytics/utils/loss.py  as installed → edited",
            "✗ behaviour  code may behave differently; same losses",
            "  ours.py  absent → content abababababab",
            "✓ cosmetic   names, origins, the machine; it runs the same",
            "  driver  580.95.05 → absent",
            "  GPUs    1 x NVIDIA H200 → absent",
            "different: 1 ABI, 2 numerics, 1 behaviour, 2 cosmetic",
        ]
    )


def test_two_equal_snapshots_are_a_yes(plain: str) -> None:
    done = Command(NOWHERE).run("diff", plain, plain)

    assert done.returncode == 0
    assert done.stdout.splitlines()[2:] == wording(
        [
            "✓ ABI        the same",
            "✓ numerics   the same",
            "✓ behaviour  the same",
            "✓ cosmetic   the same",
            "the same environment",
        ]
    )


def test_the_groups_and_what_differs_fit_60_columns(plain: str, other: str) -> None:
    done = Command(NOWHERE).run("diff", plain, other)

    told = done.stdout.splitlines()[2:]
    assert max(len(line) for line in told) <= 60


def test_a_line_is_broken_neither_in_a_pipe_nor_on_a_terminal(plain: str, tmp_path: Path) -> None:
    path = f"{'folder/' * 20}ours.py"
    other = written(tmp_path / "other", changed(path))
    line = f"  {path}  absent → content abababababab"

    piped = Command({**NOWHERE, "COLUMNS": "60"}).run("diff", plain, other)

    assert line in piped.stdout.splitlines()
    shown = re.sub(r"\x1b\[\d*m", "", on_terminal("diff", plain, other))
    assert line in shown.splitlines()


def test_where_no_sign_can_be_written_a_plain_one_stands(plain: str, other: str) -> None:
    done = Program({**NOWHERE, "PYTHONIOENCODING": "ascii"}).run("diff", plain, other)

    assert done.returncode == 1
    assert "different: 1 ABI" in done.stdout
    assert "->" in done.stdout
    assert done.stdout.isascii()


def test_a_long_name_does_not_move_the_others_aside(plain: str, tmp_path: Path) -> None:
    other = written(tmp_path / "other", changed("ours.py", f"{'folder/' * 20}ours.py"))

    done = Command(NOWHERE).run("diff", plain, other)

    assert f"  {'ours.py':<26}  absent → content abababababab" in done.stdout.splitlines()


def test_a_terminal_gets_colour_unless_it_is_not_wanted(plain: str, other: str) -> None:
    coloured = on_terminal("diff", plain, other)

    assert "\x1b[31m2.4.6\x1b[0m" in coloured
    assert "\x1b[3" not in on_terminal("diff", plain, other, NO_COLOR="1")
    assert "\x1b" not in Command(NOWHERE).run("diff", plain, other).stdout


def test_a_name_that_would_steer_the_terminal_is_written_out(plain: str, tmp_path: Path) -> None:
    other = written(tmp_path / "other", changed("a\x1b[2J\nb.py"))

    done = Command(NOWHERE).run("diff", plain, other)

    assert "  a\\x1b[2J\\nb.py  absent → content abababababab" in done.stdout.splitlines()


def test_the_document_holds_both_sides_and_what_differs(plain: str, other: str) -> None:
    document = Command(NOWHERE).document("diff", plain, other)

    assert document.keys() == KEYS
    assert document["ok"] is False
    assert document["result"].keys() == {"left", "right", "differences"}
    assert document["result"]["right"]["place"] == other
    assert document["result"]["differences"][:2] == [
        {"group": "abi", "subject": "glibc", "left": "2.36", "right": "2.39"},
        {"group": "numerics", "subject": "numpy", "left": "2.4.6", "right": "2.3.0"},
    ]
    assert [(check["id"], check["ok"]) for check in document["checks"]] == [
        ("abi", False),
        ("numerics", False),
        ("behaviour", False),
        ("cosmetic", True),
    ]


@pytest.mark.parametrize(
    ("kind", "word", "said"),
    [
        ("interpreter", "gone/bin/python", "there is no Python at gone/bin/python"),
        ("interpreter", "/bin/false", "/bin/false"),
        ("environment-missing", "live", "no environment is active"),
        ("registry", "localhost:1/team/env:old", "localhost:1 does not answer"),
        ("not-found", "/gone", "/gone"),
        ("not-found", "/usr/share", "neither a snapshot nor an environment"),
    ],
)
def test_what_cannot_be_compared_ends_with_its_kind(
    plain: str, kind: str, word: str, said: str
) -> None:
    stderr = Command({**NOWHERE, "PATH": "/nowhere"}).error(kind, "diff", plain, word)

    error, hint = stderr.splitlines()
    assert said in error
    assert hint.startswith("hint: ")


def test_a_damaged_snapshot_is_refused(plain: str, other: str) -> None:
    with Path(other, SUMS_FILE).open("a") as file:
        file.write("?")

    assert SUMS_FILE in Command(NOWHERE).error("snapshot-damaged", "diff", plain, other)


def test_one_side_alone_is_a_usage_error(plain: str) -> None:
    assert Command(NOWHERE).run("diff", plain).returncode == 2


def test_a_file_that_is_packed_but_no_archive_is_refused_as_one(plain: str, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.write_bytes(b"\x28\xb5\x2f\xfd and no more")

    assert str(packed) in Command(NOWHERE).error("archive", "diff", str(packed), plain)
