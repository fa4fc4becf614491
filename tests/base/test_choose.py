from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.base.choose import choose_base, rank_bases, rebase
from snapenv.errors import BaseError, UsageError
from snapenv.model.hardware import Driver
from snapenv.model.python import Torch
from snapenv.model.snapshot import Base
from snapenv.nvidia.catalogue import Catalogue, CatalogueImage, load_catalogue
from tests.samples import (
    EXACT_BASE,
    NVIDIA_IMAGE,
    OWN_BASE,
    sample_base_facts,
    sample_environment,
    sample_facts,
    sample_hardware,
    sample_lock,
)

if TYPE_CHECKING:
    from snapenv.model.facts import Facts
    from snapenv.model.snapshot import BaseFamily, Lock

REPOSITORY = "nvcr.io/nvidia/pytorch"
OLD = CatalogueImage(tag="21.09-py3", python="3.8", cuda=(11, 4), torch=(1, 10))
NEW = CatalogueImage(tag="26.02-py3", python="3.12", cuda=(13, 1), torch=(2, 11))
UNKNOWN = CatalogueImage(tag="26.07-py3", python=None, cuda=None, torch=(2, 13))
DRIVERS = {10: "440.33.01", 12: "525.85.12", 13: "580.95.05"}
KNOWN = load_catalogue()


def seen(cuda_major: int | None, python: str, torch: str | None) -> Facts:
    driver = Driver(version=DRIVERS[cuda_major], cuda=(cuda_major, 0)) if cuda_major else None
    environment = sample_environment(python=python, torch=Torch(version=torch) if torch else None)
    return sample_facts(hardware=sample_hardware(driver=driver), environment=environment)


def on(base: Base) -> Lock:
    facts = sample_base_facts() if base.site_packages == "inherited" else sample_facts()
    return sample_lock(facts=facts, base=base)


def only(*images: CatalogueImage) -> Catalogue:
    return replace(KNOWN, images=images)


def captured_in(release: str, *, torch: str | None = None, **metadata: str) -> Facts:
    facts = sample_base_facts()
    own = Torch(version=torch or "2.6.0a0+ecf3bae40a", cuda="12.8")
    environment = replace(facts.environment, torch=own)
    return replace(
        facts, image={"NVIDIA_PYTORCH_VERSION": release, **metadata}, environment=environment
    )


@pytest.mark.parametrize("release", ["25.01", "24.11"])
def test_an_environment_on_an_nvidia_image_stands_on_that_very_image(release: str) -> None:
    base = choose_base(captured_in(release), KNOWN)

    assert base == Base(
        image=f"{REPOSITORY}:{release}-py3",
        site_packages="inherited",
        reasons=(
            wording("torch is the base image's own, one of its 2 packages"),
            f"NVIDIA_PYTORCH_VERSION names {release}-py3",
        ),
    )


def test_a_release_that_is_not_in_the_catalogue_is_taken_and_that_is_said() -> None:
    base = choose_base(captured_in("27.01"), KNOWN)

    assert base.image == f"{REPOSITORY}:27.01-py3"
    assert base.warnings == (
        wording("27.01-py3 is not in the catalogue of 2026-11-28: its own name is used"),
    )


@pytest.mark.parametrize(
    ("suffix", "warned"), [("nv25.1", False), ("nv25.01", False), ("nv24.12", True)]
)
def test_a_torch_of_another_release_than_its_image_is_said(suffix: str, *, warned: bool) -> None:
    facts = captured_in("25.01", torch=f"2.6.0a0+ecf3bae40a.{suffix}")

    base = choose_base(facts, KNOWN)

    metadata = "torch is that of release 24.12, but the image says 25.01"
    assert base.warnings == ((metadata,) if warned else ())


def test_an_image_that_names_no_release_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(BaseError) as caught:
        choose_base(captured_in("a b"), KNOWN)

    assert str(caught.value) == wording("the image names its release 'a b', which is not valid")
    assert "--base" in caught.value.hint


