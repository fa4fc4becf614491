"""Ask every rule, from the engine over the driver to the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.preflight import (
    cdi,
    compatibility,
    container,
    driver,
    engine,
    gpu,
    kernels,
    storage,
)
from snapenv.preflight.case import Case

if TYPE_CHECKING:
    from snapenv.model.host import Host, Needs
    from snapenv.model.outcome import Check
    from snapenv.nvidia.catalogue import Catalogue

RULES = (
    engine.check_answer,
    engine.check_api,
    engine.check_buildkit,
    engine.check_threads,
    engine.check_layers,
    compatibility.check_platform,
    driver.check_fault,
    driver.check_library,
    driver.check_mismatch,
    gpu.check_wsl,
    gpu.check_present,
    gpu.check_silent,
    gpu.check_mode,
    gpu.check_free,
    driver.check_cuda,
    compatibility.check_requirement,
    compatibility.check_compat,
    compatibility.check_forward,
    gpu.check_torch,
    kernels.check_jetson,
    kernels.check_kernels,
    kernels.check_ptx,
    kernels.check_extensions,
    kernels.check_image,
    gpu.check_mig,
    engine.check_snap,
    container.check_plumbing,
    cdi.check_specification,
    cdi.check_names,
    engine.check_rootless,
    container.check_no_cgroups,
    container.check_char_links,
    container.check_uvm,
    storage.check_helpers,
    storage.check_base,
    storage.check_registry,
    storage.check_disk,
    storage.check_inodes,
    storage.check_shm,
    compatibility.check_glibc,
    compatibility.check_conda,
)
"""Each gives checks of one subject, or none where it does not apply."""


def preflight(host: Host, needs: Needs, catalogue: Catalogue) -> tuple[Check, ...]:
    """Return whether a machine can run an environment, from facts alone.

    A rule that does not apply gives no check; one that applies and holds says so. What is
    unknown is never a no. No id stands twice.
    """
    case = Case(host=host, needs=needs, catalogue=catalogue)
    return tuple(check for rule in RULES for check in rule(case))
