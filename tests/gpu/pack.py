"""Pack what a machine with torch and without network lacks, small enough to travel.

Which that is, its list of packages tells; without one it has torch and what torch needs. The
repository travels too, so what is packed may take what that leaves of the limit.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tomlkit
import uv
from msgspec.structs import replace
from packaging.requirements import Requirement

from snapenv.index.wheels import IndexWheels
from snapenv.verify.exports import REQUIREMENTS
from snapenv.workspace.layer import CONSTRAINTS, Installed, constraints, for_python, kernel_words
from tests.engines.exact import PINS
from tests.engines.place import UnavailableError, call
from tests.gpu.kit import FOR_PYTHON

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT = 64_000_000  # bytes, the repository included
ANOTHER = ("ultralytics==8.3.0", "tqdm")  # whose arithmetic is not that of the pinned one
_ROOT = Path(__file__).parents[2]
_TORCH = next(pin for pin in PINS if pin.startswith("torch=="))
_ULTRALYTICS = next(pin for pin in PINS if pin.startswith("ultralytics=="))
_OPENCV = "opencv-python-headless==4.11.0.86"  # the newest that is this small
_STUBS = ("polars",)  # 52 MB; it reads results after a training, and an empty module does as well
_NOT_OFFLINE = ("uv",)  # asks an index


class TooLargeError(Exception):
    """What must be packed is over the limit; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Packages that are carried together, or not at all."""

    name: str
    requirements: tuple[str, ...]
    needed: bool = False
    fits: bool = True  # its versions are chosen to go with what the machine has
    deps: bool = True


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What of the groups is carried."""

    packed: tuple[str, ...]
    left_out: Mapping[str, str]  # with the reason


def groups(installed: Installed, project: Path = _ROOT / "pyproject.toml") -> tuple[Group, ...]:
    """Return what could be carried, the most important first."""
    has_opencv = any(name.startswith("opencv-") for name in installed.versions)
    opencv = () if has_opencv else (_OPENCV,)
    return (
        Group(name="tools", requirements=_dependencies(project), needed=True, fits=False),
        Group(name="environment", requirements=(_ULTRALYTICS, *opencv), needed=True),
        Group(name="another", requirements=ANOTHER, fits=False, deps=False),
        Group(name="tune", requirements=("optuna>=4.5",), fits=False),
        Group(name="exports", requirements=REQUIREMENTS["onnx"]),
    )


def _dependencies(project: Path) -> tuple[str, ...]:
    """Return what snapenv needs where no index can be asked."""
    needs: list[str] = tomlkit.parse(project.read_text()).unwrap()["project"]["dependencies"]
    return tuple(one for one in needs if Requirement(one).name not in _NOT_OFFLINE)


def choose(sizes: Mapping[str, int], needed: Sequence[str], limit: int) -> Choice:
    """Choose what is carried within a limit in bytes; sizes are in the order of importance.

    Raises:
        TooLargeError: What is needed is over it.
    """
    total = sum(sizes[name] for name in needed)
    if total > limit:
        parts = " and ".join(f"{name} {in_mb(sizes[name])}" for name in needed)
        raise TooLargeError(f"{parts} are over {in_mb(limit)}")
    packed, left_out = list(needed), {}
    for name, size in sizes.items():
        if name in needed:
            continue
        if total + size > limit:
            left_out[name] = f"{in_mb(size)} more are over {in_mb(limit)}"
        else:
            packed.append(name)
            total += size
    return Choice(packed=tuple(packed), left_out=left_out)


def in_mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def read_installed(text: str, python: str) -> Installed:
    """Read what ``pip list --format=freeze`` says, or names alone, a package a line."""
    versions = {}
    for line in text.splitlines():
        found = re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:==\s*([^\s;]+))?", line)
        if found:
            versions[re.sub(r"[-_.]+", "-", found[1]).lower()] = found[2] or ""
    return Installed(python=python, machine="x86_64", versions=versions)


def make_kit(kit: Path, machine: Path | None, python: str) -> int:
    """Make the kit in a folder, and say what is in it; 1 where it would be too large."""
    try:
        return _make_kit(kit, machine, python)
    except (TooLargeError, UnavailableError, OSError) as error:
        print(f"no kit: {error}", file=sys.stderr)
        return 1