def test_what_the_image_says_beats_the_catalogue() -> None:
    metadata = {"CUDA_VERSION": "13.9.0.001", "PYTORCH_VERSION": "2.99.0a0"}

    ranking = rank_bases(captured_in("25.01", **metadata), KNOWN)

    own = ranking.candidates[0]
    assert (own.image.cuda, own.image.torch) == ((13, 9), (2, 99))


def test_the_other_images_are_listed_too_and_each_once() -> None:
    ranking = rank_bases(captured_in("25.01"), KNOWN)

    assert [one.image.tag for one in ranking.candidates[:2]] == ["25.01-py3", "24.12-py3"]
    assert ranking.candidates[1].reason == wording("the packages are not this image's")
    assert len({one.image.tag for one in ranking.candidates}) == len(KNOWN.images)


def test_an_environment_that_sees_nothing_of_its_nvidia_image_is_exact() -> None:
    facts = replace(seen(13, "3.12.3", "2.11.0+cu130"), image=NVIDIA_IMAGE)

    base = choose_base(facts, KNOWN)

    assert (base.image, base.site_packages) == (f"{REPOSITORY}:26.02-py3", "isolated")


def test_the_reasons_say_what_of_the_image_fits() -> None:
    base = choose_base(seen(13, "3.12.3", "2.11.0+cu130"), KNOWN)

    assert base.reasons == wording(
        (
            "no package is a base image's own: all are installed from the lock",
            "it has Python 3.12",
            "driver 580.95.05 serves its CUDA 13.1, as every 13.x",
            "its torch 2.11 is the nearest",
            "the newest of these",
        )
    )
    assert base.warnings == ()


def test_an_unknown_python_is_said_and_no_hindrance() -> None:
    base = choose_base(seen(13, "3.11.7", "2.11.0+cu130"), KNOWN)

    assert base.warnings == (
        wording(
            "no image of the catalogue is known to have Python 3.11: "
            "uv downloads one during the build"
        ),
    )
    assert not any("Python" in reason for reason in base.reasons)


def test_an_image_of_unknown_cuda_is_the_last_choice_and_that_is_said() -> None:
    base = choose_base(seen(10, "3.12.3", "2.11.0"), only(OLD, UNKNOWN, NEW))

    assert base.image == UNKNOWN.reference
    assert base.warnings == wording(
        (
            "26.07-py3 is not known to have Python 3.12: uv downloads one during the build",
            "it is not known which CUDA 26.07-py3 has: driver 440.33.01 may not serve it",
        )
    )
    assert not any("serves" in reason for reason in base.reasons)


@pytest.mark.parametrize("cuda_major", [10, 12, 13, None])
def test_where_there_is_no_image_the_error_says_what_to_do(cuda_major: int | None) -> None:
    with pytest.raises(BaseError) as caught:
        choose_base(seen(cuda_major, "3.12.3", "2.11.0"), only())

    assert str(caught.value) == wording("there is no image in the catalogue to choose from")
    assert "--base" in caught.value.hint


def test_an_image_that_the_driver_may_not_serve_is_better_than_none_and_that_is_said() -> None:
    base = choose_base(seen(12, "3.12.3", "2.11.0"), only(NEW))

    assert base.image == NEW.reference
    metadata = "it is not known whether driver 525.85.12 serves CUDA 13.1 of this base"
    assert metadata in base.warnings


@pytest.mark.parametrize("facts", [sample_facts(), sample_base_facts()])
def test_the_user_s_own_choice_changes_the_image_and_not_the_site_packages(facts: Facts) -> None:
    chosen = choose_base(facts, KNOWN)

    asked = choose_base(facts, only(), image="example.com/team/base:1")

    assert (asked.image, asked.site_packages) == ("example.com/team/base:1", chosen.site_packages)
    assert asked.reasons == (chosen.reasons[0], "chosen with --base")


