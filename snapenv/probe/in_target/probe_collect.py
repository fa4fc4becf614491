"""Send files as a tar: of whole distributions, and by name.

Members are ``dist/NAME/site/PATH`` (below site-packages), ``dist/NAME/scripts/FILE``,
``dist/NAME/data/PATH`` (elsewhere below the prefix), ``files/site/PATH`` and
``files/prefix/PATH``. They have no owner and no time. The first line of a script is ``#!python``
where it names the environment's own interpreter.
"""

# mypy: disable-error-code="import-not-found"
# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH113, PTH118, PTH120, PTH123

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from typing import TYPE_CHECKING, BinaryIO, Dict, NamedTuple, NoReturn

import probe_distributions
import probe_path
import probe_scripts

if TYPE_CHECKING:
    from probe_distributions import Distribution

MARK = b"\nsnapenv-files:\n"
_CANNOT = 4  # exit


class _Member(NamedTuple):
    file: str
    is_script: bool


_Members = Dict[str, _Member]


def send(request: str) -> None:
    """Write what the file ``request`` asks for to stdout, after ``MARK``.

    Raises:
        SystemExit: Something that is asked for is not there; stderr names it.
    """
    with open(request, encoding="ascii") as stream:
        asked = json.load(stream)
    visible = probe_distributions.visible(probe_distributions.find(probe_path.folders()))
    members: _Members = {}
    known = {found.name: found for found in visible}
    for name in asked["distributions"]:
        if name not in known:
            _refuse(f"{name} is not installed")
        members.update(_of_distribution(known[name]))
    for path in asked["files"]:
        members[f"files/{path}"] = _by_name(path, visible)
    sys.stdout.flush()
    sys.stdout.buffer.write(MARK)
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for member in sorted(members):
            _add(archive, member, members[member])


def _of_distribution(found: Distribution) -> _Members:
    """Name the files that make up one; what is missing is left out."""
    edited = {script.entry.path for script in probe_scripts.find(found)}
    members: _Members = {}
    for entry in found.counted():
        is_script = os.path.dirname(entry.file) == os.path.join(_root(found), "bin")
        is_made = entry in found.scripts and entry.path not in edited
        if os.path.isfile(entry.file) and not is_made:
            member = f"dist/{found.name}/{_place(found, entry.path, entry.file)}"
            members[member] = _Member(entry.file, is_script)
    return members


def _place(found: Distribution, path: str, file: str) -> str:
    if not path.startswith(("../", "/")):
        return f"site/{path}"
    below = os.path.relpath(file, _root(found))
    if below.startswith("../"):
        _refuse(f"{found.name} has a file outside of the environment")
    folder, _, name = below.partition("/")
    return f"scripts/{name}" if folder == "bin" and "/" not in name else f"data/{below}"


def _root(found: Distribution) -> str:
    root: str = probe_path.root_of(found.folder)
    return root


def _by_name(path: str, visible: list[Distribution]) -> _Member:
    """Find a file below site-packages, or below the prefix, the one that a look sees."""
    root, _, below = path.partition("/")
    if root == "site":
        owned = (entry for found in visible for entry in found.counted())
        places = [entry.file for entry in owned if entry.path == below]
        places += [os.path.join(folder, below) for folder in probe_path.own_folders()]
    else:
        roots = dict.fromkeys([*map(_root, visible), probe_path.prefix()])
        places = [os.path.join(one, below) for one in roots]
    file = next(filter(os.path.isfile, places), None)
    if file is None:
        _refuse(f"{path} is not there")
    return _Member(file, root == "prefix" and os.path.dirname(below) == "bin")


def _refuse(what: str) -> NoReturn:
    sys.stderr.write(f"snapenv-collect: {what}\n")
    sys.exit(_CANNOT)


def _add(archive: tarfile.TarFile, name: str, member: _Member) -> None:
    try:
        with open(member.file, "rb") as stream:
            status = os.fstat(stream.fileno())
            content: BinaryIO = stream
            size = status.st_size
            if member.is_script:
                script = probe_scripts.without_environment(stream.read())
                content, size = io.BytesIO(script), len(script)
            info = tarfile.TarInfo(name)
            info.size, info.mode = size, 0o755 if status.st_mode & 0o100 else 0o644
            archive.addfile(info, content)
    except OSError as error:
        _refuse(f"{name} cannot be read: {error.strerror or error}")
