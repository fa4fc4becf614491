"""What this machine can run, told to someone who has no environment yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.model.host import Needs
from snapenv.model.outcome import Check
from snapenv.model.results import Machine
from snapenv.nvidia.catalogue import dotted
from snapenv.nvidia.driver import own_cuda, serve
from snapenv.nvidia.kernels import builds_for, cover_by_image, name_build
from snapenv.preflight.case import Case
from snapenv.preflight.checks import preflight
from snapenv.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.hardware import Gpu, Hardware
    from snapenv.model.host import Host
    from snapenv.nvidia.catalogue import Catalogue, CatalogueImage


_NO_GPU = {
    False: "no NVIDIA GPU: everything here trains on the CPU",
    True: "no NVIDIA GPU that answers: everything here trains on the CPU",
}
THIS_MACHINE = Needs(name="this machine", builds=True)


class MachineReport(Struct, frozen=True, kw_only=True):
    """What a machine can run, with the checks that need no environment."""

    machine: Machine
    checks: tuple[Check, ...]
    lines: tuple[str, ...]  # the same for people


def describe_machine(
    host: Host, catalogue: Catalogue, *, needs: Needs = THIS_MACHINE
) -> MachineReport:
    """Say what this machine can run, with the checks that need no environment.

    ``needs`` are those of what is to run here, whatever it is: on GPUs or not, as a venv or not.
    Hardware is of the machine that snapenv runs on, wherever the engine is.
    """
    hardware, engine = host.hardware, host.engine
    driver = hardware.driver
    own = own_cuda(driver, catalogue) if driver else None
    images = sorted(catalogue.images, key=lambda image: image.tag, reverse=True)
    machine = Machine(
        gpus=tuple(map(_describe, hardware.gpus)),
        driver=driver.version if driver else None,
        cuda=dotted(own) if own else None,
        image=next(
            (image.reference for image in images if _runs(image, hardware, catalogue)), None
        ),
        torch_builds=tuple(_builds(host, catalogue)),
        containers=_containers(Case(host=host, needs=needs, catalogue=catalogue)),
        free_bytes=engine.free_bytes if engine else None,
    )
    checks = preflight(host, needs, catalogue)
    return MachineReport(
        machine=machine,
        checks=checks,
        lines=tuple(_lines(machine, venv=needs.venv, fault=hardware.driver_fault is not None)),
    )


def _describe(gpu: Gpu) -> str:
    parts = [gpu.name]
    if gpu.memory_mib:
        parts.append(f"{gpu.memory_mib / 1024:.0f} GiB")
    if gpu.compute_capability:
        parts.append(f"compute capability {dotted(gpu.compute_capability)}")
    return ", ".join([*parts, *(f"MIG {profile}" for profile in gpu.mig_devices)])


def _runs(image: CatalogueImage, hardware: Hardware, catalogue: Catalogue) -> bool:
    """Return whether an image is known to run here; one of unknown CUDA is not."""
    machine = hardware.system.architecture
    if machine not in image.machines or image.cuda is None:
        return False
    branches = image.datacenter_branches
    served = serve(hardware, image.cuda, catalogue, branches=branches)
    if hardware.driver and served in {None, "perhaps", "no"}:
        return False
    return all(
        cover_by_image(image, gpu.compute_capability, machine, catalogue) for gpu in hardware.gpus
    )


def _builds(host: Host, catalogue: Catalogue) -> Iterator[str]:
    """Name the torch builds that the driver serves and that hold code for every GPU."""
    hardware = host.hardware
    if host.plumbing.jetson or not hardware.gpus:
        return
    for cuda in builds_for(hardware.gpus, hardware.system.architecture, catalogue):
        if serve(hardware, cuda, catalogue) in {"full", "minor"}:
            yield name_build(cuda)


def _containers(case: Case) -> str | None:
    """Say how the engine of this machine hands on a GPU."""
    if case.engine is None or not case.engine.local:
        return None
    toolkit = case.plumbing.toolkit
    named = f"NVIDIA's container toolkit {toolkit}" if toolkit else "NVIDIA's runtime"
    return {"cdi": "CDI", "legacy": named, "none": None}[case.injection]


def _lines(machine: Machine, *, venv: bool, fault: bool) -> Iterator[str]:
    """Yield what a machine can run; a driver with a ``fault`` is there and does not answer."""
    yield from machine.gpus or (_NO_GPU[machine.driver is not None or fault],)
    if machine.driver and machine.cuda:
        yield f"driver {machine.driver} serves CUDA {machine.cuda}"
    if machine.image:
        yield f"newest NVIDIA PyTorch image that runs here: {machine.image}"
    if machine.gpus:
        builds = ", ".join(machine.torch_builds)
        yield f"torch builds that run here: {builds or 'none is known'}"
    if machine.gpus and not venv:
        yield f"containers get the GPU by {machine.containers or 'nothing yet: see the checks'}"
    if machine.free_bytes is not None:
        yield f"{size(machine.free_bytes)} free for images"
