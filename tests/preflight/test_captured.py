"""A captured torch against the machine that it was captured on; ``situations.md`` has more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.model.facts import Kernels, Native
from snapenv.model.hardware import Driver, Gpu
from snapenv.model.python import Torch
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.captured import captured_warnings, check_captured
from tests.samples import sample_environment, sample_facts, sample_hardware, sample_native

if TYPE_CHECKING:
    from snapenv.model.facts import Facts
    from snapenv.model.outcome import Severity
    from snapenv.model.snapshot import SitePackages

KNOWN = load_catalogue()
VOLTA = Gpu(name="Tesla V100", memory_mib=1, compute_capability=(7, 0))
BLACKWELL = Gpu(name="NVIDIA B200", memory_mib=1, compute_capability=(10, 0))
CU130 = Driver(version="580.95.05", cuda=(13, 0))
PTX = Native(
    kernels=(Kernels(distribution="torch", architectures=("compute_90",), common=("compute_90",)),)
)


def on(gpu: Gpu, driver: Driver = CU130, native: Native | None = None) -> Facts:
    hardware = replace(sample_hardware(driver=driver), gpus=(gpu, gpu))
    torch = Torch(version="2.11.0+cu130", cuda="13.0")
    return sample_facts(
        hardware=hardware, environment=sample_environment(torch=torch), native=native
    )


def told(facts: Facts, site_packages: SitePackages = "isolated") -> list[tuple[str, Severity]]:
    checks = check_captured(facts, KNOWN, site_packages=site_packages)
    return [(check.id, check.severity) for check in checks if not check.ok]


@pytest.mark.parametrize("native", [None, sample_native()])
def test_a_gpu_that_torch_has_no_kernels_for_is_named_once(native: Native | None) -> None:
    facts = on(VOLTA, native=native)

    assert told(facts) == [("gpu.kernels", "error")]
    (warning,) = captured_warnings(facts, KNOWN, site_packages="isolated")
    assert warning.count("Tesla V100") == 2  # what is expected, and what is not there


def test_the_kernels_in_the_files_beat_those_of_the_release() -> None:
    only = Native(kernels=(Kernels(distribution="torch", architectures=("sm_70",)),))

    assert told(on(VOLTA, native=only)) == []


def test_torch_for_arm64_is_not_taken_for_that_of_amd64() -> None:
    facts = on(VOLTA)
    system = replace(facts.hardware.system, machine="aarch64")

    assert told(replace(facts, hardware=replace(facts.hardware, system=system))) == []


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        (CU130, []),
        (Driver(version="590.48.01", cuda=(13, 1)), []),
        (Driver(version="570.124.06", cuda=(12, 8)), [("driver.cuda", "warning")]),
    ],
)
def test_ptx_is_enough_where_the_driver_is_as_new(
    driver: Driver, expected: list[tuple[str, Severity]]
) -> None:
    assert told(on(BLACKWELL, driver, PTX)) == expected


def test_ptx_that_is_newer_than_the_driver_is_named() -> None:
    facts = on(BLACKWELL, native=PTX)
    torch = Torch(version="2.15.0", cuda="13.2")

    newer = replace(facts, environment=replace(facts.environment, torch=torch))

    assert told(newer) == [("gpu.ptx", "error")]


def test_the_cuda_of_a_torch_of_the_base_image_is_judged_with_the_base() -> None:
    old = Driver(version="535.183.01", cuda=(12, 2))

    assert [name for name, _ in told(on(BLACKWELL, old))] == ["driver.cuda"]
    assert told(on(BLACKWELL, old), "inherited") == []
