"""Whatever stands in these files, the probe answers, and the host can read the answer."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from msgspec import convert

from snapenv.model.conda import CondaPackage
from snapenv_probe import conda
from tests.probe.fuzz_readers.hostile import (
    BATCH,
    CONDA,
    METADATA,
    READ,
    Hostile,
    batches,
    write_distribution,
)
from tests.probe.fuzz_readers.readers import look
from tests.samples import sample_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from snapenv.model.python import Distribution

NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
WORD = re.compile(r"[!-~]+")


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Return for each kind of file a folder of good distributions; making them anew is slow."""
    folders = {kind: tmp_path_factory.mktemp("fuzz") / "site-packages" for kind in READ}
    for folder in folders.values():
        for number in range(BATCH):
            write_distribution(folder, number, {})
    return folders


def read(site: Path, kind: str, batch: Sequence[Hostile]) -> tuple[Distribution, ...]:
    """Write each content as this file of a distribution of its own, and look at all."""
    for info, one in zip(sorted(site.glob("*.dist-info")), batch, strict=True):
        (info / kind).unlink(missing_ok=True)  # to empty a file waits for some disks
        (info / kind).write_bytes(one.content)
    return look(site).environment.distributions


@given(batch=batches("METADATA"))
def test_any_metadata_gives_a_name_and_a_version_or_nothing(
    sites: Mapping[str, Path], batch: list[Hostile]
) -> None:
    for found in read(sites["METADATA"], "METADATA", batch):
        assert NAME.fullmatch(found.name)
        assert WORD.fullmatch(found.version)


@given(batch=batches("RECORD"))
def test_any_record_is_read(sites: Mapping[str, Path], batch: list[Hostile]) -> None:
    found = read(sites["RECORD"], "RECORD", batch)

    assert len(found) == BATCH
    for one in found:
        assert one.files
        named = "".join((*one.files.edited, *one.files.missing))
        assert not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in named)


@given(batch=batches("WHEEL"))
def test_any_wheel_file_gives_tags_of_printable_words(
    sites: Mapping[str, Path], batch: list[Hostile]
) -> None:
    found = read(sites["WHEEL"], "WHEEL", batch)

    assert len(found) == BATCH
    assert all(WORD.fullmatch(tag) for one in found for tag in one.tags)


@given(batch=batches("direct_url.json"))
def test_any_direct_url_is_told_as_printable_text(
    sites: Mapping[str, Path], batch: list[Hostile]
) -> None:
    found = read(sites["direct_url.json"], "direct_url.json", batch)

    assert len(found) == BATCH
    assert all(one.url is None or one.url.isprintable() for one in found)


@given(batch=batches(CONDA))
def test_any_record_of_conda_names_files_or_nothing(
    sites: Mapping[str, Path], batch: list[Hostile]
) -> None:
    path = sites["WHEEL"].with_name("plain.json")
    for one in batch:
        path.unlink(missing_ok=True)
        path.write_bytes(one.content)

        record = conda._read(str(path)) or {}

        assert all(type(name) is str for name in conda._named(record))
        known = {**record, "name": "a", "version": "1", "build": "0"}
        package = conda.Package("a", known, [*conda._files(record)])
        convert(conda.facts(package, msgspec.to_builtins(sample_files())), CondaPackage)


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        (b"\xef\xbb\xbf" + METADATA, ("plain", "1.0")),
        (b"Name: a\nName: b\nVersion: 1\nVersion: 2\n", ("a", "1")),
        (b"Name: a\n b\nVersion: 1\n", ("a", "1")),
        (b"name: A_.b\nVERSION:1\n", ("a-b", "1")),
        (b"Name:\n a\nVersion: 1\n", None),
        (b"Name: a b\nVersion: 1\n", None),
        (b"Name: a\nVersion: 1 --index-url https://example.com\n", None),
        (b"Name: a\n\nVersion: 1\n", None),
        (b"Name: a\rVersion: 1\r", None),
        (b"Name: \xff\nVersion: 1\n", None),
        (METADATA.decode().encode("utf-16"), None),
        (METADATA.replace(b"plain", b"-plain"), None),
    ],
)
def test_headers_of_odd_forms(
    tmp_path: Path, metadata: bytes, found: tuple[str, str] | None
) -> None:
    write_distribution(tmp_path, 1, {"METADATA": metadata})

    seen = look(tmp_path).environment.distributions

    assert [(one.name, one.version) for one in seen] == ([found] if found else [])


@pytest.mark.parametrize(
    "url",
    [
        {"url": "https://example.com/\ud800"},
        {"url": "https://example.com/\n[base]\nimage = 'x'"},
        {"url": "x", "vcs_info": {"vcs": "git\n", "commit_id": ["\ud800", {}]}},
        {"url": "x", "vcs_info": {"vcs": None, "commit_id": 1e308}},
        {"url": "https://[::1", "dir_info": []},
    ],
    ids=repr,
)
def test_a_direct_url_of_odd_values_is_told_in_printable_text(
    tmp_path: Path, url: dict[str, object]
) -> None:
    write_distribution(tmp_path, 1, {"direct_url.json": json.dumps(url).encode()})

    (found,) = look(tmp_path).environment.distributions

    assert found.url
    assert found.url.isprintable()


def test_user_info_is_left_out_also_where_the_scheme_is_none(tmp_path: Path) -> None:
    url = {"url": "my_scheme://alice:secret@example.com/x"}
    write_distribution(tmp_path, 1, {"direct_url.json": json.dumps(url).encode()})

    (found,) = look(tmp_path).environment.distributions

    assert found.url == "example.com/x"
