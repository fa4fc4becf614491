from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import tomlkit
from packaging.pylock import Pylock

from snapenv.errors import LockError
from snapenv.lock.pylock import add_vendored, narrow, python_platform
from tests.samples import (
    sample_distribution,
    sample_distributions,
    sample_facts,
    sample_hardware,
    sample_pylock,
)

if TYPE_CHECKING:
    from snapenv.model.hardware import System
    from snapenv.model.python import Distribution

CANARY = "hunter2-canary"
SHA256 = hashlib.sha256(b"wheel").hexdigest()
SDIST = f'{{ url = "https://example.com/numpy-2.4.6.tar.gz", hashes = {{ sha256 = "{SHA256}" }} }}'
MANYLINUX = "cp311-cp311-manylinux_2_17_x86_64"
MANYLINUX_NEW = "cp311-cp311-manylinux_2_28_x86_64"


def uv_says(*wheels: str, name: str = "numpy", more: str = "") -> str:
    listed = ", ".join(wheels)
    return (
        'lock-version = "1.0"\ncreated-by = "uv"\nrequires-python = ">=3.11"\n\n'
        f'[[packages]]\nname = "{name}"\nversion = "2.4.6"\nwheels = [{listed}]\n{more}'
    )


def wheel(tags: str, *, host: str = "example.com", hashes: str = f'sha256 = "{SHA256}"') -> str:
    return f'{{ url = "https://{host}/numpy-2.4.6-{tags}.whl", hashes = {{ {hashes} }} }}'


def kept(text: str, *tags: str) -> list[str]:
    """Give the file names of the wheels that stay for an installed numpy with these tags."""
    pin = sample_distribution("numpy", "2.4.6", tags=tags)
    resolved = narrow(text, {"numpy": pin}, python="3.11")
    packages = tomlkit.parse(resolved.pylock.decode()).unwrap()["packages"]
    assert resolved.not_on_index == (frozenset() if packages else {"numpy"})
    return [wheel["url"].rpartition("/")[2] for one in packages for wheel in one["wheels"]]


@pytest.mark.parametrize(
    ("installed", "name"),
    [
        ((MANYLINUX,), "cp311-cp311-manylinux_2_17_x86_64"),
        ((MANYLINUX_NEW,), "cp311-cp311-manylinux_2_28_x86_64"),
        (
            (MANYLINUX, "cp311-cp311-manylinux2014_x86_64"),
            "cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64",
        ),
        (("py3-none-any",), "py3-none-any"),
        (("py2-none-any", "py3-none-any"), "py2.py3-none-any"),
    ],
)
def test_of_several_wheels_the_installed_one_stays(installed: tuple[str, ...], name: str) -> None:
    text = uv_says(
        *(
            wheel(tags)
            for tags in (
                "cp311-cp311-manylinux_2_17_x86_64",
                "cp311-cp311-manylinux_2_28_x86_64",
                "cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64",
                "py3-none-any",
                "py2.py3-none-any",
            )
        )
    )

    assert kept(text, *installed) == [f"numpy-2.4.6-{name}.whl"]


@pytest.mark.parametrize("plus", ["+", "%2B", "%2b"])
def test_a_wheel_with_a_local_version_is_known_however_its_url_is_written(plus: str) -> None:
    url = f"https://example.com/numpy-2.4.6{plus}cu130-{MANYLINUX}.whl"
    local = f'{{ url = "{url}", hashes = {{ sha256 = "{SHA256}" }} }}'

    other = wheel("py3-none-any").replace("2.4.6-", "2.4.6+cu130-")
    text = uv_says(other, local).replace('"2.4.6"', '"2.4.6+cu130"')

    assert kept(text, MANYLINUX) == [url.rpartition("/")[2]]


@pytest.mark.parametrize("installed", ["py3-none-any", "cp311-cp311-linux_x86_64"])
def test_where_no_wheel_has_the_installed_tags_it_was_built_elsewhere(installed: str) -> None:
    assert kept(uv_says(wheel(MANYLINUX), wheel(MANYLINUX_NEW)), installed) == []


