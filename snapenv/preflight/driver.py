"""Whether the driver answers, is of one piece, and serves the CUDA of an environment.

Source: https://docs.nvidia.com/deploy/cuda-compatibility/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.nvidia.catalogue import dotted
from snapenv.nvidia.driver import own_cuda, serve
from snapenv.preflight.finding import failed, held, warned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.hardware import Driver, Hardware
    from snapenv.model.outcome import Check
    from snapenv.nvidia.catalogue import Catalogue, Pair
    from snapenv.nvidia.driver import Service
    from snapenv.preflight.case import Case


def check_fault(case: Case) -> Iterator[Check]:
    """Say, in NVML's words, why a driver that is there does not answer.

    Where its two halves differ, ``driver.mismatch`` says so; on WSL ``gpu.wsl`` does.
    """
    hardware = case.gpu_hardware
    if hardware is None or hardware.driver_fault is None or case.plumbing.wsl:
        return
    if not _differ(*_halves(hardware)):
        yield failed(
            "driver.fault",
            "a driver that answers",
            hardware.driver_fault.error,
            "Reboot, or install the driver again; sudo dmesg | grep -i nvrm says what is wrong.",
        )


def check_mismatch(case: Case) -> Iterator[Check]:
    """Say whether kernel module and library are of one driver: after an update they may differ."""
    hardware = case.gpu_hardware
    if hardware is None:
        return
    module, library = _halves(hardware)
    if module is None or library is None:
        return
    expected = "kernel module and library of one driver"
    if _differ(module, library):
        seen = f"kernel module {module}, library {library}"
        fix = "wsl --shutdown" if case.plumbing.wsl else "sudo reboot"
        yield failed("driver.mismatch", expected, seen, fix)
    elif hardware.driver_fault is None:
        yield held("driver.mismatch", expected, f"both {library}")


def _halves(hardware: Hardware) -> tuple[str | None, str | None]:
    """Give the versions of the kernel module and of the library; None is unknown."""
    if hardware.driver:
        return hardware.driver.kernel_module, hardware.driver.version
    fault = hardware.driver_fault
    return (fault.kernel_module, fault.library) if fault else (None, None)


def _differ(module: str | None, library: str | None) -> bool:
    return module is not None and library is not None and module != library


def check_cuda(case: Case) -> Iterator[Check]:
    """Say whether the driver serves the environment's CUDA, and by which of NVIDIA's rules."""
    hardware = case.gpu_hardware
    found = service(case)
    if hardware is None or hardware.driver is None or case.cuda is None or found is None:
        return
    cuda = dotted(case.cuda)
    expected = f"a driver for CUDA {cuda}: {lowest_driver(case.catalogue, case.cuda)}"
    seen = _describe(hardware.driver, case.catalogue)
    if found == "no":
        yield failed("driver.cuda", expected, seen, _newer_driver(case, case.cuda))
    elif found != "forward":
        rule = f", and {cuda} as every {case.cuda[0]}.x" if found == "minor" else ""
        yield held("driver.cuda", expected, seen + rule)
    elif case.needs.compat:
        by = f", and {cuda} by the image's forward-compatibility package"
        yield held("driver.cuda", expected, seen + by)
    else:
        by = f", and {cuda} only with the package cuda-compat"
        yield warned("driver.cuda", expected, seen + by, _newer_driver(case, case.cuda))


def service(case: Case) -> Service | None:
    """Tell how the driver serves the environment's CUDA; None where either is unknown."""
    if case.gpu_hardware is None or case.cuda is None:
        return None
    branches = case.needs.datacenter_branches
    return serve(case.gpu_hardware, case.cuda, case.catalogue, branches=branches)


def lowest_driver(catalogue: Catalogue, cuda: Pair) -> str:
    """Name the lowest driver for a CUDA by minor-version compatibility: ``525.60.13 or newer``."""
    known = [one.lowest_driver for one in catalogue.cuda if one.cuda[0] == cuda[0]]
    if not known:
        return f"one of CUDA {cuda[0]}.x"
    return ".".join(f"{part:02}" for part in max(known)) + " or newer"


def _describe(driver: Driver, catalogue: Catalogue) -> str:
    return f"driver {driver.version} serves CUDA {dotted(own_cuda(driver, catalogue))}"


def _newer_driver(case: Case, cuda: Pair) -> str:
    """Say how a newer driver comes to this machine; never a Linux driver into WSL."""
    wanted = lowest_driver(case.catalogue, cuda)
    if case.jetson:
        return f"Update JetPack to one with CUDA {cuda[0]}.x; its driver comes with it."
    if case.plumbing.wsl:
        return f"Install NVIDIA driver {wanted} in Windows, never in WSL, then: wsl --shutdown"
    return f"Install NVIDIA driver {wanted} and reboot, or take an environment for an older CUDA."
