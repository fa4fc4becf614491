"""Whether the kind of machine and its C library are those that an environment was made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.nvidia.catalogue import major_minor
from snapenv.preflight.finding import failed, held, warned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.outcome import Check
    from snapenv.preflight.case import Case


def check_platform(case: Case) -> Iterator[Check]:
    """Say whether machine code of the environment runs here at all (``exec format error``)."""
    wanted, here = case.needs.architecture, _architecture(case)
    if wanted is None:
        return
    if wanted == here:
        yield held("platform", wanted, here, part="image")
    else:
        yield failed(
            "platform",
            wanted,
            here,
            f"Capture and build the environment on a machine of {here}, or use one of {wanted}.",
            part="image",
        )


def _architecture(case: Case) -> str:
    here = case.host.hardware.system.architecture
    return case.engine.architecture if case.engine else here


def check_glibc(case: Case) -> Iterator[Check]:
    """Warn where a venv comes to an older C library than it was captured on."""
    if not case.needs.venv:
        return
    wanted, here = case.needs.glibc, case.host.hardware.system.glibc
    needed, found = major_minor(wanted or ""), major_minor(here or "")
    if needed is None or found is None:
        return
    expected = f"glibc {wanted} or newer, as captured"
    if found >= needed:
        yield held("platform.glibc", expected, f"glibc {here}")
    else:
        yield warned(
            "platform.glibc",
            expected,
            f"glibc {here}: a wheel may ask for a newer one",
            "Use --engine docker, whose image brings its own glibc.",
        )
