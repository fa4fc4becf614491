"""What an image itself asks of a driver, and the CUDA library that it may put in its place.

Source: https://docs.nvidia.com/deploy/cuda-compatibility/forward-compatibility.html,
https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING

from snapenv.nvidia.catalogue import dotted, numbers
from snapenv.nvidia.driver import is_data_center
from snapenv.preflight.driver import service
from snapenv.preflight.finding import failed, held, warned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snapenv.model.hardware import Driver, Gpu
    from snapenv.model.outcome import Check
    from snapenv.preflight.case import Case

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


def check_requirement(case: Case) -> Iterator[Check]:
    """Say whether NVIDIA's runtime lets the image start (``unsatisfied condition: cuda>=…``).

    Only NVIDIA's hook asks; CDI does not. Where the driver does not serve the CUDA at all,
    ``driver.cuda`` has said so.
    """
    asked, hardware = case.needs.requires, case.gpu_hardware
    if not asked or hardware is None or hardware.driver is None or case.needs.venv:
        return
    if service(case) == "no" or case.plumbing.disable_require:
        return
    unmet = [
        name
        for name, value in asked.items()
        if not all(allows(value, hardware.driver, gpu) for gpu in hardware.gpus)
    ]
    name = unmet[0] if unmet else next(iter(asked))
    first = asked[name].partition(" ")[0]
    cuda = hardware.driver.cuda
    actual = f"driver {hardware.driver.version}" + (f", CUDA {dotted(cuda)}" if cuda else "")
    if not unmet:
        yield held("driver.requirement", f"{first}, as the image asks", actual)
        return
    say = warned if case.injection == "cdi" else failed
    yield say(
        "driver.requirement",
        f"{first}, as the image's {name} asks",
        actual,
        f"Update the driver until it meets {first}, which nvidia-smi shows.",
    )


def allows(requirement: str, driver: Driver, gpu: Gpu) -> bool:
    """Say whether one requirement of an image lets a driver and a GPU pass.

    Words are alternatives; in one, conditions between commas must all hold. A condition that
    cannot be told counts as one that holds.
    """
    words = requirement.split()
    return not words or any(
        all(_holds(condition, driver, gpu) for condition in word.split(",")) for word in words
    )


def _holds(condition: str, driver: Driver, gpu: Gpu) -> bool:
    found = _CONDITION.fullmatch(condition)
    if found is None:
        return True
    if found["what"] == "brand":
        return found["how"] != "=" or _is_brand(gpu, found["value"])
    actual: dict[str, _Numbers | None] = {
        "cuda": driver.cuda,
        "driver": numbers(driver.version),
        "arch": gpu.compute_capability,
    }
    here, wanted = actual.get(found["what"]), numbers(found["value"])
    if here is None or wanted is None:
        return True
    return _COMPARE[found["how"]](here, wanted)


def _is_brand(gpu: Gpu, brand: str) -> bool:
    """Tell a GeForce from the others by its name; of the others no name tells NVML's brand."""
    return brand.startswith("geforce") if "GeForce" in gpu.name else not brand.startswith("geforce")


def check_compat(case: Case) -> Iterator[Check]:
    """Warn where an image's own, older libcuda may be loaded on a newer driver (error 803)."""
    branches = _branches(case)
    if branches is None:
        return
    here, image = branches
    if here > image:
        yield warned(
            "driver.compat",
            f"the libcuda of this machine, as its driver {here} is newer than the image",
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
    here, image = branches
    odd = [gpu.name for gpu in case.gpus if is_data_center(gpu) is False]
    if here < image and odd and not case.jetson:
        yield warned(
            "driver.forward",
            "data-centre GPUs, as the image's libcuda is newer than the driver",
            f"{odd[0]} has no forward compatibility; the image brings {case.needs.image_driver}",
            f"Update the driver to branch {image}, or run with another LD_LIBRARY_PATH: "
            "docker run -e LD_LIBRARY_PATH=",
        )


def _branches(case: Case) -> tuple[int, int] | None:
    """Give the branches of the driver and of the image's libcuda, where both are known."""
    hardware = case.gpu_hardware
    if hardware is None or hardware.driver is None or not _has_compat(case):
        return None
    here, image = numbers(hardware.driver.version), numbers(case.needs.image_driver or "")
    return (here[0], image[0]) if here and image else None


def _has_compat(case: Case) -> bool:
    return case.needs.compat and not case.needs.venv
