from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.errors import EnvironmentMissingError, InterpreterError
from snapenv.workflows.interpreter import find_interpreter

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def env(tmp_path: Path) -> Path:
    """A folder that looks like an environment from outside."""
    (tmp_path / "env" / "bin").mkdir(parents=True)
    for name in ("python", "python3"):
        (tmp_path / "env" / "bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "env" / "bin" / name).chmod(0o755)
    return tmp_path / "env"


def test_a_named_python_wins_over_the_active_environment(env: Path) -> None:
    named = str(env / "bin" / "python3")

    found = find_interpreter(named, {"VIRTUAL_ENV": "/elsewhere"}, own_prefix="/own")

    assert found == named


def test_an_environments_folder_names_its_python(env: Path) -> None:
    assert find_interpreter(str(env), {}, own_prefix="/own") == str(env / "bin" / "python")


GONE = "/opt/gone/bin/python3.11"


@pytest.mark.parametrize("named", ["env", "env/bin/python", None])
def test_an_environment_whose_python_is_gone_is_refused_by_name(
    env: Path, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    """Not by the program ``env`` of PATH either, whatever the folder is called."""
    for name in ("python", "python3"):
        (env / "bin" / name).unlink()
    (env / "bin" / "python").symlink_to("python3")
    (env / "bin" / "python3").symlink_to(GONE)
    monkeypatch.chdir(env.parent)
    variables = {"VIRTUAL_ENV": str(env), "PATH": "/usr/bin:/bin"}

    with pytest.raises(InterpreterError, match=f"made from is gone: {GONE}"):
        find_interpreter(named, variables, own_prefix="/own")


def test_a_copied_python_whose_own_is_gone_is_refused_by_name(env: Path) -> None:
    (env / "pyvenv.cfg").write_text("include-system-site-packages = false\nhome = /opt/gone/bin\n")

    with pytest.raises(InterpreterError, match="made from is gone: /opt/gone/bin"):
        find_interpreter(str(env), {}, own_prefix="/own")


def test_a_folder_without_a_python_is_no_program_of_path(
    env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (env / "bin" / "python").unlink()
    monkeypatch.chdir(env.parent)

    with pytest.raises(InterpreterError, match="there is no Python at .*/env/bin/python"):
        find_interpreter("env", {"PATH": "/usr/bin:/bin"}, own_prefix="/own")


def test_a_named_program_is_looked_up_on_path(env: Path) -> None:
    path = {"PATH": str(env / "bin")}

    assert find_interpreter("python3", path, own_prefix="/own") == str(env / "bin" / "python3")


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_the_active_environment_is_taken(env: Path, variable: str) -> None:
    found = find_interpreter(None, {variable: str(env), "PATH": ""}, own_prefix="/own")

    assert found == str(env / "bin" / "python")


def test_without_an_active_environment_python3_of_path_is_taken(env: Path) -> None:
    found = find_interpreter(None, {"PATH": str(env / "bin")}, own_prefix="/own")

    assert found == str(env / "bin" / "python3")


def test_the_environment_of_snapenv_itself_is_not_taken_from_path(env: Path) -> None:
    with pytest.raises(EnvironmentMissingError, match="PATH has no other python3"):
        find_interpreter(None, {"PATH": str(env / "bin")}, own_prefix=str(env))


def test_the_environment_of_snapenv_itself_is_taken_where_it_is_active(env: Path) -> None:
    found = find_interpreter(None, {"VIRTUAL_ENV": str(env)}, own_prefix=str(env))

    assert found == str(env / "bin" / "python")


def test_a_python_that_is_not_there_is_named() -> None:
    with pytest.raises(InterpreterError, match="no Python at python4"):
        find_interpreter("python4", {"PATH": "/nowhere"}, own_prefix="/own")
