from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from snapenv.base.catalogue import CatalogueImage, load_catalogue
from snapenv.base.choose import choose_base, rebase
from snapenv.errors import BaseError
from snapenv.model.hardware import Driver
from snapenv.model.python import Torch
from snapenv.model.snapshot import Base
from tests.samples import (
    EXACT_BASE,
    NVIDIA_IMAGE,
    OWN_BASE,
    sample_base_facts,
    sample_environment,
    sample_facts,
    sample_hardware,
)

if TYPE_CHECKING:
    from snapenv.model.facts import Facts

REPOSITORY = "nvcr.io/nvidia/pytorch"
OLD = CatalogueImage(tag="21.09-py3", python="3.8", cuda=(11, 4), torch=(1, 10))
NEW = CatalogueImage(tag="26.02-py3", python="3.12", cuda=(13, 1), torch=(2, 11))
UNKNOWN = CatalogueImage(tag="26.07-py3", python=None, cuda=None, torch=(2, 13))


def seen(cuda_major: int | None, python: str, torch: str | None) -> Facts:
    driver = Driver(version=f"{cuda_major}0.1", cuda=(cuda_major, 0)) if cuda_major else None
    environment = sample_environment(python=python, torch=Torch(version=torch) if torch else None)
    return sample_facts(hardware=sample_hardware(driver=driver), environment=environment)


@pytest.mark.parametrize(
    ("cuda_major", "python", "torch", "tag"),
    [
        # the very torch, or the newest of several images that have it
        (13, "3.12.3", "2.13.0+cu130", "26.06"),
        (13, "3.12.3", "2.12.0+cu130", "26.05"),
        (13, "3.12.3", "2.11.0+cu130", "26.02"),
        (13, "3.12.3", "2.10.0+cu130", "25.12"),
        (13, "3.12.3", "2.9.1+cu128", "25.10"),
        (13, "3.12.3", "2.8.0+cu128", "25.08"),
        (13, "3.12.3", "2.7.1+cu126", "25.04"),
        (13, "3.12.3", "2.6.0+cu124", "25.01"),
        (12, "3.10.12", "2.5.1+cu124", "24.10"),
        (12, "3.10.12", "2.4.0", "24.07"),
        (12, "3.10.12", "2.1.2+cu121", "23.10"),
        (12, "3.8.10", "2.0.1+cu118", "23.03"),
        (11, "3.8.10", "1.13.1+cu117", "22.08"),
        (11, "3.8.10", "1.12.0", "22.05"),
        (11, "3.8.10", "1.10.2+cu113", "21.09"),
        # a newer driver serves older CUDA
        (13, "3.8.10", "1.14.0a0+410ce96", "22.12"),
        (14, "3.12.3", "2.9.0", "25.10"),
        # the driver rules out the nearest torch
        (12, "3.12.3", "2.11.0+cu130", "25.06"),
        (12, "3.12.3", "2.8.0+cu128", "25.06"),
        # the nearest torch, older or newer; the newest of equally near ones
        (13, "3.12.3", "2.14.0", "26.06"),
        (12, "3.12.3", "2.5.0", "25.01"),
        (12, "3.10.12", "2.0.1", "23.10"),
        (12, "3.10.12", "2.2.0", "24.04"),
        (13, "3.10.12", "2.11.0", "24.10"),
        (12, "3.8.10", "2.4.0", "23.04"),
        # a Python that no image is known to have: then torch alone
        (13, "3.11.7", "2.11.0+cu130", "26.03"),
        (13, "3.13.1", "2.14.0", "26.09"),
        (12, "3.11.7", "2.5.1", "24.10"),
        (11, "3.9.18", "1.9.0", "21.05"),
        (11, "3.10.12", "2.1.0", "22.12"),
        # no torch, and no driver
        (13, "3.12.3", None, "26.06"),
        (13, "3.13.1", None, "26.09"),
        (None, "3.12.3", "2.11.0+cpu", "26.02"),
        (None, "3.12.3", None, "26.06"),
        # a torch that its own version.py names oddly
        (13, "3.12.3", "2.9a0+git145a3a7", "25.10"),
        (13, "3.12.3", "main", "26.06"),
    ],
)
def test_an_exact_environment_gets_the_best_image_of_the_catalogue(
    cuda_major: int | None, python: str, torch: str | None, tag: str
) -> None:
    base = choose_base(seen(cuda_major, python, torch), load_catalogue())

    assert (base.image, base.world) == (f"{REPOSITORY}:{tag}-py3", "exact")


@pytest.mark.parametrize("release", ["25.01", "24.11", "27.01"])
def test_an_environment_on_an_nvidia_image_stands_on_that_very_image(release: str) -> None:
    facts = replace(sample_base_facts(), image={"NVIDIA_PYTORCH_VERSION": release})

    base = choose_base(facts, load_catalogue())

    assert base == Base(
        image=f"{REPOSITORY}:{release}-py3",
        world="base",
        reasons=(
            "torch is the base image's own, one of its 2 packages",
            f"NVIDIA_PYTORCH_VERSION names {release}-py3",
        ),
    )


def test_an_environment_that_sees_nothing_of_its_nvidia_image_is_exact() -> None:
    facts = replace(seen(13, "3.12.3", "2.11.0+cu130"), image=NVIDIA_IMAGE)

    base = choose_base(facts, load_catalogue())

    assert (base.image, base.world) == (f"{REPOSITORY}:26.02-py3", "exact")


def test_the_reasons_say_what_of_the_image_fits() -> None:
    base = choose_base(seen(13, "3.12.3", "2.11.0+cu130"), load_catalogue())

    assert base.reasons == (
        "no package is a base image's own: all are installed from the lock",
        "it carries Python 3.12",
        "driver 130.1 serves its CUDA 13.1",
        "its torch 2.11 is the nearest",
        "the newest of its equals",
    )
    assert base.warnings == ()


def test_an_unknown_python_is_said_and_no_hindrance() -> None:
    base = choose_base(seen(13, "3.11.7", "2.11.0+cu130"), load_catalogue())

    assert base.warnings == (
        (
            "no image of the catalogue is known to carry Python 3.11: "
            "uv fetches one while the image is built"
        ),
    )
    assert not any("Python" in reason for reason in base.reasons)


def test_an_image_of_unknown_cuda_is_the_last_choice_and_that_is_said() -> None:
    base = choose_base(seen(10, "3.12.3", "2.11.0"), (OLD, UNKNOWN, NEW))

    assert base.image == UNKNOWN.reference
    assert "it is not known which CUDA this image has: driver 100.1 may not serve it" in (
        base.warnings
    )
    assert not any("serves" in reason for reason in base.reasons)


@pytest.mark.parametrize(
    ("cuda_major", "catalogue"), [(10, (OLD, NEW)), (12, (NEW,)), (13, ()), (None, ())]
)
def test_where_nothing_fits_the_error_says_what_to_do(
    cuda_major: int | None, catalogue: tuple[CatalogueImage, ...]
) -> None:
    with pytest.raises(BaseError, match="no image of the catalogue") as caught:
        choose_base(seen(cuda_major, "3.12.3", "2.11.0"), catalogue)

    assert "--base" in caught.value.hint


@pytest.mark.parametrize("facts", [sample_facts(), sample_base_facts()])
def test_the_user_s_own_choice_changes_the_image_and_not_the_world(facts: Facts) -> None:
    chosen = choose_base(facts, load_catalogue())

    asked = choose_base(facts, (), image="example.com/team/base:1")

    assert (asked.image, asked.world) == ("example.com/team/base:1", chosen.world)
    assert asked.reasons == (chosen.reasons[0], "this base was asked for")


def test_a_build_without_a_wish_keeps_the_base() -> None:
    assert rebase(OWN_BASE, image=None, mirror=None) == OWN_BASE


def test_a_build_from_a_mirror_is_the_same_image_and_keeps_its_warnings() -> None:
    warned = replace(EXACT_BASE, warnings=("look out",))

    base = rebase(warned, image=None, mirror="example.com:5000/nv/")

    assert base == replace(
        warned,
        image="example.com:5000/nv/nvidia/pytorch:25.10-py3",
        reasons=(*warned.reasons, "taken from the mirror example.com:5000/nv/"),
    )


def test_a_build_on_another_image_loses_what_was_said_of_the_first() -> None:
    base = rebase(replace(OWN_BASE, warnings=("look out",)), image="other:1", mirror=None)

    assert base == Base(
        image="other:1",
        world="base",
        reasons=(OWN_BASE.reasons[0], "this base was asked for"),
    )


def test_another_image_can_come_from_a_mirror_too() -> None:
    base = rebase(OWN_BASE, image="nvcr.io/nvidia/cuda:13.0", mirror="example.com")

    assert base.image == "example.com/nvidia/cuda:13.0"


def test_a_base_without_reasons_can_be_changed() -> None:
    base = rebase(replace(OWN_BASE, reasons=()), image="other:1", mirror="example.com")

    assert base.reasons == ("this base was asked for", "taken from the mirror example.com")
