"""Statements on an image: what they say, and which of what anybody attaches is believed to be one."""

from __future__ import annotations

import hashlib
import json

import pytest
from msgspec.structs import replace

from snapenv.attest.statement import (
    Machine,
    exports_of,
    losses_of,
    machine_of,
    make_provenance,
    make_verification,
    read_verification,
)
from snapenv.model.exports import Export
from snapenv.model.image import ImageRef
from tests.attest.verifications import DIGEST, IMAGE, SNAPSHOT, VERIFICATION
from tests.samples import sample_fingerprint, sample_hardware, sample_lock

BASE_DIGEST = f"sha256:{'b' * 64}"
BASE = ImageRef(repository="example.com/base", tag="1", digest=BASE_DIGEST)


def test_provenance_names_the_base_the_snapshot_and_every_wheel() -> None:
    lock = sample_lock()

    made = json.loads(
        make_provenance(lock, image=IMAGE, base=BASE, snapshot=SNAPSHOT, sbom=b"a bill")
    )

    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["subject"] == [
        {"name": "example.com/team/env", "digest": {"sha256": "a" * 64}},
    ]
    built = made["predicate"]["buildDefinition"]
    sources = {each["name"]: each for each in built["resolvedDependencies"]}
    assert set(sources) == {"base", "snapshot", *lock.packages}
    assert sources["base"]["digest"] == {"sha256": "b" * 64}
    assert sources["torch"]["digest"] == {
        "sha256": lock.packages["torch"].wheel.sha256,  # type: ignore[union-attr]
    }
    (byproduct,) = made["predicate"]["runDetails"]["byproducts"]
    assert byproduct["digest"] == {"sha256": hashlib.sha256(b"a bill").hexdigest()}


def test_a_verification_that_was_made_is_read() -> None:
    statement = make_verification(IMAGE, VERIFICATION)

    assert read_verification(statement, digest=DIGEST) == VERIFICATION


@pytest.mark.parametrize(
    "statement",
    [
        b"",
        b"{}",
        b"[" * 1000,
        make_verification(IMAGE.at(BASE_DIGEST), VERIFICATION),
        make_provenance(sample_lock(), image=IMAGE, base=BASE, snapshot=SNAPSHOT, sbom=b""),
        make_verification(IMAGE, VERIFICATION).replace(b"true", b'"yes"'),
        make_verification(IMAGE, VERIFICATION).replace(b"Statement/v1", b"Statement/v9"),
    ],
    ids=["empty", "nothing", "deep", "another image", "provenance", "no truth", "a newer form"],
)
def test_anything_else_is_none(statement: bytes) -> None:
    assert read_verification(statement, digest=DIGEST) is None


def test_one_of_before_exports_were_named_is_read() -> None:
    statement = json.loads(make_verification(IMAGE, VERIFICATION))
    del statement["predicate"]["exports"]

    assert read_verification(json.dumps(statement).encode(), digest=DIGEST) == VERIFICATION


def test_exports_are_told_by_their_figures_and_not_by_what_an_error_says() -> None:
    good = Export(
        format="onnx",
        runtime="onnxruntime 1.22.0",
        device="cpu",
        size_bytes=12,
        box_difference=3e-5,
        score_difference=4e-5,
        boxes=60,
        matched=60,
        tolerance=2e-4,
    )
    failed = Export(format="openvino", tolerance=5e-4, error="no /home/me/x")

    exports = exports_of((good, failed), ("export.openvino",))

    told = json.loads(make_verification(IMAGE, replace(VERIFICATION, exports=exports)))
    assert told["predicate"]["exports"][0] == {
        "format": "onnx",
        "passed": True,
        "runtime": "onnxruntime 1.22.0",
        "device": "cpu",
        "tolerance": 2e-4,
        "box_difference": 3e-5,
        "score_difference": 4e-5,
        "boxes": 60,
        "matched": 60,
    }
    assert told["predicate"]["exports"][1]["passed"] is False
    assert "/home/me" not in json.dumps(told)
    assert replace(VERIFICATION, exports=exports).has_exports(["onnx"])
    assert not replace(VERIFICATION, exports=exports).has_exports(["onnx", "openvino"])


def test_losses_are_told_by_a_digest_that_anybody_can_make() -> None:
    fingerprint = sample_fingerprint()

    losses = losses_of(fingerprint)

    lines = "\n".join(fingerprint.losses) + "\n"
    assert losses
    assert losses.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert (losses.steps, losses.device) == (
        len(fingerprint.losses),
        fingerprint.conditions.device,
    )
    assert losses_of(None) is None


def test_a_machine_is_told_by_its_hardware_alone() -> None:
    assert machine_of(sample_hardware()) == Machine(
        processor=sample_hardware().system.cpu, gpus=("NVIDIA H200",), driver="580.95.05"
    )
