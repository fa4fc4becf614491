"""Send files as a tar: of whole distributions, and by name.

Members are ``dist/NAME/site/PATH`` (below site-packages), ``dist/NAME/scripts/FILE``,
``dist/NAME/data/PATH`` (elsewhere below the prefix), ``files/site/PATH`` and
``files/prefix/PATH``. They have no owner and no time. The first line of a script is ``#!python``
where it names the environment's own interpreter.
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH113, PTH116, PTH118, PTH120, PTH123, PTH114

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from typing import TYPE_CHECKING, BinaryIO, Dict, NamedTuple, NoReturn

from snapenv_probe import (
    conda,
    distributions,
    entry_scripts,
    file_tree,
    import_path,
    placeholders,
    reachable,
    record_file,
)

if TYPE_CHECKING:
    from snapenv_probe.distribution import Distribution
    from snapenv_probe.record_file import Entry

MARK = b"\nsnapenv-files:\n"
_CANNOT = 4  # exit


class _Member(NamedTuple):
    file: str
    is_script: bool
    text: str | None = None  # instead of what lies in the file
    has_folders: bool = False  # of this environment, to be taken out


_Members = Dict[str, _Member]


def send(request: str) -> None:
    """Write what the file ``request`` asks for to stdout, after ``MARK``.

    Raises:
        SystemExit: Something that is wanted for is not there; stderr names it.
    """
    with open(request, encoding="ascii") as stream:
        wanted = json.load(stream)
    everything = distributions.find(import_path.folders())
    visible = distributions.visible(everything)
    members: _Members = {}
    known = {package.name: package for package in visible}
    for name in wanted["distributions"]:
        if name not in known:
            _refuse(f"{name} is not installed")
        members.update(_of_distribution(known[name]))
    members.update(_single(wanted, everything, visible))
    for name in wanted.get("packages", ()):
        members.update(_of_package(name))
    sys.stdout.flush()
    sys.stdout.buffer.write(MARK)
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for member in sorted(members):
            _add(archive, member, members[member])


def _single(
    request: dict[str, list[str]], everything: list[Distribution], visible: list[Distribution]
) -> _Members:
    """Find files by name; outside it is looked only where that may be needed."""
    named = {path: _by_name(path, visible) for path in request["files"]}
    is_whole = all(named.values()) and not any(path.endswith(".pth") for path in named)
    reached = {} if is_whole else _reached(everything, visible, request.get("carry", []))
    members = {
        f"files/{path}": reached.get(path) or file or _refuse(f"{path} is not there")
        for path, file in named.items()
    }
    return {
        name: member._replace(has_folders=placeholders.is_known(_from_site(name)))
        for name, member in members.items()
    }


def _from_site(member: str) -> str:
    """Return the path from site-packages of a file that is asked for by name."""
    _, root, below = member.split("/", maxsplit=2)
    return below if root == "site" else f"../../../{below}"


def _of_distribution(package: Distribution) -> _Members:
    """Name the files that make up one; what is missing is left out."""
    edited = {script.entry.path for script in entry_scripts.find(package)}
    members: _Members = {}
    for entry in package.counted():
        is_script = os.path.dirname(entry.file) == os.path.join(_root(package), "bin")
        is_made = entry in package.scripts and entry.path not in edited
        if os.path.isfile(entry.file) and not is_made:
            member = f"dist/{package.name}/{_place(package, entry.path, entry.file)}"
            members[member] = _Member(entry.file, is_script, has_folders=_is_translated(entry))
    return members


def _of_package(name: str) -> _Members:
    """Name the file of a package of conda where it is kept whole, else what was installed of it."""
    package = next((each for each in conda.packages()[0] if each.name == name), None)
    if package is None:
        _refuse(f"{name} is not installed")
    archive = conda.cached(package)
    if archive and conda.is_own_archive(package, archive):
        return {f"conda/{name}/archive": _Member(archive, is_script=False)}
    root = import_path.prefix()
    places = {each.path: os.path.join(root, each.path) for each in package.files}
    record = {
        "prefix": root,
        "paths": conda.paths(package.record),
        "links": {path: os.readlink(file) for path, file in places.items() if os.path.islink(file)},
    }
    return {
        f"conda/{name}/record.json": _Member("", is_script=False, text=json.dumps(record)),
        **{
            f"conda/{name}/prefix/{path}": _Member(file, is_script=False)
            for path, file in places.items()
            if os.path.isfile(file) and not os.path.islink(file)
        },
    }


def _is_translated(entry: Entry) -> bool:
    """Return whether a file counts without the environment's folders: if it was edited."""
    if not placeholders.is_known(entry.path):
        return False
    return bool(record_file.is_other(entry, entry_scripts.read(entry.file) or b""))


