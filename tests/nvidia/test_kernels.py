from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.base.metadata import corrected_by_variables
from snapenv.base.warn import warnings_of_environment
from snapenv.model.hardware import Driver, Gpu
from snapenv.model.native import Kernels as NativeKernels
from snapenv.model.native import Native
from snapenv.model.python import Torch
from snapenv.nvidia.catalogue import CatalogueImage, Kernels, load_catalogue, read_kernels
from snapenv.nvidia.kernels import cover, cover_by_image, cover_by_name, cover_by_torch
from tests.samples import sample_environment, sample_facts, sample_hardware, sample_native

if TYPE_CHECKING:
    from snapenv.model.facts import Facts
    from snapenv.nvidia.catalogue import Pair
    from snapenv.nvidia.kernels import Coverage

KNOWN = load_catalogue()


def with_torch(version: str, cuda: str, *, native: Native | None = None) -> Facts:
    environment = sample_environment(torch=Torch(version=version, cuda=cuda))
    return sample_facts(environment=environment, native=native)


@pytest.mark.parametrize(
    ("codes", "gpu", "covered"),
    [
        ("8.0|9.0", (9, 0), "code"),
        ("8.0|9.0", (8, 6), "code"),
        ("8.6", (8, 0), "none"),
        ("8.0|9.0", (12, 0), "none"),
        ("8.0|9.0+PTX", (12, 0), "ptx"),
        ("8.0|9.0+PTX", (7, 5), "none"),
        ("8.6", (8, 7), "none"),  # a Jetson's code is its own
        ("8.7", (8, 7), "code"),
    ],
)
def test_code_runs_on_its_own_family_and_ptx_on_what_is_newer(
    codes: str, gpu: Pair, covered: Coverage
) -> None:
    kernels = read_kernels(codes)

    assert kernels is not None
    assert cover(kernels, gpu) == covered


@pytest.mark.parametrize(("gpu", "covered"), [((7, 0), "none"), ((7, 5), "code"), ((9, 0), "code")])
def test_a_lowest_capability_covers_what_is_above_it(gpu: Pair, covered: Coverage) -> None:
    assert cover(Kernels(at_least=(7, 5)), gpu) == covered


@pytest.mark.parametrize(
    ("names", "gpu", "covered"),
    [
        (("sm_80", "sm_90a"), (9, 0), "code"),
        (("sm_80", "sm_90"), (8, 9), "code"),
        (("sm_100f",), (10, 3), "code"),
        (("sm_100a",), (10, 3), "none"),
        (("sm_120",), (12, 1), "code"),
        (("sm_90", "compute_90"), (12, 0), "ptx"),
        (("sm_90", "compute_90a"), (12, 0), "none"),
        (("sm_90",), (12, 0), "none"),
        (("gfx942",), (9, 0), None),
        ((), (9, 0), None),
    ],
)
def test_the_names_in_files_are_read_as_nvidia_means_them(
    names: tuple[str, ...], gpu: Pair, covered: Coverage | None
) -> None:
    assert cover_by_name(names, gpu) == covered


@pytest.mark.parametrize(
    ("cuda", "gpu", "covers"),
    [
        ((12, 6), (12, 0), False),
        ((12, 8), (12, 0), True),
        ((12, 9), (7, 0), True),
        ((13, 0), (7, 0), False),
        ((11, 0), (8, 6), True),  # by code for 8.0
        ((11, 7), (9, 0), False),
        (None, (9, 0), True),
        ((13, 0), (15, 0), True),  # a GPU that nobody knows
    ],
)
def test_an_image_covers_what_its_cuda_can_compile_for(
    cuda: Pair | None, gpu: Pair, *, covers: bool
) -> None:
    image = CatalogueImage(tag="x", cuda=cuda)

    assert cover_by_image(image, gpu, "amd64", KNOWN) is covers


def test_what_an_image_lists_beats_what_its_cuda_could_compile() -> None:
    image = corrected_by_variables(
        CatalogueImage(tag="x", cuda=(12, 9)),
        {"TORCH_CUDA_ARCH_LIST": "8.0 9.0+PTX"},
        machine="amd64",
    )

    assert cover_by_image(image, (9, 0), "amd64", KNOWN)
    assert not cover_by_image(image, (7, 5), "amd64", KNOWN)
    assert cover_by_image(image, (7, 5), "arm64", KNOWN)


def test_the_kernels_in_the_files_beat_those_of_the_release() -> None:
    only = Native(kernels=(NativeKernels(distribution="torch", architectures=("sm_70",)),))

    assert cover_by_torch(with_torch("2.11.0+cu130", "13.0", native=only), (7, 0), KNOWN) == "code"
    assert cover_by_torch(with_torch("2.11.0+cu130", "13.0"), (7, 0), KNOWN) == "none"


@pytest.mark.parametrize(
    ("version", "cuda"),
    [("2.11.0+cu126", "12.6"), ("2.15.0", "13.2"), ("2.99.0", "13.0"), ("2.11.0+mine", "13.0")],
)
def test_a_build_whose_kernels_are_not_known_is_not_guessed(version: str, cuda: str) -> None:
    assert cover_by_torch(with_torch(version, cuda), (7, 0), KNOWN) is None


def test_torch_for_arm64_is_not_taken_for_that_of_amd64() -> None:
    facts = with_torch("2.11.0+cu130", "13.0")
    system = replace(facts.hardware.system, machine="aarch64")
    facts = replace(facts, hardware=replace(facts.hardware, system=system))

    assert cover_by_torch(facts, (7, 0), KNOWN) is None


def on(gpu: Gpu, driver: Driver, native: Native) -> tuple[str, ...]:
    hardware = replace(sample_hardware(driver=driver), gpus=(gpu, gpu))
    facts = sample_facts(hardware=hardware, native=native)
    return warnings_of_environment(facts, KNOWN, site_packages="isolated")


def test_every_kind_of_gpu_that_torch_has_no_kernels_for_is_named_once() -> None:
    volta = Gpu(name="Tesla V100", memory_mib=1, compute_capability=(7, 0))

    warnings = on(volta, Driver(version="580.95.05", cuda=(13, 0)), sample_native())

    assert warnings == ("torch 2.11.0+cu130 has no kernels for Tesla V100 (7.0)",)


@pytest.mark.parametrize(("version", "warned"), [("580.95.05", False), ("590.48.01", False)])
def test_ptx_is_enough_where_the_driver_is_as_new(version: str, *, warned: bool) -> None:
    ptx = Native(kernels=(NativeKernels(distribution="torch", architectures=("compute_90",)),))
    newer = Gpu(name="NVIDIA B200", memory_mib=1, compute_capability=(10, 0))

    assert bool(on(newer, Driver(version=version, cuda=(13, 0)), ptx)) is warned


def test_ptx_that_is_newer_than_the_driver_is_said() -> None:
    ptx = Native(kernels=(NativeKernels(distribution="torch", architectures=("compute_90",)),))
    newer = Gpu(name="NVIDIA B200", memory_mib=1, compute_capability=(10, 0))

    warnings = on(newer, Driver(version="570.124.06", cuda=(12, 8)), ptx)

    assert "only PTX for NVIDIA B200 (10.0), newer than what the driver reads" in warnings[0]
