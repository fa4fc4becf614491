"""Whether compiled code runs on a GPU, by compute capability.

Machine code runs on a GPU of its major and an equal or higher minor capability; not on a Jetson's
GPU, whose code is its own. PTX is translated by the driver for any newer GPU.

Source: https://docs.nvidia.com/cuda/cuda-c-programming-guide/#compute-capabilities
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from snapenv.nvidia.catalogue import CatalogueImage, Kernels, major_minor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.hardware import Gpu, Hardware
    from snapenv.nvidia.catalogue import Catalogue, Pair

Coverage = Literal["code", "ptx", "none"]

JETSON = ((5, 3), (6, 2), (7, 2), (8, 7))
"""The GPUs of Jetson modules whose images are tagged ``-igpu``; a Thor takes the common ones."""

BUILDS: tuple[Pair, ...] = ((11, 8), (12, 6), (12, 8), (13, 0), (13, 2))
"""The CUDAs of the torch wheels that are in use, oldest first."""

_ARCHITECTURE = re.compile(r"(?P<kind>sm|compute)_(?P<number>\d{2,4})(?P<only>[af]?)", re.ASCII)


def is_jetson(hardware: Hardware) -> bool:
    """Return whether the GPU is that of a Jetson whose images are tagged ``-igpu``."""
    return any(gpu.compute_capability in JETSON for gpu in hardware.gpus)


def is_built_for_jetson(architectures: Sequence[str]) -> bool:
    """Return whether there is machine code for Jetsons' GPUs, and for no others."""
    codes = {
        (int(match["number"][:-1]), int(match["number"][-1]))
        for name in architectures
        if (match := _ARCHITECTURE.fullmatch(name)) and match["kind"] == "sm"
    }
    return bool(codes) and codes <= set(JETSON)


def cover(kernels: Kernels, gpu: Pair | None) -> Coverage | None:
    """Return whether code runs on a GPU of a compute capability, and by what; None is unknown."""
    if gpu is None:
        return None
    if kernels.at_least is not None and gpu >= kernels.at_least:
        return "code"
    if any(_runs(code, gpu) for code in kernels.codes):
        return "code"
    return "ptx" if kernels.ptx and kernels.ptx <= gpu else "none"


def cover_by_name(architectures: Sequence[str], gpu: Pair | None) -> Coverage | None:
    """Return the same of names such as ``sm_90a``; None also where no name can be read."""
    codes = [match for name in architectures if (match := _ARCHITECTURE.fullmatch(name))]
    if not codes or gpu is None:
        return None
    covered = {match["kind"] for match in codes if _covers(match, gpu)}
    return "code" if "sm" in covered else "ptx" if covered else "none"


def cover_by_image(
    image: CatalogueImage, gpu: Pair | None, machine: str, catalogue: Catalogue
) -> bool:
    """Return whether an image may hold code for a GPU: as it is told, else as its CUDA can compile.

    What is not known counts as a yes.
    """
    published = (image.kernels or {}).get(machine)
    if gpu is None:
        return True
    if published:
        return cover(published, gpu) == "code"
    known = [row for row in catalogue.architectures if _runs(row.capability, gpu)]
    if image.cuda is None or not known:
        return True
    return any(
        (row.first_cuda is None or row.first_cuda <= image.cuda)
        and (row.dropped_in is None or image.cuda < row.dropped_in)
        for row in known
    )


def cover_by_release(
    torch: str | None, cuda: str | None, gpu: Pair | None, catalogue: Catalogue
) -> Coverage | None:
    """Return whether the released torch of a version and a CUDA, for amd64, runs on a GPU.

    None where no such release is known.
    """
    version, _, local = (torch or "").partition("+")
    pair = major_minor(cuda or "")
    if pair is None or local not in {"", f"cu{pair[0]}{pair[1]}"}:
        return None
    same = (row for row in catalogue.torch if (row.version, row.cuda) == (version, pair))
    kernels = next((row.kernels for row in same), None)
    return cover(kernels, gpu) if kernels else None


def builds_for(gpus: Sequence[Gpu], machine: str, catalogue: Catalogue) -> tuple[Pair, ...]:
    """Return the builds that run on every one of these GPUs, of any driver, oldest first.

    By the kernels of the releases that are known, else by what that CUDA can compile.
    """
    return tuple(
        cuda for cuda in BUILDS if all(_built(gpu, cuda, machine, catalogue) for gpu in gpus)
    )


def name_build(cuda: Pair) -> str:
    """Name a build as torch's own index does: ``cu126``."""
    return f"cu{cuda[0]}{cuda[1]}"


def _built(gpu: Gpu, cuda: Pair, machine: str, catalogue: Catalogue) -> bool:
    released = [row.kernels for row in catalogue.torch if row.cuda == cuda and row.kernels]
    if machine == "amd64" and released:
        return any(cover(kernels, gpu.compute_capability) == "code" for kernels in released)
    image = CatalogueImage(tag=name_build(cuda), cuda=cuda)
    return cover_by_image(image, gpu.compute_capability, machine, catalogue)


def _runs(code: Pair, gpu: Pair) -> bool:
    if gpu in JETSON:
        return code == gpu
    return code[0] == gpu[0] and code <= gpu


def _covers(match: re.Match[str], gpu: Pair) -> bool:
    code = (int(match["number"][:-1]), int(match["number"][-1]))
    if match["only"] == "a":
        return code == gpu
    return _runs(code, gpu) if match["kind"] == "sm" or match["only"] else code <= gpu
