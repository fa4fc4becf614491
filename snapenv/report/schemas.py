"""JSON Schemas of what the commands print with ``--json``, generated from the values of the model.

Source: https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from snapenv.errors import SnapenvError
from snapenv.model.outcome import Check, Verdict
from snapenv.model.results import (
    ArchiveResult,
    BasesResult,
    BuildResult,
    CaptureResult,
    DiffResult,
    DoctorResult,
    ListResult,
    ProofResult,
    ShowResult,
)
from snapenv.report.document import JSON_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.outcome import Result

RESULTS: Mapping[str, type[Result]] = {
    "capture": CaptureResult,
    "build": BuildResult,
    "restore": ProofResult,
    "verify": ProofResult,
    "doctor": DoctorResult,
    "diff": DiffResult,
    "bases": BasesResult,
    "export": ArchiveResult,
    "import": ArchiveResult,
    "list": ListResult,
    "show": ShowResult,
}


def command_schema(command: str) -> dict[str, object]:
    """Return the schema of the one document that a command prints, whether it answers or fails."""
    (result, check, verdict), components = msgspec.json.schema_components(
        (RESULTS[command], Check, Verdict), ref_template="#/$defs/{name}"
    )
    error = {"$ref": "#/$defs/Error"}
    properties = {
        "schema": {"const": JSON_SCHEMA},
        "command": {"const": command},
        "ok": {"type": "boolean", "description": "Whether no check fails."},
        "exit_code": {"type": "integer"},
        "result": {"description": "Empty where the command failed."},
        "checks": {"type": "array", "items": check},
        "warnings": {"type": "array", "items": {"type": "string"}},
        "verdict": {"anyOf": [verdict, {"type": "null"}]},
        "error": {"anyOf": [error, {"type": "null"}]},
    }
    answered = {"result": result, "exit_code": {"enum": [0, 1]}, "error": {"type": "null"}}
    failed = {"result": {"maxProperties": 0}, "ok": {"const": False}, "error": error}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"snapenv {command} --json",
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "oneOf": [{"properties": answered}, {"properties": failed}],
        "$defs": {**{name: _complete(one) for name, one in components.items()}, "Error": _error()},
    }


def _complete(component: dict[str, object]) -> dict[str, object]:
    """Require every key: what is unknown is printed as null."""
    properties = component.get("properties")
    if not isinstance(properties, dict):
        return component
    plain = {
        name: {key: value for key, value in one.items() if key != "default"}
        for name, one in properties.items()
    }
    return {**component, "properties": plain, "required": list(plain)}


def _error() -> dict[str, object]:
    errors: list[type[SnapenvError]] = [SnapenvError, *SnapenvError.__subclasses__()]
    kinds = sorted(error.slug for error in errors)
    text = {"type": "string"}
    properties = {"kind": {"enum": kinds}, "message": text, "hint": text}
    return {
        "description": "What went wrong, and what to do next.",
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }
