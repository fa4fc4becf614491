from __future__ import annotations

from typing import TYPE_CHECKING

from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.base.rank import rank_images
from snapenv.model.hardware import Driver, Gpu
from snapenv.model.python import Torch
from snapenv.nvidia.catalogue import Catalogue, CatalogueImage, Kernels, load_catalogue
from tests.samples import sample_environment, sample_facts, sample_hardware

if TYPE_CHECKING:
    from snapenv.model.facts import Facts

KNOWN = load_catalogue()
BEST = CatalogueImage(tag="25.06-py3", python="3.12", cuda=(12, 9), torch=(2, 8))
FACTS = sample_facts(
    environment=sample_environment(python="3.12.3", torch=Torch(version="2.8.0", cuda="12.8")),
    hardware=replace(
        sample_hardware(driver=Driver(version="575.57.08", cuda=(12, 9))),
        gpus=(Gpu(name="Tesla V100", memory_mib=1, compute_capability=(7, 0)),),
    ),
)


def on(driver: Driver, gpu: Gpu = FACTS.hardware.gpus[0]) -> Facts:
    return replace(FACTS, hardware=replace(FACTS.hardware, driver=driver, gpus=(gpu,)))


def below(other: CatalogueImage, facts: Facts = FACTS) -> tuple[str, tuple[str, ...]]:
    """Rank two images, of which the first is better, and give what is said of the other."""
    best, worse = rank_images(facts, only(other, BEST))
    assert best.image == BEST
    return worse.reason, worse.warnings


def only(*images: CatalogueImage) -> Catalogue:
    return replace(KNOWN, images=images)


def test_the_first_has_all_that_fits_as_its_reason() -> None:
    best = rank_images(FACTS, KNOWN)[0]

    assert best.image.tag == "25.06-py3"
    assert best.reason == wording(
        "it has Python 3.12; driver 575.57.08 serves its CUDA 12.9; "
        "its torch 2.8 is the nearest; the newest of these"
    )
    assert best.warnings == ()


def test_another_python_is_the_reason_for_a_lower_rank() -> None:
    assert below(replace(BEST, tag="26.01-py3", python="3.10"))[0] == "Python 3.10, not 3.12"
    assert below(replace(BEST, tag="26.01-py3", python=None))[0] == wording(
        "its Python is not known"
    )


def test_a_cuda_that_is_not_known_is_the_reason_for_a_lower_rank() -> None:
    reason, warnings = below(replace(BEST, tag="26.01-py3", cuda=None))

    assert reason == wording("its CUDA is not known")
    assert warnings == (
        wording("it is not known which CUDA 26.01-py3 has: driver 575.57.08 may not serve it"),
    )


def test_a_cuda_that_is_not_served_is_the_reason_for_a_lower_rank() -> None:
    geforce = Gpu(name="NVIDIA GeForce RTX 3060", compute_capability=(8, 6))
    facts = on(Driver(version="575.57.08", cuda=(12, 9)), geforce)

    reason, warnings = below(replace(BEST, tag="26.01-py3", cuda=(13, 0)), facts)

    assert reason == wording("driver 575.57.08 does not serve its CUDA 13.0")
    assert warnings == wording(("driver 575.57.08 does not serve CUDA 13.0 of this base",))


def test_a_cuda_by_forward_compatibility_is_the_reason_for_a_lower_rank() -> None:
    facts = on(Driver(version="570.124.06", cuda=(12, 8)))

    reason, _ = below(replace(BEST, tag="26.01-py3", cuda=(13, 0)), facts)

    assert reason == wording("driver 570.124.06 serves its CUDA 13.0 only by forward compatibility")


def test_a_cuda_of_which_nvidia_says_nothing_is_the_reason_for_a_lower_rank() -> None:
    reason, warnings = below(replace(BEST, tag="26.01-py3", cuda=(13, 0)))

    metadata = "it is not known whether driver 575.57.08 serves CUDA 13.0 of this base"
    assert (reason, warnings[0]) == (metadata, metadata)


def test_a_farther_torch_is_the_reason_for_a_lower_rank() -> None:
    assert below(replace(BEST, tag="26.01-py3", torch=(2, 7)))[0] == wording(
        "torch 2.7 is farther from 2.8"
    )
    assert below(replace(BEST, tag="26.01-py3", torch=None))[0] == wording("its torch is not known")


def test_missing_kernels_are_the_reason_for_a_lower_rank() -> None:
    from_turing_on = {"amd64": Kernels(at_least=(7, 5))}

    reason, warnings = below(replace(BEST, tag="26.01-py3", kernels=from_turing_on))

    assert reason == wording("it was not built for Tesla V100 (7.0)")
    assert warnings[0] == wording(
        "26.01-py3 was not built for Tesla V100 (7.0): its entrypoint may refuse to start"
    )


def test_age_is_the_reason_where_all_else_is_equal() -> None:
    assert below(replace(BEST, tag="25.05-py3"))[0] == wording("as good as 25.06, and older")


def test_an_image_that_is_not_known_for_this_machine_stands_below() -> None:
    system = replace(FACTS.hardware.system, machine="aarch64")
    facts = replace(FACTS, hardware=replace(FACTS.hardware, system=system))
    known = replace(BEST, tag="24.01-py3", python="3.8", torch=None, machines=("amd64", "arm64"))

    best, worse = rank_images(facts, only(BEST, known))

    assert best.image == known
    assert worse.reason == wording("not known to exist for arm64")
    assert worse.warnings == wording(("it is not known whether 25.06-py3 exists for arm64",))


def test_an_image_that_its_registry_does_not_have_stands_last() -> None:
    absent = replace(BEST, absent_for=("amd64",))
    other = CatalogueImage(tag="21.01-py3")

    ranked = rank_images(FACTS, only(absent, other))

    assert [one.image for one in ranked] == [other, absent]
    assert ranked[1].reason == wording("its registry has none for amd64")


def test_every_image_of_the_catalogue_is_ranked_once_and_has_a_reason() -> None:
    ranked = rank_images(FACTS, KNOWN)

    assert sorted(one.image.tag for one in ranked) == [image.tag for image in KNOWN.images]
    assert all(one.reason for one in ranked)
