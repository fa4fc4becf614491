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

Service = Literal["full", "minor", "forward", "no"]
"""How a driver serves a CUDA: as new as it, the same major, by cuda-compat, or not at all.

``minor`` does not hold for PTX, which an older driver cannot translate.
"""

_DATA_CENTER = re.compile(r"(NVIDIA )?Tesla .*|NVIDIA ((A|B|H|L|T)\d{1,3}|GH\d{3}|GB\d{3})(\D.*)?")


def serve(
    hardware: Hardware, cuda: Pair, catalogue: Catalogue, *, branches: Sequence[int] = ()
) -> Service | None:
    """Tell how the captured driver serves a CUDA; None without a driver.

    ``branches`` are older drivers that an image's own notes allow on data-centre GPUs.
    """
    driver = hardware.driver
    if driver is None:
        return None
    own = own_cuda(driver, catalogue)
    if own >= cuda:
        return "full"
    if own[0] == cuda[0] and _reaches_family(driver, cuda, catalogue):
        return "minor"
    if _is_forward(driver, cuda, catalogue, branches) and _all_data_center(hardware.gpus):
        return "forward"
    return "no"


def own_cuda(driver: Driver, catalogue: Catalogue) -> Pair:
    """Give the newest CUDA that came with a driver no newer than this one.

    What the driver was asked is believed where the catalogue ends: inside of an image, a
    forward-compatibility package answers in the driver's place, and names its own CUDA.
    """
    version = numbers(driver.version)
    known = [(one.driver, one.cuda) for one in catalogue.cuda if one.driver]
    older = [cuda for paired, cuda in known if version and paired <= version]
    if version is None or not older or version > max(known)[0]:
        return driver.cuda
    newest = max(older)
    return driver.cuda if driver.cuda[0] == newest[0] else newest


def is_data_center(gpu: Gpu) -> bool:
    """Say whether NVIDIA sells a GPU of this name for data centres."""
    return _DATA_CENTER.fullmatch(gpu.name) is not None


def _all_data_center(gpus: Sequence[Gpu]) -> bool:
    return bool(gpus) and all(map(is_data_center, gpus))


def _reaches_family(driver: Driver, cuda: Pair, catalogue: Catalogue) -> bool:
    """Say whether a driver is new enough for every minor version of its own major one."""
    version = numbers(driver.version)
    lowest = [one.lowest_driver for one in catalogue.cuda if one.cuda[0] == cuda[0]]
    return version is None or all(version >= each for each in lowest)


def _is_forward(driver: Driver, cuda: Pair, catalogue: Catalogue, branches: Sequence[int]) -> bool:
    branch = (numbers(driver.version) or (0,))[0]
    if branch in branches:
        return True
    served = (catalogue.forward or {}).get(cuda, ())
    return branch not in catalogue.never_forward and any(branch in one for one in served)
