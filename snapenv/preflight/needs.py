"""What an environment needs of a machine: by its lock, by its image, or by an image's labels.

Source of what an image asks of a driver:
https://github.com/NVIDIA/nvidia-container-toolkit/blob/main/internal/config/image/cuda_image.go
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.model.facts import Kernels
from snapenv.model.host import Needs
from snapenv.model.image import ImageRef
from snapenv.model.needs_label import read_label, read_row
from snapenv.model.snapshot import BASE_NAME_LABEL
from snapenv.nvidia.catalogue import dotted, read_kernels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.facts import Facts
    from snapenv.model.image import Image, RemoteImage
    from snapenv.model.needs_label import NeedsLabel
    from snapenv.model.snapshot import Lock
    from snapenv.nvidia.catalogue import Catalogue, CatalogueImage
    from snapenv.nvidia.catalogue import Kernels as Capabilities

_SHM_BYTES = 1 << 30  # that workers of a DataLoader share
_NVIDIA = "nvidia/pytorch"
_NAME_LABEL = "org.opencontainers.image.ref.name"
_VERSION_LABEL = "org.opencontainers.image.version"
# Source: https://packages.ubuntu.com/source/focal/glibc and the same of the others
_GLIBC_OF_UBUNTU = {"18.04": "2.27", "20.04": "2.31", "22.04": "2.35", "24.04": "2.39"}
_REQUIRE = "NVIDIA_REQUIRE_"
_REQUIRE_JETPACK = f"{_REQUIRE}JETPACK"  # other words, which the hook leaves out
_REQUIRE_CUDA = f"{_REQUIRE}CUDA"
_TRUE = {"1", "t", "T", "TRUE", "true", "True"}  # as Go reads a boolean
_VERSION = re.compile(r"v?(\d{1,9})\.(\d{1,9})(\.\d{1,9})?", re.ASCII)


def of_lock(lock: Lock, name: str) -> Needs:
    """Return what a lock tells; of the image it is to be in, nothing."""
    return of_facts(lock.facts, name)


def of_facts(facts: Facts, name: str) -> Needs:
    """Return what an environment needs wherever it runs."""
    torch, hardware = facts.environment.torch, facts.hardware
    return Needs(
        name=name,
        architecture=hardware.system.architecture,
        torch=torch.version if torch else None,
        cuda=torch.cuda if torch else None,
        kernels=facts.native.kernels if facts.native else (),
        captured_driver=hardware.driver,
        captured_gpus=tuple(dict.fromkeys(gpu.name for gpu in hardware.gpus)),
        glibc=hardware.system.glibc,
        conda=facts.conda is not None,
    )


def of_base(needs: Needs, lock: Lock, base: Image | RemoteImage | None, known: Catalogue) -> Needs:
    """Add what the base image of a lock brings, as it says itself, else as the catalogue has it."""
    ref = ImageRef.parse(lock.base.image)
    variables = dict(base.variables) if base else {}
    if lock.base.site_packages == "isolated":
        variables.pop("LD_LIBRARY_PATH", None)  # the image sets its own
    needs = replace(needs, image_glibc=_glibc(base.labels if base else {}, ref, known))
    return _with_image(needs, variables, _find(ref, known))


def of_image(
    needs: Needs, image: Image | RemoteImage, ref: ImageRef, catalogue: Catalogue
) -> Needs:
    """Add what an image itself says; one of snapenv's names its base."""
    name = image.labels.get(BASE_NAME_LABEL)
    try:
        base = ImageRef.parse(name) if name else ref
    except ValueError:
        base = ref
    known = _find(base, catalogue)
    glibc = _glibc(image.labels, base, catalogue)
    needs = replace(needs, architecture=image.machine, image_glibc=glibc)
    return _with_image(needs, image.variables, known)


def of_labels(image: Image | RemoteImage, ref: ImageRef, catalogue: Catalogue) -> Needs:
    """Return what an image tells without a look into it: by our label, else by its variables."""
    label = read_label(image.labels)
    needs = of_label(label, ref.tagged) if label else _of_variables(image, ref, catalogue)
    return of_image(replace(needs, glibc=None), image, ref, catalogue)  # it has its own


