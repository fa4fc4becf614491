"""How a run of the program ends: streams, exit codes, the JSON document."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.cli.main import HANDING_OVER, main
from snapenv.lock.store import write_snapshot
from tests.command import COMMANDS, EXIT_CODES, Command, Program
from tests.samples import sample_snapshot

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {"schema", "command", "ok", "exit_code", "result", "checks", "warnings", "verdict", "error"}


def test_help_imports_neither_the_engine_nor_the_frameworks() -> None:
    script = (
        "import sys; from snapenv.cli.main import main; main(['--help']); "
        "print([name for name in ('docker', 'jinja2', 'torch', 'ultralytics', 'msgspec', 'sqlite3') "
        "if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_of_every_command_has_an_environment_variable(command: str) -> None:
    options = [param for param in COMMANDS[command].params if param.param_type_name == "option"]

    for option in options:
        assert str(option.envvar).startswith("SNAPENV_"), option.name


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_prints_json_unless_stdout_is_a_programs(command: str) -> None:
    has_json = any("--json" in param.opts for param in COMMANDS[command].params)

    assert has_json == (command not in HANDING_OVER)


def test_a_usage_error_is_a_document_too() -> None:
    document = Program().document("capture", "--level", "a-b")

    assert document["exit_code"] == 2
    assert document["error"]["kind"] == "usage"
    assert document["error"]["message"] == wording(
        "Invalid value for '--level': 'a-b' cannot be part of a tag"
    )


@pytest.mark.parametrize("words", [("usage",), ("usage", "nothing"), ("nothing",)])
def test_a_group_without_one_of_its_commands_is_none(words: tuple[str, ...]) -> None:
    document = Command().document(*words)

    assert (document["command"], document["error"]["kind"]) == ("", "usage")


def test_a_failure_has_the_keys_of_a_success() -> None:
    document = Program().document("restore", "/nowhere")

    assert document.keys() == KEYS
    assert document["command"] == "restore"
    assert document["ok"] is False


def test_json_may_stand_after_the_command() -> None:
    done = Program().run("restore", "/nowhere", "--json")

    assert json.loads(done.stdout)["error"]["kind"] == "not-found"


def test_an_error_is_two_lines_on_stderr_and_nothing_on_stdout() -> None:
    done = Program().run("restore", "/nowhere")

    assert done.stdout == ""
    assert done.stderr.splitlines() == wording(
        [
            "error: there is no snapshot folder and no archive /nowhere",
            "hint: Name a folder that snapenv capture wrote, an archive, a tag, or an image.",
        ]
    )


def test_help_lists_the_commands_in_the_order_of_their_use() -> None:
    done = Program().run("--help")

    lines = done.stdout.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    listed = [line.split()[0] for line in lines if line[2] != " "]  # the others go on with one
    assert listed[:4] == ["capture", "build", "restore", "verify"]
    assert listed == [*dict.fromkeys(name.split()[0] for name in COMMANDS)]


def test_an_answer_ends_with_what_to_type_next_on_stderr(tmp_path: Path) -> None:
    folder = tmp_path / "snapshot"
    write_snapshot(sample_snapshot(), folder)

    done, machine = Program().run("show", str(folder)), Program().run("--json", "show", str(folder))

    assert done.stderr == f"next: snapenv restore {folder}\n"
    assert "next: " not in done.stdout
    assert machine.stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ("show", "~no-such-user/x"),
        ("diff", "~no-such-user/x", "~no-such-user/y"),
        ("run", "x", "--mount", "~no-such-user/x:/y", "--dry-run", "--", "true"),
        ("capture", "--python", "~no-such-user/bin/python"),
        ("usage", "report", "--prices", "~no-such-user/x"),
    ],
)
def test_a_tilde_of_a_user_who_does_not_exist_is_a_path_that_is_not_there(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    variables = {"SNAPENV_LEDGER": "~no-such-user/x", "NETRC": "~no-such-user/x"}

    done = Command(variables).run(*words, folder=tmp_path)

    assert done.returncode in range(2, 7), done.stderr
    assert "~no-such-user" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_no_absolute_path_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", "here")

    assert main(("ps",)) == EXIT_CODES["usage"]
    assert "HOME is here, which is no absolute path" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("ps",), ("show", "x"), ("show", "--no-such-option")])
def test_a_user_without_a_home_folder_is_told_to_name_one(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As where a container or a cluster runs a program under a number that is no user's."""

    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.chdir(tmp_path)

    code = main(words)

    assert code == EXIT_CODES["usage"]
    error = capsys.readouterr().err
    assert ("HOME" in error) != ("no-such-option" in error)
    assert list(tmp_path.iterdir()) == []
