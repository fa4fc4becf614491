from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording

from snapenv.model.image import ImageRef, Tag, tag_part

DIGEST = f"sha256:{'0123456789abcdef' * 4}"

components = st.from_regex(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+){0,2}", fullmatch=True)
hosts = st.from_regex(r"[a-z0-9]+(?:-[a-z0-9]+)?\.[a-z]{2,3}(?::[0-9]{1,5})?", fullmatch=True)
paths = st.lists(components, min_size=1, max_size=3).map("/".join)
repositories = st.builds(
    lambda host, path: f"{host}/{path}" if host else path, st.none() | hosts, paths
)
references = st.builds(
    ImageRef,
    repository=repositories,
    tag=st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True),
    digest=st.none() | st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True),
)
tags = st.builds(
    Tag,
    purpose=st.from_regex(r"[a-z][a-z0-9_.]{0,15}", fullmatch=True).filter(
        lambda purpose: purpose != "latest"
    ),
    framework=st.from_regex(r"(?:yolov|torch|py)[0-9][A-Za-z0-9_.]{0,15}", fullmatch=True),
    level=st.from_regex(r"[A-Za-z0-9_.]{1,15}", fullmatch=True),
    compute=st.just("cpu") | st.from_regex(r"cu[0-9]{1,4}", fullmatch=True),
)


@given(references)
def test_a_reference_comes_back_from_its_text(ref: ImageRef) -> None:
    assert ImageRef.parse(str(ref)) == ref


@given(tags)
def test_a_tag_comes_back_from_its_text(tag: Tag) -> None:
    assert Tag.parse(str(tag)) == tag


@given(tags.map(str) | st.text(alphabet="abcuplt0189.-_A\n", max_size=30))
def test_no_text_is_read_as_another_tag_than_it_says(text: str) -> None:
    try:
        tag = Tag.parse(text)
    except ValueError:
        return

    assert str(tag) == text


@given(tags, repositories)
def test_every_tag_is_the_tag_of_a_reference(tag: Tag, repository: str) -> None:
    ref = ImageRef.parse(f"{repository}:{tag}")

    assert ref == ImageRef(repository=repository, tag=str(tag))


@given(st.text(max_size=40))
def test_no_text_is_read_as_another_reference_than_it_says(text: str) -> None:
    try:
        ref = ImageRef.parse(text)
    except ValueError:
        return

    assert str(ref) == text


@given(
    *(st.text(alphabet="aA0._-+ \n", max_size=8) for _ in range(3)),
    st.sampled_from(("cpu", "cu130", "cu", "CPU", "cu13-0", "")),
)
def test_parts_that_would_not_come_back_are_refused(
    purpose: str, framework: str, level: str, compute: str
) -> None:
    framework = f"torch{framework}"
    try:
        tag = Tag(purpose=purpose, framework=framework, level=level, compute=compute)
    except ValueError:
        return

    assert Tag.parse(str(tag)) == tag


@pytest.mark.parametrize(
    "text",
    [
        "",
        "UPPER",
        "a//b",
        "/a",
        "a/",
        "a:",
        "a:-b",
        "a@sha256:12",
        f"a@{DIGEST.upper()}",
        f"a@{DIGEST}:tag",
        "a b",
        "a\n",
        "a:b\nRUN id",
        "https://example.com/a",
        "a:" + "b" * 129,
        "été",
        "a:১",
        "a$b",
    ],
)
def test_what_is_no_reference_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        ImageRef.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "latest",
        "latest-yolov8.4.190-base-cpu",
        "train",
        "train-yolov8.4.190-base",
        "train-yolov8.4.190-base-cu130-x",
        "train-yolov-base-cpu",
        "train-jax1-base-cpu",
        "Train-yolov8-base-cpu",
        "-yolov8-base-cpu",
        "train-yolov8--cpu",
        "train-yolov8-base-cu",
        "train-yolov8-base-cu13.0",
        "train-torch2.6.0+debian-base-cpu",
        "train-yolov8-base-cpu\n",
        f"train-yolov8-{'x' * 128}-cpu",
        "",
    ],
)
def test_what_is_no_tag_of_the_convention_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        Tag.parse(text)


