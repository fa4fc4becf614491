from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.model.hardware import Driver, Gpu
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.nvidia.driver import is_data_center, last_branch, own_cuda, serve
from tests.samples import sample_hardware

if TYPE_CHECKING:
    from snapenv.model.hardware import Hardware
    from snapenv.nvidia.catalogue import Pair
    from snapenv.nvidia.driver import Service

KNOWN = load_catalogue()


def machine(version: str, cuda: Pair | None, *gpus: str) -> Hardware:
    found = tuple(Gpu(name=gpu, memory_mib=1, compute_capability=(8, 0)) for gpu in gpus)
    return replace(sample_hardware(driver=Driver(version=version, cuda=cuda)), gpus=found)


@pytest.mark.parametrize(
    ("version", "cuda", "asked", "service"),
    [
        ("580.95.05", (13, 0), (13, 0), "full"),
        ("580.95.05", (13, 0), (11, 8), "full"),
        ("580.95.05", (13, 0), (13, 4), "minor"),
        ("525.60.13", (12, 0), (12, 9), "minor"),
        ("450.80.02", (11, 0), (11, 8), "minor"),
        ("450.51.06", (11, 0), (11, 8), "perhaps"),  # below the lowest of the family
        ("450.51.06", (11, 0), (11, 0), "full"),
        ("535.183.01", (12, 2), (13, 0), "forward"),
        ("535.183.01", (13, 0), (13, 0), "forward"),  # the image's own cuda-compat answered
        ("550.54.15", (12, 4), (13, 0), "perhaps"),  # a branch at its end of life
        ("570.124.06", (12, 8), (13, 0), "forward"),
        ("570.124.06", (12, 8), (13, 5), "perhaps"),  # newer than the table
        ("470.82.01", (11, 4), (12, 3), "perhaps"),  # notes of an image with 12.3 allow it
        ("450.80.02", (11, 0), (12, 3), "no"),
        ("555.42.06", (12, 5), (13, 1), "no"),  # a branch that never is
        ("470.82.01", (11, 4), (12, 2), "perhaps"),  # of 12-2 it is not known
        ("580.00", (13, 0), (13, 0), "full"),  # of a Jetson Thor
        ("580.00", None, (13, 0), "full"),
        ("unknown", None, (13, 0), None),
        ("620.10", (14, 0), (13, 4), "full"),  # newer than all that is known
        ("390.157", (9, 1), (11, 2), "perhaps"),
        ("n/a", (12, 2), (12, 9), "minor"),  # a version that says nothing
    ],
)
def test_a_driver_serves_a_cuda_by_nvidia_s_rules(
    version: str, cuda: Pair | None, asked: Pair, service: Service | None
) -> None:
    hardware = machine(version, cuda, "NVIDIA A100-SXM4-80GB")

    assert serve(hardware, asked, KNOWN) == service


@pytest.mark.parametrize("name", ["NVIDIA GeForce RTX 4090", "NVIDIA T400 4GB"])
@pytest.mark.parametrize(("version", "cuda"), [("470.82.01", (11, 4)), ("390.157", (9, 1))])
def test_what_has_no_forward_compatibility_needs_no_row_of_it(
    version: str, cuda: Pair, name: str
) -> None:
    assert serve(machine(version, cuda, name), (12, 2), KNOWN) == "no"


def test_what_no_driver_supports_any_more_has_no_forward_compatibility() -> None:
    k80 = replace(
        machine("470.82.01", (11, 4)), gpus=(Gpu(name="Tesla K80", compute_capability=(3, 7)),)
    )

    assert serve(k80, (12, 6), KNOWN) == "no"
    assert serve(k80, (11, 8), KNOWN) == "minor"


@pytest.mark.parametrize(
    ("capability", "last"),
    [((3, 7), 470), ((5, 2), 580), ((6, 1), 580), ((7, 0), 580), ((7, 5), None), ((9, 0), None)],
)
def test_the_last_driver_of_a_gpu_is_known_by_its_architecture(
    capability: Pair, last: int | None
) -> None:
    assert last_branch(Gpu(name="a GPU", compute_capability=capability), KNOWN) == last
    assert last_branch(Gpu(name="a GPU"), KNOWN) is None


def test_forward_compatibility_needs_a_data_centre_gpu_everywhere() -> None:
    mixed = machine("535.183.01", (12, 2), "NVIDIA A100-SXM4-80GB", "NVIDIA GeForce RTX 4090")
    none = machine("535.183.01", (12, 2))

    assert serve(mixed, (13, 0), KNOWN) == "no"
    assert serve(none, (13, 0), KNOWN) == "no"


def test_an_image_s_own_notes_may_allow_an_older_branch() -> None:
    hardware = machine("470.82.01", (11, 4), "Tesla T4")

    assert serve(hardware, (12, 2), KNOWN, branches=(450, 470)) == "forward"


def test_without_a_driver_nothing_is_told() -> None:
    assert serve(sample_hardware(driver=None), (12, 2), KNOWN) is None


@pytest.mark.parametrize(
    ("version", "cuda", "own"),
    [
        ("535.183.01", (12, 2), (12, 2)),
        ("535.183.01", (13, 1), (12, 2)),  # asked inside of an image with cuda-compat
        ("620.10", (14, 0), (14, 0)),
        ("440.33.01", (10, 2), (10, 2)),
        ("580.00", (13, 0), (13, 0)),
        ("540.4.0", (12, 6), (12, 6)),
        ("535.183.01", None, (12, 2)),
        ("unknown", None, None),
    ],
)
def test_a_driver_s_own_cuda_is_by_its_version_as_far_as_that_is_known(
    version: str, cuda: Pair | None, own: Pair | None
) -> None:
    assert own_cuda(Driver(version=version, cuda=cuda), KNOWN) == own


@pytest.mark.parametrize(
    ("name", "sold"),
    [
        ("Tesla V100-SXM2-32GB", True),
        ("Tesla T4", True),
        ("NVIDIA A100-SXM4-80GB", True),
        ("NVIDIA A10G", True),
        ("NVIDIA L40S", True),
        ("NVIDIA H100 80GB HBM3", True),
        ("NVIDIA GH200 480GB", True),
        ("NVIDIA GB200", True),
        ("NVIDIA GB10", False),
        ("NVIDIA GeForce RTX 4090", False),
        ("A100-SXM4-40GB", True),  # before driver 470
        ("GRID A100X-40C", True),
        ("NVIDIA B300 SXM6 AC", True),
        ("NVIDIA TITAN RTX", False),
        ("NVIDIA T400 4GB", False),
        ("NVIDIA T600 Laptop GPU", False),
        ("NVIDIA T1000 8GB", False),
        ("NVIDIA RTX A2000 Laptop GPU", False),
        ("Quadro P4000", False),
        ("GeForce GTX 1080", False),
        ("NVIDIA RTX A6000", None),  # NVIDIA names no cards of its select ones
        ("Quadro RTX 6000", None),
        ("NVIDIA R100", None),
        ("Orin (nvgpu)", None),
    ],
)
def test_a_data_centre_gpu_is_known_by_its_name(name: str, *, sold: bool | None) -> None:
    gpu = Gpu(name=name, memory_mib=1, compute_capability=(8, 0))

    assert is_data_center(gpu) is sold
