from __future__ import annotations

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.hardware import Driver
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.checks import preflight
from tests.preflight.hosts import (
    A100,
    CU130,
    FAR,
    GTX1080,
    NOTHING,
    ROWS,
    RTX4090,
    SYSTEMD,
    Row,
    host,
)

KNOWN = load_catalogue()


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_what_is_wrong_with_a_machine_is_found_and_nothing_else(row: Row) -> None:
    checks = preflight(row.host, row.needs, KNOWN)

    wrong = {("?" if one.severity == "warning" else "") + one.id for one in checks if not one.ok}
    assert wrong == row.expected


def test_the_table_has_machines_enough_and_no_name_twice() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 80


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_no_id_stands_twice_in_an_answer(row: Row) -> None:
    ids = [check.id for check in preflight(row.host, row.needs, KNOWN)]

    assert len(set(ids)) == len(ids)


def test_what_holds_is_said_in_the_order_of_engine_driver_gpu_and_disk() -> None:
    machine = host(RTX4090, "580.95.05", replace(SYSTEMD, cgroup_driver="cgroupfs"))
    checks = preflight(machine, replace(CU130, builds=True), KNOWN)

    assert [check.id for check in checks] == [
        "engine",
        "engine.api",
        "engine.buildkit",
        "platform",
        "driver.mismatch",
        "gpu.present",
        "driver.cuda",
        "gpu.kernels",
        "gpu.extensions",
        "gpu.plumbing",
        "gpu.uvm",
    ]
    assert all(check.ok and check.fix is None for check in checks)


def test_of_an_engine_elsewhere_nothing_is_told_by_this_machine() -> None:
    near = preflight(host(A100, "580.95.05", FAR), CU130, KNOWN)
    broken = preflight(host(GTX1080, "390.157", FAR, NOTHING), CU130, KNOWN)

    assert near == broken
    assert [check.id for check in near] == ["engine", "engine.elsewhere", "engine.api", "platform"]


def test_an_engine_that_is_missing_says_why_in_its_own_words() -> None:
    down = replace(
        host(RTX4090, "580.95.05", None),
        engine_error="you have no permission to use the Docker engine",
        engine_hint="Join the group docker.",
    )
    check = preflight(down, CU130, KNOWN)[0]

    assert check.actual == wording("you have no permission to use the Docker engine")
    assert check.fix == wording("Join the group docker.")


def test_a_kernel_module_that_is_not_told_is_compared_with_nothing() -> None:
    machine = host(RTX4090, "580.95.05")
    driver = Driver(version="580.95.05", cuda=(13, 0))
    untold = replace(machine, hardware=replace(machine.hardware, driver=driver))

    assert "driver.mismatch" in {check.id for check in preflight(machine, CU130, KNOWN)}
    assert "driver.mismatch" not in {check.id for check in preflight(untold, CU130, KNOWN)}
