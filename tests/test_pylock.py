from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
import tomlkit
from inline_snapshot import snapshot as wording
from msgspec.structs import replace
from packaging.pylock import Pylock

from snapenv.errors import SnapshotDamagedError
from snapenv.model.wheels import FromBase, Pinned, Vendored, VendoredWheel
from snapenv.pylock import parse_pylock, read_packages, write_pylock
from tests.samples import sample_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.wheels import IndexWheel, Locked
    from snapenv.pylock import ProofWord

NUMPY = sample_wheel("numpy", "2.4.6")
TORCH = sample_wheel("torch", "2.11.0")
OURS = "our_tool-1!2.0+cu121-py2.py3-none-any.whl"
SECOND = b'{url = "https://example.com/numpy-2.4.6-py2-none-any.whl", hashes = {sha256 = "00"}}'


def pinned(wheel: IndexWheel, *, travels: bool = False) -> Pinned:
    file = f"vendor/{wheel.filename}" if travels else None
    return Pinned(wheel=wheel, proof="record", file=file)


def vendored(file: str = f"vendor/{OURS}") -> Vendored:
    digest = hashlib.sha256(b"ours").hexdigest()
    return Vendored(wheel=VendoredWheel(file=file, sha256=digest, size_bytes=4))


PACKAGES: Mapping[str, Locked] = {
    "torch": pinned(TORCH),
    "numpy": pinned(NUMPY),
    "our-tool": vendored(),
    "in-files": Vendored(),
    "of-the-base": FromBase(),
}


def written(packages: Mapping[str, Locked], folder: str = "") -> bytes:
    return write_pylock(packages, machine="x86_64", python="3.11", folder=folder)


def parsed(pylock: bytes) -> dict[str, Any]:
    """Return a lock file as plain values, valid for packaging's own reader."""
    plain = dict(tomlkit.parse(pylock.decode()).unwrap())
    Pylock.from_dict(plain)
    return plain


def test_it_is_a_standard_lock_file_for_this_python_and_platform() -> None:
    lock = Pylock.from_dict(parsed(written({"numpy": pinned(NUMPY), "torch": pinned(TORCH)})))

    assert (lock.created_by, str(lock.requires_python)) == ("snapenv", "==3.11.*")
    assert [package.name for package in lock.packages] == ["numpy", "torch"]
    (environment,) = lock.environments or ()
    assert environment.evaluate({"sys_platform": "linux", "platform_machine": "x86_64"})
    assert not environment.evaluate({"sys_platform": "linux", "platform_machine": "aarch64"})


def test_a_package_has_one_artefact_with_address_size_and_hash_and_how_it_was_proved() -> None:
    (package,) = parsed(written({"numpy": pinned(NUMPY)}))["packages"]

    assert package == {
        "name": "numpy",
        "version": "2.4.6",
        "index": "https://example.com/simple",
        "wheels": [
            {"url": NUMPY.url, "size": NUMPY.size_bytes, "hashes": {"sha256": NUMPY.sha256}}
        ],
        "tool": {"snapenv": {"proof": "record"}},
    }


def test_a_rebuilt_wheel_is_named_by_its_path_with_its_size_and_hash() -> None:
    packages = parsed(written({"numpy": pinned(NUMPY), "ours": vendored()}))["packages"]

    assert packages[1] == {
        "name": "our-tool",
        "version": "1!2.0+cu121",
        "wheels": [
            {
                "path": f"vendor/{OURS}",
                "size": 4,
                "hashes": {"sha256": hashlib.sha256(b"ours").hexdigest()},
            }
        ],
        "tool": {"snapenv": {"proof": "vendored"}},
    }


def test_where_all_travel_the_address_is_told_and_not_needed() -> None:
    (package,) = parsed(written({"numpy": pinned(NUMPY, travels=True)}))["packages"]

    assert package["wheels"][0]["path"] == f"vendor/{NUMPY.filename}"
    assert "url" not in package["wheels"][0]
    assert package["tool"]["snapenv"] == {"proof": "record", "url": NUMPY.url}


def test_what_the_base_image_provides_is_listed_and_no_package() -> None:
    locked: Mapping[str, Locked] = {"torch": FromBase(), "in-files": Vendored()}

    plain = parsed(write_pylock(locked, machine="x86_64", python="3.11", provided=["torch==2"]))

    assert plain["tool"]["snapenv"]["base-provided"] == ["torch==2"]
    assert plain["packages"] == []


def test_packages_are_in_order_of_their_names_wherever_they_come_from() -> None:
    turned = dict(reversed([*PACKAGES.items()]))

    packages = parsed(written(PACKAGES))["packages"]

    assert [package["name"] for package in packages] == ["numpy", "our-tool", "torch"]
    assert written(turned) == written(PACKAGES)


@pytest.mark.parametrize("travels", [True, False])
def test_how_each_distribution_comes_back_is_read_back(*, travels: bool) -> None:
    packages = {**PACKAGES, "numpy": pinned(NUMPY, travels=travels)}
    words: dict[str, ProofWord] = {
        "torch": "record",
        "numpy": "record",
        "our-tool": "vendored",
        "in-files": "vendored",
        "of-the-base": "base",
    }

    assert read_packages(words, parse_pylock(written(packages))) == packages


def test_staged_wheels_lie_beside_their_lock_file_and_the_others_where_they_were() -> None:
    staged = replace(pinned(NUMPY), file=f"staged/{NUMPY.filename}")

    plain = parsed(written({**PACKAGES, "numpy": staged}, "staged"))

    places = {
        package["name"]: package["wheels"][0].get("path", package["wheels"][0].get("url"))
        for package in plain["packages"]
    }
    assert places == {
        "numpy": NUMPY.filename,
        "our-tool": f"../vendor/{OURS}",
        "torch": TORCH.url,
    }


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b'name = "numpy"', b'name = "other"', "numpy.* is not consistent"),
        (b"sha256 = ", b"md5 = ", "sha256"),
        (b"path = ", b"url = ", "our-tool should have a path"),
        (b"wheels = [", b"wheels = [" + SECOND + b", ", "numpy should have one wheel"),
    ],
)
def test_a_lock_file_that_lacks_what_a_restore_needs_is_damaged(
    old: bytes, new: bytes, why: str
) -> None:
    content = written(PACKAGES).replace(old, new, 1)

    with pytest.raises(SnapshotDamagedError, match=rf"there/pylock\.toml: .*{why}"):
        read_packages(
            {"numpy": "record", "our-tool": "vendored"},
            parse_pylock(content, where="there"),
            where="there",
        )


def test_a_pin_that_no_package_names_is_named() -> None:
    with pytest.raises(SnapshotDamagedError) as caught:
        read_packages({"numpy": "none"}, parse_pylock(written({})))

    assert str(caught.value) == wording("pylock.toml: numpy is missing")


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        b"]",
        b"= [",
        b"",
        b'lock-version = "9.0"\n',
        b"packages = 1",
        b"[[packages]]\nversion = '1'",
        b"packages = ['a']",
    ],
)
def test_what_is_no_lock_file_is_damaged(content: bytes) -> None:
    with pytest.raises(SnapshotDamagedError, match="here/pylock.toml"):
        parse_pylock(content, where="here")
