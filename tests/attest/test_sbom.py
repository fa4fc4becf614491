"""The bill of materials: valid by the schema, whole, the same bytes each time, and no secrets."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from msgspec.structs import replace

from snapenv.attest.sbom import make_sbom
from snapenv.model.image import ImageRef
from snapenv.model.wheels import Pinned, Vendored, VendoredWheel
from tests.samples import (
    sample_base_lock,
    sample_conda_lock,
    sample_conda_package,
    sample_distribution,
    sample_environment,
    sample_lock,
)

if TYPE_CHECKING:
    from snapenv.model.snapshot import Lock
    from snapenv.model.wheel_sbom import WheelSbom

SNAPSHOT = f"sha256:{'5' * 64}"
BASE = ImageRef(
    repository="example.com/nvidia/pytorch", tag="25.01-py3", digest=f"sha256:{'b' * 64}"
)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def sbom(lock: Lock, *carried: WheelSbom) -> dict[str, Any]:
    return valid(make_sbom(lock, snapshot=SNAPSHOT, base=BASE, carried=carried).content)


def valid(made: bytes) -> dict[str, Any]:
    faults = JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.decode())
    assert faults is None, faults
    read: dict[str, Any] = json.loads(made)
    return read


def component(made: dict[str, Any], ref: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [each for each in made["components"] if each["bom-ref"] == ref]
    assert len(found) == 1
    return found[0]


def own(kind: str, url: str | None) -> dict[str, Any]:
    """Return the component of a package of a repository that travels."""
    package = replace(sample_distribution("ours", "1.0"), origin=kind, url=url)
    lock = replace(
        sample_lock(),
        environment=replace(sample_environment(), distributions=(package,)),
        packages={"ours": Vendored(wheel=VendoredWheel(file="vendor/ours.whl", sha256="a" * 64))},
    )
    return component(sbom(lock), "pypi/ours")


def test_every_package_stands_with_its_wheel() -> None:
    lock = sample_lock()

    made = sbom(lock)

    names = {each.name for each in lock.environment.distributions}
    assert {each["name"] for each in made["components"]} == {*names, BASE.repository, "python"}
    torch = component(made, "pypi/torch")
    locked = lock.packages["torch"]
    assert isinstance(locked, Pinned)
    wheel = locked.wheel
    assert torch["purl"].startswith("pkg:pypi/torch@")
    assert torch["hashes"] == [{"alg": "SHA-256", "content": wheel.sha256}]
    assert torch["externalReferences"] == [{"type": "distribution", "url": wheel.url}]
    (root,) = [each for each in made["dependencies"] if each["ref"] == "image"]
    assert len(root["dependsOn"]) == len(made["components"])


def test_a_local_version_is_escaped() -> None:
    lock = sample_lock()
    packages = tuple(
        replace(each, version="2.11.0+cu130") if each.name == "torch" else each
        for each in lock.environment.distributions
    )
    lock = replace(lock, environment=replace(lock.environment, distributions=packages))

    assert component(sbom(lock), "pypi/torch")["purl"] == "pkg:pypi/torch@2.11.0%2Bcu130"


def test_the_base_stands_by_its_digest() -> None:
    base = component(sbom(sample_base_lock()), "base")

    assert base["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]
    assert base["version"] == "25.01-py3"
    assert base["purl"].startswith("pkg:oci/pytorch@sha256")


def test_a_package_of_a_repository_stands_with_its_commit() -> None:
    ours = own("vcs", f"git+https://example.com/ours@{COMMIT}")

    assert ours["externalReferences"] == [
        {"type": "vcs", "url": f"git+https://example.com/ours@{COMMIT}"}
    ]
    assert ours["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("editable", "file:///home/somebody/ours"),
        ("vcs", f"git+file:///home/somebody/ours@{COMMIT}"),
        ("local", "file:///home/somebody/ours-1.0.whl"),
        ("local", None),
    ],
)
def test_no_folder_of_a_machine_is_named(kind: str, url: str | None) -> None:
    assert "externalReferences" not in own(kind, url)


def test_packages_of_conda_and_of_the_distribution_stand_too() -> None:
    lock = replace(
        sample_lock(),
        base=replace(sample_lock().base, packages=("libgomp1",)),
        conda=sample_conda_lock(sample_conda_package("zlib")),
    )

    made = sbom(lock)

    assert component(made, "conda/zlib")["purl"].startswith("pkg:conda/zlib@")
    assert component(made, "deb/libgomp1")["purl"] == "pkg:deb/debian/libgomp1"


def test_the_same_lock_gives_the_same_bytes() -> None:
    program = (
        "import sys; from tests.samples import sample_lock; "
        "from snapenv.attest.sbom import make_sbom; from snapenv.model.image import ImageRef; "
        f"made = make_sbom(sample_lock(), snapshot={SNAPSHOT!r}, base=ImageRef.parse({str(BASE)!r})); "
        "sys.stdout.buffer.write(made.content)"
    )
    made = {
        subprocess.run(
            (sys.executable, "-c", program),
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert made == {make_sbom(sample_lock(), snapshot=SNAPSHOT, base=BASE).content}
