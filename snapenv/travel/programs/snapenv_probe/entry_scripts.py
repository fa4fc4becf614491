"""Scripts: what an installer puts into bin, where the first line names the environment.

Those that an installer makes from entry points come back by themselves, and only where they were
edited do their bytes count. The first line of any is read as ``#!python`` where it names the
environment's own interpreter, as in a wheel.
Source: https://packaging.python.org/en/latest/specifications/binary-distribution-format/
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH113, PTH117, PTH110, PTH118, PTH119, PTH120, PTH123

from __future__ import annotations

import hashlib
import os
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

from snapenv_probe import file_status, hashing, import_path, record_file

if TYPE_CHECKING:
    from snapenv_probe.distribution import Distribution
    from snapenv_probe.record_file import Entry

OWN = b"#!python"
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*w?t?")
# Where a path is too long for a first line, or holds a space, and where it is looked for.
_BY_SHELL = re.compile(rb"#!/bin/sh\n'''exec' (.*?) \"\$0\" \"\$@\"\n' '''(?:\n|$)")
_RELOCATABLE = re.compile(r'"\$\(dirname .*\)"/.*')
# Installers make pip3.11 of the entry point pip, and easy_install-3.11 of easy_install.
_VERSION = re.compile(r"(?<=^pip)[0-9.]+$|(?<=^easy_install)-[0-9.]+$")
_POINT = re.compile(r"([\w.-]+)\s*=\s*([\w.]+)\s*:\s*([\w.]+)\s*(?:\[.*\])?")
# What pip, uv and their elders write. __M__, __I__, __F__: of the entry point; __S__: a string.
_GENERATED = r"""
(?:\#[ ]-\*-[ ]coding:[ ]utf-8[ ]-\*-\n)?
(?:import[ ]re\n)?
import[ ]sys\n+
from[ ]__M__[ ]import[ ]__I__\n+
if[ ]__name__[ ]==[ ](?P<quote>["'])__main__(?P=quote):\n
(?:\ {4}(?:el)?if[ ]sys\.argv\[0\]\.endswith\(__S__\):\n
 |\ {4,8}sys\.argv\[0\][ ]=[ ](?:
     sys\.argv\[0\]\[:-\d+\]|sys\.argv\[0\]\.removesuffix\(__S__\)
     |re\.sub\(r__S__,[ ]__S__,[ ]sys\.argv\[0\]\)
  )\n
)*
\ {4}sys\.exit\(__F__\(\)\)\n*
"""


class Script(NamedTuple):
    """A script that counts: its bytes with the environment taken out of the first line."""

    entry: Entry
    content: bytes
    is_edited: bool

    def hashed(self) -> hashing.Hashed:
        """Hash what is given, not what lies there."""
        digest = hashlib.sha256(self.content).hexdigest()
        return hashing.Hashed(digest, len(self.content), _is_executable(self.entry.file))


def find(package: Distribution) -> list[Script]:
    """Return those scripts of a distribution that no installer would make of its entry points.

    Programs that are no text are files as any other.
    """
    by_name = points(package)
    scripts = (_script(entry, by_name) for entry in package.scripts)
    return [script for script in scripts if script]


def made(package: Distribution) -> frozenset[str]:
    """Return the paths that installers make of entry points, edited and removed ones too."""
    by_name = points(package) if package.scripts else {}
    return frozenset(script.path for script in package.scripts if _point(script, by_name))


def points(package: Distribution) -> dict[str, tuple[str, str]]:
    """Return module and attribute of each script that an installer makes, by name."""
    return _entry_points(package.read("entry_points.txt") or "")


def _point(entry: Entry, points: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    name = os.path.basename(entry.path)
    return points.get(name) or points.get(_VERSION.sub("", name))


def _script(entry: Entry, points: dict[str, tuple[str, str]]) -> Script | None:
    raw = read(entry.file)
    if raw is None or not raw.startswith(b"#!"):
        return None
    content = without_environment(raw)
    point = _point(entry, points)
    is_edited = record_file.is_other(entry, raw)
    if point is None:
        return Script(entry, content, is_edited)
    is_certain = bool(entry.hash) and not is_edited
    is_made = _is_executable(entry.file) and (is_certain or is_generated(content, *point))
    return None if is_made else Script(entry, content, is_edited=True)


def _is_executable(file: str) -> bool:
    status = file_status.ask(file)
    return status is not None and file_status.is_executable(status)


def is_in_bin(file: str) -> bool:
    """Return whether a file lies where the scripts of this environment do."""
    return os.path.dirname(file) == os.path.join(import_path.prefix(), "bin")


def claimed(package: Distribution) -> set[str]:
    """Name the scripts of a distribution of which nothing lists them."""
    return set() if package.entries is not None else named(package)


def named(package: Distribution) -> set[str]:
    """Name the scripts that a distribution's metadata speaks of."""
    return {*points(package), *package.names("scripts")}


def is_program(file: str) -> bool:
    """Return whether a file of bin is no text, such as ruff or cmake."""
    try:
        if not os.path.isfile(file):
            return False
        with open(file, "rb") as stream:
            return stream.read(2) != b"#!"
    except (OSError, ValueError):
        return False


def read(file: str) -> bytes | None:
    """Read a plain file; None where there is none that can be read."""
    try:
        if not os.path.isfile(file):
            return None
        with open(file, "rb") as stream:
            return stream.read()
    except (OSError, ValueError):
        return None


def without_environment(content: bytes) -> bytes:
    """Write the first line as ``#!python`` where it names an interpreter of this environment.

    What follows the interpreter in that line stays.
    """
    by_shell = _BY_SHELL.match(content)
    if by_shell:
        return OWN + b"\n" + content[by_shell.end() :] if _is_own(by_shell[1]) else content
    first, newline, rest = content.partition(b"\n")
    if not first.startswith(b"#!"):
        return content
    program, space, options = first[2:].partition(b" -")
    return OWN + space + options + newline + rest if _is_own(program) else content


def interpreter(file: str) -> str | None:
    """Return the program that the first line of a script names by its path."""
    content = read(file) or b""
    by_shell = _BY_SHELL.match(content)
    first = content.partition(b"\n")[0]
    program = by_shell[1] if by_shell else first[2:].partition(b" -")[0]
    path = _path_of(program)
    return path if os.path.isabs(path) else None


def _path_of(program: bytes) -> str:
    return os.fsdecode(program).strip().strip("'\"")


def _is_own(program: bytes) -> bool:
    """Return whether a program is the environment's, or of a place that it was moved from."""
    path = _path_of(program)
    if _RELOCATABLE.match(os.fsdecode(program)):
        return True
    if not os.path.isabs(path) or not _PYTHON.fullmatch(os.path.basename(path)):
        return False
    folders = {
        os.path.join(import_path.prefix(), "bin"),
        os.path.realpath(os.path.dirname(_self())),
    }
    return os.path.realpath(os.path.dirname(path)) in folders or not os.path.exists(path)


def _self() -> str:
    return sys.executable or os.path.join(sys.prefix, "bin", "python")


def _entry_points(text: str) -> dict[str, tuple[str, str]]:
    """Return module and attribute of each script that an installer makes, by name."""
    points: dict[str, tuple[str, str]] = {}
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line
        elif section in ("[console_scripts]", "[gui_scripts]"):
            point = _POINT.fullmatch(line)
            if point:
                points[point[1]] = (point[2], point[3])
    return points


def is_generated(content: bytes, module: str, attribute: str) -> bool:
    """Return whether a script does what its entry point says and nothing else."""
    _, _, body = content.decode("utf-8", "replace").partition("\n")
    pattern = _GENERATED.replace("__S__", r"""["'][^"'\n]*["']""")
    pattern = pattern.replace("__M__", re.escape(module))
    pattern = pattern.replace("__I__", re.escape(attribute.split(".", maxsplit=1)[0]))
    pattern = pattern.replace("__F__", re.escape(attribute))
    return re.fullmatch(pattern, body, re.VERBOSE) is not None
