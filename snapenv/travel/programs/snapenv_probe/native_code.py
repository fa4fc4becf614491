"""The compiled files of an environment: the kernels they hold, the libraries they need.

No file is loaded: headers are read, and of the contents nothing.
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH110, PTH112, PTH114, PTH118, PTH119, PTH120, PTH123, PTH208, PTH113

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING, Iterable, Iterator, Mapping, NamedTuple

from snapenv_probe import conda, elf_file, fatbin, file_tree, import_path, loader, record_file

if TYPE_CHECKING:
    from snapenv_probe.distribution import Distribution
    from snapenv_probe.file_tree import Tree
    from snapenv_probe.reachable import Reach

_SHARED_OBJECT = re.compile(r".+\.so(\.\w+)*")
# Of glibc, and of Python itself: both are there wherever the interpreter runs.
_OF_INTERPRETER = re.compile(
    r"(ld-linux|ld-musl|ld64|linux-vdso|libc|libm|libmvec|libpthread|libdl|librt|libutil"
    r"|libresolv|libanl|libpython3[^/]*)([-.].*)?\.so(\..*)?|libc\.musl-.*"
)
_TAGGED_MODULE = re.compile(r".+\.(cpython-|pypy|abi3)[^/]*\.so|[^.]+\.so")
_FOLDERS_OF_LIBRARIES = re.compile(r"(lib|lib64|.*\.libs)")


_OF_TORCH = ("pytorch", "libtorch")  # of conda-forge, which parts torch in two
_OF_SYSTEM = ("/lib", "/usr/lib")  # also lib32, lib64
_OF_DRIVER = re.compile(r"lib(cuda|nvidia-.+|nvcuvid|nvoptix)\.so.*")


class Compiled(NamedTuple):
    """One shared object of the environment."""

    file: str
    distribution: str | None
    elf: elf_file.Elf
    containers: list[set[str]]  # the architectures of each fat binary


def inspect(distributions: list[Distribution], tree: Tree, reach: Reach) -> dict[str, object]:
    """Return ``kernels`` and ``libraries`` as snapenv's ``Native`` has them.

    ``looked_at`` are the paths besides the environment's own that this hangs on.
    """
    owners = _shared_objects(distributions, tree, reach)
    read = [
        compiled for file, owner in owners.items() for compiled in [_read(file, owner)] if compiled
    ]
    users = _users(read, set(map(_base, owners)))
    runpaths = _runpaths(users)
    paths: dict[str, str] = loader.find(runpaths, _machine(users))
    required = _required(read)
    libraries = _libraries(users, paths, required)
    return {
        "kernels": _kernels(read),
        "libraries": libraries,
        "notes": [
            *(
                _left_behind(compiled, users, paths)
                for compiled in libraries
                if compiled["outside"]
            ),
            *_bound(compiled for compiled in read if compiled.file in required),
        ],
        "loaded": sorted(paths.values()),
        "looked_at": loader.looked_at(runpaths, paths),
    }


def _shared_objects(
    distributions: list[Distribution], tree: Tree, reach: Reach
) -> dict[str, str | None]:
    """Return the files with the distribution that each belongs to, sorted by file."""
    owned: dict[str, str | None] = {
        entry.file: package.name
        for package in distributions
        for entry in (*(package.entries or ()), *package.digested)
        if _SHARED_OBJECT.fullmatch(entry.file)
    }
    others = [folder for folder in import_path.site_folders() if folder not in tree.folders]
    walked = {**tree.statuses(), **file_tree.walk(others).statuses()}
    walked.update((entry.file, (0, 0, 0, 0, 0, 0)) for entry in reach.files)
    of_conda = _owners_of_conda()
    untracked = {
        file: of_conda.get(file)
        for file in walked
        if ".so" in file and _SHARED_OBJECT.fullmatch(file)
    }
    return dict(sorted({**untracked, **owned}.items()))


def _owners_of_conda() -> dict[str, str]:
    """Return the package of conda that each file in there is of; those of torch are torch's."""
    root = import_path.conda()
    packages = conda.packages()[0] if root else []
    return {
        f"{root}/{file.path}": "torch" if package.name in _OF_TORCH else package.name
        for package in packages
        for file in package.files
        if ".so" in file.path
    }


def _read(file: str, owner: str | None) -> Compiled | None:
    if not os.path.isfile(file):
        return None
    try:
        with open(file, "rb", buffering=0) as stream:
            elf = elf_file.read(stream)
            if elf is None:
                return None
            containers = [
                names
                for section in elf.sections
                if section.name in fatbin.SECTIONS
                for names in fatbin.architectures(
                    stream.fileno(), section.offset, section.size_bytes
                )
            ]
            return Compiled(file, owner, elf, containers)
    except OSError:
        return None


def _kernels(read: list[Compiled]) -> list[dict[str, object]]:
    by_owner: dict[str | None, list[set[str]]] = {}
    for each in read:
        if each.containers and not os.path.islink(each.file):
            by_owner.setdefault(each.distribution, []).extend(each.containers)
    return [
        {"distribution": owner, **_summed(by_owner[owner])}
        for owner in sorted(by_owner, key=lambda name: name or "")
    ]


def _summed(containers: list[set[str]]) -> dict[str, object]:
    counts = Counter(name for container in containers for name in container)
    names = sorted(counts, key=fatbin.sort_key)
    common = [name for name in names if 2 * counts[name] >= len(containers)]
    return {"architectures": names, "common": common}


