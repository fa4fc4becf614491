"""Whether there is a GPU to train on, and whether MIG lets CUDA see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.nvidia import advice
from snapenv.preflight.case import Case, failed, passed, warning
from snapenv.preflight.driver import is_without_library

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.outcome import Check

_GPU = "an NVIDIA GPU"
_PROHIBITED = "prohibited"
_DXG = "/dev/dxg"


def check_present(case: Case) -> Iterator[Check]:
    """Return whether there is a GPU that answers.

    On WSL ``gpu.wsl`` does, and of a fault ``driver.fault`` or ``driver.library``.
    """
    hardware = case.gpu_hardware
    if hardware is None or hardware.driver_fault or (case.plumbing.wsl and not hardware.gpus):
        return
    if case.absent:
        wanted = f"GPU {', '.join(case.needs.devices)}, as --device says"
        fix = "Use GPUs that nvidia-smi -L lists, or --device all."
        yield failed("gpu.present", wanted, f"no GPU {', '.join(case.absent)}", fix)
    elif hardware.gpus:
        yield passed("gpu.present", _GPU, ", ".join(gpu.name for gpu in hardware.gpus))
    elif hardware.gpu_faults or is_without_library(case):
        return
    elif case.plumbing.jetson and hardware.driver is None:
        fix = "Update JetPack to 6 or newer, which has NVML, or ignore this warning."
        yield warning("gpu.present", _GPU, "a Jetson without NVML: its GPU was not detected", fix)
    else:
        driver = hardware.driver
        none = f"driver {driver.version} shows none" if driver else "no NVIDIA driver"
        if case.needs.gpu_required:
            fix = f"Check that lspci | grep -i nvidia lists it. {advice.OR_CPU}"
            yield failed("gpu.present", _GPU, none, fix)
        else:
            fix = f"Use a machine with an NVIDIA GPU and its driver. {advice.OR_CPU}"
            yield warning("gpu.present", _GPU, f"{none}: it trains on the CPU", fix)


def check_silent(case: Case) -> Iterator[Check]:
    """Name the GPUs that do not answer: an error where one was asked for, or no other is left."""
    hardware = case.gpu_hardware
    if hardware is None or hardware.driver_fault or not hardware.gpu_faults:
        return
    actual = "; ".join(f"GPU {fault.number}: {fault.error}" for fault in hardware.gpu_faults)
    others = ",".join(map(str, case.numbers))
    go_on = f"Use --device {others}, and see" if others else "See"
    fix = f"{go_on} {advice.KERNEL_LOG} for what failed; a reboot may bring it back."
    say = warning if others and not case.needs.devices else failed
    yield say("gpu.silent", "GPUs that respond", actual, fix)


def check_mode(case: Case) -> Iterator[Check]:
    """Say that no program may compute on a GPU: an error where there is no other."""
    closed = [state.number for state in case.states if state.compute_mode == _PROHIBITED]
    if not closed:
        return
    others = ",".join(str(number) for number in case.numbers if number not in closed)
    say = warning if others and not case.needs.devices else failed
    yield say(
        "gpu.mode",
        "a GPU on which programs may compute",
        f"GPU {', '.join(map(str, closed))} in compute mode Prohibited",
        f"Allow it: {advice.share_gpu(closed[0])}"
        + (f"; or use --device {others}" if others else ""),
    )


def check_free(case: Case) -> Iterator[Check]:
    """Warn of a GPU whose memory others hold: less than half of it is free.

    Of a GPU that MIG divides, NVML tells the memory of all instances together.
    """
    gpus = dict(zip(case.numbers, case.gpus, strict=True))
    for state in case.states:
        memory, free = gpus[state.number].memory_mib, state.free_mib
        if gpus[state.number].mig or memory is None or free is None or 2 * free >= memory:
            continue
        yield warning(
            "gpu.free",
            f"most of the {memory / 1024:.0f} GiB of GPU {state.number} free",
            f"{free / 1024:.1f} GiB: other programs hold the rest",
            "See which with nvidia-smi, and end them, or name another GPU with --device.",
        )
        return


def check_wsl(case: Case) -> Iterator[Check]:
    """Return whether Windows hands its GPU on to WSL: the driver is that of Windows.

    Source: https://docs.nvidia.com/cuda/wsl-user-guide/
    """
    hardware = case.gpu_hardware
    if hardware is None or not case.plumbing.wsl:
        return
    expected = "a GPU that Windows shares with WSL 2"
    fault = hardware.driver_fault
    if hardware.gpus and fault is None:
        yield passed("gpu.wsl", expected, "shared")
        return
    missing = fault.kind in ("missing", "library") if fault else _DXG in case.plumbing.devices
    actual = fault.error if fault else "none: it trains on the CPU"
    say = failed if (fault and not missing) or case.needs.gpu_required else warning
    yield say("gpu.wsl", expected, actual, _WSL_LIBRARY_FIX if missing else _WSL_FIX)


_WSL_FIX = "Install NVIDIA's driver in Windows, never in WSL, then in Windows: wsl --update"
_WSL_LIBRARY_FIX = (
    f"{_WSL_FIX}; if /usr/lib/wsl/lib/libnvidia-ml.so.1 is there, put ldconfig = true below "
    "[automount] in /etc/wsl.conf, then in Windows: wsl --shutdown"
)


def check_torch(case: Case) -> Iterator[Check]:
    """Say that a torch without CUDA leaves the GPUs idle (on arm64 an index gives it unasked)."""
    torch = case.needs.torch or ""
    if not case.gpus or not torch.endswith("+cpu"):
        return
    say = failed if case.needs.gpu_required else warning
    yield say(
        "gpu.torch",
        f"a torch with CUDA, for {case.gpus[0].name}",
        f"torch {torch}: it trains on the CPU",
        advice.CUDA_TORCH,
        part="image",
    )


def check_mig(case: Case) -> Iterator[Check]:
    """Return whether MIG leaves something for CUDA, which uses one instance (pytorch#130181)."""
    if not any(gpu.mig for gpu in case.gpus):
        return
    instances = [name for gpu in case.gpus for name in gpu.mig_devices]
    numbered = zip(case.numbers, case.gpus, strict=True)
    empty = [number for number, gpu in numbered if gpu.mig and not gpu.mig_devices]
    named = any(not device.isdecimal() for device in case.needs.devices)
    if empty:
        others = any(gpu.mig_devices or not gpu.mig for gpu in case.gpus)
        say = warning if others else failed
        yield say(
            "gpu.mig",
            "a MIG instance on each GPU in MIG mode",
            f"GPU {', '.join(map(str, empty))} in MIG mode without one: CUDA does not see it",
            f"Disable MIG: sudo nvidia-smi -i {empty[0]} -mig 0; or create an instance: "
            "sudo nvidia-smi mig -cgi 0 -C",
        )
    if len(instances) > 1 and not named:
        yield warning(
            "gpu.mig-several",
            "one MIG instance, as CUDA uses no more in one process",
            f"{len(instances)}: {', '.join(instances)}",
            "Name one by its UUID, as listed by nvidia-smi -L: --device MIG-…",
        )
    elif not empty:
        yield passed("gpu.mig", "a MIG instance", ", ".join(instances))
