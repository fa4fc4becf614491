"""The JSON Schemas that are shipped, and whether a document is as they say."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

import jsonschema

from snapenv.report.schemas import file_stem

SCHEMAS = resources.files("snapenv") / "schemas"


@functools.cache
def _validator(command: str) -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMAS.joinpath(f"{file_stem(command)}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def validate(document: dict[str, Any]) -> None:
    """Compare what a command printed with its schema.

    Raises:
        jsonschema.ValidationError: It is something else.
    """
    if document["command"]:  # a usage error may come before any
        _validator(document["command"]).validate(document)
