from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapenv.lock.as_files import as_files
from snapenv.lock.entry_points import is_installable, scripts_of
from snapenv.model.carried import CarriedFile

INFO = "ours-2.0_x.dist-info"
POINTS = b"[console_scripts]\nrun = ours:main.start [extra]\n[other]\nx = y\n"
SCRIPT = b"""#!python
import sys
from ours import main
if __name__ == '__main__':
    sys.exit(main.start())
"""


def carried(content: bytes, *, executable: bool = False) -> CarriedFile:
    return CarriedFile(content=content, executable=executable)


FILES = {
    f"site/{INFO}/METADATA": carried(b"Name: ours\nVersion: 2.0-x\n"),
    f"site/{INFO}/entry_points.txt": carried(POINTS),
    "site/ours.py": carried(b"x = 1\n"),
    "scripts/tool": carried(b"#!/bin/sh\n", executable=True),
    "data/share/ours/a, b.txt": carried(b""),
}


def test_files_and_scripts_stand_where_an_installer_puts_them() -> None:
    placed = as_files(FILES)

    assert placed["site/ours.py"] == FILES["site/ours.py"]
    assert placed["prefix/bin/tool"] == FILES["scripts/tool"]
    assert placed["prefix/share/ours/a, b.txt"] == FILES["data/share/ours/a, b.txt"]
    assert placed["prefix/bin/run"] == carried(SCRIPT, executable=True)


def test_record_lists_all_and_tells_no_hash_of_what_is_written_anew() -> None:
    record = as_files(FILES)[f"site/{INFO}/RECORD"].text.decode().splitlines()

    assert [line.rpartition(",")[0].rpartition(",")[0] for line in record] == [
        "../../../bin/run",
        "../../../bin/tool",
        '"../../../share/ours/a, b.txt"',
        f"{INFO}/INSTALLER",
        f"{INFO}/METADATA",
        f"{INFO}/entry_points.txt",
        "ours.py",
        f"{INFO}/RECORD",
    ]
    assert [line for line in record if line.endswith(",,")] == [
        "../../../bin/run,,",
        "../../../bin/tool,,",
        f"{INFO}/RECORD,,",
    ]


def test_a_script_that_lies_there_by_hand_is_left_to_what_brings_it_back() -> None:
    assert "prefix/bin/run" not in as_files(FILES, untracked={"prefix/bin/run"})


def test_without_a_dist_info_there_is_no_record() -> None:
    files = {"site/ours.egg-info/PKG-INFO": carried(b"Name: ours\nVersion: x\n")}

    assert as_files(files) == files


@pytest.mark.parametrize(
    "text",
    [
        b"garbage\n",
        b"run = ours:main\n",
        b"[console_scripts]\nrun = ours\n",
        b"[gui_scripts]\n../run = ours:main\n",
        b"[console_scripts]\nrun = ours:main\nrun = ours:other\n",
        b"\xff\xfe",
    ],
)
def test_entry_points_that_uv_refuses_are_known(text: bytes) -> None:
    """Each of these was given to uv 0.13.9 in a wheel."""
    assert not is_installable(text)


@given(st.from_regex(r"[a-z]\w{0,8}(\.[a-z]\w{0,8})?", fullmatch=True).filter(str.isascii))
def test_entry_points_that_uv_takes_become_scripts(name: str) -> None:
    text = f"[console_scripts]\n{name} = {name}:{name}\n".encode()

    assert is_installable(text)
    assert scripts_of(text)[name].endswith(f"sys.exit({name}())\n".encode())
