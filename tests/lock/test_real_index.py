from __future__ import annotations

import sys

import pytest
import tomlkit
from packaging.pylock import Pylock
from packaging.utils import parse_wheel_filename
from uv import find_uv_bin

from snapenv.errors import LockError
from snapenv.lock.pylock import resolve_installer, resolve_pylock
from snapenv.targets.local import LocalTarget
from tests.index import PYTHON, Silent, facts_of_this_machine, installed, locked
from tests.samples import sample_distribution

HERE = LocalTarget(sys.executable)


def test_the_index_gives_the_very_wheels_that_are_installed_with_their_hashes() -> None:
    lock = Pylock.from_dict(tomlkit.parse(locked("click", "markupsafe").decode()).unwrap())

    assert str(lock.requires_python) == f"=={PYTHON}.*"
    assert [package.name for package in lock.packages] == ["click", "markupsafe"]
    for package in lock.packages:
        (wheel,) = package.wheels or ()
        _, version, _, tags = parse_wheel_filename(str(wheel.url).rpartition("/")[2])
        pin = installed(package.name)
        assert (str(version), {str(tag) for tag in tags}) == (pin.version, set(pin.tags))
        assert len(wheel.hashes["sha256"]) == 64


def test_what_a_package_needs_is_not_added() -> None:
    lock = Pylock.from_dict(tomlkit.parse(locked("jinja2").decode()).unwrap())

    assert [package.name for package in lock.packages] == ["jinja2"]


def test_the_same_pins_give_the_same_bytes() -> None:
    assert locked("click", "markupsafe") == locked("markupsafe", "click")


def test_the_uv_that_runs_here_is_found_for_the_image() -> None:
    locked("click")

    installer = resolve_installer(facts_of_this_machine(), machine=HERE, uv=find_uv_bin())

    assert f"uv-{installer.version}-" in installer.url
    assert len(installer.sha256) == 64


@pytest.mark.parametrize(
    ("name", "version"), [("click", "0.0.1"), ("snapenv-is-on-no-index", "1.0")]
)
def test_what_no_index_has_is_named(name: str, version: str) -> None:
    locked("click")
    pins = [sample_distribution(name, version), installed("markupsafe")]

    with pytest.raises(LockError) as caught:
        resolve_pylock(
            pins, facts_of_this_machine(*pins), machine=HERE, uv=find_uv_bin(), task=Silent()
        )

    assert caught.value.message == f"no index has {name} {version}"


def test_an_index_that_does_not_answer_is_no_missing_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    pins = [installed("click")]

    with pytest.raises(LockError, match="uv could not lock the pins: ") as caught:
        resolve_pylock(
            pins, facts_of_this_machine(*pins), machine=HERE, uv=find_uv_bin(), task=Silent()
        )

    assert "answers" in caught.value.hint


def test_nothing_to_pin_asks_nobody_and_is_a_valid_lock() -> None:
    nobody = LocalTarget("/nowhere/python")

    lock = resolve_pylock(
        (), facts_of_this_machine(), machine=nobody, uv="/nowhere/uv", task=Silent()
    )

    assert Pylock.from_dict(tomlkit.parse(lock.decode()).unwrap()).packages == []
