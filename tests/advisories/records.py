"""Advisories in the form of OSV, made for tests."""

from __future__ import annotations

from typing import Any


def record(
    name: str,
    *events: dict[str, str],
    kind: str = "ECOSYSTEM",
    **fields: Any,  # noqa: ANN401
) -> dict[str, Any]:
    """Return an advisory about a package of PyPI."""
    affected = {
        "package": {"ecosystem": "PyPI", "name": name, "purl": f"pkg:pypi/{name}"},
        "ranges": [{"type": kind, "events": list(events)}] if events else [],
        "versions": fields.pop("versions", []),
    }
    return {
        "schema_version": "1.7.0",
        "id": "PYSEC-2026-1",
        "modified": "2026-01-01T00:00:00Z",
        "affected": [affected],
        **fields,
    }
