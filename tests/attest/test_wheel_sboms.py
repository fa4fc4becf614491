"""Bills that wheels carry: taken whole where they are real, and by their hash where they mean harm."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.attest.sbom import make_sbom
from snapenv.model.image import ImageRef
from snapenv.model.wheel_sbom import WheelSbom
from snapenv.probe.sboms import find_sboms
from snapenv.targets.local import LocalTarget
from tests.samples import sample_distribution, sample_environment, sample_lock

if TYPE_CHECKING:
    from snapenv.attest.sbom import Made
    from snapenv.model.snapshot import Lock

BASE = ImageRef(repository="example.com/base", tag="1", digest=f"sha256:{'b' * 64}")
ZLIB = {"type": "library", "name": "zlib", "version": "1.3", "purl": "pkg:generic/zlib@1.3"}


def bill(*components: object, **others: object) -> bytes:
    document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components, **others}
    return json.dumps(document).encode()


def carried(content: bytes | None, *, file: str = "ours-1.0.dist-info/sboms/x.json") -> WheelSbom:
    digest = hashlib.sha256(content or b"").hexdigest()
    return WheelSbom(
        distribution="ours", file=file, sha256=digest, size_bytes=3 << 20, content=content
    )


def locked(*names: str) -> Lock:
    packages = tuple(sample_distribution(name) for name in sorted(names))
    environment = replace(sample_environment(), distributions=packages)
    return replace(sample_lock(), environment=environment, packages={})


def made_of(*sboms: WheelSbom) -> Made:
    names = {"ours", *(each.distribution for each in sboms)}
    return make_sbom(locked(*names), snapshot=f"sha256:{'5' * 64}", base=BASE, carried=sboms)


def part(made: Made, name: str = "ours") -> dict[str, Any]:
    """Return the component of a distribution of a bill that is valid by the schema."""
    faults = JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.content.decode())
    assert faults is None, faults
    return find(made, name)


def find(made: Made, name: str = "ours") -> dict[str, Any]:
    components = json.loads(made.content)["components"]
    found: dict[str, Any] = next(each for each in components if each["bom-ref"] == f"pypi/{name}")
    return found


def warning(sbom: WheelSbom) -> str:
    made = made_of(sbom)
    ours = find(made)
    assert "components" not in ours
    assert ours["externalReferences"][0]["hashes"][0]["content"] == sbom.sha256
    (said,) = made.warnings
    assert said.isprintable()
    return said


@pytest.fixture(scope="module")
def real() -> dict[str, WheelSbom]:
    """The bills of the wheels that these tests run on, by file."""
    return {each.file: each for each in find_sboms(LocalTarget(sys.executable))}


def test_those_of_real_wheels_are_taken_with_what_is_in_them(real: dict[str, WheelSbom]) -> None:
    sboms = [each for each in real.values() if each.distribution == "cryptography"]
    assert {each.file.partition("/")[2] for each in sboms} >= {
        "sboms/cryptography-rust.cyclonedx.json",
        "sboms/sbom.json",
    }

    made = made_of(*sboms)

    ours = part(made, "cryptography")
    purls = {each["purl"].partition("@")[0] for each in ours["components"]}
    assert {"pkg:generic/openssl", "pkg:cargo/asn1"} <= purls
    references = {each["url"] for each in ours["externalReferences"] if each["type"] == "bom"}
    assert references == {each.file for each in sboms}
    assert made.warnings == ()
    assert made == made_of(*sboms)


@pytest.mark.full
def test_nothing_of_any_real_wheel_names_a_folder_of_its_builder(
    real: dict[str, WheelSbom],
) -> None:
    assert b"file:///home/runner" in b"".join(each.content or b"" for each in real.values())

    made = made_of(*real.values())

    part(made)
    assert made.warnings == ()
    assert b"file:" not in made.content
    assert b"/home/" not in made.content


def test_references_are_unique_and_nothing_of_ours_is_overwritten() -> None:
    twin = {**ZLIB, "bom-ref": "image", "components": [{**ZLIB, "bom-ref": "image"}]}
    sboms = [carried(bill(twin, twin)), carried(bill(twin), file="ours-1.0.dist-info/sboms/y.json")]

    made = made_of(*sboms)

    first, second, third = part(made)["components"]
    assert [each["bom-ref"] for each in (first, second, third)] == [
        "pypi/ours/1/1",
        "pypi/ours/1/2",
        "pypi/ours/2/1",
    ]
    assert first["components"][0]["bom-ref"] == "pypi/ours/1/1/1"


def test_the_distribution_is_no_part_of_itself() -> None:
    itself = {**ZLIB, "name": "Our_S", "purl": "pkg:pypi/Our_S@1.0?file_name=our_s.whl"}
    sbom = replace(carried(bill(itself, ZLIB)), distribution="our-s")

    (only,) = part(made_of(sbom), "our-s")["components"]

    assert only["name"] == "zlib"


def test_what_the_schema_does_not_allow_and_folders_are_left_out() -> None:
    component = {
        **ZLIB,
        "purl": "pkg:cargo/zlib@1.3?download_url=file:///home/me/x#src/lib.rs",
        "group": "file:///home/me",
        "hashes": [{"alg": "SHA-256", "content": "no hash"}],
        "licenses": [{"license": {"id": "of my own"}}],
        "description": "/home/me",
    }

    (taken,) = part(made_of(carried(bill(component))))["components"]

    assert taken == {
        "bom-ref": "pypi/ours/1/1",
        "licenses": [{"license": {"name": "of my own"}}],
        "name": "zlib",
        "purl": "pkg:cargo/zlib@1.3",
        "type": "library",
        "version": "1.3",
    }


@pytest.mark.parametrize(
    "sbom",
    [
        carried(b'{"spdxVersion": "SPDX-2.3"}', file="ours-1.0.dist-info/sboms/x.spdx.json"),
        carried(b"SPDXVersion: SPDX-2.3", file="ours-1.0.dist-info/sboms/x.spdx"),
        carried(b"<bom/>", file="ours-1.0.dist-info/sboms/x.cdx.xml"),
        carried(b"[]"),
    ],
    ids=["SPDX in JSON", "SPDX", "CycloneDX in XML", "a list"],
)
def test_of_other_forms_there_is_a_reference_with_the_hash(sbom: WheelSbom) -> None:
    made = made_of(sbom)

    assert made.warnings == ()
    assert part(made)["externalReferences"] == [
        {
            "type": "bom",
            "url": sbom.file,
            "hashes": [{"alg": "SHA-256", "content": sbom.sha256}],
        }
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff\xfe\xfd",
        b"[" * 100_000,
        bill({**ZLIB, "type": "no such type"}),
        bill({"type": "library"}),
        bill(ZLIB, "zlib"),
        bill(components={"a": 1}),
        bill({**ZLIB, "hashes": [{"alg": "ROT13", "content": "0" * 64}]}),
        json.dumps({"bomFormat": "CycloneDX", "components": 7}).encode(),
    ],
    ids=[
        *("cut off", "no text", "deep", "another type", "no name", "no component", "a table"),
        *("another hash", "a number"),
    ],
)
def test_damage_is_told_and_no_crash(content: bytes) -> None:
    assert " only the hash is taken: it is not valid CycloneDX (" in warning(carried(content))


def test_what_is_too_large_is_told() -> None:
    assert warning(carried(None)) == wording(
        "of the SBOM ours-1.0.dist-info/sboms/x.json only the hash is taken: it has 3.0 MiB"
    )
    many = bill({**ZLIB, "components": [ZLIB] * 2000})
    assert warning(carried(many)) == wording(
        "of the SBOM ours-1.0.dist-info/sboms/x.json only the hash is taken: it has more than 2000 components"
    )


def test_files_of_an_environment_are_found_whatever_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "ours-1.0.dist-info"
    (info / "sboms/below").mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
    large = b" " * (2 << 20) + b"{}"
    (info / "sboms/large.json").write_bytes(large)
    Path(os.fsdecode(os.fsencode(info) + b"/sboms/a \xff\n\x1b[31m.json")).write_bytes(b"{}")
    (info / "sboms/below/x.json").write_bytes(b"{}")
    (info / "sboms/link.json").symlink_to("/etc/hostname")
    os.mkfifo(info / "sboms/pipe.json")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    found = [
        each for each in find_sboms(LocalTarget(sys.executable)) if each.distribution == "ours"
    ]

    assert [(each.file, each.content, each.size_bytes) for each in found] == [
        ("ours-1.0.dist-info/sboms/a%20%FF%0A%1B%5B31m.json", b"{}", 2),
        ("ours-1.0.dist-info/sboms/below/x.json", b"{}", 2),
        ("ours-1.0.dist-info/sboms/large.json", None, len(large)),
    ]
    assert found[2].sha256 == hashlib.sha256(large).hexdigest()
    assert warning(found[2]).startswith("of the SBOM ours-1.0.dist-info/sboms/large.json only the")
