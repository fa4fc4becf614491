"""The sources of an editable installation: what can be imported of them, as if it were installed.

Three ways lead there: a ``.pth`` line to a folder, setuptools' finder with a table of names, and
the folder itself where setuptools' old ``develop`` left only an .egg-info beside the sources.
Sources: https://setuptools.pypa.io/en/latest/userguide/development_mode.html
https://pypi.org/project/editables/
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH120, PTH112, PTH113, PTH114, PTH118, PTH119, PTH123

from __future__ import annotations

import ast
import importlib.machinery
import os
import re
from typing import TYPE_CHECKING, Iterator

from snapenv_probe import import_path, pth, record_file, unrecorded
from snapenv_probe.distribution import Sources
from snapenv_probe.record_file import Entry

if TYPE_CHECKING:
    from snapenv_probe.distribution import Distribution

_MODULE = (".py", *importlib.machinery.EXTENSION_SUFFIXES)
PROJECT = ("pyproject.toml", "setup.py", "setup.cfg")
NEVER = frozenset(
    [
        *("__pycache__", ".git", ".hg", ".svn", ".tox", ".nox", ".venv", ".ipynb_checkpoints"),
        *(".mypy_cache", ".pytest_cache", ".ruff_cache"),
    ]
)
# What lies beside a package in the folder of a project, and is no part of what it installs.
_OF_PROJECT = frozenset(
    [
        *("setup", "conftest", "noxfile", "tasks", "fabfile", "versioneer"),
        *("tests", "test", "docs", "doc", "examples", "scripts", "benchmarks"),
        *("build", "dist", "node_modules"),
    ]
)


def of(package: Distribution) -> Sources:
    """Find the sources of an editable installation."""
    if package.entries is None:
        inside = [*unrecorded.metadata(package), *_of_root(package.folder, package)]
        return Sources(inside, [package.folder], frozenset(), is_found=True)
    tops = {entry.path: entry.file for entry in package.entries if "/" not in entry.path}
    leads: list[str] = []
    entries: dict[str, Entry] = {}
    wiring: set[str] = set()
    hooks = [file for path, file in sorted(tops.items()) if path.endswith(".pth")]
    for hook in hooks:
        for line in pth.lines(hook):
            finder = tops.get(f"{line.module}.py")
            if line.place and not import_path.is_below(line.place, package.folder):
                leads.append(line.place)
                wiring.add(hook)
                entries.update((entry.path, entry) for entry in _of_root(line.place, package))
            elif finder:
                mapped = _of_finder(finder)
                entries.update((entry.path, entry) for entry in mapped)
                wiring.update((hook, finder) if mapped else ())
    is_found = wiring.issuperset(hook for hook in hooks if pth.lines(hook))
    return Sources(list(entries.values()), leads, frozenset(wiring), is_found)


def roots(visible: list[Distribution]) -> set[str]:
    """Return the folders that editable installations lead to."""
    return {root for package in visible if package.sources for root in package.sources.roots}


def is_linked_folder(entry: Entry) -> bool:
    """Return whether RECORD names a link to a folder, as ``flit install --symlink`` leaves it."""
    return not entry.hash and os.path.islink(entry.file) and os.path.isdir(entry.file)


def followed(entry: Entry) -> list[Entry]:
    """Return the files that an entry of RECORD stands for: more than one of a link to a folder."""
    return list(below(entry.path, entry.file)) if is_linked_folder(entry) else [entry]


def _of_finder(file: str) -> list[Entry]:
    """Read the table of a finder, which is never run: names, with dots, to files or folders."""
    try:
        with open(file, encoding="utf-8") as stream:
            tree = ast.parse(stream.read())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    table = _table(tree)
    places = ((name.replace(".", "/"), place) for name, place in sorted(table.items()))
    return [entry for path, place in places for entry in _at(path, place)]


def _table(tree: ast.Module) -> dict[str, str]:
    """Return the place of each name in setuptools' finder, or in that of ``editables``."""
    table: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            value = _literal(node.value) if {"MAPPING", "NAMESPACES"}.intersection(names) else None
            for name, place in _pairs(value):
                table.setdefault(name, place)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "map_module":
            words = [_literal(word) for word in node.args]
            if len(words) == 2 and all(isinstance(word, str) for word in words):  # noqa: PLR2004
                table[str(words[0])] = str(words[1])
    return table