def test_a_tag_may_be_as_long_as_a_registry_allows_and_no_longer() -> None:
    level = "x" * (128 - len("train-py3.11--cpu"))

    assert len(str(Tag(framework="py3.11", level=level, compute="cpu"))) == 128
    with pytest.raises(ValueError, match="tag") as caught:
        Tag(framework="py3.11", level=f"{level}x", compute="cpu")

    assert str(caught.value) == wording(
        "'train-py3.11-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-cpu' is not a tag of the form purpose-framework-level-compute"
    )


def test_a_tag_has_the_design_s_defaults() -> None:
    assert str(Tag(framework="yolov8.4.190", compute="cu118")) == "train-yolov8.4.190-base-cu118"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("2.6.0+debian", "2.6.0_debian"),
        ("8.4.190", "8.4.190"),
        ("a-b c/d", "a_b_c_d"),
        ("2!1.0", "2_1.0"),
        ("é\n", "__"),
    ],
)
def test_what_a_tag_may_not_hold_becomes_an_underscore(text: str, part: str) -> None:
    assert tag_part(text) == part


@given(st.text(min_size=1, max_size=40))
def test_any_version_can_be_part_of_a_tag(version: str) -> None:
    tag = Tag(framework=f"torch2{tag_part(version)}", compute="cpu")

    assert Tag.parse(str(tag)) == tag


@pytest.mark.parametrize(
    ("text", "registry", "path"),
    [
        ("ubuntu", None, "ubuntu"),
        ("nvidia/pytorch:25.01-py3", None, "nvidia/pytorch"),
        ("team/sub/env", None, "team/sub/env"),
        ("nvcr.io/nvidia/pytorch:25.01-py3", "nvcr.io", "nvidia/pytorch"),
        ("localhost/env", "localhost", "env"),
        ("localhost:5000/nvidia/pytorch", "localhost:5000", "nvidia/pytorch"),
        ("registry:5000/env", "registry:5000", "env"),
        (f"example.com:443/a/b:c@{DIGEST}", "example.com:443", "a/b"),
        ("127.0.0.1:5000/env", "127.0.0.1:5000", "env"),
        ("Upper/env", "Upper", "env"),  # a path is lower case, so this can only be a host
    ],
)
def test_a_repository_is_told_apart_into_registry_and_path(
    text: str, registry: str | None, path: str
) -> None:
    ref = ImageRef.parse(text)

    assert (ref.registry, ref.path) == (registry, path)


def test_a_port_is_not_taken_for_a_tag() -> None:
    assert ImageRef.parse("localhost:5000/env") == ImageRef(repository="localhost:5000/env")
    assert ImageRef.parse("localhost:5000") == ImageRef(repository="localhost", tag="5000")


@pytest.mark.parametrize(
    ("text", "mirror", "mirrored"),
    [
        ("nvcr.io/nvidia/pytorch:25.01-py3", "example.com", "example.com/nvidia/pytorch:25.01-py3"),
        ("nvidia/pytorch", "localhost:5000", "localhost:5000/nvidia/pytorch"),
        ("debian:13-slim", "example.com/hub", "example.com/hub/library/debian:13-slim"),
        ("nvcr.io/a/b:c", "example.com/mirror/", "example.com/mirror/a/b:c"),
        (f"nvcr.io/a/b@{DIGEST}", "example.com:5000/x", f"example.com:5000/x/a/b@{DIGEST}"),
    ],
)
def test_a_mirror_takes_the_registry_s_place_and_nothing_else(
    text: str, mirror: str, mirrored: str
) -> None:
    assert ImageRef.parse(text).mirrored(mirror) == ImageRef.parse(mirrored)


def test_a_digest_pins_a_name_and_is_no_part_of_what_an_engine_calls_it() -> None:
    pinned = ImageRef.parse("example.com/env:tag").at(DIGEST)

    assert str(pinned) == f"example.com/env:tag@{DIGEST}"
    assert pinned.tagged == "example.com/env:tag"
    assert ImageRef.parse("env").tagged == "env"


def test_a_long_text_is_refused_without_delay() -> None:
    with pytest.raises(ValueError, match="reference") as caught:
        ImageRef.parse("a-" * 50_000 + "!")

    assert str(caught.value) == wording(
        "'a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-' is not an image reference, such as example.com/team/env:tag"
    )
