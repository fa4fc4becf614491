"""Whether the driver answers, is of one piece, and serves the CUDA of an environment.

Source: https://docs.nvidia.com/deploy/cuda-compatibility/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snapenv.nvidia import advice
from snapenv.nvidia.catalogue import dotted, numbers
from snapenv.nvidia.driver import is_past_support, last_branch, own_cuda, serve
from snapenv.preflight.case import Case, failed, passed, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.hardware import Driver, Hardware
    from snapenv.model.outcome import Check
    from snapenv.nvidia.catalogue import Catalogue, Pair
    from snapenv.nvidia.driver import Service

_WITHOUT_LIBRARY = ("missing", "library")  # kinds of a fault
_NODE = re.compile(r"/dev/nvidia(ctl|\d+)")


def check_fault(case: Case) -> Iterator[Check]:
    """Say, in NVML's words, why a driver that is there does not answer.

    Where its two halves differ, ``driver.mismatch`` says so; on WSL ``gpu.wsl`` does.
    """
    hardware = case.gpu_hardware
    fault = hardware.driver_fault if hardware else None
    if hardware is None or fault is None or fault.kind in _WITHOUT_LIBRARY or case.plumbing.wsl:
        return
    if not _differ(*_halves(hardware)):
        yield failed("driver.fault", "a driver that responds", fault.error, _FAULT_FIX[fault.kind])


_FAULT_FIX = {
    "error": f"Reboot, or reinstall the driver; {advice.KERNEL_LOG} shows the cause.",
    "crash": "Reinstall the driver, all parts of one version; "
    "sudo dmesg | grep -iE 'nvrm|segfault' may say more.",
    "hang": f"See {advice.KERNEL_LOG} for a GPU that has failed, and reboot.",
}


def check_library(case: Case) -> Iterator[Check]:
    """Say that the driver is loaded and its library is not where the loader looks.

    A container may get it all the same, where NVIDIA's toolkit knows another root of the driver.
    """
    hardware = case.gpu_hardware
    if hardware is None or hardware.driver or case.plumbing.wsl or case.jetson:
        return
    if not is_without_library(case):
        return
    fault = hardware.driver_fault
    module = fault.kernel_module if fault and fault.kernel_module else ""
    actual = f"the driver {module}".strip() + " is loaded and its library is not found"
    if fault and fault.kind == "library":
        actual = fault.error
    say = failed if case.needs.gpu_required else warning
    yield say("driver.library", "libnvidia-ml.so.1, a library of the driver", actual, _LIBRARY_FIX)


_LIBRARY_FIX = (
    "Install the driver's libraries (libnvidia-compute on Ubuntu, libnvidia-ml1 on Debian), or put "
    "their folder into LD_LIBRARY_PATH: /run/opengl-driver/lib on NixOS, "
    "/home/kubernetes/bin/nvidia/lib64 on Container-Optimized OS, "
    "/run/nvidia/driver/usr/lib/x86_64-linux-gnu with a driver container."
)


def is_without_library(case: Case) -> bool:
    """Return whether the driver's library is missing, by the probe or by nodes without it."""
    hardware = case.gpu_hardware
    if hardware is None or hardware.driver:
        return False
    if hardware.driver_fault:
        return hardware.driver_fault.kind in _WITHOUT_LIBRARY
    return any(_NODE.fullmatch(device) for device in case.plumbing.devices)


def check_mismatch(case: Case) -> Iterator[Check]:
    """Return whether kernel module and library are of one driver: an update may leave two."""
    hardware = case.gpu_hardware
    if hardware is None:
        return
    module, library = _halves(hardware)
    if module is None or library is None:
        return
    expected = "kernel module and library of one driver"
    if _differ(module, library):
        actual = f"kernel module {module}, library {library}"
        fix = "wsl --shutdown" if case.plumbing.wsl else "sudo reboot"
        yield failed("driver.mismatch", expected, actual, fix)
    elif hardware.driver_fault is None:
        yield passed("driver.mismatch", expected, f"both {library}")


