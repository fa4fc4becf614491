from __future__ import annotations

import pytest

from snapenv.model.hardware import Driver
from snapenv.preflight.compatibility import allows
from tests.preflight.hosts import A100, CUDA_OF, RTX4090

OF_CUDA_IMAGE = "cuda>=12.4 brand=tesla,driver>=470,driver<471 brand=geforce,driver>=535,driver<536"


@pytest.mark.parametrize(
    ("requirement", "driver", "allowed"),
    [
        ("cuda>=9.0", "450.80.02", True),
        ("cuda>=12.4", "550.54.15", True),
        ("cuda>=12.4", "545.23.08", False),
        ("cuda>12.4", "550.54.15", False),
        ("cuda<=12.4", "550.54.15", True),
        ("cuda<12.4", "550.54.15", False),
        ("cuda=12.4", "550.54.15", True),
        ("cuda!=12.4", "550.54.15", False),
        ("driver>=550", "550.54.15", True),
        ("driver<550", "550.54.15", False),
        ("arch>=8.9", "550.54.15", True),
        ("arch>=9.0", "550.54.15", False),
        ("cuda>=12.4,driver>=560", "550.54.15", False),  # both must hold
        ("cuda>=12.6 driver>=550", "550.54.15", True),  # either will do
        (OF_CUDA_IMAGE, "535.183.01", True),
        (OF_CUDA_IMAGE, "470.82.01", False),  # that is for Tesla
        ("brand!=geforce", "550.54.15", True),  # not told apart
        ("", "550.54.15", True),
        ("cuda>=new", "550.54.15", True),
        ("weather=fine", "550.54.15", True),
        ("???", "550.54.15", True),
    ],
)
def test_a_requirement_is_read_as_nvidia_s_runtime_reads_it(
    requirement: str, driver: str, *, allowed: bool
) -> None:
    loaded = Driver(version=driver, cuda=CUDA_OF[driver])

    assert allows(requirement, loaded, RTX4090) is allowed


def test_a_geforce_is_told_from_a_tesla_by_its_name() -> None:
    old = Driver(version="470.82.01", cuda=(11, 4))

    assert allows(OF_CUDA_IMAGE, old, A100)
    assert not allows(OF_CUDA_IMAGE, old, RTX4090)


def test_a_driver_whose_version_says_nothing_meets_every_version() -> None:
    odd = Driver(version="unknown", cuda=(12, 4))

    assert allows("driver>=600", odd, RTX4090)