@pytest.mark.parametrize(
    "text",
    [
        uv_says(),
        uv_says().replace("wheels = []\n", ""),
        uv_says(wheel(MANYLINUX, hashes=f'md5 = "{SHA256[:32]}"')),
        uv_says(f'{{ path = "numpy-2.4.6-{MANYLINUX}.whl", hashes = {{ sha256 = "{SHA256}" }} }}'),
        uv_says(wheel(MANYLINUX).replace("https://example.com", "file:///srv")),
        uv_says(f'{{ url = "https://example.com/numpy-2.4.6-{MANYLINUX}.whl" }}'),
        uv_says().replace("wheels = []", f"sdist = {SDIST}"),
    ],
)
def test_without_a_wheel_that_another_machine_can_fetch_and_check_it_is_not_on_the_index(
    text: str,
) -> None:
    assert kept(text, MANYLINUX) == []


def test_a_pin_that_the_answer_lacks_is_not_on_the_index() -> None:
    pins = {"numpy": sample_distribution(tags=(MANYLINUX,)), "other": sample_distribution("other")}

    assert narrow(uv_says(wheel(MANYLINUX)), pins, python="3.11").not_on_index == {"other"}


@pytest.mark.parametrize("text", ["", "= [", uv_says(wheel(MANYLINUX)).replace("1.0", "9.0")])
def test_what_is_no_lock_file_is_refused(text: str) -> None:
    with pytest.raises(LockError, match="uv gave a lock file that is not valid"):
        kept(text, MANYLINUX)


@pytest.mark.parametrize("user", [CANARY, f"user:{CANARY}", f"{CANARY}:pass", f"a%40b:{CANARY}"])
def test_no_credential_of_an_index_is_written(user: str) -> None:
    host = f"{user}@example.com:8443"
    text = uv_says(
        wheel(MANYLINUX, host=host),
        wheel(MANYLINUX_NEW, host=host),
        more=f'index = "https://{host}/simple"\nsdist = {SDIST.replace("example.com", host)}\n',
    )

    written = narrow(text, {"numpy": sample_distribution(tags=(MANYLINUX,))}, python="3.11").pylock

    assert CANARY.encode() not in written
    assert f'"https://example.com:8443/numpy-2.4.6-{MANYLINUX}.whl"'.encode() in written


def test_the_result_is_a_valid_lock_file_for_packaging() -> None:
    pins = {pin.name: pin for pin in sample_distributions()}

    lock = Pylock.from_dict(
        tomlkit.parse(narrow(sample_pylock(), pins, python="3.11").pylock.decode()).unwrap()
    )

    assert (lock.created_by, str(lock.requires_python)) == ("snapenv", "==3.11.*")
    assert {package.name: str(package.version) for package in lock.packages} == {
        pin.name: pin.version for pin in pins.values()
    }
    for package in lock.packages:
        assert package.sdist is None
        assert [list(found.hashes) for found in package.wheels or ()] == [["sha256"]]


def test_an_odd_file_that_is_left_out_is_no_hindrance() -> None:
    odd = f'{{ url = "https://example.com/odd", hashes = {{ sha256 = "{SHA256}" }} }}'
    text = uv_says(odd, wheel(MANYLINUX), more=f"sdist = {odd}\n")

    assert kept(text, MANYLINUX) == [f"numpy-2.4.6-{MANYLINUX}.whl"]


def test_when_a_wheel_was_uploaded_and_which_others_there_are_is_left_out() -> None:
    dated = wheel(MANYLINUX).replace("hashes", "upload-time = 2026-01-01T00:00:00Z, hashes")
    pins = {"numpy": sample_distribution(tags=(MANYLINUX,))}

    bare = narrow(uv_says(wheel(MANYLINUX)), pins, python="3.11")

    assert narrow(uv_says(wheel("py3-none-any"), dated), pins, python="3.11") == bare