def _users(read: list[Compiled], shipped: set[str]) -> dict[str, list[Compiled]]:
    """Return by name what is needed and neither shipped by the environment nor a part of glibc.

    The loader looks for files by the name that is needed, whatever SONAME a file has.
    """
    shipped = shipped | _of_conda()
    users: dict[str, list[Compiled]] = {}
    for compiled in read:
        for soname in compiled.elf.needed:
            if soname not in shipped and not _OF_INTERPRETER.fullmatch(soname):
                users.setdefault(_base(soname), []).append(compiled)
    return users


def _libraries(
    users: Mapping[str, list[Compiled]], paths: Mapping[str, str], required: set[str]
) -> list[dict[str, object]]:
    packages = loader.owners(paths.values())
    libraries: list[dict[str, object]] = []
    for soname in sorted(users):
        path = paths.get(soname)
        package, is_required = packages.get(path or ""), _is_any(users[soname], required)
        is_outside = path is not None and package is None and _is_of_nobody(path)
        libraries.append(
            {
                "soname": soname,
                "package": package,
                "found": path is not None,
                "required": is_required,
                "needed_by": sorted({user.distribution or "" for user in users[soname]} - {""}),
                "outside": is_outside and is_required,
            }
        )
    return libraries


def _is_any(compiled: list[Compiled], files: set[str]) -> bool:
    return any(library.file in files for library in compiled)


def _is_of_nobody(path: str) -> bool:
    """Return whether a library was put there by hand: not of a system, an image or a driver."""
    folder = os.path.dirname(os.path.realpath(path))
    is_of_system = os.path.dirname(path).startswith(_OF_SYSTEM) or folder.startswith(_OF_SYSTEM)
    return not (
        is_of_system or _OF_DRIVER.fullmatch(_base(path)) or import_path.is_of_image(folder)
    )


def _left_behind(
    library: dict[str, object], users: Mapping[str, list[Compiled]], paths: Mapping[str, str]
) -> str:
    """Say of a library outside that it does not travel, and what is to be done."""
    soname = str(library["soname"])
    user, place = _base(users[soname][0].file), record_file.shown(paths[soname])
    return (
        f"{place} belongs to no package and does not travel; {user} needs it: put it there on the "
        "other machine too, or name its folder in LD_LIBRARY_PATH"
    )


def _bound(compiled: Iterable[Compiled]) -> Iterator[str]:
    """Name what finds a library only by an RPATH that holds the place of this environment."""
    inside = import_path.prefix() + os.sep
    for library in compiled:
        bound = {
            folder for folder in library.elf.runpath if os.path.normpath(folder).startswith(inside)
        }
        held = {soname: _holders(library, soname) for soname in library.elf.needed} if bound else {}
        for soname in [soname for soname in held if held[soname] and held[soname] <= bound]:
            yield (
                f"{_base(library.file)} finds {soname} by an absolute RPATH into this environment, "
                "and will not find it elsewhere: build it with an RPATH of $ORIGIN"
            )


def _holders(library: Compiled, soname: str) -> set[str]:
    """Return those folders of a RUNPATH, as it is written, that hold a library."""
    return {
        folder
        for folder in library.elf.runpath
        if os.path.exists(os.path.join(_expanded(folder, library.file), soname))
    }


def _expanded(folder: str, file: str) -> str:
    """Return a folder of RUNPATH as the loader takes it for a file."""
    origin = os.path.dirname(os.path.realpath(file))
    return os.path.normpath(re.sub(r"\$(?:ORIGIN|\{ORIGIN\})", lambda _: origin, folder))


def _runpaths(users: Mapping[str, list[Compiled]]) -> dict[str, list[str]]:
    return {
        soname: [
            path
            for user in used
            for path in (_expanded(folder, user.file) for folder in user.elf.runpath)
            if path.startswith("/")
        ]
        for soname, used in users.items()
    }


def _machine(users: Mapping[str, list[Compiled]]) -> int:
    """Return the processor that most are for."""
    counts = Counter(user.elf.machine for used in users.values() for user in used)
    return max(counts, key=counts.__getitem__, default=0)


def _required(read: list[Compiled]) -> set[str]:
    """Return the files that an import loads: extension modules, and what those need in turn."""
    by_name: dict[str, list[Compiled]] = {}
    for compiled in read:
        by_name.setdefault(_base(compiled.file), []).append(compiled)
    reached: set[str] = set()
    queue = [compiled for compiled in read if _is_module(compiled.file)]
    while queue:
        compiled = queue.pop()
        if compiled.file not in reached:
            reached.add(compiled.file)
            queue += [other for name in compiled.elf.needed for other in by_name.get(name, ())]
    return reached


def _is_module(file: str) -> bool:
    """Return whether Python could import a file; one in a folder of libraries it could not."""
    folder = _base(os.path.dirname(file))
    return bool(_TAGGED_MODULE.fullmatch(_base(file))) and not _FOLDERS_OF_LIBRARIES.fullmatch(
        folder
    )


def _of_conda() -> set[str]:
    """Return the libraries that a conda environment brings for its packages."""
    if not os.path.isdir(os.path.join(sys.prefix, "conda-meta")):
        return set()
    return set(os.listdir(os.path.join(sys.prefix, "lib")))


def _base(path: str) -> str:
    return os.path.basename(path)
