"""Whether a machine is of the kind that an environment and its image were made for.

That is its processor and C library, what the image itself asks of a driver, and the CUDA library
that it may put in the driver's place.

Source: https://docs.nvidia.com/deploy/cuda-compatibility/forward-compatibility.html,
https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING

from snapenv.nvidia.catalogue import dotted, major_minor, numbers
from snapenv.nvidia.driver import is_data_center
from snapenv.preflight.case import Case, failed, passed, warning
from snapenv.preflight.driver import service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snapenv.model.hardware import Driver, Gpu
    from snapenv.model.outcome import Check

_CONDITION = re.compile(r"(?P<what>[a-z]+)(?P<how>>=|<=|!=|=|<|>)(?P<value>[\w.]+)", re.ASCII)
_Numbers = tuple[int, ...]
_COMPARE: dict[str, Callable[[_Numbers, _Numbers], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}


def check_platform(case: Case) -> Iterator[Check]:
    """Return whether machine code of the environment runs here at all (``exec format error``)."""
    expected = case.needs.architecture
    actual = (case.engine or case.host.hardware.system).architecture
    if expected is None:
        return
    if expected == actual:
        yield passed("platform", expected, actual, part="image")
    else:
        yield failed(
            "platform",
            expected,
            actual,
            f"Capture and build the environment on {actual}, or use a machine of {expected}.",
            part="image",
        )


def check_glibc(case: Case) -> Iterator[Check]:
    """Warn where a venv comes to an older C library than it was captured on."""
    if not case.needs.venv:
        return
    versions = [version or "" for version in (case.needs.glibc, case.host.hardware.system.glibc)]
    captured, current = map(major_minor, versions)
    if captured is None or current is None:
        return
    expected = f"glibc {versions[0]} or newer, as captured"
    if current >= captured:
        yield passed("platform.glibc", expected, f"glibc {versions[1]}")
    else:
        yield warning(
            "platform.glibc",
            expected,
            f"glibc {versions[1]}: a wheel may require a newer one",
            "Use --engine docker, whose image brings its own glibc.",
        )


def check_conda(case: Case) -> Iterator[Check]:
    """Return whether conda's packages can be installed on this machine; an image brings its own."""
    if not (case.needs.venv and case.needs.conda):
        return
    expected = "py-rattler, which installs conda's packages"
    if case.host.rattler:
        yield passed("conda", expected, "installed")
    else:
        yield failed(
            "conda",
            expected,
            "not installed beside snapenv",
            "Install it: pip install 'snapenv[conda]'; or use --engine docker.",
        )


def check_requirement(case: Case) -> Iterator[Check]:
    """Return whether NVIDIA's runtime lets the image start (``unsatisfied condition: cuda>=…``).

    Only NVIDIA's hook asks; CDI does not. Where the driver does not serve the CUDA at all,
    ``driver.cuda`` has said so.
    """
    requires, hardware = case.needs.requires, case.gpu_hardware
    if not requires or hardware is None or hardware.driver is None or case.needs.venv:
        return
    if service(case) == "no" or case.plumbing.disable_require:
        return
    unmet = [
        name
        for name, value in requires.items()
        if not all(allows(value, hardware.driver, gpu) for gpu in hardware.gpus)
    ]
    name = unmet[0] if unmet else next(iter(requires))
    first = requires[name].partition(" ")[0]
    cuda = hardware.driver.cuda
    actual = f"driver {hardware.driver.version}" + (f", CUDA {dotted(cuda)}" if cuda else "")
    if not unmet:
        yield passed("driver.requirement", f"{first}, as the image asks", actual)
        return
    say = warning if case.injection == "cdi" else failed
    yield say(
        "driver.requirement",
        f"{first}, as the image's {name} asks",
        actual,
        f"Update the driver until it meets {first}, which nvidia-smi shows.",
    )


def allows(requirement: str, driver: Driver, gpu: Gpu) -> bool:
    """Return whether one requirement of an image lets a driver and a GPU pass.

    Words are alternatives; in one, conditions between commas must all hold. A condition that
    cannot be told counts as one that holds.
    """
    words = requirement.split()
    return not words or any(
        all(_holds(condition, driver, gpu) for condition in word.split(",")) for word in words
    )


def _holds(condition: str, driver: Driver, gpu: Gpu) -> bool:
    parts = _CONDITION.fullmatch(condition)
    if parts is None:
        return True
    if parts["what"] == "brand":  # only a GeForce's name tells NVML's brand
        is_geforce = "GeForce" in gpu.name
        return parts["how"] != "=" or parts["value"].startswith("geforce") == is_geforce
    actual: dict[str, _Numbers | None] = {
        "cuda": driver.cuda,
        "driver": numbers(driver.version),
        "arch": gpu.compute_capability,
    }
    value, required = actual.get(parts["what"]), numbers(parts["value"])
    if value is None or required is None:
        return True
    return _COMPARE[parts["how"]](value, required)


def check_compat(case: Case) -> Iterator[Check]:
    """Warn where an image's own, older libcuda may be loaded on a newer driver (error 803)."""
    branches = _branches(case)
    if branches is None:
        return
    driver, image = branches
    if driver > image:
        yield warning(
            "driver.compat",
            f"the libcuda of this machine, as its driver {driver} is newer than the image",
            f"LD_LIBRARY_PATH leads to the image's own {case.needs.image_driver} first",
            "Keep the image's entrypoint, which takes /usr/local/cuda/compat out of the way.",
        )


def check_forward(case: Case) -> Iterator[Check]:
    """Warn where an image's newer libcuda may be tried on a GPU that cannot have it (error 804).

    Where the driver does not serve the CUDA at all, ``driver.cuda`` has said so.
    """
    branches = _branches(case)
    if branches is None or service(case) == "no":
        return
    driver, image = branches
    odd = [gpu.name for gpu in case.gpus if is_data_center(gpu) is False]
    if driver < image and odd and not case.jetson:
        yield warning(
            "driver.forward",
            "data-centre GPUs, as the image's libcuda is newer than the driver",
            f"{odd[0]} has no forward compatibility; the image brings {case.needs.image_driver}",
            f"Update the driver to branch {image}, or run with another LD_LIBRARY_PATH: "
            "docker run -e LD_LIBRARY_PATH=",
        )


def _branches(case: Case) -> tuple[int, int] | None:
    """Return the branches of the driver and of the image's libcuda, where both are known."""
    hardware = case.gpu_hardware
    if hardware is None or hardware.driver is None:
        return None
    if case.needs.venv or not case.needs.compat:
        return None
    driver, image = numbers(hardware.driver.version), numbers(case.needs.image_driver or "")
    return (driver[0], image[0]) if driver and image else None
