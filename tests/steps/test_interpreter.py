from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import EnvironmentMissingError, InterpreterError
from snapenv.steps.interpreter import find_in_container, find_interpreter
from snapenv.targets.local import LocalTarget
from tests.steady import steady

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from snapenv.ports import Completed


@dataclass(frozen=True)
class _Container:
    """Runs the shell that it has, with the variables of the test."""

    shell: str
    python: str = "python3"

    def run(self, argv: Sequence[str], **options: object) -> Completed:
        del options
        return LocalTarget(self.python).run((self.shell, *argv[1:]))


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

    with pytest.raises(InterpreterError) as caught:
        find_interpreter(named, variables, own_prefix="/own")

    assert steady(caught.value) == wording(
        "TMP/env/bin/python cannot run: the Python it was made from is gone: /opt/gone/bin/python3.11"
    )


def test_a_copied_python_whose_own_is_gone_is_refused_by_name(env: Path) -> None:
    (env / "pyvenv.cfg").write_text("include-system-site-packages = false\nhome = /opt/gone/bin\n")

    with pytest.raises(InterpreterError) as caught:
        find_interpreter(str(env), {}, own_prefix="/own")

    assert steady(caught.value) == wording(
        "TMP/env/bin/python cannot run: the Python it was made from is gone: /opt/gone/bin"
    )


def test_a_folder_without_a_python_is_no_program_of_path(
    env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (env / "bin" / "python").unlink()
    monkeypatch.chdir(env.parent)

    with pytest.raises(InterpreterError) as caught:
        find_interpreter("env", {"PATH": "/usr/bin:/bin"}, own_prefix="/own")

    assert steady(caught.value) == wording("there is no Python at TMP/env/bin/python")


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
    with pytest.raises(EnvironmentMissingError) as caught:
        find_interpreter(None, {"PATH": str(env / "bin")}, own_prefix=str(env))

    assert str(caught.value) == wording("no environment is active, and PATH has no other python3")


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_the_environment_of_snapenv_itself_is_taken_only_where_it_is_named(
    env: Path, variable: str
) -> None:
    (env.parent / "link").symlink_to(env)

    with pytest.raises(EnvironmentMissingError) as caught:
        find_interpreter(None, {variable: str(env.parent / "link")}, own_prefix=str(env))

    assert steady(caught.value, variable=variable) == wording(
        "the active environment (VARIABLE) is the one that snapenv itself runs in: TMP/link"
    )
    assert find_interpreter(str(env), {}, own_prefix=str(env)) == str(env / "bin" / "python")


def test_the_next_python3_of_path_is_taken_where_the_first_is_snapenv_s_own(env: Path) -> None:
    own = env.parent / "own"
    (own / "bin").mkdir(parents=True)
    (own / "bin" / "python3").symlink_to(env / "bin" / "python3")

    found = find_interpreter(None, {"PATH": f"{own}/bin:{env}/bin"}, own_prefix=str(own))

    assert found == str(env / "bin" / "python3")


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"VIRTUAL_ENV": "{env}", "PATH": "/nowhere"}, "{env}/bin/python"),
        ({"CONDA_PREFIX": "{env}", "PATH": "/nowhere"}, "{env}/bin/python"),
        ({"VIRTUAL_ENV": "/gone", "PATH": "{env}/bin"}, "{env}/bin/python3"),
        ({"PATH": "{env}/bin"}, "{env}/bin/python3"),
        ({"PATH": "/nowhere"}, "python3"),
    ],
)
def test_in_a_container_its_own_variables_name_the_python(
    env: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], found: str
) -> None:
    container = _Container(str(shutil.which("sh")))
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(env=env))

    assert find_in_container(container) == found.format(env=env)


def test_a_container_without_a_shell_has_python3() -> None:
    assert find_in_container(_Container("/gone/sh")) == "python3"


def test_a_python_that_is_not_there_is_named() -> None:
    with pytest.raises(InterpreterError) as caught:
        find_interpreter("python4", {"PATH": "/nowhere"}, own_prefix="/own")

    assert str(caught.value) == wording("there is no Python at python4")