def test_a_package_is_known_by_its_normalised_name() -> None:
    pin: Distribution = sample_distribution("nvidia-cudnn-cu13", "2.4.6", tags=(MANYLINUX,))
    text = uv_says(wheel(MANYLINUX), name="Nvidia_cuDNN.cu13")

    with pytest.raises(LockError, match="normalized"):
        narrow(text, {"nvidia-cudnn-cu13": pin}, python="3.11")


def vendoring(pylock: bytes, *names: str) -> list[dict[str, Any]]:
    """Give the packages of a lock file after wheels of these names were added."""
    written = add_vendored(pylock, {name: name.encode() for name in names})
    packages = tomlkit.parse(written.decode()).unwrap()["packages"]
    assert len(Pylock.from_dict(tomlkit.parse(written.decode()).unwrap()).packages) == len(packages)
    return list(packages)


def narrowed() -> bytes:
    pins = {"numpy": sample_distribution(tags=(MANYLINUX,))}
    return narrow(uv_says(wheel(MANYLINUX)), pins, python="3.11").pylock


def test_a_rebuilt_wheel_is_added_by_its_path_with_its_size_and_hash() -> None:
    name = "our_tool-1!2.0+cu121-py2.py3-none-any.whl"

    packages = vendoring(narrowed(), name)

    assert packages[1] == {
        "name": "our-tool",
        "version": "1!2.0+cu121",
        "wheels": [
            {
                "path": f"vendor/{name}",
                "size": len(name),
                "hashes": {"sha256": hashlib.sha256(name.encode()).hexdigest()},
            }
        ],
    }


def test_packages_are_in_order_of_their_names_wherever_they_come_from() -> None:
    wheels = ("zoo-1-py3-none-any.whl", "a_tool-1-py3-none-any.whl")

    names = [package["name"] for package in vendoring(narrowed(), *wheels)]

    assert names == ["a-tool", "numpy", "zoo"]
    assert vendoring(narrowed(), *wheels) == vendoring(narrowed(), *reversed(wheels))


def test_where_nothing_is_pinned_rebuilt_wheels_are_all_there_is() -> None:
    nothing = narrow(uv_says(), {"numpy": sample_distribution()}, python="3.11").pylock

    written = add_vendored(nothing, {"zoo-1-py3-none-any.whl": b""})

    lock = Pylock.from_dict(tomlkit.parse(written.decode()).unwrap())
    assert (str(lock.requires_python), [one.name for one in lock.packages]) == ("==3.11.*", ["zoo"])
    assert Pylock.from_dict(tomlkit.parse(nothing.decode()).unwrap()).packages == []


def test_without_rebuilt_wheels_a_lock_file_stays_as_it_is() -> None:
    assert add_vendored(narrowed(), {}) == narrowed()


@pytest.mark.parametrize(
    ("glibc", "machine", "platform"),
    [
        ("2.28", "x86_64", "x86_64-manylinux_2_28"),
        ("2.36", "x86_64", "x86_64-manylinux_2_36"),
        ("2.40", "aarch64", "aarch64-manylinux_2_40"),
        ("2.41", "x86_64", "x86_64-manylinux_2_40"),
        ("2.99", "x86_64", "x86_64-manylinux_2_40"),
        ("2.30", "x86_64", "x86_64-manylinux_2_28"),
        ("2.27", "x86_64", "x86_64-manylinux2014"),
        ("2.17", "x86_64", "x86_64-manylinux2014"),
        (None, "x86_64", "x86_64-unknown-linux-gnu"),
        ("strange", "aarch64", "aarch64-unknown-linux-gnu"),
    ],
)
def test_the_platform_is_never_newer_than_the_glibc_that_was_captured(
    glibc: str | None, machine: str, platform: str
) -> None:
    system: System = replace(sample_hardware(glibc=glibc).system, machine=machine)
    hardware = replace(sample_hardware(), system=system)

    assert python_platform(sample_facts(hardware=hardware)) == platform
