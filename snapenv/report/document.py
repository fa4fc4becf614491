"""An outcome or an error as one JSON document: the same keys for yes, no and failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from snapenv.errors import SnapenvError
    from snapenv.model.outcome import Outcome, Result

JSON_SCHEMA = 1


def outcome_json(outcome: Outcome[Result]) -> str:
    """Return the document of a command that has answered yes or no; no newline at the end."""
    return _encode(
        {
            "schema": JSON_SCHEMA,
            "command": outcome.command,
            "ok": outcome.ok,
            "exit_code": outcome.exit_code,
            "result": outcome.result,
            "checks": outcome.checks,
            "warnings": outcome.warnings,
            "verdict": outcome.verdict,
            "error": None,
        }
    )


def error_json(error: SnapenvError, *, command: str) -> str:
    """Return the document of a command that could not answer."""
    return _encode(
        {
            "schema": JSON_SCHEMA,
            "command": command,
            "ok": False,
            "exit_code": error.exit_code,
            "result": {},
            "checks": [],
            "warnings": [],
            "verdict": None,
            "error": {"kind": error.slug, "message": error.message, "hint": error.hint},
        }
    )


def _encode(document: object) -> str:
    try:
        encoded = msgspec.json.encode(document)
    except UnicodeEncodeError:  # a name of bytes that are no text, which JSON cannot have
        encoded = msgspec.json.encode(_shown(msgspec.to_builtins(document)))
    return msgspec.json.format(encoded, indent=2).decode()


def _shown(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Write bytes that are no text as text output does."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_shown(key): _shown(below) for key, below in value.items()}
    return [_shown(below) for below in value] if isinstance(value, list | tuple) else value