def _literal(node: ast.expr | None) -> object:
    try:
        return ast.literal_eval(node) if node else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _pairs(value: object) -> Iterator[tuple[str, str]]:
    """Yield name and place of a table; of a namespace in many places, each."""
    for name, places in value.items() if isinstance(value, dict) else ():
        for place in places if isinstance(places, (list, tuple)) else [places]:
            if isinstance(name, str) and isinstance(place, str):
                yield name, place


def _at(path: str, place: str) -> list[Entry]:
    """Return the files of a name: of a folder, or the modules that start with its name."""
    if os.path.isdir(place):
        return list(below(path, place))
    if os.path.basename(place) == "__init__.py":  # as ``editables`` has it, with its ending
        return list(below(path, os.path.dirname(place)))
    if os.path.isfile(place):
        path = os.path.join(os.path.dirname(path), os.path.basename(place))
        return [Entry(path, place, "")]
    return [
        Entry(path + ending, place + ending, "")
        for ending in _MODULE
        if os.path.isfile(place + ending)
    ]


def _of_root(root: str, package: Distribution) -> Iterator[Entry]:
    for name in _names(root, package):
        yield from _at_top(root, name)


def _at_top(root: str, name: str) -> Iterator[Entry]:
    place = os.path.join(root, name)
    if os.path.isdir(place):
        yield from below(name, place)
    else:
        yield Entry(name, place, "")


def _names(root: str, package: Distribution) -> list[str]:
    """List what of a folder is the distribution's: modules with their endings, and packages.

    In the folder of a project, that is what the distribution says; where it says nothing, all
    but what projects keep beside their packages.
    """
    names = [name for name in import_path.names(root) if _is_importable(os.path.join(root, name))]
    if not any(os.path.isfile(os.path.join(root, name)) for name in PROJECT):
        return names
    own = _top_level(root, package)
    if own:
        return [name for name in names if name.split(".")[0] in own]
    return [name for name in names if _is_of_package(root, name, package)]


def _is_importable(place: str) -> bool:
    """Return whether something could be imported from a place, by its name and by what it holds."""
    name = os.path.basename(place)
    if os.path.isdir(place):
        return name.isidentifier() and name not in NEVER and _has_module(place)
    return os.path.isfile(place) and name.endswith(_MODULE) and name.split(".")[0].isidentifier()


def _has_module(place: str) -> bool:
    return any(entry.path.endswith(_MODULE) for entry in below("", place))


def _is_of_package(root: str, name: str, package: Distribution) -> bool:
    stem = name.split(".", maxsplit=1)[0]
    if _normal(stem) == package.name:
        return True
    is_file = os.path.isfile(os.path.join(root, name))
    is_package = is_file or os.path.isfile(os.path.join(root, name, "__init__.py"))
    return is_package and stem not in _OF_PROJECT


def _top_level(root: str, package: Distribution) -> set[str]:
    """Return the names that setuptools wrote down, beside the metadata or beside the sources."""
    listed = package.read("top_level.txt")
    if listed is None:
        for name in import_path.names(root):
            stem = name[: -len(".egg-info")]
            if name.endswith(".egg-info") and _normal(stem) == package.name:
                listed = _read(os.path.join(root, name, "top_level.txt"))
    return set((listed or "").split())


def below(path: str, place: str, above: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Yield every file below a folder, through links too, less compiled ones and environments."""
    resolved = os.path.realpath(place)
    if resolved in above or os.path.isfile(os.path.join(place, "pyvenv.cfg")):
        return
    for name in import_path.names(place):
        file = os.path.join(place, name)
        inner = f"{path}/{name}" if path else name
        if os.path.isdir(file):
            if name not in NEVER:
                yield from below(inner, file, (*above, resolved))
        elif os.path.isfile(file) and not record_file.is_compiled(file):
            yield Entry(inner, file, "")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _read(file: str) -> str | None:
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except OSError:
        return None
