"""What an image says of itself, in its variables and labels; that beats the catalogue.

Of NVIDIA's labels ``com.nvidia.cuda.version`` is not read: it is 9.0 on every PyTorch image.
Source: ``docker inspect`` of nvcr.io/nvidia/pytorch:23.10-py3 and 25.10-py3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.nvidia.catalogue import CatalogueImage, Kernels, major_minor, read_kernels

if TYPE_CHECKING:
    from collections.abc import Mapping


class ImageMetadata(Struct, frozen=True, kw_only=True):
    """What is known of an image by itself; None where it does not say so."""

    python: str | None = None  # "3.12.3"
    cuda: str | None = None  # "13.0.2.006"
    torch: str | None = None  # "2.9.0a0+145a3a7"
    cudnn: str | None = None  # "9.14.0.64"
    nccl: str | None = None  # "2.27.7"
    kernels: Kernels | None = None

    def over(self, other: ImageMetadata) -> ImageMetadata:
        """Put this in the place of what another says, wherever this says something."""
        return ImageMetadata(
            python=self.python or other.python,
            cuda=self.cuda or other.cuda,
            torch=self.torch or other.torch,
            cudnn=self.cudnn or other.cudnn,
            nccl=self.nccl or other.nccl,
            kernels=self.kernels or other.kernels,
        )


def read_metadata(variables: Mapping[str, str], labels: Mapping[str, str]) -> ImageMetadata:
    """Read what an image says of itself; a variable, which programs see, beats a label."""

    def version(variable: str, name: str) -> str | None:
        written = (variables.get(variable, ""), labels.get(f"com.nvidia.{name}.version", ""))
        return next((text for text in written if major_minor(text)), None)

    cuda = variables.get("CUDA_VERSION", "")
    return ImageMetadata(
        cuda=cuda if major_minor(cuda) else None,
        torch=version("PYTORCH_VERSION", "pytorch"),
        cudnn=version("CUDNN_VERSION", "cudnn"),
        nccl=version("NCCL_VERSION", "nccl"),
        kernels=read_kernels(variables.get("TORCH_CUDA_ARCH_LIST", ""), separator=" "),
    )


def corrected_by_variables(
    image: CatalogueImage, variables: Mapping[str, str], *, machine: str
) -> CatalogueImage:
    """Correct what is known of an image by what its variables alone say."""
    return correct(image, read_metadata(variables, {}), machine=machine)


def correct(image: CatalogueImage, metadata: ImageMetadata, *, machine: str) -> CatalogueImage:
    """Correct what is known of an image by what it says; it exists for ``machine``."""
    python = major_minor(metadata.python or "")
    return replace(
        image,
        python=f"{python[0]}.{python[1]}" if python else image.python,
        cuda=major_minor(metadata.cuda or "") or image.cuda,
        torch=major_minor(metadata.torch or "") or image.torch,
        machines=tuple(sorted({*image.machines, machine})),
        kernels={**(image.kernels or {}), machine: metadata.kernels}
        if metadata.kernels
        else image.kernels,
    )
