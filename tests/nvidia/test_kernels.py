from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.base.metadata import corrected_by_variables
from snapenv.nvidia.catalogue import CatalogueImage, Kernels, load_catalogue, read_kernels
from snapenv.nvidia.kernels import cover, cover_by_image, cover_by_name, cover_by_release

if TYPE_CHECKING:
    from snapenv.nvidia.catalogue import Pair
    from snapenv.nvidia.kernels import Coverage

KNOWN = load_catalogue()


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


def test_a_released_torch_has_the_kernels_of_its_release() -> None:
    assert cover_by_release("2.11.0+cu130", "13.0", (7, 0), KNOWN) == "none"
    assert cover_by_release("2.11.0+cu130", "13.0", (9, 0), KNOWN) == "code"


@pytest.mark.parametrize(
    ("version", "cuda"),
    [("2.11.0+cu126", "12.6"), ("2.15.0", "13.2"), ("2.99.0", "13.0"), ("2.11.0+mine", "13.0")],
)
def test_a_build_whose_kernels_are_not_known_is_not_guessed(version: str, cuda: str) -> None:
    assert cover_by_release(version, cuda, (7, 0), KNOWN) is None
