"""A lock file as several, in the order in which their packages change: each makes one layer.

A layer that is the same is neither built nor pulled again, so what is large and seldom changes
comes first, alone.

Source: https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from snapenv.errors import SnapshotDamagedError
from snapenv.model.snapshot import PYLOCK_FILE
from snapenv.toml import read_toml, write_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Layer = Literal["torch", "pins", "ultralytics", "vendored"]

LAYERS: tuple[Layer, ...] = ("torch", "pins", "ultralytics", "vendored")

_CUDA = ("nvidia-", "cuda-", "triton", "pytorch-triton", "tensorrt", "cupy-cuda")
_WITH_TORCH = ("torch", "torchvision", "torchaudio", "xformers", "flash-attn")
_NO_LOCK_FILE = (ValueError, RecursionError, KeyError, TypeError, AttributeError)
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


def split_pylock(pylock: bytes, *, folder: str = "") -> tuple[PinLayer, ...]:
    """Return the lock files of the layers, first first; each package is in one of them.

    The lock file lies in ``folder`` of the context, and so do those given back. Where it holds
    no package, no layer is given.

    Raises:
        SnapshotDamagedError: It is no such file.
    """
    document = _read(pylock)
    packages = document["packages"]
    found = {layer: [one for one in packages if _layer(one) == layer] for layer in LAYERS}
    return tuple(
        PinLayer(
            name=layer,
            file=posixpath.join(folder, layer_file(layer)),
            content=_keep(document, found[layer]),
            mounts=tuple(place for one in found[layer] for place in _places(one, folder)),
        )
        for layer in LAYERS
        if found[layer]
    )


def whole_pylock(*, folder: str = "", mounts: tuple[str, ...] = ()) -> tuple[PinLayer, ...]:
    """Return one layer of all packages, from the lock file itself."""
    return (PinLayer(name="all", file=posixpath.join(folder, PYLOCK_FILE), mounts=mounts),)


def _read(pylock: bytes) -> Mapping[str, Any]:
    try:
        document: Mapping[str, Any] = read_toml(pylock.decode())
        for package in document["packages"]:
            _places(package, "")
            _layer(package)
    except _NO_LOCK_FILE as error:
        raise SnapshotDamagedError(
            f"{PYLOCK_FILE}: {error}",
            hint="Get the snapshot again from where it was captured.",
        ) from error
    return document


def _layer(package: Mapping[str, Any]) -> Layer:
    name = package["name"]
    if name in _WITH_TORCH or (name.startswith(_CUDA) and name not in _SMALL):
        return "torch"
    if package.get("tool", {}).get("snapenv", {}).get("proof") == "vendored":
        return "vendored"
    return "ultralytics" if name.startswith("ultralytics") else "pins"


def _places(package: Mapping[str, Any], folder: str) -> tuple[str, ...]:
    """Return where the wheels of a package lie in the context, of those that lie there."""
    return tuple(
        posixpath.normpath(posixpath.join(folder, wheel["path"]))
        for wheel in package["wheels"]
        if "path" in wheel
    )


def _keep(document: Mapping[str, Any], packages: Sequence[Mapping[str, Any]]) -> bytes:
    """Write the lock file with these packages alone, and without what is said of others."""
    kept = {key: value for key, value in document.items() if key != "tool"}
    return write_toml({**kept, "packages": packages}).encode()
