"""Whether CDI gives a container the GPUs that it asks for, as the engine resolves their names.

Of a device that several specifications describe, the one in the later folder counts; two in one
folder cancel each other.

Source: https://github.com/cncf-tags/container-device-interface/blob/main/pkg/cdi/cache.go
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from snapenv.model.host import NVIDIA_DEVICE
from snapenv.nvidia import advice
from snapenv.nvidia.catalogue import numbers
from snapenv.preflight.case import Case, failed, passed, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.host import CdiSpec
    from snapenv.model.outcome import Check

_FOLDERS = ("/etc/cdi/", "/var/run/cdi/")


def check_specification(case: Case) -> Iterator[Check]:
    """Return whether the CDI specification is there, read, and of the driver that is loaded.

    Where NVIDIA's hook is the way, nobody reads it.
    """
    if case.gpu_engine and is_unread(case):
        path = (*(spec.path for spec in case.specs), *case.unread_specs)[0]
        yield failed(
            "gpu.cdi",
            f"an engine that reads {path}",
            "it found no device of NVIDIA's",
            f"Add the folder of {path} to cdi-spec-dirs in the engine's daemon.json.",
        )
    elif case.gpu_engine and case.injection == "cdi":
        yield from _compare_driver(case)


def _compare_driver(case: Case) -> Iterator[Check]:
    """Compare the driver in each specification that counts with the loaded one, where both tell."""
    driver = case.gpu_hardware.driver if case.gpu_hardware else None
    loaded = driver.version if driver and numbers(driver.version) else None
    expected = f"a CDI specification of driver {loaded or 'unknown'}"
    if not case.specs and case.unread_specs:
        path = case.unread_specs[0]
        fix = f"See that it can be read: sudo chmod a+r {shlex.quote(path)}"
        yield warning("gpu.cdi", expected, f"{path} could not be read, or names no device", fix)
        return
    if not case.specs:
        if case.gpu_engine and not case.gpu_engine.cdi_devices:
            yield failed("gpu.cdi", expected, "none", advice.write_cdi())
        return
    specs = [spec for name in _requested_devices(case) if (spec := resolve(name, case.specs))]
    old = next((spec for spec in specs if loaded and spec.driver not in {None, loaded}), None)
    if old:
        actual = f"{old.path} is of driver {old.driver}"
        yield failed("gpu.cdi", expected, actual, advice.write_cdi(old.path))
    elif specs:
        yield passed("gpu.cdi", expected, specs[0].path)


def check_names(case: Case) -> Iterator[Check]:
    """Return whether the engine knows the names of the GPUs (``unresolvable CDI devices``).

    One that does not tell reads the specifications of this machine.
    """
    engine = case.gpu_engine
    if engine is None or case.injection != "cdi":
        return
    every = dict.fromkeys(name for spec in case.specs for name in spec.devices)
    known = (
        engine.cdi_devices
        if engine.tells_devices
        else tuple(name for name in every if resolve(name, case.specs))
    )
    known = tuple(name for name in known if name.startswith(NVIDIA_DEVICE))
    lacking = [name for name in _requested_devices(case) if name not in known]
    if not known or not lacking:
        return
    path = case.specs[-1].path if case.specs else "/etc/cdi/nvidia.yaml"
    yield failed(
        "gpu.cdi-device",
        f"a CDI specification of {', '.join(lacking)}",
        f"those of {', '.join(known)}",
        f"{advice.write_cdi(path)}; or use --device {known[0].removeprefix(NVIDIA_DEVICE)}",
    )


def resolve(name: str, specs: Sequence[CdiSpec]) -> CdiSpec | None:
    """Return the specification that counts for a device; None where none does, or two cancel out.

    Two in one folder cancel out though a later folder has the device too.
    """
    of_device = [spec for spec in specs if name in spec.devices]
    if len({_priority(spec) for spec in of_device}) < len(of_device):
        return None
    return max(of_device, key=_priority, default=None)


def _priority(spec: CdiSpec) -> int:
    return next((i for i, folder in enumerate(_FOLDERS) if spec.path.startswith(folder)), -1)


def is_unread(case: Case) -> bool:
    """Return whether specifications are the only way, and the engine has found none of them."""
    specifications = case.specs or case.unread_specs
    return bool(specifications and case.engine and case.engine.cdi and case.injection == "none")


def _requested_devices(case: Case) -> tuple[str, ...]:
    """Name the devices that a container is made with."""
    return tuple(f"{NVIDIA_DEVICE}{word}" for word in case.needs.devices or ("all",))
