"""Whether a captured torch runs on the very machine that it was captured on, by the same rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.model.host import Host
from snapenv.preflight.case import Case
from snapenv.preflight.driver import check_cuda
from snapenv.preflight.kernels import check_kernels, check_ptx
from snapenv.preflight.needs import of_facts

if TYPE_CHECKING:
    from snapenv.model.facts import Facts
    from snapenv.model.outcome import Check
    from snapenv.model.snapshot import SitePackages
    from snapenv.nvidia.catalogue import Catalogue


def check_captured(
    facts: Facts, catalogue: Catalogue, *, site_packages: SitePackages
) -> tuple[Check, ...]:
    """Return the checks of torch's kernels and CUDA against the GPUs and the driver beside it.

    A torch of the base image's own has that image's CUDA, which is judged with the base.
    """
    needs = replace(of_facts(facts, "this environment"), venv=True)
    case = Case(host=Host(hardware=facts.hardware), needs=needs, catalogue=catalogue)
    driver = check_cuda(case) if site_packages == "isolated" else ()
    return (*check_kernels(case), *check_ptx(case), *driver)


def captured_warnings(
    facts: Facts, catalogue: Catalogue, *, site_packages: SitePackages
) -> tuple[str, ...]:
    """Return what does not pass, one line each: a capture goes on all the same."""
    return tuple(
        f"{check.id}: expected: {check.expected}; actual: {check.actual}"
        for check in check_captured(facts, catalogue, site_packages=site_packages)
        if not check.ok
    )
