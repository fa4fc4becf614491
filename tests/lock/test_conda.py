"""Of each package of conda, one way to come back: its channel, or a file that travels."""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import LeakError, LockError
from snapenv.lock.carry import VendorOptions
from snapenv.lock.conda import LockedConda, channel_sources, licence_warnings, lock_conda
from snapenv.lock.overlay import plan_overlay
from snapenv.lock.pins import refuse_what_cannot_be_carried
from snapenv.model.carried import CarriedFile, Collected, CollectedPackage
from snapenv.model.conda import CondaArchive, CondaEnvironment, CondaPackage
from snapenv.secrets.model import Secret
from tests.samples import (
    sample_conda_lock,
    sample_conda_package,
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_files,
)
from tests.workflows.services import FakeWheels, services

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from snapenv.lock.carry import Travelling
    from snapenv.model.snapshot import Prove, Vendor

ZLIB = sample_conda_package("zlib")
GONE = sample_conda_package("gone", depends=("zlib >=1", "__glibc >=2.17", "absent 1.*"))
OWN = sample_conda_package("own", url=None, channel=None)
TEXT = b"login: s3cr3t-of-a-test\n"
PATHS = (
    {
        "_path": "share/x.txt",
        "path_type": "hardlink",
        "sha256": hashlib.sha256(TEXT).hexdigest(),
        "size_in_bytes": len(TEXT),
    },
)
REBUILT = CollectedPackage(
    prefix="/opt/old",
    paths=PATHS,
    files={"share/x.txt": CarriedFile(content=TEXT, executable=False)},
)
KEPT = CollectedPackage(archive=b"conda's own file")


def lock(
    into: Path,
    *packages: CondaPackage,
    vendor: Vendor = "missing",
    prove: Prove = "record",
    collected: CollectedPackage = KEPT,
    secrets: Sequence[Secret] = (),
) -> tuple[LockedConda, FakeWheels]:
    wheels = FakeWheels(contents={str(ZLIB.url): b"the package"})

    def fetch(missing: Travelling) -> Collected:
        found = {package.name: collected for package in missing.packages}
        return Collected(distributions={}, files={}, packages=found)

    conda = CondaEnvironment(packages=packages)
    facts = replace(sample_facts(), conda=conda)
    options = VendorOptions(vendor=vendor, prove=prove, into=into)
    around = replace(services(wheels=wheels), secrets=lambda: tuple(secrets))
    locked = lock_conda(facts, options, fetch, around)
    assert locked is not None
    return locked, wheels


def test_what_a_channel_has_comes_from_there(tmp_path: Path) -> None:
    locked, wheels = lock(tmp_path, ZLIB)

    assert locked.lock == sample_conda_lock(ZLIB)
    assert locked.carried == {}
    assert wheels.asked == [ZLIB.file_name]


def nothing(missing: Travelling) -> Collected:
    raise AssertionError(missing)


def test_an_environment_of_no_conda_has_no_lock(tmp_path: Path) -> None:
    found = lock_conda(sample_facts(), VendorOptions(into=tmp_path), nothing, services())

    assert found is None


@pytest.mark.parametrize("package", [GONE, OWN, replace(ZLIB, sha256=None)])
def test_what_no_channel_has_travels_as_conda_has_kept_it(
    package: CondaPackage, tmp_path: Path
) -> None:
    locked, _ = lock(tmp_path, package)

    file = f"vendor/{package.file_name}"
    assert locked.lock.archives == {
        package.name: CondaArchive(
            file_name=package.file_name,
            file=file,
            sha256=hashlib.sha256(b"conda's own file").hexdigest(),
            size_bytes=16,
        )
    }
    assert locked.carried == {file: b"conda's own file"}


def test_what_conda_has_not_kept_is_rebuilt(tmp_path: Path) -> None:
    locked, _ = lock(tmp_path, GONE, collected=REBUILT)

    archive = locked.lock.archives["gone"]
    place = locked.carried[f"vendor/{archive.file_name}"]
    assert archive.sha256 == hashlib.sha256((tmp_path / archive.file_name).read_bytes()).hexdigest()
    with zipfile.ZipFile(str(place)) as package:
        assert json.loads(package.read("metadata.json")) == {"conda_pkg_format_version": 2}


def test_what_was_edited_cannot_be_rebuilt_and_is_named(tmp_path: Path) -> None:
    edited = {"share/x.txt": CarriedFile(content=b"edited", executable=False)}

    with pytest.raises(LockError, match=r"gone 1.3 h1_0 .*share/x.txt"):
        lock(tmp_path, GONE, collected=replace(REBUILT, files=edited))


def test_a_secret_in_what_is_rebuilt_is_refused(tmp_path: Path) -> None:
    secret = Secret(value="s3cr3t-of-a-test", what="the password of a test")

    with pytest.raises(LeakError) as caught:
        lock(tmp_path, GONE, collected=REBUILT, secrets=[secret])

    assert str(caught.value) == wording("gone: share/x.txt line 1 holds the password of a test")


