"""Which CUDA a driver serves, by NVIDIA's own rules.

Source: https://docs.nvidia.com/deploy/cuda-compatibility/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from snapenv.nvidia.catalogue import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.hardware import Driver, Gpu, Hardware
    from snapenv.nvidia.catalogue import Catalogue, Pair

Service = Literal["full", "minor", "forward", "perhaps", "no"]
"""How a driver serves a CUDA: as new as it, the same major, by cuda-compat, or not at all.

``minor`` does not hold for PTX, which an older driver cannot translate. ``perhaps`` is cuda-compat
where it is not known whether that runs on this driver or this GPU.
"""

# NVIDIA T400, T600 and T1000 are cards of workstations. A driver before 470 leaves out "NVIDIA".
_DATA_CENTER = re.compile(
    r"(NVIDIA |GRID )?(Tesla .*|((A|B|H|L)\d{1,3}|T4|GH\d{3}|GB\d{3})([A-Z]?(?!\w).*)?)"
)
# Of the others NVIDIA says "select NGC Server Ready SKUs of RTX cards", and not which.
_NEVER = re.compile(
    r"(NVIDIA )?(GeForce|TITAN|CMP|NVS|MX\d|T\d{3,4}\b|GB10\b|Quadro (?!RTX)).*|.*(Laptop|Max-Q).*"
)


def serve(
    hardware: Hardware, cuda: Pair, catalogue: Catalogue, *, branches: Sequence[int] = ()
) -> Service | None:
    """Return how the captured driver serves a CUDA; None without a driver, or where it is not told.

    ``branches`` are older drivers that an image's own notes allow on data-centre GPUs.
    """
    driver = hardware.driver
    own = own_cuda(driver, catalogue) if driver else None
    if driver is None or own is None:
        return None
    if own >= cuda:
        return "full"
    if own[0] == cuda[0] and _reaches_family(driver, cuda, catalogue):
        return "minor"
    if not hardware.gpus or any(_has_ended(gpu, cuda, catalogue) for gpu in hardware.gpus):
        return "no"
    on_driver = _is_forward(driver, cuda, catalogue, branches)
    forward = (on_driver, *map(is_data_center, hardware.gpus))
    if False in forward:
        return "no"
    return "perhaps" if None in forward else "forward"


def own_cuda(driver: Driver, catalogue: Catalogue) -> Pair | None:
    """Return the newest CUDA that came with a driver no newer than this one; None is unknown.

    What the driver was asked is believed where the catalogue ends, where the version says nothing,
    and where it is of the newest major version that the driver's version reaches (a Jetson Thor's
    580.00 is older than the first 580 of the catalogue). Inside of an image, a
    forward-compatibility package answers in the driver's place, and names its own CUDA.
    """
    version, reported = numbers(driver.version), driver.cuda
    known = [(row.driver, row.cuda) for row in catalogue.cuda if row.driver]
    older = [cuda for paired, cuda in known if version and paired <= version]
    majors = {row.cuda[0] for row in catalogue.cuda}
    older += [(major, 0) for major in majors if _reaches_family(driver, (major, 0), catalogue)]
    if version is None or not older or version > max(known)[0]:
        return reported
    newest = max(older)
    return reported if reported and reported[0] == newest[0] else newest


def is_data_center(gpu: Gpu) -> bool | None:
    """Return whether GPUs of this name have forward compatibility; None if NVIDIA does not say."""
    if _DATA_CENTER.fullmatch(gpu.name):
        return True
    return False if _NEVER.fullmatch(gpu.name) else None


def _reaches_family(driver: Driver, cuda: Pair, catalogue: Catalogue) -> bool:
    """Return whether a driver is new enough for every minor version of its own major one."""
    version = numbers(driver.version)
    lowest = [row.lowest_driver for row in catalogue.cuda if row.cuda[0] == cuda[0]]
    return version is None or all(version >= each for each in lowest)


def last_branch(gpu: Gpu, catalogue: Catalogue) -> int | None:
    """Return the last branch of the driver that supports a GPU; None where there is no last yet."""
    capability = gpu.compute_capability
    known = [
        row
        for row in catalogue.architectures
        if capability and row.capability[0] == capability[0] and row.capability <= capability
    ]
    return max(known, key=lambda row: row.capability).last_branch if known else None


def _has_ended(gpu: Gpu, cuda: Pair, catalogue: Catalogue) -> bool:
    """Return whether no driver of a CUDA supports a GPU, nor does any library of such a driver."""
    last = last_branch(gpu, catalogue)
    lowest = [row.lowest_driver for row in catalogue.cuda if row.cuda[0] == cuda[0]]
    return last is not None and any(last < each[0] for each in lowest)


def _is_forward(
    driver: Driver, cuda: Pair, catalogue: Catalogue, branches: Sequence[int]
) -> bool | None:
    """Return whether cuda-compat for a CUDA runs on a driver; None where nothing tells.

    NVIDIA's table leaves out branches at their end of life, which notes of an image may name.
    """
    branch, served = _branch(driver), (catalogue.forward or {}).get(cuda)
    if branch in branches or any(branch in row for row in served or ()):
        return True
    if branches and branch:
        return False
    listed = branch in {*catalogue.forward_listed, *catalogue.never_forward}
    return (
        False if served is not None and listed and not _is_noted(branch, cuda, catalogue) else None
    )


def is_past_support(driver: Driver, cuda: Pair, catalogue: Catalogue) -> bool:
    """Return whether NVIDIA supports no cuda-compat for a CUDA on this branch, being at its end.

    It may run all the same, as it did before.
    """
    branch, rows = _branch(driver), catalogue.forward or {}
    listed = branch in {*catalogue.forward_listed, *catalogue.never_forward}
    return (
        branch is not None and cuda in rows and not (listed or _is_noted(branch, cuda, catalogue))
    )


def _branch(driver: Driver) -> int | None:
    version = numbers(driver.version)
    return version[0] if version else None


def _is_noted(branch: int | None, cuda: Pair, catalogue: Catalogue) -> bool:
    """Return whether the notes of an image with a CUDA allow a branch."""
    noted = (image.datacenter_branches for image in catalogue.images if image.cuda == cuda)
    return any(branch in row for row in noted)
