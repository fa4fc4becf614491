"""The real index, asked for packages that the tests themselves run on."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from importlib.metadata import distribution
from typing import TYPE_CHECKING

import pytest
from packaging.tags import parse_tag
from packaging.utils import parse_wheel_filename
from uv import find_uv_bin

from snapenv.errors import LockError
from snapenv.index.wheels import IndexWheels
from snapenv.lock.ask import Uv, ask_index, with_tags
from snapenv.model.hardware import Hardware, System
from snapenv.model.python import Distribution
from snapenv.model.wheels import Pinned, Vendored, VendoredWheel
from snapenv.pylock import write_pylock
from snapenv.targets.local import LocalTarget
from tests.samples import sample_environment, sample_facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.facts import Facts
    from snapenv.model.wheels import Locked

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class Silent:
    """A task that nobody watches."""

    def note(self, text: str) -> None: ...

    def count(self, done: int, total: int | None) -> None: ...


def installed(name: str) -> Distribution:
    """Return a distribution as it is installed beside the tests, with the tags of its wheel."""
    found = distribution(name)
    lines = (found.read_text("WHEEL") or "").splitlines()
    tags = (line.removeprefix("Tag: ") for line in lines if line.startswith("Tag: "))
    return Distribution(
        name=name,
        version=found.version,
        origin="index",
        tags=tuple(sorted(str(tag) for text in tags for tag in parse_tag(text))),
    )


def facts_of_this_machine(*pins: Distribution) -> Facts:
    """Return facts whose Python, processor and glibc are those of the tests."""
    system = System(
        os="debian 12",
        machine=platform.machine(),
        glibc=platform.libc_ver()[1] or None,
        cpu_count=1,
    )
    environment = sample_environment(
        python=platform.python_version(), torch=None, distributions=pins
    )
    return sample_facts(hardware=Hardware(system=system), environment=environment)


def uv_of_tests() -> Uv:
    """Return the uv that came with snapenv, told of the indexes of this machine."""
    return Uv(
        machine=LocalTarget(sys.executable),
        program=find_uv_bin(),
        settings=IndexWheels(None).uv_settings("ask"),
    )


def locked(*names: str, rebuilt: Mapping[str, bytes] | None = None) -> bytes:
    """Lock packages as they are installed here; skip where the index is out of reach.

    Under CI an index that does not answer is a failure.
    """
    pins = [installed(name) for name in names]
    facts = facts_of_this_machine(*pins)
    try:
        offers = ask_index(pins, facts, uv_of_tests(), Silent())
    except LockError as error:
        if "CI" in os.environ or not error.message.startswith("uv could not lock"):
            raise
        pytest.skip(f"the index does not answer: {error.message[-80:]}")
    wheels = [wheel for pin in pins if (wheel := with_tags(pin, offers[pin.name]))]
    packages: dict[str, Locked] = {
        wheel.name: Pinned(wheel=wheel, proof="none") for wheel in wheels
    }
    for file, content in (rebuilt or {}).items():
        name, _, _, _ = parse_wheel_filename(file)
        digest = hashlib.sha256(content).hexdigest()
        own = VendoredWheel(file=f"vendor/{file}", sha256=digest, size_bytes=len(content))
        packages[name] = Vendored(wheel=own)
    return write_pylock(packages, machine=facts.hardware.system.machine, python=PYTHON)