def of_label(label: NeedsLabel, name: str) -> Needs:
    """Return what our label tells; of the image that an environment is in, nothing."""
    return Needs(
        name=name,
        architecture=label.machine,
        torch=label.torch,
        cuda=label.cuda,
        kernels=tuple(map(read_row, label.kernels)),
        captured_driver=label.driver,
        captured_gpus=label.gpus,
        glibc=label.glibc,
        conda=label.conda,
    )


def for_device(needs: Needs, device: str, *, venv: bool = False) -> Needs:
    """Add what the user asks: ``auto`` takes a GPU for what was built for CUDA.

    ``venv`` is for an environment without a container.
    """
    is_named = device not in {"auto", "cpu"}
    named = is_named and device != "all"
    return replace(
        needs,
        gpu=is_named or (device == "auto" and needs.cuda is not None),
        gpu_required=is_named,
        devices=tuple(device.split(",")) if named else (),
        venv=venv,
        shm_bytes=_SHM_BYTES,
    )


def _with_image(needs: Needs, variables: Mapping[str, str], known: CatalogueImage | None) -> Needs:
    cuda = dotted(known.cuda) if known and known.cuda else None
    return replace(
        needs,
        image_cuda=variables.get("CUDA_VERSION") or cuda,
        requires=read_requirements(variables),
        image_driver=variables.get("CUDA_DRIVER_VERSION"),
        compat="/compat" in variables.get("LD_LIBRARY_PATH", ""),
        datacenter_branches=known.datacenter_branches if known else (),
    )


def _glibc(labels: Mapping[str, str], base: ImageRef, catalogue: Catalogue) -> str | None:
    """Return an image's C library by its Ubuntu, as Ubuntu's labels name it, else the catalogue."""
    system, known = catalogue.find_system(base), _find(base, catalogue)
    if system:
        return dotted(system.glibc)
    named = labels.get(_VERSION_LABEL) if labels.get(_NAME_LABEL) == "ubuntu" else None
    return _GLIBC_OF_UBUNTU.get(named or (known.ubuntu if known else None) or "")


def _of_variables(image: Image | RemoteImage, ref: ImageRef, catalogue: Catalogue) -> Needs:
    """Read an image that snapenv did not build; its CUDA counts as that of what runs in it."""
    variables, known = image.variables, _find(ref, catalogue)
    cuda = variables.get("CUDA_VERSION") or (dotted(known.cuda) if known and known.cuda else None)
    named = read_kernels(variables.get("TORCH_CUDA_ARCH_LIST", ""), separator=" ")
    capabilities = named or ((known.kernels or {}).get(image.machine) if known else None)
    names = _architectures(capabilities, catalogue) if capabilities else ()
    return Needs(
        name=ref.tagged,
        torch=variables.get("PYTORCH_VERSION"),
        cuda=cuda,
        kernels=(Kernels(distribution="torch", architectures=names),) if names else (),
    )


def _find(ref: ImageRef, catalogue: Catalogue) -> CatalogueImage | None:
    """Return what is known of one of NVIDIA's images, by whatever mirror it is named."""
    return catalogue.find(ref.tag) if ref.tag and ref.repository.endswith(_NVIDIA) else None


def _architectures(capabilities: Capabilities, catalogue: Catalogue) -> tuple[str, ...]:
    """Write compute capabilities as compiled code has them: ``sm_90``, ``compute_120``."""
    lowest = capabilities.at_least
    codes = capabilities.codes or tuple(
        row.capability for row in catalogue.architectures if lowest and row.capability >= lowest
    )
    ptx = capabilities.ptx
    return (
        *(f"sm_{major}{minor}" for major, minor in sorted(codes)),
        *((f"compute_{ptx[0]}{ptx[1]}",) if ptx else ()),
    )


def read_requirements(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Return each requirement by the variable that asks it; all of them must be met.

    An image without NVIDIA_REQUIRE_CUDA asks for the CUDA that CUDA_VERSION names. None is asked
    where NVIDIA_DISABLE_REQUIRE is true.
    """
    if variables.get("NVIDIA_DISABLE_REQUIRE") in _TRUE:
        return {}
    required = {
        name: variables[name]
        for name in sorted(variables)
        if name.startswith(_REQUIRE) and not name.startswith(_REQUIRE_JETPACK)
    }
    version = _VERSION.fullmatch(variables.get("CUDA_VERSION", ""))
    if version and not required.get(_REQUIRE_CUDA):
        required["CUDA_VERSION"] = f"cuda>={version[1]}.{version[2]}"
    return required
