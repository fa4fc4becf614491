"""Whether the compiled code of an environment runs on the GPUs, and by which of its kernels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snapenv.nvidia.catalogue import CatalogueImage, dotted, major_minor
from snapenv.nvidia.driver import own_cuda
from snapenv.nvidia.kernels import (
    builds_for,
    cover_by_image,
    cover_by_name,
    cover_by_release,
    name_build,
)
from snapenv.preflight.case import Case, failed, passed, warning
from snapenv.preflight.driver import service

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.facts import Kernels
    from snapenv.model.hardware import Gpu
    from snapenv.model.outcome import Check
    from snapenv.nvidia.kernels import Coverage

_TRAINS = ("torchvision",)  # its NMS is part of every training
# NVIDIA's own libraries, as wheels and in conda, make code for new GPUs while they run.
_OF_NVIDIA = re.compile(r"nvidia-.+|(?:cuda|cudnn|cudatoolkit|cutensor|nccl|libcu|libnv|libnpp).*")


def check_kernels(case: Case) -> Iterator[Check]:
    """Return whether torch holds code for the GPUs (``no kernel image is available``).

    A Jetson has a check of its own, since its machine code is its own too.
    """
    coverages = [(gpu, torch_coverage(case, gpu)) for gpu in case.gpus]
    known = [(gpu, coverage) for gpu, coverage in coverages if coverage]
    if not known or case.jetson:
        return
    expected = f"torch with code for {_names([gpu for gpu, _ in known])}"
    missing = [gpu for gpu, coverage in known if coverage == "none"]
    if not missing:
        by = "PTX" if any(coverage == "ptx" for _, coverage in known) else "machine code"
        yield passed("gpu.kernels", expected, by, part="image")
        return
    torch = next(
        (kernels for kernels in case.needs.kernels if kernels.distribution == "torch"), None
    )
    but = f", but for {' '.join(built_for(torch))}" if torch else ""
    actual = f"none for {_names(missing)}{but}"
    if len(missing) == len(coverages):
        machine = case.host.hardware.system.architecture
        builds = map(name_build, builds_for(missing[:1], machine, case.catalogue))
        named = " or ".join(builds) or "a build for it"
        fix = f"Use an environment whose torch runs on this GPU: {named}."
        yield failed("gpu.kernels", expected, actual, fix, part="image")
    else:
        numbered = zip(case.numbers, coverages, strict=True)
        usable = ",".join(str(i) for i, (_, coverage) in numbered if coverage != "none")
        yield warning("gpu.kernels", expected, actual, f"Use --device {usable}.", part="image")


def check_ptx(case: Case) -> Iterator[Check]:
    """Return whether the driver can translate PTX where that is all there is (error 222).

    It must be as new as the CUDA that wrote the PTX; minor-version compatibility is not enough.
    """
    driver = case.gpu_hardware.driver if case.gpu_hardware else None
    needs_ptx = [gpu for gpu in case.gpus if torch_coverage(case, gpu) == "ptx"]
    if driver is None or case.cuda is None or not needs_ptx or case.jetson:
        return
    expected = f"a driver of CUDA {dotted(case.cuda)}, to translate PTX for {_names(needs_ptx)}"
    own = own_cuda(driver, case.catalogue)
    actual = f"driver {driver.version} translates that of CUDA {dotted(own) if own else 'unknown'}"
    if service(case) == "full":
        yield passed("gpu.ptx", expected, actual)
    elif service(case) == "minor":
        where = "in Windows, never in WSL" if case.plumbing.wsl else "and reboot"
        cuda = dotted(case.cuda)
        fix = f"Install the NVIDIA driver that came with CUDA {cuda}, or newer, {where}."
        yield failed("gpu.ptx", expected, actual, fix)


def check_extensions(case: Case) -> Iterator[Check]:
    """Return whether compiled packages beside torch hold code for the GPUs that torch runs on."""
    extensions = [
        kernels
        for kernels in case.needs.kernels
        if kernels.distribution != "torch" and not _OF_NVIDIA.fullmatch(kernels.distribution or "")
    ]
    gpus = [gpu for gpu in case.gpus if torch_coverage(case, gpu) != "none"]
    if not extensions or not gpus or case.jetson:
        return
    expected = f"code for {_names(gpus)} in every compiled package"
    lacking = {
        kernels.distribution or "files of no package": bare
        for kernels in extensions
        if (
            bare := [
                gpu
                for gpu in gpus
                if cover_by_name(built_for(kernels), gpu.compute_capability) == "none"
            ]
        )
    }
    if not lacking:
        yield passed("gpu.extensions", expected, "in all of them", part="image")
        return
    actual = "; ".join(f"{name} has none for {_names(bare)}" for name, bare in lacking.items())
    stops = any(name in _TRAINS and len(bare) == len(gpus) for name, bare in lacking.items())
    fix = f"Build {next(iter(lacking))} again with TORCH_CUDA_ARCH_LIST for these, then capture."
    say = failed if stops else warning
    yield say("gpu.extensions", expected, actual, fix, part="image")


def check_image(case: Case) -> Iterator[Check]:
    """Warn where the base image is older than the GPU: its entrypoint may refuse to start."""
    cuda = major_minor(case.needs.image_cuda or "")
    if case.hardware is None or case.needs.venv or cuda is None or case.jetson:
        return
    image = CatalogueImage(tag=case.needs.name, cuda=cuda)
    machine = case.hardware.system.architecture
    odd = [
        gpu
        for gpu in case.gpus
        if not cover_by_image(image, gpu.compute_capability, machine, case.catalogue)
    ]
    if odd:
        yield warning(
            "gpu.image",
            f"a base image made for {_names(odd)}",
            f"it has CUDA {dotted(cuda)}: its entrypoint may warn, or refuse to start",
            "Build on another base image: snapenv bases lists those for this GPU.",
            part="image",
        )


def check_jetson(case: Case) -> Iterator[Check]:
    """Return whether torch was built for a Jetson; the common images for arm64 are not."""
    gpus = case.gpus
    if not case.jetson or not gpus:
        return
    coverages = [torch_coverage(case, gpu) for gpu in gpus]
    expected = f"torch built for {_names(gpus)}"
    fix = "Capture in an image of NVIDIA's whose tag ends in -igpu, on a Jetson."
    if "none" in coverages:
        yield failed("gpu.jetson", expected, "built for other GPUs", fix, part="image")
    elif None in coverages and case.needs.cuda:
        yield warning("gpu.jetson", expected, "not known what it was built for", fix, part="image")
    elif None not in coverages:
        yield passed("gpu.jetson", expected, "built for it", part="image")


def torch_coverage(case: Case, gpu: Gpu) -> Coverage | None:
    """Return whether torch runs on a GPU: as its files say, else as it was released.

    None where neither is known.
    """
    for kernels in case.needs.kernels:
        if kernels.distribution == "torch":
            return cover_by_name(built_for(kernels), gpu.compute_capability)
    needs = case.needs
    if needs.architecture != "amd64":
        return None
    return cover_by_release(needs.torch, needs.cuda, gpu.compute_capability, case.catalogue)


def built_for(kernels: Kernels) -> tuple[str, ...]:
    """Return the architectures that most of the code is for, else those of any of it."""
    return kernels.common or kernels.architectures


def _names(gpus: Sequence[Gpu]) -> str:
    """Name GPUs with their compute capability, each once."""
    return ", ".join(dict.fromkeys(gpu.label for gpu in gpus))