def _make_kit(kit: Path, machine: Path | None, python: str) -> int:
    installed = read_installed(machine.read_text() if machine else _TORCH, python)
    if "torch" not in installed.versions:
        raise UnavailableError("the machine has no torch, which is too large to carry")
    if "torchvision" not in installed.versions and not installed.versions["torch"]:
        raise UnavailableError("the list has no version of torch, to which torchvision must fit")
    installed = _with_needs_of_torch(installed)
    every = groups(installed)
    limit = LIMIT - _repository_bytes()
    shutil.rmtree(kit, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        contents, sizes = dict[str, list[str]](), dict[str, int]()
        needed = [group.name for group in every if group.needed]
        for group in every:
            contents[group.name] = _pack(group, installed, made)
            sizes[group.name] = _archive(made, group.name).stat().st_size
            if group.name == needed[-1]:
                _refuse_large(sizes, needed, limit, contents["environment"])
        choice = choose(sizes, needed, limit)
        kit.mkdir(parents=True)
        (kit / FOR_PYTHON).write_text(f"{python}\n")
        for name in choice.packed:
            shutil.move(_archive(made, name), _archive(kit, name))
            print(f"{name:12} {in_mb(sizes[name]):>8}  {', '.join(contents[name])}")
    for name, why in choice.left_out.items():
        print(f"{name:12} left out: {why}")
    print(
        f"{in_mb(sum(map(sizes.__getitem__, choice.packed)))} in {kit}, of at most {in_mb(limit)}"
    )
    return 0


def _with_needs_of_torch(installed: Installed) -> Installed:
    """Add what torch needs, which is there where torch is, under whichever names.

    A torch that no index has says nothing of that.
    """
    nothing = Installed(python=installed.python, machine=installed.machine, versions={})
    pins = constraints(installed).splitlines()
    asked = next((pin for pin in pins if pin.startswith("torch==")), "torch")
    try:
        needed = _resolve(Group(name="torch", requirements=(asked,)), nothing)
    except UnavailableError:
        return installed
    names = dict.fromkeys(read_installed(needed, installed.python).versions, "")
    return replace(installed, versions={**names, **installed.versions})


def _refuse_large(
    sizes: Mapping[str, int], needed: Sequence[str], limit: int, largest: Sequence[str]
) -> None:
    try:
        choose(sizes, needed, limit)
    except TooLargeError as error:
        raise TooLargeError(
            f"{error}, besides the repository. Largest: {', '.join(largest[:6])}. "
            "Use a machine that has some of these, and give its list with --machine."
        ) from error


def _pack(group: Group, installed: Installed, kit: Path) -> list[str]:
    """Fetch and pack a group; return what is in it, the largest first.

    Raises:
        UnavailableError: An index does not have it, or no version fits.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "site"
        place.mkdir()
        locked = "\n".join(group.requirements) if not group.deps else _resolve(group, installed)
        if locked.strip():
            requirements = Path(folder) / "requirements.txt"
            requirements.write_text(locked)
            call(
                *(uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps"),
                *("--only-binary", ":all:", "--target", str(place)),
                *(*for_python(installed), "--requirements", str(requirements)),
                environment=IndexWheels(None).variables(),
            )
        if group.name == "environment":
            for stub in set(_STUBS) - installed.versions.keys():
                (place / f"{stub}.py").touch()
        with tarfile.open(_archive(kit, group.name), "w:xz", preset=6) as archive:
            archive.add(place, ".", filter=_without_bytecode)
        return [f"{name} {in_mb(size)}" for name, size in _largest(place) if size > 100_000]


def _resolve(group: Group, installed: Installed) -> str:
    """Return the pins of what is missing, in versions that go with what is there."""
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "requirements.in": "\n".join(group.requirements),
            "overrides.txt": "".join(
                f"{name} ; sys_platform == 'never'\n" for name in _hidden(group, installed)
            ),
            CONSTRAINTS: constraints(installed),
        }
        for name, text in files.items():
            Path(folder, name).write_text(text)
        words = kernel_words(installed) if group.fits else ()
        return call(
            *(uv.find_uv_bin(), "pip", "compile", "--quiet", "--no-header", "--no-annotate"),
            *("--no-build", "--override", f"{folder}/overrides.txt", *for_python(installed)),
            *(f"{folder}/{word}" if word == CONSTRAINTS else word for word in words),
            f"{folder}/requirements.in",
            environment=IndexWheels(None).variables(),
        )


def _hidden(group: Group, installed: Installed) -> Iterable[str]:
    """Return packages that are not asked for, although something requires them."""
    if group.name == "tune":
        return ("numpy",)  # of the environment
    return ("opencv-python", *(stub for stub in _STUBS if stub not in installed.versions))


def _archive(kit: Path, group: str) -> Path:
    return kit / f"{group}.tar.xz"


def _without_bytecode(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return None if "__pycache__" in Path(entry.name).parts else entry


def _largest(place: Path) -> list[tuple[str, int]]:
    """Return the folders and files of a site-packages with their bytes, the largest first."""
    sizes = {
        one.name: sum(path.lstat().st_size for path in (one.rglob("*") if one.is_dir() else (one,)))
        for one in place.iterdir()
        if not one.name.endswith(".dist-info")
    }
    return sorted(sizes.items(), key=lambda pair: -pair[1])


def _repository_bytes() -> int:
    """Return the size of all files that git knows; 0 where this is no checkout."""
    done = subprocess.run(
        ("git", "ls-files", "-z"), cwd=_ROOT, capture_output=True, text=True, check=False
    )
    names = filter(None, done.stdout.split("\0"))
    return sum((_ROOT / name).stat().st_size for name in names if (_ROOT / name).is_file())
