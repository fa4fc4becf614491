"""A lock file as several, in the order in which their packages change: each makes one layer.

A layer that is the same is neither built nor pulled again, so what is large and seldom changes
comes first, alone.

Source: https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from snapenv.conda_lock import write_conda_lock
from snapenv.model.conda import CondaEnvironment
from snapenv.model.snapshot import CONDA_LOCK_FILE, PYLOCK_FILE
from snapenv.model.wheels import FromBase, FromConda, Pinned, Vendored, VendoredWheel
from snapenv.pylock import write_pylock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.conda import CondaLock, CondaPackage
    from snapenv.model.snapshot import Lock
    from snapenv.model.wheels import Locked

Layer = Literal["torch", "pins", "ultralytics", "vendored"]

LAYERS: tuple[Layer, ...] = ("torch", "pins", "ultralytics", "vendored")

_CUDA = ("nvidia-", "cuda-", "triton", "pytorch-triton", "tensorrt", "cupy-cuda")
_WITH_TORCH = ("torch", "torchvision", "torchaudio", "xformers", "flash-attn")
_SMALL = ("nvidia-ml-py",)  # pure Python, and often new
_YEAR_MS = 31_556_952_000  # 365.2425 days
_CONDA_FILE = re.compile(r"conda-lock\.\d{4}\.json", re.ASCII)


class PinLayer(Struct, frozen=True, kw_only=True):
    """The packages of one layer.

    ``file`` is their lock file in the context, and ``mounts`` are the wheels, or the folder of
    wheels, that it names by their places there.
    """

    name: Layer | Literal["all", "conda", "all conda"]
    file: str
    content: bytes = b""
    mounts: tuple[str, ...] = ()
    year: int | None = None  # in which conda's packages were built


def layer_file(layer: Layer) -> str:
    """Name the lock file of a layer, as the standard wants it: ``pylock.torch.toml``."""
    return f"pylock.{layer}.toml"


def is_layer_file(name: str) -> bool:
    """Return whether a file of a snapshot is the lock file of a layer."""
    is_of_conda = _CONDA_FILE.fullmatch(name) is not None
    return is_of_conda or name in {layer_file(layer) for layer in LAYERS}


def split_lock(lock: Lock, *, folder: str = "") -> tuple[PinLayer, ...]:
    """Return the lock files of the layers, first first; each package is in one of them.

    They are for ``folder`` of the context. Where there is no package to install, there is no
    layer. Conda's packages come first, with the Python that pip's need.
    """
    of_conda = tuple(_split_conda(lock.conda, folder)) if lock.conda else ()
    packages: dict[Layer, dict[str, Locked]] = {layer: {} for layer in LAYERS}
    for name, locked in lock.packages.items():
        if layer := _layer(name, locked):
            packages[layer][name] = locked
    return of_conda + tuple(
        PinLayer(
            name=layer,
            file=posixpath.join(folder, layer_file(layer)),
            content=write_pylock(
                pinned,
                machine=lock.hardware.system.machine,
                python=lock.environment.interpreter.minor,
                folder=folder,
            ),
            mounts=tuple(file for _, locked in sorted(pinned.items()) if (file := _file(locked))),
        )
        for layer, pinned in packages.items()
        if pinned
    )


def _split_conda(conda: CondaLock, folder: str) -> Iterator[PinLayer]:
    """Yield a layer for each year in which packages were built, the oldest first.

    A package of the past is in the same layer whatever is installed later. One for any Python
    needs that Python before it.
    """
    python = conda.environment.find("python")
    years: dict[int, list[CondaPackage]] = {}
    for package in conda.environment.packages:
        needs_python = python is not None and package.noarch == "python"
        year = max(_built_in(package), _built_in(python) if needs_python and python else 0)
        years.setdefault(year, []).append(package)
    for year, packages in sorted(years.items()):
        archives = {package.name: conda.archives[package.name] for package in packages}
        environment = CondaEnvironment(packages=tuple(packages))
        of_year = replace(conda, environment=environment, archives=archives)
        yield PinLayer(
            name="conda",
            file=posixpath.join(folder, f"conda-lock.{year:04}.json"),
            content=write_conda_lock(of_year),
            mounts=tuple(sorted(each.file for each in archives.values() if each.file)),
            year=year,
        )


def _built_in(package: CondaPackage) -> int:
    """Return the year in which a package was built; 0 where nobody knows."""
    built = package.timestamp_ms or 0
    return min(1970 + built // _YEAR_MS, 9999) if built > 0 else 0


def whole_locks(lock: Lock, *, mounts: tuple[str, ...] = ()) -> tuple[PinLayer, ...]:
    """Return one layer of all packages of each kind, from the lock files themselves."""
    of_pip = PinLayer(name="all", file=PYLOCK_FILE, mounts=mounts)
    if lock.conda is None:
        return (of_pip,)
    return (PinLayer(name="all conda", file=CONDA_LOCK_FILE, mounts=mounts), of_pip)


def _layer(name: str, locked: Locked) -> Layer | None:
    """Return the layer that installs a distribution, if one does."""
    match locked:
        case FromBase() | FromConda() | Vendored(wheel=None):
            return None
        case _ if name in _WITH_TORCH or (name.startswith(_CUDA) and name not in _SMALL):
            return "torch"
        case Vendored():
            return "vendored"
        case Pinned():
            return "ultralytics" if name.startswith("ultralytics") else "pins"


def _file(locked: Locked) -> str | None:
    """Return where the wheel of a distribution lies in the context, if it lies there."""
    match locked:
        case Pinned(file=file) | Vendored(wheel=VendoredWheel(file=file)):
            return file
        case _:
            return None
