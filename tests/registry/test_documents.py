"""Which image of an index is taken, whatever its order."""

from __future__ import annotations

import json
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapenv.model.oci import OCI_INDEX, Index
from snapenv.registry.documents import choose, machines, parse_manifest

PLATFORMS = ("amd64", "amd64/v1", "amd64/v2", "amd64/v3", "arm64/v8", "arm64", "arm64/v9", "arm/v7")


def digest(platform: str) -> str:
    return f"sha256:{PLATFORMS.index(platform):064x}"


def index(*platforms: str, system: str = "linux") -> Index:
    entries = []
    for platform in platforms:
        architecture, _, variant = platform.partition("/")
        named = {"os": system, "architecture": architecture, "variant": variant}
        entries.append({"digest": digest(platform), "size": 1, "platform": named})
    text = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
    read = parse_manifest(text.encode(), "")
    assert isinstance(read, Index)
    return read


@pytest.mark.parametrize(
    ("platforms", "machine", "taken"),
    [
        (("amd64/v3", "amd64", "arm64/v8"), "amd64", "amd64"),
        (("amd64/v3", "amd64/v1", "amd64/v2"), "amd64", "amd64/v1"),
        (("amd64/v3", "amd64/v2"), "amd64", "amd64/v2"),
        (("arm/v7", "arm64/v9", "arm64/v8"), "arm64", "arm64/v8"),
        (("arm64/v9", "arm64"), "arm64", "arm64"),
        (("arm/v7", "arm64"), "amd64", None),
        (("amd64/v3", "amd64", "amd64/v2"), "amd64/v3", "amd64/v3"),  # that is what was pulled
        (("amd64/v2", "amd64"), "amd64/v3", "amd64"),
        (("arm64/v9", "arm64"), "arm64/v8", "arm64"),
    ],
)
def test_the_image_is_taken_that_every_machine_of_the_kind_can_run(
    platforms: tuple[str, ...], machine: str, taken: str | None
) -> None:
    found = {choose(index(*order), machine) for order in permutations(platforms)}

    assert found == {taken and digest(taken)}


@given(platforms=st.lists(st.sampled_from(PLATFORMS), unique=True))
def test_what_is_taken_is_of_the_machine_and_named_so(platforms: list[str]) -> None:
    read = index(*platforms)

    kinds = {name.partition("/")[0] for name in machines(read)}
    assert kinds == {platform.partition("/")[0] for platform in platforms}
    for machine in ("amd64", "arm64"):
        assert (choose(read, machine) is not None) == (machine in kinds)


def test_images_of_another_system_are_none() -> None:
    assert choose(index("amd64", system="windows"), "amd64") is None


def test_the_kinds_of_machine_are_named_as_people_write_them() -> None:
    named = machines(index("amd64/v1", "amd64/v3", "arm64/v8", "arm/v7"))

    assert named == ("amd64", "amd64/v3", "arm/v7", "arm64")
