"""The programs that run in a workspace: what they decide."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from inline_snapshot import snapshot as wording

from snapenv_workspace import served, ssh
from snapenv_workspace.events import changed_epochs, find_results, parse_results

RESULTS = """\
                  epoch,         train/box_loss,     note
                      1,                    1.5,        x
                      2,                   1.25,        x
"""
WORDS = ["--state", "/s", "--work", "/w", "--runs", "/r"]


def test_names_lose_their_spaces_and_what_is_no_number_is_left_out() -> None:
    assert parse_results(RESULTS) == {1: {"train/box_loss": 1.5}, 2: {"train/box_loss": 1.25}}


def test_the_last_row_of_an_epoch_counts() -> None:
    assert parse_results(f"{RESULTS} 2, 1.0, x\n")[2] == {"train/box_loss": 1.0}


@pytest.mark.parametrize("rest", [" 3, 0.9, 1", " 3, 0.9\n", "\n"])
def test_a_row_that_is_being_written_waits(rest: str) -> None:
    assert list(parse_results(RESULTS + rest)) == [1, 2]


def test_only_what_is_new_is_shown_and_anew_what_has_changed() -> None:
    before = parse_results(RESULTS)
    longer = parse_results(f"{RESULTS} 3, 0.9, x\n")
    resumed = parse_results(f"{RESULTS} 3, 0.9, x\n 2, 1.1, x\n")

    assert changed_epochs(before, before) == []
    assert changed_epochs(before, longer) == [3]
    assert changed_epochs(before, resumed) == [2, 3]


def test_a_run_that_logs_itself_is_left_to_that(tmp_path: Path) -> None:
    for name in ("logged", "bare"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.csv").touch()
    (tmp_path / "logged" / "events.out.tfevents.1.host").touch()

    assert list(find_results(tmp_path)) == [tmp_path / "bare" / "results.csv"]


def test_variables_reach_a_session_of_ssh_with_whatever_they_hold() -> None:
    line = ssh.set_env({"A": 'a "b" \\c $d', "HOME": "/root", "PATH": "/x", "TWO": "1\n2"})

    assert line == 'SetEnv "A=a \\"b\\" \\\\c $d" "PATH=/x" "SNAPENV_PATH=/x"\n'


def test_no_program_is_told_the_token_by_its_words_or_variables() -> None:
    wanted = served.parse([*WORDS, "--jupyter", "8888"])

    (jupyter,) = served.programs(wanted)

    assert "token" not in " ".join(jupyter.argv)
    assert jupyter.environment["JUPYTER_TOKEN_FILE"] == "/s/jupyter_token"


def test_what_ends_is_started_again_and_a_signal_ends_all(tmp_path: Path) -> None:
    work = tmp_path / "work" / "bin" / "python"
    work.parent.mkdir(parents=True)
    work.write_text(f"#!/bin/sh\necho started >> {tmp_path}/starts\nexit 3\n")
    work.chmod(0o755)
    program = Path(served.__file__).parents[1]
    words = ["serve", "--state", str(tmp_path / "s"), "--work", str(tmp_path / "work")]
    process = subprocess.Popen(
        [sys.executable, "-m", "snapenv_workspace", *words, "--runs", "/r", "--jupyter", "1"],
        cwd=program,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr
        assert process.stderr.readline().replace(str(tmp_path), "TMP") == wording(
            "workspace: jupyter ended with 3; again in 1 s\n"
        )
        assert process.stderr.readline().replace(str(tmp_path), "TMP") == wording(
            "workspace: jupyter ended with 3; again in 3 s\n"
        )
        process.terminate()

    assert process.returncode == 0
    assert (tmp_path / "starts").read_text().count("started") == 2
    assert (tmp_path / "s" / "jupyter_token").stat().st_mode & 0o777 == 0o600