def test_a_build_without_a_wish_keeps_the_base() -> None:
    assert rebase(on(OWN_BASE), KNOWN) == OWN_BASE


def test_a_build_from_a_mirror_is_the_same_image_and_keeps_its_warnings() -> None:
    warned = replace(EXACT_BASE, warnings=("look out",))

    base = rebase(on(warned), KNOWN, mirror="example.com:5000/nv/")

    assert base == replace(
        warned,
        image="example.com:5000/nv/nvidia/pytorch:25.10-py3",
        reasons=(*warned.reasons, wording("taken from the mirror example.com:5000/nv/")),
    )


def test_a_build_on_another_image_loses_what_was_said_of_the_first() -> None:
    base = rebase(on(replace(OWN_BASE, warnings=("look out",))), KNOWN, image="other:1")

    assert base == Base(
        image="other:1",
        site_packages="inherited",
        reasons=(OWN_BASE.reasons[0], "chosen with --base"),
    )


def test_another_image_can_come_from_a_mirror_too() -> None:
    image = "nvcr.io/nvidia/cuda:13.0"

    base = rebase(on(OWN_BASE), KNOWN, image=image, mirror="example.com")

    assert base.image == "example.com/nvidia/cuda:13.0"
    assert base.reasons[1:] == wording(("chosen with --base", "taken from the mirror example.com"))


@pytest.mark.parametrize("family", ["slim", "cuda"])
def test_packages_of_nvidia_s_image_want_that_image(family: BaseFamily) -> None:
    with pytest.raises(UsageError) as caught:
        choose_base(sample_base_facts(), KNOWN, family=family)

    assert f"--base-family {family} is for an isolated environment" in str(caught.value)
    assert choose_base(sample_base_facts(), KNOWN, family="pytorch").family == "pytorch"


def test_a_build_may_change_the_family_and_take_the_image_from_a_mirror() -> None:
    base = rebase(on(EXACT_BASE), KNOWN, family="slim", mirror="example.com/hub")

    assert (base.family, base.image) == ("slim", "example.com/hub/library/debian:12-slim")
    assert base.packages == ("ca-certificates", "python3")


def test_a_build_may_go_back_to_nvidia_s() -> None:
    slim = choose_base(sample_facts(), KNOWN, family="slim")

    assert rebase(on(slim), KNOWN) == slim
    assert rebase(on(slim), KNOWN, family="pytorch") == choose_base(sample_facts(), KNOWN)


@pytest.mark.parametrize(
    ("image", "family", "packages"),
    [
        ("debian:12-slim", "slim", ("ca-certificates", "python3")),
        ("example.com/hub/library/debian:13-slim", "slim", ("ca-certificates",)),
        ("nvcr.io/nvidia/cuda:99.9-runtime", "cuda", ("ca-certificates",)),
        ("nvcr.io/nvidia/pytorch:25.10-py3", "pytorch", ()),
        ("example.com/team/base:1", "pytorch", ()),
    ],
)
def test_the_name_of_the_user_s_own_image_tells_its_family(
    image: str, family: str, packages: tuple[str, ...]
) -> None:
    base = choose_base(sample_facts(), KNOWN, image=image)

    assert (base.image, base.family, base.packages) == (image, family, packages)


def test_an_image_of_any_name_is_of_the_family_that_is_asked_or_else_of_the_lock_s() -> None:
    asked = choose_base(sample_facts(), KNOWN, image="example.com/base:1", family="slim")
    slim = choose_base(sample_facts(), KNOWN, family="slim")

    assert (asked.family, asked.packages) == ("slim", ("ca-certificates",))
    assert rebase(on(slim), KNOWN, image="example.com/base:1").family == "slim"
    assert rebase(on(slim), KNOWN, image="nvcr.io/nvidia/pytorch:25.10-py3").family == "pytorch"
