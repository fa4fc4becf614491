from __future__ import annotations

import csv
import re
from importlib.resources import files

from snapenv.model.image import ImageRef
from snapenv.nvidia.catalogue import (
    CatalogueImage,
    CudaRelease,
    Kernels,
    TorchRelease,
    load_catalogue,
)


def test_the_catalogue_lists_releases_oldest_first_and_each_once() -> None:
    tags = [image.tag for image in load_catalogue().images]

    assert len(tags) > 50
    assert tags == sorted(set(tags))
    assert all(re.fullmatch(r"\d\d\.\d\d-py3", tag) for tag in tags)


def test_a_python_is_known_by_its_minor_version_as_wheels_know_it() -> None:
    pythons = {image.python for image in load_catalogue().images} - {None}

    assert pythons == {"3.8", "3.10", "3.12"}


def test_an_empty_cell_is_unknown() -> None:
    found = {image.tag: image for image in load_catalogue().images}

    assert found["21.06-py3"] == CatalogueImage(
        tag="21.06-py3", cuda=(11, 3), datacenter_branches=(418, 440, 450, 460)
    )
    assert found["25.02-py3"] == CatalogueImage(
        tag="25.02-py3", ubuntu="24.04", cuda=(12, 8), torch=(2, 7)
    )


def test_kernels_are_those_of_one_machine_or_a_lowest_one_of_all() -> None:
    found = {image.tag: image for image in load_catalogue().images}

    assert found["24.11-py3"].kernels == {
        "arm64": Kernels(codes=((8, 0), (8, 6), (9, 0)), ptx=(9, 0))
    }
    both = found["25.10-py3"].kernels
    assert both is not None
    assert (both["amd64"].codes[0], both["arm64"].codes[0]) == ((7, 5), (8, 0))
    lowest = Kernels(at_least=(7, 5))
    assert found["25.01-py3"].kernels == {"amd64": lowest, "arm64": lowest}


def test_that_an_image_exists_for_arm64_is_known_of_some() -> None:
    found = {image.tag for image in load_catalogue().images if "arm64" in image.machines}

    assert found == {
        "24.07-py3",
        "24.08-py3",
        "24.11-py3",
        "25.09-py3",
        "25.10-py3",
        "25.11-py3",
        "26.07-py3",
    }


def test_the_tables_beside_the_images_are_whole() -> None:
    catalogue = load_catalogue()

    assert catalogue.date == "2026-11-28"
    assert (len(catalogue.cuda), len(catalogue.torch)) == (60, 42)
    assert catalogue.cuda[-1] == CudaRelease(cuda=(13, 5), driver=(620,), lowest_driver=(580,))
    assert catalogue.torch[-1] == TorchRelease(version="2.15.0", cuda=(13, 2), kernels=None)
    assert catalogue.forward is not None
    assert catalogue.forward[13, 0] == (range(535, 536), range(570, 571))
    assert catalogue.forward[12, 2] == ()
    assert 615 in catalogue.forward_listed
    assert 555 in catalogue.never_forward


def test_every_row_says_where_it_comes_from() -> None:
    for table in files("snapenv.nvidia").joinpath("data").iterdir():
        rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))

        assert rows
        assert all(row["source"] for row in rows)
        assert not any("index:" in row["source"] for row in rows)


def test_every_image_has_a_name_that_an_engine_can_pull() -> None:
    for image in load_catalogue().images:
        ref = ImageRef.parse(image.reference)

        assert (ref.registry, ref.path, ref.tag) == ("nvcr.io", "nvidia/pytorch", image.tag)