def test_nothing_travels_where_nothing_may(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="^no channel gives gone 1.3 h1_0; .* own 1.3 h1_0$"):
        lock(tmp_path, GONE, OWN, ZLIB, vendor="none")


def test_all_packages_travel_where_that_is_asked(tmp_path: Path) -> None:
    locked, _ = lock(tmp_path, ZLIB, OWN, vendor="all")

    files = {name: archive.file for name, archive in locked.lock.archives.items()}
    assert files == {"zlib": f"vendor/{ZLIB.file_name}", "own": f"vendor/{OWN.file_name}"}
    assert locked.carried.keys() == {*files.values()}
    assert locked.lock.archives["zlib"].sha256 == ZLIB.sha256


def test_no_channel_is_asked_where_nothing_is_proved(tmp_path: Path) -> None:
    locked, wheels = lock(tmp_path, ZLIB, GONE, prove="off")

    assert wheels.asked == []
    assert locked.lock.archives["gone"].url == GONE.url


def test_channels_that_had_all_today_are_not_asked_again_unless_anew(tmp_path: Path) -> None:
    facts = replace(sample_facts(), conda=CondaEnvironment(packages=(ZLIB,)))
    wheels = FakeWheels(contents={str(ZLIB.url): b"the package"})
    around = replace(services(wheels=wheels), cache=tmp_path)
    options = VendorOptions(into=tmp_path)

    for chosen in (options, options, replace(options, anew=True)):
        assert lock_conda(facts, chosen, nothing, around)

    assert wheels.asked == [ZLIB.file_name] * 2


def test_dependencies_that_are_not_there_are_named_but_for_virtual_ones(tmp_path: Path) -> None:
    locked, _ = lock(tmp_path, ZLIB, GONE)

    (warning,) = locked.warnings
    assert warning.replace(str(tmp_path), "TMP") == wording(
        "conda's gone 1.3 h1_0 needs absent, which is not installed: conda calls this environment inconsistent. It is locked as it is"
    )


@pytest.mark.parametrize("name", ["../x.conda", "x.zip", "a b.conda", ".conda"])
def test_a_file_name_that_no_snapshot_can_hold_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LockError, match="is not a name"):
        lock(tmp_path, replace(ZLIB, file_name=name))


def test_channels_are_places_and_those_with_terms_are_named() -> None:
    def of(name: str, channel: str) -> CondaPackage:
        return sample_conda_package(name, url=f"https://{channel}/linux-64/{name}-1.3-h1_0.conda")

    found = sample_conda_lock(
        of("a", "conda.anaconda.org/conda-forge"),
        of("b", "repo.anaconda.com/pkgs/main"),
        of("c", "conda.anaconda.org/main"),
        of("d", "conda.anaconda.org/conda-forge"),
        of("e", "example.com/conda.anaconda.org/main"),
    )

    assert [(one.place, one.holds) for one in channel_sources(found)] == [
        ("conda.anaconda.org/conda-forge", wording("2 conda packages, 2.0 kB")),
        ("conda.anaconda.org/main", wording("1 conda package, 1.0 kB")),
        ("example.com/conda.anaconda.org/main", wording("1 conda package, 1.0 kB")),
        ("repo.anaconda.com/pkgs/main", wording("1 conda package, 1.0 kB")),
    ]
    warned = [line.split(" come from ")[1].split(",")[0] for line in licence_warnings(found)]
    assert warned == ["conda.anaconda.org/main", "repo.anaconda.com/pkgs/main"]


def test_edits_of_condas_files_are_part_of_the_overlay() -> None:
    files = replace(
        sample_files(edited=("../../../etc/x.conf", "pkg/a.py"), missing=("../../../lib/z.so",)),
        placeholders=("../../../etc/x.conf",),
    )

    plan = plan_overlay(
        sample_environment(distributions=()), (), packages=[replace(ZLIB, files=files)]
    )

    assert plan.files == ("prefix/etc/x.conf", "site/pkg/a.py")
    assert plan.deleted == ("prefix/lib/z.so",)
    assert plan.placeholders == {"prefix/etc/x.conf"}


def test_damaged_records_are_refused_by_name() -> None:
    conda = CondaEnvironment(
        packages=(), damaged=("conda-meta/x.json is not a record of a package",)
    )

    with pytest.raises(LockError) as caught:
        refuse_what_cannot_be_carried(replace(sample_facts(), conda=conda))

    assert str(caught.value) == wording("conda-meta/x.json is not a record of a package")


def test_what_conda_installed_and_no_package_of_it_holds_is_refused() -> None:
    held = replace(sample_distribution("held", origin="conda"), files=None)
    loose = replace(
        sample_distribution("loose", origin="conda"), tags=("cp311-cp311-linux_x86_64",)
    )
    conda = CondaEnvironment(packages=(ZLIB,))
    facts = replace(
        sample_facts(environment=sample_environment(distributions=(held, loose))), conda=conda
    )

    with pytest.raises(LockError) as caught:
        refuse_what_cannot_be_carried(facts)

    assert str(caught.value) == wording(
        "loose 2.4.6 was installed by conda, compiled against its libraries"
    )
