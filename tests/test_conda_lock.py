from __future__ import annotations

import pytest
from msgspec.structs import replace

from snapenv.conda_lock import (
    in_install_order,
    parse_conda_lock,
    write_conda_lock,
    write_explicit,
)
from snapenv.errors import SnapshotDamagedError, SnapshotVersionError
from tests.samples import sample_conda_lock, sample_conda_package

PYTHON = sample_conda_package("python", depends=("zlib >=1.3,<2.0a0", "pip"))
PIP = sample_conda_package("pip", subdir="noarch", noarch="python", depends=("python >=3.8",))
ZLIB = sample_conda_package("zlib", depends=("__glibc >=2.17,<3.0.a0", "libgcc"))
NUMPY = sample_conda_package("a-numpy", depends=("conda-forge::python[version='>=3.11']",))
LOCK = sample_conda_lock(NUMPY, PIP, PYTHON, ZLIB, variables={"A": "$CONDA_PREFIX/x"})


def test_packages_come_after_those_that_they_need() -> None:
    order = in_install_order(LOCK.environment.packages)

    assert [package.name for package in order] == ["zlib", "python", "a-numpy", "pip"]


def test_a_circle_of_packages_is_in_some_order_that_is_always_the_same() -> None:
    circle = [
        sample_conda_package(name, depends=(needed,))
        for name, needed in (("a", "b"), ("b", "c"), ("c", "a"))
    ]

    orders = {in_install_order(packages) for packages in (circle, circle[::-1])}

    assert [[package.name for package in order] for order in orders] == [["c", "b", "a"]]


def test_the_explicit_file_names_addresses_with_hashes() -> None:
    carried = replace(LOCK.archives["zlib"], file="vendor/zlib-1.3-h1_0.conda", sha256="c" * 64)
    old = replace(LOCK.archives["pip"], sha256=None)
    lock = replace(LOCK, archives={**LOCK.archives, "zlib": carried, "pip": old})

    written = write_explicit(lock).decode()

    lines = written[written.index("# platform") :].splitlines()
    assert lines == [
        "# platform: linux-64",
        "@EXPLICIT",
        f"./vendor/zlib-1.3-h1_0.conda#{'c' * 64}",
        f"{PYTHON.url}#{PYTHON.sha256}",
        f"{NUMPY.url}#{NUMPY.sha256}",
        f"{PIP.url}#{PIP.md5}",
    ]


def test_a_lock_comes_back_from_its_file() -> None:
    written = write_conda_lock(LOCK)

    assert parse_conda_lock(written) == LOCK
    assert write_conda_lock(parse_conda_lock(written)) == written


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"schema": 1', b'"schema": "1"'),
        (b'"archives": {', b'"archives": 3, "x": {'),
        (b'"linux-64"', b"7"),
        (b'"noarch": "python"', b'"noarch": "ruby"'),
        (b"}", b""),
    ],
)
def test_a_damaged_lock_says_where(old: bytes, new: bytes) -> None:
    damaged = write_conda_lock(LOCK).replace(old, new, 1)
    assert damaged != write_conda_lock(LOCK)

    with pytest.raises(SnapshotDamagedError, match=r"^there/conda-lock.json: .+"):
        parse_conda_lock(damaged, where="there")


@pytest.mark.parametrize("lost", [("url",), ("md5", "sha256")])
def test_a_package_without_a_place_or_a_hash_is_damage(lost: tuple[str, ...]) -> None:
    archive = replace(LOCK.archives["zlib"], **dict.fromkeys(lost))
    lock = replace(LOCK, archives={**LOCK.archives, "zlib": archive})

    with pytest.raises(SnapshotDamagedError, match="zlib has (no hash|neither)"):
        parse_conda_lock(write_conda_lock(lock))


def test_a_lock_of_a_newer_snapenv_is_refused() -> None:
    with pytest.raises(SnapshotVersionError, match="schema 2"):
        parse_conda_lock(b'{"schema": 2}')
