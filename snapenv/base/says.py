"""What an image says of itself, in its variables; that beats the catalogue."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from snapenv.nvidia.catalogue import CatalogueImage, major_minor, read_kernels

if TYPE_CHECKING:
    from collections.abc import Mapping


def as_it_says(
    image: CatalogueImage, variables: Mapping[str, str], *, machine: str
) -> CatalogueImage:
    """Correct what is known of an image by what its variables say; it exists for ``machine``."""
    kernels = read_kernels(variables.get("TORCH_CUDA_ARCH_LIST", ""), separator=" ")
    return replace(
        image,
        cuda=major_minor(variables.get("CUDA_VERSION", "")) or image.cuda,
        torch=major_minor(variables.get("PYTORCH_VERSION", "")) or image.torch,
        machines=tuple(sorted({*image.machines, machine})),
        kernels={**(image.kernels or {}), machine: kernels} if kernels else image.kernels,
    )
