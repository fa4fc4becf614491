"""A package that no channel has is rebuilt, byte for byte, from where it is installed."""

from __future__ import annotations

import json
import os
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from inline_snapshot import snapshot as wording
from rattler.package_streaming import extract

from snapenv.content import sha256_of
from snapenv.errors import LockError
from snapenv.lock.conda_package import PrefixFile, build_conda_package
from snapenv.model.conda import CondaPackage
from tests.conda.channel import make_environment, run_rattler
from tests.samples import sample_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from snapenv.model.conda import CondaArchive

NAMES = ("libzoo", "zoocext", "zoohook", "zoopure")


@pytest.fixture(scope="module")
def prefix(
    conda_channel: Path, conda_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("prefix") / "a prefix"
    return make_environment(folder, [conda_channel.as_uri()], NAMES, cache=conda_cache / "pkgs")


def record_of(prefix: Path, name: str) -> dict[str, Any]:
    (path,) = prefix.glob(f"conda-meta/{name}-1.0-*.json")
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def file_of(path: Path) -> PrefixFile:
    if path.is_symlink():
        return PrefixFile(link=str(path.readlink()))
    return PrefixFile(content=path, executable=os.access(path, os.X_OK))


def build(prefix: Path, name: str, into: Path, *, without: str | None = None) -> CondaArchive:
    record = record_of(prefix, name)
    package = CondaPackage(
        name=name,
        version=record["version"],
        build=record["build"],
        subdir=record["subdir"],
        noarch=record.get("noarch"),
        depends=tuple(record["depends"]),
        file_name=record["fn"],
        timestamp_ms=record["timestamp"],
        files=sample_files(name),
    )
    paths = tuple(record["paths_data"]["paths"])
    names = [str(said["_path"]) for said in paths if said["_path"] != without]
    files = {path: file_of(prefix / path) for path in names}
    return build_conda_package(package, paths, files, prefix=str(prefix), into=into)


def members(archive: Path, folder: Path) -> Mapping[str, object]:
    """Return what py-rattler unpacks of an archive, file by file."""
    extract(archive, folder)
    return {
        str(path.relative_to(folder)): (
            str(path.readlink())
            if path.is_symlink()
            else (path.read_bytes(), os.access(path, os.X_OK))
        )
        for path in folder.rglob("*")
        if not path.is_dir() and "info" not in path.relative_to(folder).parts[:1]
    }


@pytest.mark.parametrize("name", NAMES)
def test_what_is_rebuilt_holds_the_files_of_the_package(
    name: str, prefix: Path, conda_channel: Path, tmp_path: Path
) -> None:
    (original,) = conda_channel.glob(f"*/{record_of(prefix, name)['fn']}")

    archive = build(prefix, name, tmp_path)

    rebuilt = members(tmp_path / archive.file_name, tmp_path / "rebuilt")
    assert rebuilt == members(original, tmp_path / "original")
    assert archive.sha256 == sha256_of(tmp_path / archive.file_name).hexdigest()


def test_the_same_files_give_the_same_bytes_wherever_they_are_installed(
    prefix: Path, conda_channel: Path, conda_cache: Path, tmp_path: Path
) -> None:
    other = make_environment(
        tmp_path / "other", [conda_channel.as_uri()], NAMES, cache=conda_cache / "pkgs"
    )
    for place in ("first", "second"):
        (tmp_path / place).mkdir()

    first = build(prefix, "libzoo", tmp_path / "first")
    second = build(other, "libzoo", tmp_path / "second")

    assert first == second


def test_what_is_rebuilt_can_be_installed_again(prefix: Path, tmp_path: Path) -> None:
    archive = build(prefix, "libzoo", tmp_path)
    again = tmp_path / "again"

    run_rattler("archive", again, tmp_path / "cache", tmp_path / archive.file_name)

    shebang = (again / "bin" / "zoo-config").read_text().splitlines()[0]
    assert shebang == f"#!{again}/bin/python"
    assert f"{again}/share/zoo\0".encode() in (again / "lib" / "libzoo.so").read_bytes()


def test_the_tars_within_are_stored(prefix: Path, tmp_path: Path) -> None:
    archive = build(prefix, "zoopure", tmp_path)

    with zipfile.ZipFile(tmp_path / archive.file_name) as held:
        (name,) = (name for name in held.namelist() if name.startswith("info-"))
        packed = held.read(name)
    with (
        zstandard.ZstdDecompressor().stream_reader(packed) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        link = next(tar.extractfile(member) for member in tar if member.name == "info/link.json")
        assert link
        assert json.load(link)["noarch"]["entry_points"] == ["zoo-roar = zoopure:main"]
    assert b'"entry_points"' in packed


def test_a_file_that_was_edited_is_named(prefix: Path, tmp_path: Path) -> None:
    path = prefix / "etc" / "zoo.conf"
    before = path.read_text()
    path.unlink()  # the cache holds it too
    path.write_text(f"{before}edited\n")
    try:
        with pytest.raises(LockError) as caught:
            build(prefix, "libzoo", tmp_path)

        assert str(caught.value) == wording(
            "conda's package libzoo 1.0 h0_0 is in no channel, and cannot be rebuilt: etc/zoo.conf is not as it was installed"
        )
    finally:
        path.write_text(before)


def test_a_file_that_is_gone_is_named(prefix: Path, tmp_path: Path) -> None:
    with pytest.raises(LockError, match=r"share/zoo/data.bin is gone"):
        build(prefix, "libzoo", tmp_path, without="share/zoo/data.bin")
