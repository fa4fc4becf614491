"""The label of an image that says what its environment needs, in less than 2 kB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.facts import Kernels
from snapenv.model.hardware import Driver
from snapenv.model.host import NEEDS_LABEL
from snapenv.model.snapshot import SitePackages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.snapshot import Lock

_MOST_BYTES = 1800  # of the label
_MOST_READ_BYTES = 16_384  # of one that somebody else may have written


class NeedsLabel(Struct, frozen=True, kw_only=True):
    """What the label of an image tells of its environment; a row of ``kernels`` is one package's.

    A row has the package (empty for files of none), the architectures, and those that most of its
    code is for, each with spaces between; the last is empty where it would say the same.
    """

    python: str | None = None
    torch: str | None = None
    cuda: str | None = None
    ultralytics: str | None = None
    packages: int | None = None
    driver: Driver | None = None
    gpus: tuple[str, ...] = ()
    machine: str | None = None  # "amd64"
    glibc: str | None = None  # of the captured system
    site_packages: SitePackages | None = None
    conda: bool = False
    kernels: tuple[tuple[str, str, str], ...] = ()


def make_label(lock: Lock) -> str:
    """Write what an image's environment needs, in less than 2 kB.

    Where the kernels of very many packages do not fit, torch's and the first by name stand there.
    """
    label = _label(lock)
    while (size := len(msgspec.json.encode(label))) > _MOST_BYTES and label.kernels:
        label = replace(label, kernels=label.kernels[:-1])
    return msgspec.json.encode(label).decode() if size <= _MOST_BYTES else "{}"


def read_label(labels: Mapping[str, str]) -> NeedsLabel | None:
    """Read the label of an image; None where there is none, or one that cannot be believed."""
    text = labels.get(NEEDS_LABEL, "")
    if not text or len(text) > _MOST_READ_BYTES:
        return None
    try:
        return msgspec.json.decode(text, type=NeedsLabel)  # noqa: TID251 - below json_text
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _label(lock: Lock) -> NeedsLabel:
    environment, hardware = lock.environment, lock.hardware
    torch = environment.torch
    versions = {package.name: package.version for package in environment.distributions}
    kernels = lock.native.kernels if lock.native else ()
    return NeedsLabel(
        python=environment.interpreter.version,
        torch=torch.version if torch else None,
        cuda=torch.cuda if torch else None,
        ultralytics=versions.get("ultralytics"),
        packages=len(versions),
        driver=hardware.driver,
        gpus=tuple(dict.fromkeys(gpu.name for gpu in hardware.gpus)),
        machine=hardware.system.architecture,
        glibc=hardware.system.glibc,
        site_packages=lock.base.site_packages,
        conda=lock.conda is not None,
        kernels=tuple(_row(row) for row in sorted(kernels, key=_torch_first)),
    )


def _torch_first(kernels: Kernels) -> tuple[bool, bool, str]:
    name = kernels.distribution or ""
    return name != "torch", name != "torchvision", name


def _row(kernels: Kernels) -> tuple[str, str, str]:
    common = kernels.common if kernels.common != kernels.architectures else ()
    return kernels.distribution or "", " ".join(kernels.architectures), " ".join(common)


def read_row(row: tuple[str, str, str]) -> Kernels:
    """Read one row of a label's ``kernels``."""
    name, architectures, common = row
    return Kernels(
        distribution=name or None,
        architectures=tuple(architectures.split()),
        common=tuple((common or architectures).split()),
    )
