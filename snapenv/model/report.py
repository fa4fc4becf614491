"""What a report says: a verdict with all that it rests on, before it becomes a page."""

from __future__ import annotations

from msgspec import Struct

from snapenv.model.difference import Section
from snapenv.model.fingerprint import Fingerprint, Tier
from snapenv.model.outcome import Check, Verdict


class Row(Struct, frozen=True, kw_only=True):
    """One fact of both sides, as people read it; None where a side does not have it."""

    label: str  # "driver", "GPU", "images/s"
    expected: str | None  # at capture
    actual: str | None  # now


class Report(Struct, frozen=True, kw_only=True):
    """One verdict and what led to it. Nothing in it is trusted: part came with the snapshot.

    ``expected`` is the smoke-train of the capture and ``actual`` the one that was run now.
    ``limits`` are the largest relative differences of a loss that the tier allows, at step 1 and
    after it; None where each must be the same bit for bit.
    """

    title: str  # the tag, or what the user named
    verdict: Verdict
    tier: Tier | None = None
    snapshot: str | None = None  # "sha256:…"
    image: str | None = None
    image_digest: str | None = None  # "sha256:…"
    captured_at: str | None = None  # UTC, ISO 8601
    restored_at: str | None = None  # UTC, ISO 8601
    restored_in: str | None = None  # "docker, example.com/team/env:…", "venv, .venv"
    expected: Fingerprint | None = None
    actual: Fingerprint | None = None
    limits: tuple[float, float] | None = None
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()
    differences: tuple[Section, ...] = ()  # by what follows from them, where they were asked for
    machines: tuple[Row, ...] = ()
    energy: tuple[str, ...] = ()  # with the factor of an estimate: "0.1 g CO2 at 400 g/kWh"
