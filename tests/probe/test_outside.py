"""What leads out of an environment: it is named, since nobody could carry it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from tests.probe.environments import write_files

if TYPE_CHECKING:
    from tests.probe.environments import Venv


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "alice"))
    write_files(tmp_path / "alice" / "project", {"helper.py": "HELP = 1\n"})
    return tmp_path / "alice"


def outside(venv: Venv) -> tuple[str, ...]:
    return venv.look().environment.outside


def test_an_empty_venv_leads_nowhere(venv: Venv) -> None:
    assert outside(venv) == ()


@pytest.mark.parametrize("line", ["inside", "../site-packages/inside", "/no/such/folder", "# x"])
def test_a_pth_line_that_stays_inside_or_leads_nowhere_is_harmless(venv: Venv, line: str) -> None:
    write_files(venv.site, {"mine.pth": f"{line}\n", "inside/module.py": ""})

    environment = venv.look().environment

    assert environment.outside == ()
    assert [loose.path for loose in environment.untracked] == ["inside/module.py", "mine.pth"]


def test_a_link_to_nothing_outside_is_named(venv: Venv, home: Path) -> None:
    (venv.site / "dangling.py").symlink_to(home / "gone.py")

    assert outside(venv) == ("dangling.py: ~/gone.py",)


@pytest.mark.parametrize("held", ["data.csv", "no-package/module.py", "a/.git/module.py"])
def test_a_folder_of_pythonpath_without_modules_is_harmless(
    venv: Venv, home: Path, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    write_files(home / "path", {held: ""})
    monkeypatch.setenv("PYTHONPATH", str(home / "path"))

    environment = venv.look().environment

    assert (environment.outside, environment.untracked) == ((), ())


def test_modules_of_pythonpath_that_a_distribution_owns_are_harmless(
    venv: Venv, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = {"METADATA": "Name: owned\nVersion: 1\n", "RECORD": "owned/__init__.py,,\n"}
    write_files(home / "target" / "owned-1.dist-info", info)
    write_files(home / "target", {"owned/__init__.py": ""})
    monkeypatch.setenv("PYTHONPATH", str(home / "target"))

    assert outside(venv) == ()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"caf\xe9.txt", r"caf\xe9.txt"),
        (b"two\nlines.txt", r"two\nlines.txt"),
        (b"bell\x07.txt", r"bell\x07.txt"),
    ],
)
def test_a_name_that_no_list_can_hold_is_named_in_printable_words(
    venv: Venv, name: bytes, shown: str
) -> None:
    Path(venv.site, os.fsdecode(name)).touch()

    environment = venv.look().environment

    assert environment.outside == (f"{shown}: its name has a control character, or is no UTF-8",)
    assert environment.untracked == ()


def test_what_is_no_file_is_named(venv: Venv) -> None:
    os.mkfifo(venv.site / "pipe")

    assert outside(venv) == (wording("pipe: no file that can be read"),)


def test_a_file_of_a_distribution_outside_of_the_environment_is_named(
    venv: Venv, home: Path
) -> None:
    info = {"METADATA": "Name: odd\nVersion: 1\n", "RECORD": f"{home}/project/helper.py,,\n"}
    write_files(venv.site / "odd-1.dist-info", info)

    assert outside(venv) == ("odd: ~/project/helper.py",)


def test_at_most_two_hundred_are_named(venv: Venv, tmp_path: Path) -> None:
    for number in range(205):
        (venv.site / f"link{number:03}").symlink_to(tmp_path)

    told = outside(venv)

    assert len(told) == 200
    assert told[-1].startswith("link199: ")


def test_a_link_to_a_file_of_the_kernel_is_named_and_not_read(venv: Venv) -> None:
    venv.site.joinpath("messages.txt").symlink_to("/proc/kmsg")  # reading it would wait for ever

    environment = venv.look().environment

    assert environment.outside == ("messages.txt: /proc/kmsg",)
    assert environment.untracked == ()
