"""JSON Schemas of what the commands print with ``--json``, generated from the values of the model.

What a key means is the comment at its field.
Source: https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import TYPE_CHECKING, get_args, get_type_hints

import msgspec

from snapenv.errors import SnapenvError
from snapenv.model.outcome import Check, Verdict
from snapenv.model.results import (
    ArchiveResult,
    AuditResult,
    BasesResult,
    BenchResult,
    BuildResult,
    CaptureResult,
    CleanResult,
    DiagnoseResult,
    DiffResult,
    DoctorResult,
    DownResult,
    ListResult,
    LogResult,
    OnboardResult,
    ProofResult,
    PsResult,
    PullResult,
    PushResult,
    RenderResult,
    ShowResult,
    StopResult,
    TuneResult,
    UpdateResult,
    UpResult,
    UsageCorrectResult,
    UsageExportResult,
    UsageImportResult,
    UsageInitResult,
)
from snapenv.model.usage_report import UsageReportResult
from snapenv.model.usage_top import TopResult
from snapenv.report.document import JSON_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from snapenv.model.outcome import Result

RESULTS: Mapping[str, type[Result]] = {
    "capture": CaptureResult,
    "build": BuildResult,
    "restore": ProofResult,
    "verify": ProofResult,
    "doctor": DoctorResult,
    "diff": DiffResult,
    "update": UpdateResult,
    "log": LogResult,
    "audit": AuditResult,
    "bench": BenchResult,
    "diagnose": DiagnoseResult,
    "tune": TuneResult,
    "bases": BasesResult,
    "export": ArchiveResult,
    "import": ArchiveResult,
    "push": PushResult,
    "pull": PullResult,
    "list": ListResult,
    "show": ShowResult,
    "render": RenderResult,
    "onboard": OnboardResult,
    "clean": CleanResult,
    "ps": PsResult,
    "stop": StopResult,
    "up": UpResult,
    "down": DownResult,
    "usage report": UsageReportResult,
    "usage top": TopResult,
    "usage init": UsageInitResult,
    "usage export": UsageExportResult,
    "usage import": UsageImportResult,
    "usage correct": UsageCorrectResult,
}


def file_stem(command: str) -> str:
    """Return how the files that describe a command are called: ``usage-report``."""
    return command.replace(" ", "-")


def command_schema(command: str) -> dict[str, object]:
    """Return the schema of the one document that a command prints, whether it answers or fails."""
    (result, check, verdict), components = msgspec.json.schema_components(
        (RESULTS[command], Check, Verdict), ref_template="#/$defs/{name}"
    )
    structs = {struct.__name__: struct for struct in _structs((RESULTS[command], Check, Verdict))}
    error = {"$ref": "#/$defs/Error"}
    properties = {
        "schema": {"const": JSON_SCHEMA, "description": "The version of these keys."},
        "command": {"const": command, "description": "What was run."},
        "ok": {"type": "boolean", "description": "Whether no check fails."},
        "exit_code": {"type": "integer", "description": "The code that the command ends with."},
        "result": {"description": "What the command answers; empty where it failed."},
        "checks": {"type": "array", "items": check, "description": "Each question that was asked."},
        "warnings": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Lines for people.",
        },
        "verdict": {
            "anyOf": [verdict, {"type": "null"}],
            "description": "The whole answer; null for a command that does not judge.",
        },
        "error": {
            "anyOf": [error, {"type": "null"}],
            "description": "Why the command failed; null where it did not.",
        },
    }
    answered = {"result": result, "exit_code": {"enum": [0, 1]}, "error": {"type": "null"}}
    failed = {"result": {"maxProperties": 0}, "ok": {"const": False}, "error": error}
    definitions = {
        name: _complete(component, structs.get(name)) for name, component in components.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"snapenv {command} --json",
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "oneOf": [{"properties": answered}, {"properties": failed}],
        "$defs": {**definitions, "Error": _error()},
    }


def _structs(kinds: Iterable[object]) -> Iterator[type[msgspec.Struct]]:
    """Yield the structs among ``kinds``, and those that their fields are made of."""
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            yield kind
            yield from _structs(get_type_hints(kind).values())
        else:
            yield from _structs(get_args(kind))


def _complete(
    component: dict[str, object], struct: type[msgspec.Struct] | None
) -> dict[str, object]:
    """Describe every key, and require it: what is unknown is printed as null."""
    properties = component.get("properties")
    if not isinstance(properties, dict) or struct is None:
        return component
    comments = dict(_comments(struct))
    described = {
        name: {key: value for key, value in schema.items() if key != "default"}
        | {"description": comments.get(name, "")}
        for name, schema in properties.items()
    }
    return {
        **component,
        "description": inspect.getdoc(struct),
        "properties": described,
        "required": list(described),
    }


def _comments(struct: type[msgspec.Struct]) -> Iterator[tuple[str, str]]:
    """Yield each field with its comment, which stands behind it or on the line above."""
    source = textwrap.dedent(inspect.getsource(struct))
    lines = source.splitlines()
    for field in ast.walk(ast.parse(source)):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            above, line = lines[field.lineno - 2 : field.lineno]
            _, behind, comment = line.partition("  # ")
            if behind or above.startswith("    # "):
                yield field.target.id, comment or above.strip("# ")


def _error() -> dict[str, object]:
    errors: list[type[SnapenvError]] = [SnapenvError, *SnapenvError.__subclasses__()]
    properties = {
        "kind": {
            "enum": sorted(error.slug for error in errors),
            "description": "What kind of failure it is; each has an exit code.",
        },
        "message": {"type": "string", "description": "What went wrong, and with what."},
        "hint": {"type": "string", "description": "What to do next."},
    }
    return {
        "description": "What went wrong, and what to do next.",
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }
