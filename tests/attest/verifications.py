"""A verification of an image, as a value."""

from __future__ import annotations

from snapenv.attest.statement import Machine, Verification
from snapenv.model.image import ImageRef

DIGEST, SNAPSHOT = (f"sha256:{letter * 64}" for letter in "ac")
IMAGE = ImageRef(repository="example.com/team/env", tag="t", digest=DIGEST)
HERE = Machine(processor="a processor", gpus=(), driver=None)
VERIFICATION = Verification(
    snapenv="1.0",
    snapshot=SNAPSHOT,
    tag="t",
    passed=True,
    tier="identical",
    captured_on=HERE,
    verified_on=HERE,
    date="2026-03-01T12:00:00+00:00",
)
