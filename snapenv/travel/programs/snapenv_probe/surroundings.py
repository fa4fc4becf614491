"""What lies beside the sources of packages, in the folder of their project.

A program may read it at run time: configurations, weights, data. It is named with its size, and
travels where the user says so (``--carry``), to the place that it has now as seen from the package:
``configs`` beside a package lies beside it in site-packages afterwards, and what lies beside the
``src`` of a package lies beside site-packages.
"""

# Paths are plain strings, as elsewhere in the probe.
# ruff: noqa: PTH110, PTH112, PTH117, PTH118, PTH120, PTH202

from __future__ import annotations

import itertools
import os
import re
import sys
from typing import Collection, Iterable, Iterator, NamedTuple

from snapenv_probe import editable, file_tree, foreign_folders, import_path, modules, record_file
from snapenv_probe.record_file import Entry

_LIMIT_FILES = 10_000  # that are counted in one folder
_NAMED = 5
_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
_DEEPEST = "../../.."  # from site-packages, the environment's own folder
# What the tools of a project read, and people, and no program of it.
_OF_TOOLS = re.compile(
    r"\..*|_.*|.*\.(?:py|pyc|pyi|md|rst|ipynb|lock|cfg|in|egg-info|dist-info|egg-link|whl|sh|log)"
    r"|(?:readme|licen[cs]e|copying|notice|authors|changelog|changes|contributing|citation)\b.*"
    r"|(?:makefile|dockerfile|jenkinsfile|vagrantfile|justfile)\b.*|.*requirements.*\.txt"
    r"|(?:pyproject|poetry|uv|pixi|ruff|mypy|pytest|tox|codecov|mkdocs|environment|docker-compose"
    r"|compose)[^/]*\.(?:toml|ini|ya?ml)|build|dist|site|runs|wandb|mlruns|outputs|logs|htmlcov"
    r"|node_modules|tests?|docs?|examples?|scripts?|tools|benchmarks?|notebooks?|venv|env",
    re.IGNORECASE,
)


class Anchor(NamedTuple):
    """A folder that modules lie in, and where it is after a restore."""

    folder: str  # resolved
    path: str  # from site-packages; "." is itself
    name: str  # of whose sources these are, for people


class Carried(NamedTuple):
    """What the user lets travel."""

    files: list[Entry]  # by their path from site-packages
    told: list[str]  # what cannot, in words


def carry(paths: Iterable[str], anchors: list[Anchor], owned: Collection[str]) -> Carried:
    """Find what the user names, by absolute paths or as seen from the folder of a project."""
    carried = Carried([], [])
    for path in paths:
        _add(path, anchors, owned, carried)
    return carried


def _add(path: str, anchors: list[Anchor], owned: Collection[str], carried: Carried) -> None:
    try:
        entries = _files(path, anchors)
    except modules.CannotTravel as why:
        carried.told.append(f"{record_file.shown(path)}: {why}")
    else:
        carried.files.extend(
            entry for entry in entries if os.path.realpath(entry.file) not in owned
        )


def left(anchors: list[Anchor], taken: Collection[str]) -> Iterator[str]:
    """Say what lies beside packages and does not travel; ``taken`` are the files that do."""
    folders = _folders(taken)
    walked: set[str] = set()
    for anchor in anchors:
        project = _project(anchor.folder)
        if project not in walked:
            walked.add(project)
            counted = {name: _count(project, name, taken) for name in _beside(project, folders)}
            yield from _note(
                anchor.name, {name: count for name, count in counted.items() if count[0]}
            )


def _files(path: str, anchors: list[Anchor]) -> list[Entry]:
    """List what is at a path, by where it will be.

    Raises:
        CannotTravel: It is not there, too large, another system's, or too far from any package.
    """
    place = _find(path, anchors)
    foreign = foreign_folders.why_not(place)
    if foreign:
        raise modules.CannotTravel(foreign)
    if not anchors:
        raise modules.CannotTravel("no package has its sources outside of the environment")
    nearest = min(anchors, key=lambda anchor: os.path.relpath(place, anchor.folder).count("../"))
    target = os.path.normpath(os.path.join(nearest.path, os.path.relpath(place, nearest.folder)))
    if target.startswith(f"{_DEEPEST}/.."):
        raise modules.CannotTravel(f"too far from {nearest.name} to keep its place beside it")
    entries: list[Entry] = modules.checked(_below(target, place))
    return [entry._replace(path=_from_site(entry.path)) for entry in entries]


