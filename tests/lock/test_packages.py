"""Of each distribution of an environment, one way to come back, and the files that it needs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import LockError
from snapenv.lock.carry import VendorOptions
from snapenv.lock.packages import Packages, lock_packages
from snapenv.lock.prove import installed_digest
from snapenv.model.carried import CarriedFile, Collected
from snapenv.model.wheels import FromBase, Pinned, Vendored, VendoredWheel
from snapenv.ports import Completed
from snapenv.pylock import parse_pylock
from tests.fakes import FakeTarget
from tests.samples import (
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_files,
    sample_pylock,
    wheel_name,
)
from tests.workflows.services import FakeWheels, services

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.lock.carry import Travelling
    from snapenv.model.snapshot import Vendor

RECORD = "a.py,sha256=LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564,3\n"
SHA256 = str(installed_digest(RECORD, name="numpy", python="3.11"))
UV = sample_distribution("uv", "0.9.3")
NUMPY = sample_distribution("numpy", files=replace(sample_files(), sha256=SHA256))
REBUILT = sample_distribution("rebuilt")  # its files are not those of the index's wheel
OURS = sample_distribution("ours", origin="local")
TORCH = sample_distribution("torch", origin="base")
METADATA = b"Metadata-Version: 2.1\nName: %b\nVersion: 2.4.6\n"


def fetch(missing: Travelling) -> Collected:
    """Return what a target does; "ours" has entry points that no installer takes."""
    distributions = {}
    for name in (found.name for found in missing.distributions):
        info = f"site/{name}-{NUMPY.version}.dist-info"
        files = {f"site/{name}.py": b"", f"{info}/METADATA": METADATA % name.encode()}
        if name == "ours":
            files[f"{info}/entry_points.txt"] = b"[console_scripts]\nours\n"
        distributions[name] = {
            path: CarriedFile(content=text, executable=False) for path, text in files.items()
        }
    return Collected(distributions=distributions, files={})


def lock(into: Path, vendor: Vendor = "missing") -> Packages:
    environment = sample_environment(torch=None, distributions=(NUMPY, OURS, REBUILT, TORCH))
    offered = sample_pylock((NUMPY, REBUILT, UV))
    here = FakeTarget(
        answers={
            "uv": Completed(exit_code=0, stdout="uv 0.9.3\n", stderr=""),
            "requirements.in": Completed(exit_code=0, stdout=offered, stderr=""),
        }
    )
    wheels = FakeWheels(
        {wheel_name(each): RECORD for each in (NUMPY, REBUILT)},
        contents={f"https://files.example.com/{wheel_name(each)}": b"x" for each in (NUMPY, UV)},
    )
    around = services(here=here, wheels=wheels)
    options = VendorOptions(vendor=vendor, into=into)
    return lock_packages(sample_facts(environment=environment), options, fetch, around)


def test_each_distribution_has_one_way_to_come_back(tmp_path: Path) -> None:
    packages = lock(tmp_path)

    numpy, rebuilt = packages.locked["numpy"], packages.locked["rebuilt"]
    assert isinstance(numpy, Pinned)
    assert (numpy.proof, numpy.file, numpy.wheel.filename) == ("record", None, wheel_name(NUMPY))
    (file,) = (name for name in packages.carried if name.startswith("vendor/"))
    digest = hashlib.sha256(bytes(packages.carried[file])).hexdigest()
    assert isinstance(rebuilt, Vendored)
    assert isinstance(rebuilt.wheel, VendoredWheel)
    assert (rebuilt.wheel.file, rebuilt.wheel.sha256) == (file, digest)
    assert packages.hashed == {file: digest}
    assert packages.locked["ours"] == Vendored()
    assert "site/ours.py" in packages.overlay
    assert packages.locked["torch"] == FromBase()


def test_the_lock_file_names_what_is_a_wheel(tmp_path: Path) -> None:
    pylock = parse_pylock(lock(tmp_path).pylock)

    assert [package.name for package in pylock.packages] == ["numpy", "rebuilt"]
    assert pylock.tool == {"snapenv": {"base-provided": [f"torch=={TORCH.version}"]}}


def test_where_all_travels_a_pin_tells_where_its_wheel_lies(tmp_path: Path) -> None:
    packages = lock(tmp_path, "all")

    numpy = packages.locked["numpy"]
    assert isinstance(numpy, Pinned)
    assert numpy.file == f"vendor/{wheel_name(NUMPY)}"
    assert packages.installer.file == f"vendor/{wheel_name(UV)}"
    assert {numpy.file, packages.installer.file} <= packages.carried.keys()


def test_where_nothing_may_travel_what_would_is_named(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        lock(tmp_path, "none")

    assert str(caught.value) == wording(
        "no index gives ours 2.4.6 back as it is installed; no index gives rebuilt 2.4.6 back as it is installed"
    )
