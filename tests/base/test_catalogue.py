from __future__ import annotations

import re

from snapenv.base.catalogue import CatalogueImage, load_catalogue
from snapenv.model.image import ImageRef


def test_the_catalogue_lists_releases_oldest_first_and_each_once() -> None:
    tags = [image.tag for image in load_catalogue()]

    assert len(tags) > 50
    assert tags == sorted(set(tags))
    assert all(re.fullmatch(r"\d\d\.\d\d-py3", tag) for tag in tags)


def test_a_python_is_known_by_its_minor_version_as_wheels_know_it() -> None:
    pythons = {image.python for image in load_catalogue()} - {None}

    assert pythons == {"3.8", "3.10", "3.12"}


def test_an_empty_cell_is_unknown() -> None:
    found = {image.tag: image for image in load_catalogue()}

    assert found["21.06-py3"] == CatalogueImage(
        tag="21.06-py3", python=None, cuda=(11, 3), torch=None
    )
    assert found["25.01-py3"] == CatalogueImage(
        tag="25.01-py3", python="3.12", cuda=(12, 8), torch=(2, 6)
    )


def test_every_image_has_a_name_that_an_engine_can_pull() -> None:
    for image in load_catalogue():
        ref = ImageRef.parse(image.reference)

        assert (ref.registry, ref.path, ref.tag) == ("nvcr.io", "nvidia/pytorch", image.tag)
