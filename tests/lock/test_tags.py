from __future__ import annotations

import pytest
from packaging.tags import parse_tag

from snapenv.lock.tags import Platform

HERE = Platform(python="3.11", machine="x86_64", glibc="2.36")


@pytest.mark.parametrize(
    "tags",
    [
        ("cp311-cp311-manylinux_2_28_x86_64", "cp311-cp311-manylinux_2_17_x86_64"),
        ("cp311-cp311-manylinux2014_x86_64", "cp37-abi3-manylinux_2_28_x86_64"),
        ("cp37-abi3-manylinux_2_28_x86_64", "py3-none-any"),
        ("py3-none-manylinux_2_17_x86_64", "py3-none-any"),
    ],
)
def test_the_more_special_wheel_is_taken(tags: tuple[str, str]) -> None:
    ranks = [HERE.rank(parse_tag(tag)) for tag in tags]

    assert None not in ranks
    assert ranks[0] < ranks[1]  # type: ignore[operator]


@pytest.mark.parametrize(
    "tag",
    [
        "cp312-cp312-manylinux_2_17_x86_64",
        "cp311-cp311-manylinux_2_39_x86_64",
        "cp311-cp311-manylinux_2_17_aarch64",
        "cp311-cp311-win_amd64",
    ],
)
def test_what_does_not_fit_has_no_rank(tag: str) -> None:
    assert HERE.rank(parse_tag(tag)) is None
