"""A lock file as several, in the order in which their packages change: each makes one layer.

A layer that is the same is neither built nor pulled again, so what is large and seldom changes
comes first, alone.

Source: https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from snapenv.model.snapshot import PYLOCK_FILE
from snapenv.model.wheels import FromBase, FromConda, Pinned, Vendored, VendoredWheel
from snapenv.pylock import write_pylock

if TYPE_CHECKING:
    from snapenv.model.snapshot import Lock
    from snapenv.model.wheels import Locked

Layer = Literal["torch", "pins", "ultralytics", "vendored"]

LAYERS: tuple[Layer, ...] = ("torch", "pins", "ultralytics", "vendored")

_CUDA = ("nvidia-", "cuda-", "triton", "pytorch-triton", "tensorrt", "cupy-cuda")
_WITH_TORCH = ("torch", "torchvision", "torchaudio", "xformers", "flash-attn")
_SMALL = ("nvidia-ml-py",)  # pure Python, and often new


class PinLayer(Struct, frozen=True, kw_only=True):
    """The packages of one layer.

    ``file`` is their lock file in the context, and ``mounts`` are the wheels, or the folder of
    wheels, that it names by their places there.
    """

    name: Layer | Literal["all"]
    file: str
    content: bytes = b""
    mounts: tuple[str, ...] = ()


def layer_file(layer: Layer) -> str:
    """Name the lock file of a layer, as the standard wants it: ``pylock.torch.toml``."""
    return f"pylock.{layer}.toml"


def is_layer_file(name: str) -> bool:
    """Tell whether a file of a snapshot is the lock file of a layer."""
    return name in {layer_file(layer) for layer in LAYERS}


def split_lock(lock: Lock, *, folder: str = "") -> tuple[PinLayer, ...]:
    """Return the lock files of the layers, first first; each package is in one of them.

    They are for ``folder`` of the context. Where there is no package to install, there is no
    layer.
    """
    packages: dict[Layer, dict[str, Locked]] = {layer: {} for layer in LAYERS}
    for name, locked in lock.packages.items():
        if layer := _layer(name, locked):
            packages[layer][name] = locked
    return tuple(
        PinLayer(
            name=layer,
            file=posixpath.join(folder, layer_file(layer)),
            content=write_pylock(
                found,
                machine=lock.hardware.system.machine,
                python=lock.environment.interpreter.minor,
                folder=folder,
            ),
            mounts=tuple(file for _, locked in sorted(found.items()) if (file := _file(locked))),
        )
        for layer, found in packages.items()
        if found
    )


def whole_pylock(*, folder: str = "", mounts: tuple[str, ...] = ()) -> tuple[PinLayer, ...]:
    """Return one layer of all packages, from the lock file itself."""
    return (PinLayer(name="all", file=posixpath.join(folder, PYLOCK_FILE), mounts=mounts),)


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
