from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
import tomlkit
from packaging.pylock import Pylock

from snapenv.errors import SnapshotDamagedError
from snapenv.lock.pins import proofs
from snapenv.lock.pylock import read_wheels, with_staged_wheels, write_pylock
from tests.samples import sample_base_facts, sample_facts, sample_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.facts import Facts
    from snapenv.model.wheels import IndexWheel

NUMPY = sample_wheel("numpy", "2.4.6")
TORCH = sample_wheel("torch", "2.11.0")
OURS = "our_tool-1!2.0+cu121-py2.py3-none-any.whl"


def written(
    *pinned: IndexWheel,
    rebuilt: Mapping[str, bytes] | None = None,
    facts: Facts | None = None,
    all_travel: bool = False,
) -> bytes:
    seen = facts or sample_facts()
    return write_pylock(
        seen,
        pinned=pinned,
        rebuilt=rebuilt or {},
        proofs=proofs(seen.environment, proved={one.name for one in pinned}),
        all_travel=all_travel,
    )


def parsed(pylock: bytes) -> dict[str, Any]:
    """Return a lock file as plain values, valid for packaging's own reader."""
    plain = dict(tomlkit.parse(pylock.decode()).unwrap())
    Pylock.from_dict(plain)
    return plain


def test_it_is_a_standard_lock_file_for_this_python_and_platform() -> None:
    lock = Pylock.from_dict(parsed(written(NUMPY, TORCH)))

    assert (lock.created_by, str(lock.requires_python)) == ("snapenv", "==3.11.*")
    assert [package.name for package in lock.packages] == ["numpy", "torch"]
    (environment,) = lock.environments or ()
    assert environment.evaluate({"sys_platform": "linux", "platform_machine": "x86_64"})
    assert not environment.evaluate({"sys_platform": "linux", "platform_machine": "aarch64"})


def test_a_package_has_one_artefact_with_address_size_and_hash_and_how_it_was_proved() -> None:
    (package,) = parsed(written(NUMPY))["packages"]

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
    packages = parsed(written(NUMPY, rebuilt={OURS: b"ours"}))["packages"]

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
    (package,) = parsed(written(NUMPY, all_travel=True))["packages"]

    assert package["wheels"][0]["path"] == f"vendor/{NUMPY.filename}"
    assert "url" not in package["wheels"][0]
    assert package["tool"]["snapenv"] == {"proof": "record", "url": NUMPY.url}


def test_what_the_base_image_provides_is_listed_and_no_package() -> None:
    facts = sample_base_facts()

    plain = parsed(written(facts=facts))

    provided = plain["tool"]["snapenv"]["base-provided"]
    assert f"torch=={facts.environment.find('torch').version}" in provided  # type: ignore[union-attr]
    assert plain["packages"] == []


def test_packages_are_in_order_of_their_names_wherever_they_come_from() -> None:
    wheels = {"zoo-1-py3-none-any.whl": b"", "a_tool-1-py3-none-any.whl": b""}

    packages = parsed(written(TORCH, NUMPY, rebuilt=wheels))["packages"]

    assert [package["name"] for package in packages] == ["a-tool", "numpy", "torch", "zoo"]
    assert written(TORCH, NUMPY, rebuilt=wheels) == written(
        NUMPY, TORCH, rebuilt=dict(reversed(wheels.items()))
    )


def test_what_is_to_be_fetched_is_read_back() -> None:
    pylock = written(TORCH, NUMPY, rebuilt={OURS: b"ours"})

    assert read_wheels(pylock, where="here") == (NUMPY, TORCH)
    assert read_wheels(written(NUMPY, all_travel=True), where="here") == ()


def test_staged_wheels_lie_beside_their_lock_file_and_the_others_where_they_were() -> None:
    pylock = written(TORCH, NUMPY, rebuilt={OURS: b"ours"})

    plain = parsed(with_staged_wheels(pylock, [NUMPY], where="here"))

    places = {
        package["name"]: package["wheels"][0].get("path", package["wheels"][0].get("url"))
        for package in plain["packages"]
    }
    assert places == {
        "numpy": NUMPY.filename,
        "our-tool": f"../vendor/{OURS}",
        "torch": TORCH.url,
    }


@pytest.mark.parametrize("content", [b"= [", b"\xff", b'lock-version = "9.0"\n', b""])
def test_what_is_no_lock_file_is_damaged(content: bytes) -> None:
    with pytest.raises(SnapshotDamagedError, match="here/pylock.toml"):
        read_wheels(content, where="here")
