"""Which builds of torch hold code for a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.nvidia.catalogue import CatalogueImage
from snapenv.nvidia.kernels import cover, cover_by_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.hardware import Gpu
    from snapenv.nvidia.catalogue import Catalogue, Pair

BUILDS: tuple[Pair, ...] = ((11, 8), (12, 6), (12, 8), (13, 0), (13, 2))
"""The CUDAs of the torch wheels that are in use, oldest first."""


def builds_for(gpus: Sequence[Gpu], machine: str, catalogue: Catalogue) -> tuple[Pair, ...]:
    """Give the builds that run on every one of these GPUs, of any driver, oldest first.

    By the kernels of the releases that are known, else by what that CUDA can compile.
    """
    return tuple(
        cuda for cuda in BUILDS if all(_built(gpu, cuda, machine, catalogue) for gpu in gpus)
    )


def name_build(cuda: Pair) -> str:
    """Name a build as torch's own index does: ``cu126``."""
    return f"cu{cuda[0]}{cuda[1]}"


def _built(gpu: Gpu, cuda: Pair, machine: str, catalogue: Catalogue) -> bool:
    released = [one.kernels for one in catalogue.torch if one.cuda == cuda and one.kernels]
    if machine == "amd64" and released:
        return any(cover(kernels, gpu.compute_capability) == "code" for kernels in released)
    image = CatalogueImage(tag=name_build(cuda), cuda=cuda)
    return cover_by_image(image, gpu.compute_capability, machine, catalogue)
