"""The variables by which a program starts otherwise: what they put before the environment's own.

Their values are paths of one machine and stay there; what comes of them is told by its name.
Sources: https://docs.python.org/3/using/cmdline.html#environment-variables and ld.so(8).
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH112, PTH113, PTH118, PTH119, PTH123, PTH208

from __future__ import annotations

import importlib.machinery
import os
import re
import sys

from snapenv_probe import import_path

TYPE_CHECKING = False  # as in file_tree
if TYPE_CHECKING:
    from typing import Callable, Iterable, Iterator

    from snapenv_probe.file_tree import Tree

_LIMIT = 20  # names of one variable; past it nobody reads on
_ALWAYS = ("sitecustomize", "usercustomize")  # imported at each start, wherever they are
_SUFFIXES = importlib.machinery.all_suffixes()


def find(tree: Tree) -> dict[str, list[str]]:
    """Return the variables that lead elsewhere, each with the names of what it brings, sorted."""
    answers: dict[str, Callable[[str], Iterable[str]]] = {
        "LD_AUDIT": _loaded,
        "LD_LIBRARY_PATH": lambda value: _libraries(value, tree),
        "LD_PRELOAD": _loaded,
        "PYTHONHOME": lambda _: ["the standard library"],
        "PYTHONPATH": _modules,
        "PYTHONWARNINGS": _errors,
    }
    named = {
        name: sorted(set(answer(os.environ[name])))[:_LIMIT]
        for name, answer in answers.items()
        if os.environ.get(name)
    }
    return {name: names for name, names in named.items() if names}


def _loaded(value: str) -> Iterator[str]:
    """Name the libraries of a list that are in this process, as in every other one."""
    mapped = _read("/proc/self/maps")
    for word in re.split("[ :]+", value):
        name = os.path.basename(word)
        if name and f"/{name}\n" in mapped:
            yield name


def _libraries(value: str, tree: Tree) -> set[str]:
    """Name the environment's libraries that a folder outside has, too, and may give first."""
    names = {
        name
        for folder in _outside(re.split("[:;]", value))
        for name in _listed(folder)
        if ".so" in name
    }
    if not names:
        return set()
    return names.intersection(os.path.basename(path) for path in tree.statuses() if ".so" in path)


def _modules(value: str) -> set[str]:
    """Name the modules that come before those of the same name in the environment or Python."""
    import sysconfig  # seldom needed

    offered = {name for place in _outside(value.split(os.pathsep)) for name in _offered(place)}
    library = sysconfig.get_path("stdlib")
    own = {name for folder in (*import_path.site_folders(), library) for name in _offered(folder)}
    return offered & {*own, *sys.builtin_module_names, *_ALWAYS}


def _offered(place: str) -> set[str]:
    """Name what can be imported from a folder or an archive; an empty namespace hides nothing."""
    if os.path.isdir(place):
        names = _listed(place)
        packages = {
            name
            for name in names
            if name.isidentifier()
            and any(
                os.path.isfile(os.path.join(place, name, f"__init__{end}")) for end in _SUFFIXES
            )
        }
    else:
        listed = [name.split("/") for name in _packed(place)]
        names = [path[0] for path in listed if len(path) == 1]
        packages = {path[0] for path in listed if path[1:] == ["__init__.py"]}
    return packages | {name.partition(".")[0] for name in names if name.endswith(tuple(_SUFFIXES))}


def _packed(file: str) -> list[str]:
    import zipfile  # takes 10 ms, and is seldom needed

    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return []


def _outside(places: Iterable[str]) -> Iterator[str]:
    """Yield the places of a list that are no part of the environment, nor of NVIDIA's image."""
    own = (import_path.prefix(), *import_path.own_folders())
    for place in places:
        real = os.path.realpath(place) if place else ""
        inside = any(real == folder or import_path.is_below(real, folder) for folder in own)
        if real and not inside and not import_path.is_of_image(real):
            yield real


def _errors(value: str) -> list[str]:
    actions = (option.split(":")[0].strip() for option in value.split(","))
    is_error = any(action and "error".startswith(action) for action in actions)
    return ["errors in the place of warnings"] if is_error else []


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
