"""Unknown is never a no: what is not told, or not in the catalogue, adds no failing check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.checks import preflight
from tests.preflight.hosts import ROWS, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.model.host import Host, Needs
    from snapenv.nvidia.catalogue import Catalogue

KNOWN = load_catalogue()


INTO_CONTAINERS = ("gpu.plumbing", "gpu.cdi", "gpu.cdi-feature", "gpu.cdi-device")


def failing(host: Host, needs: Needs, catalogue: Catalogue = KNOWN) -> set[str]:
    """Return what fails; that a GPU gets into no container is one thing, whatever is missing."""
    found = {check.id for check in preflight(host, needs, catalogue) if check.fails}
    return {INTO_CONTAINERS[0] if one in INTO_CONTAINERS else one for one in found}


def gpus_of(host: Host, **untold: object) -> Host:
    gpus = tuple(replace(gpu, **untold) for gpu in host.hardware.gpus)
    return replace(host, hardware=replace(host.hardware, gpus=gpus))


def driver_of(host: Host, **untold: object) -> Host:
    driver = host.hardware.driver
    known = replace(driver, **untold) if driver else None
    return replace(host, hardware=replace(host.hardware, driver=known))


def engine_of(host: Host, **untold: object) -> Host:
    engine = host.engine
    return replace(host, engine=replace(engine, **untold) if engine else None)


def plumbing_of(host: Host, **untold: object) -> Host:
    return replace(host, plumbing=replace(host.plumbing, **untold))


def unread_specs(host: Host) -> Host:
    specs = tuple(replace(spec, devices=(), driver=None) for spec in host.plumbing.cdi)
    return plumbing_of(host, cdi=specs)


def untold_specs(host: Host) -> Host:
    return plumbing_of(host, cdi=tuple(replace(spec, driver=None) for spec in host.plumbing.cdi))


OF_HOST: tuple[Callable[[Host], Host], ...] = (
    lambda host: gpus_of(host, compute_capability=None),
    lambda host: gpus_of(host, name="NVIDIA GPU"),
    lambda host: gpus_of(host, memory_mib=None),
    lambda host: driver_of(host, cuda=None),
    lambda host: driver_of(host, version="unknown"),
    lambda host: driver_of(host, kernel_module=None),
    lambda host: replace(host, gpu_states=()),
    lambda host: engine_of(host, version="unknown"),
    lambda host: engine_of(host, free_bytes=None),
    lambda host: engine_of(host, free_inodes=None),
    lambda host: engine_of(host, api=(0, 0)),
    lambda host: plumbing_of(host, no_cgroups=None),
    lambda host: plumbing_of(host, devices=()),
    unread_specs,
    untold_specs,
)
OF_NEEDS: tuple[dict[str, Any], ...] = (
    {"torch": None},
    {"cuda": None, "image_cuda": None},
    {"kernels": ()},
    {"image_cuda": None},
    {"requires": {}},
    {"image_driver": None},
    {"glibc": None, "image_glibc": None},
    {"architecture": None},
    {"missing": ()},
    {"datacenter_branches": ()},
)
OF_CATALOGUE: tuple[dict[str, Any], ...] = (
    {"forward": {}},
    {"forward": None, "forward_listed": (), "never_forward": ()},
    {"torch": ()},
    {"architectures": ()},
    {"images": ()},
)


@given(row=st.sampled_from(ROWS), untold=st.sets(st.sampled_from(OF_HOST), min_size=1, max_size=3))
def test_what_a_machine_does_not_tell_is_no_fault(
    row: Row, untold: set[Callable[[Host], Host]]
) -> None:
    host = row.host
    for blank in untold:
        host = blank(host)

    assert failing(host, row.needs) <= failing(row.host, row.needs)


@given(row=st.sampled_from(ROWS), untold=st.lists(st.sampled_from(OF_NEEDS), min_size=1))
def test_what_an_environment_does_not_tell_is_no_fault(
    row: Row, untold: list[dict[str, Any]]
) -> None:
    needs = row.needs
    for fields in untold:
        needs = replace(needs, **fields)

    assert failing(row.host, needs) <= failing(row.host, row.needs)


@pytest.mark.parametrize("untold", OF_CATALOGUE, ids="-".join)
def test_what_the_catalogue_does_not_know_is_no_fault(untold: dict[str, Any]) -> None:
    blank = replace(KNOWN, **untold)

    added = {
        row.name: new
        for row in ROWS
        if (new := failing(row.host, row.needs, blank) - failing(row.host, row.needs))
    }

    assert not added