def _place(package: Distribution, path: str, file: str) -> str:
    if not path.startswith(("../", "/")):
        return f"site/{path}"
    below = os.path.relpath(file, _root(package))
    if below.startswith("../"):
        _refuse(f"{package.name} has a file outside of the environment")
    folder, _, name = below.partition("/")
    return f"scripts/{name}" if folder == "bin" and "/" not in name else f"data/{below}"


def _root(package: Distribution) -> str:
    root: str = import_path.root_of(package.folder)
    return root


def _reached(
    everything: list[Distribution], visible: list[Distribution], carry: list[str]
) -> _Members:
    """Return what lies outside, or is written anew, by the names that it is asked for by."""
    tree = file_tree.walk(import_path.own_folders(), file_tree.root())
    reach = reachable.find(tree, everything, visible, carry)
    members = {
        _member_name(entry.path): _Member(entry.file, is_script=False) for entry in reach.files
    }
    for name, text in reach.texts.items():
        members[f"site/{name}"] = _Member(name, is_script=False, text=text)
    return members


def _member_name(path: str) -> str:
    """Name a file as ``files`` do, by its path from site-packages."""
    site = "lib/python3/site-packages"
    below = os.path.normpath(os.path.join(site, path))
    inside = below[len(site) + 1 :]
    return f"site/{inside}" if below.startswith(f"{site}/") else f"prefix/{below}"


def _by_name(path: str, visible: list[Distribution]) -> _Member | None:
    """Find a file below site-packages, or below the prefix, the one that a look sees."""
    root, _, below = path.partition("/")
    if root == "site":
        owned = (entry for package in visible for entry in package.counted())
        places = [entry.file for entry in owned if entry.path == below]
        places += [os.path.join(folder, below) for folder in import_path.own_folders()]
    else:
        roots = dict.fromkeys([*map(_root, visible), import_path.prefix()])
        places = [os.path.join(folder, below) for folder in roots]
    file = next(filter(os.path.isfile, places), None)
    if file is None:
        return None
    return _Member(file, root == "prefix" and os.path.dirname(below) == "bin")


def _refuse(what: str) -> NoReturn:
    sys.stderr.write(f"snapenv-collect: {what}\n")
    sys.exit(_CANNOT)


def _add(archive: tarfile.TarFile, name: str, member: _Member) -> None:
    try:
        with _opened(member) as stream:
            content: BinaryIO = stream
            if member.is_script or member.has_folders:
                content = io.BytesIO(_translated(stream.read(), member))
            info = tarfile.TarInfo(name)
            info.size = content.seek(0, os.SEEK_END)
            content.seek(0)
            info.mode = 0o755 if _is_executable(member) else 0o644
            archive.addfile(info, content)
    except OSError as error:
        _refuse(f"{name} cannot be read: {error.strerror or error}")


def _translated(content: bytes, member: _Member) -> bytes:
    if member.is_script:
        content = entry_scripts.without_environment(content)
    return placeholders.take_out(content) if member.has_folders else content


def _opened(member: _Member) -> BinaryIO:
    """Open what a member holds.

    Raises:
        OSError: It cannot be read.
    """
    if member.text is None:
        return open(member.file, "rb")
    return io.BytesIO(member.text.encode("utf-8", "surrogateescape"))


def _is_executable(member: _Member) -> bool:
    return member.text is None and bool(os.stat(member.file).st_mode & 0o100)