def _below(target: str, place: str) -> Iterator[Entry]:
    if not os.path.isdir(place):
        return iter([Entry(target, place, "")])
    entries: Iterator[Entry] = editable.below("" if target == "." else target, place)
    return entries


def _find(path: str, anchors: list[Anchor]) -> str:
    tops = [""] if os.path.isabs(path) else [_project(anchor.folder) for anchor in anchors]
    place = next(filter(os.path.exists, (os.path.join(top, path) for top in tops)), None)
    if place is None:
        raise modules.CannotTravel("there is no such file or folder beside a package")
    return os.path.realpath(place)


def _from_site(path: str) -> str:
    """Name a path from site-packages as that of a restored venv is named."""
    if not path.startswith("../"):
        return path
    minor = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = os.path.join(import_path.prefix(), "lib", minor, "site-packages")
    named: str = file_tree.from_site(os.path.normpath(os.path.join(site, path)))
    return named


def _project(folder: str) -> str:
    """Return the folder of a project that sources are in: their own, or the one above ``src``."""
    above = os.path.dirname(folder)
    is_own = _is_project(folder) or not _is_project(above)
    return folder if is_own else above


def _is_project(folder: str) -> bool:
    return any(os.path.exists(os.path.join(folder, name)) for name in editable.PROJECT)


def _beside(project: str, folders: Collection[str]) -> Iterator[str]:
    """Name what of a project's folder, and of its ``src``, neither tools read nor travels whole."""
    for name in import_path.names(project):
        place = os.path.join(project, name)
        if not _OF_TOOLS.fullmatch(name) and not _is_environment(place):
            is_source = os.path.realpath(place) in folders
            inner = import_path.names(place) if is_source and not _is_package(place) else []
            yield from (
                f"{name}/{inner_name}"
                for inner_name in inner
                if not _OF_TOOLS.fullmatch(inner_name)
            )
            if not is_source:
                yield name


def _is_package(place: str) -> bool:
    return os.path.exists(os.path.join(place, "__init__.py"))


def _is_environment(place: str) -> bool:
    return any(os.path.exists(os.path.join(place, mark)) for mark in ("pyvenv.cfg", "conda-meta"))


def _count(project: str, name: str, taken: Collection[str]) -> tuple[int, int]:
    """Count the files at a name that do not travel, and their bytes, as far as the limit."""
    place = os.path.join(project, name)
    inside = editable.below("", place) if os.path.isdir(place) else [Entry("", place, "")]
    files = (entry.file for entry in itertools.islice(inside, _LIMIT_FILES + 1))
    sizes = [os.path.getsize(file) for file in files if os.path.realpath(file) not in taken]
    return len(sizes), sum(sizes)


def _folders(taken: Collection[str]) -> set[str]:
    """Return all folders that hold any of some files."""
    folders: set[str] = set()
    for file in taken:
        folder = os.path.dirname(file)
        while folder not in folders and folder != os.path.dirname(folder):
            folders.add(folder)
            folder = os.path.dirname(folder)
    return folders


def _note(name: str, counted: dict[str, tuple[int, int]]) -> Iterator[str]:
    if not counted:
        return
    count = sum(files for files, _ in counted.values())
    more = "more than " if any(files > _LIMIT_FILES for files, _ in counted.values()) else ""
    names = sorted(counted, key=lambda other: -counted[other][1])
    others = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    yield (
        f"{more}{count} {'file' if count == 1 else 'files'}, "
        f"{_size(sum(size for _, size in counted.values()))}, beside the sources of {name} "
        f"{'does' if count == 1 else 'do'} not travel: "
        f"{', '.join(map(record_file.shown, names[:_NAMED]))}{others}; --carry PATH takes them"
    )


def _size(size_bytes: float) -> str:
    for unit, bytes_each in _UNITS:
        if size_bytes >= bytes_each:
            return f"{size_bytes / bytes_each:.1f} {unit}"
    return f"{size_bytes:.0f} B"
