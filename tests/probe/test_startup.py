"""What variables put before an environment's own, seen as a program there sees it."""

from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import InterpreterError
from snapenv.ports import Completed
from snapenv.probe.probe import probe
from snapenv.targets.local import LocalTarget
from tests.fakes import FakeTarget
from tests.probe.environments import compile_library, write_files, write_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.probe.environments import Venv

ADD = "int added(void) { return 1; }"


def startup(venv: Venv) -> Mapping[str, tuple[str, ...]]:
    seen = venv.look().startup
    assert seen is not None
    return seen


@pytest.fixture
def shadow(venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PYTHONPATH, in front of an environment that has ``six`` and ``deep``."""
    files = {"six.py": "", "deep/__init__.py": "", "deep/inner.py": ""}
    venv.install(write_wheel(tmp_path, "six", files))
    folder = tmp_path / "shadow"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}{tmp_path / 'gone'}{os.pathsep}{folder}")
    return folder


def test_without_such_variables_nothing_is_brought(
    venv: Venv, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONWARNINGS"):
        monkeypatch.delenv(name, raising=False)

    assert startup(venv) == {}


@pytest.mark.parametrize(
    ("files", "brought"),
    [
        ({"six.py": ""}, ["six"]),
        ({"six.cpython-399-x86_64-linux-gnu.so": "", "six.so": ""}, ["six"]),
        ({"deep/__init__.py": ""}, ["deep"]),
        ({"deep/other.py": ""}, []),  # a namespace gives way to the package
        ({"json.py": "raise SystemExit"}, ["json"]),
        ({"email/__init__.py": ""}, ["email"]),
        ({"sitecustomize.py": ""}, ["sitecustomize"]),
        ({"mine.py": "", "README": "", "six.txt": ""}, []),
        ({}, []),
    ],
)
def test_modules_that_come_before_those_of_the_environment_or_of_python_are_named(
    venv: Venv, shadow: Path, files: Mapping[str, str], brought: list[str]
) -> None:
    write_files(shadow, files)

    assert list(startup(venv).get("PYTHONPATH", ())) == brought


def test_an_archive_brings_what_is_at_its_top(venv: Venv, shadow: Path) -> None:
    shadow.rmdir()
    with zipfile.ZipFile(shadow, "w") as archive:
        for name in ("six.py", "deep/__init__.py", "other/deep.py"):
            archive.writestr(name, "")

    assert startup(venv)["PYTHONPATH"] == ("deep", "six")


def test_the_environments_own_folder_brings_nothing(
    venv: Venv, shadow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shadow.is_dir()
    monkeypatch.setenv("PYTHONPATH", str(venv.site))

    assert startup(venv) == {}


def test_no_path_is_told(venv: Venv, shadow: Path) -> None:
    write_files(shadow, {"six.py": ""})

    assert str(shadow.parent) not in repr(startup(venv))


def test_a_library_is_told_that_is_loaded_into_each_program(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = compile_library(tmp_path / "libfirst.so.1", ADD)
    monkeypatch.setenv("LD_PRELOAD", f"{tmp_path}/gone.so:{library}")

    assert startup(venv) == {"LD_PRELOAD": ("libfirst.so.1",)}


def test_libraries_are_told_that_a_folder_outside_may_give_before_the_environment(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"deep/libown.so.1": "", "deep/libboth.so.2": ""}
    venv.install(write_wheel(tmp_path, "deep", own))
    write_files(tmp_path / "outside", {"libboth.so.2": "", "libother.so": "", "README": ""})
    folders = ("", "/no/such/folder", str(venv.site / "deep"), str(tmp_path / "outside"))
    monkeypatch.setenv("LD_LIBRARY_PATH", ":".join(folders))

    assert startup(venv) == {"LD_LIBRARY_PATH": ("libboth.so.2",)}


@pytest.mark.parametrize(
    ("value", "is_told"),
    [("error", True), ("e", True), ("ignore,error::UserWarning", True), ("ignore", False)],
)
def test_warnings_that_become_errors_are_told(
    venv: Venv, value: str, *, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", value)

    assert ("PYTHONWARNINGS" in startup(venv)) == is_told


def test_how_python_is_to_run_code_is_a_variable_of_the_environment(
    venv: Venv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")

    assert venv.look().variables["PYTHONOPTIMIZE"] == "2"


def test_a_pythonhome_that_leads_nowhere_is_named(venv: Venv, tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nPYTHONHOME=/no/where exec {venv.python} "$@"\n')
    script.chmod(0o755)

    with pytest.raises(InterpreterError) as caught:
        probe(LocalTarget(str(script)))

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "TMP/python does not start: PYTHONHOME leads it to /no/where"
    )
    assert "unset PYTHONHOME" in caught.value.hint


def test_what_is_no_python_is_still_no_python() -> None:
    silent = Completed(exit_code=1, stdout="", stderr="PYTHONHOME")

    with pytest.raises(InterpreterError, match="is not Python"):
        probe(FakeTarget(answers={"/env/bin/python": silent}))