def _halves(hardware: Hardware) -> tuple[str | None, str | None]:
    """Return the versions of the kernel module and of the library; None is unknown."""
    if hardware.driver:
        return hardware.driver.kernel_module, hardware.driver.version
    fault = hardware.driver_fault
    return (fault.kernel_module, fault.library) if fault else (None, None)


def _differ(module: str | None, library: str | None) -> bool:
    if module is None or library is None or not (numbers(module) and numbers(library)):
        return False
    return module != library


def check_cuda(case: Case) -> Iterator[Check]:
    """Return whether the driver serves the environment's CUDA, and by which of NVIDIA's rules."""
    hardware = case.gpu_hardware
    if hardware is None or hardware.driver is None or case.cuda is None:
        return
    served, cuda = service(case), dotted(case.cuda)
    expected = f"a driver for CUDA {cuda}: {lowest_driver(case.catalogue, case.cuda)}"
    actual = describe_driver(hardware.driver, case.catalogue)
    past = is_past_support(hardware.driver, case.cuda, case.catalogue)
    if served == "no" or (served == "perhaps" and past and not case.needs.compat):
        yield failed("driver.cuda", expected, actual, _newer_driver(case, case.cuda))
    elif served in {None, "perhaps"}:
        unknown = f", and it is not known whether it serves {cuda}"
        yield warning("driver.cuda", expected, actual + unknown, _newer_driver(case, case.cuda))
    elif served != "forward":
        rule = f", and {cuda} as every {case.cuda[0]}.x" if served == "minor" else ""
        yield passed("driver.cuda", expected, actual + rule)
    elif case.needs.compat:
        by = f", and {cuda} by the image's forward-compatibility package"
        yield passed("driver.cuda", expected, actual + by)
    else:
        by = f", and {cuda} only with the package cuda-compat"
        yield warning("driver.cuda", expected, actual + by, _newer_driver(case, case.cuda))


def service(case: Case) -> Service | None:
    """Return how the driver serves the environment's CUDA; None where either is unknown."""
    if case.gpu_hardware is None or case.cuda is None:
        return None
    branches = case.needs.datacenter_branches
    return serve(case.gpu_hardware, case.cuda, case.catalogue, branches=branches)


def lowest_driver(catalogue: Catalogue, cuda: Pair) -> str:
    """Name the lowest driver for a CUDA by minor-version compatibility: ``525.60.13 or newer``."""
    lowest = _lowest(catalogue, cuda)
    if not lowest:
        return f"one of CUDA {cuda[0]}.x"
    return ".".join(f"{part:02}" for part in lowest) + " or newer"


def _lowest(catalogue: Catalogue, cuda: Pair) -> tuple[int, ...]:
    """Return the lowest driver for every CUDA of a major version; empty is unknown."""
    known = (row.lowest_driver for row in catalogue.cuda if row.cuda[0] == cuda[0])
    return max(known, default=())


def describe_driver(driver: Driver, catalogue: Catalogue) -> str:
    """Name a driver with the CUDA that it serves, where that is known."""
    own = own_cuda(driver, catalogue)
    return f"driver {driver.version} " + (f"serves CUDA {dotted(own)}" if own else "is there")


def _newer_driver(case: Case, cuda: Pair) -> str:
    """Say how a newer driver comes to this machine; never a Linux driver into WSL."""
    wanted = lowest_driver(case.catalogue, cuda)
    if case.jetson:
        return f"Update JetPack to one with CUDA {cuda[0]}.x; its driver comes with it."
    for gpu in case.gpus:
        last, lowest = last_branch(gpu, case.catalogue), _lowest(case.catalogue, cuda)
        if last and lowest and last < lowest[0]:
            return f"Use an environment for an older CUDA: {last} is the last driver of {gpu.name}."
    if case.plumbing.wsl:
        return f"Install NVIDIA driver {wanted} in Windows, never in WSL, then: wsl --shutdown"
    return f"Install NVIDIA driver {wanted} and reboot, or use an environment for an older CUDA."
