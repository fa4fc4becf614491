from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema
import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.cli.main import HANDING_OVER
from snapenv.errors import LockError
from snapenv.model.outcome import Check, Outcome, Verdict
from snapenv.model.results import ProofResult
from snapenv.report.document import error_json, outcome_json
from snapenv.report.schemas import RESULTS, command_schema, file_stem
from tests.command import COMMANDS
from tests.schemas import SCHEMAS, validate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

NO = Check(id="python", ok=False, expected="3.11", actual="3.12", fix="Use a Python 3.11.")
OUTCOME = Outcome(
    command="restore",
    result=ProofResult(
        image="example.com/team/env:x", tier="different", losses=(2.5, float("nan"))
    ),
    checks=(NO,),
    verdict=Verdict(ok=False, summary="no", part="environment", check="python"),
)


def document(outcome: Outcome[ProofResult] = OUTCOME) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(outcome_json(outcome))
    return parsed


def test_each_command_has_a_schema() -> None:
    assert RESULTS.keys() == COMMANDS.keys() - set(HANDING_OVER)


@pytest.mark.parametrize("command", RESULTS)
def test_the_schema_that_is_shipped_is_the_one_that_is_generated(command: str) -> None:
    shipped = json.loads(SCHEMAS.joinpath(f"{file_stem(command)}.json").read_text(encoding="utf-8"))

    jsonschema.Draft202012Validator.check_schema(shipped)
    assert shipped == command_schema(command)


@pytest.mark.parametrize("command", RESULTS)
def test_every_key_is_described(command: str) -> None:
    described = dict(_descriptions(command_schema(command)))

    assert [path for path, text in described.items() if not text] == []
    assert described["Check.fix"] == wording("what to do; None where it passed")


def _descriptions(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, component in {**schema["$defs"], "": schema}.items():
        for key, value in component.get("properties", {}).items():
            yield f"{name}.{key}", value.get("description", "")


def test_a_yes_a_no_and_a_failure_are_as_the_schema_says() -> None:
    validate(document())
    validate(document(replace(OUTCOME, checks=())))
    validate(json.loads(error_json(LockError("edited", hint="Reinstall."), command="restore")))


@pytest.mark.parametrize(
    "change",
    [
        {"result": {}},
        {"result": {"tier": "near"}},
        {"exit_code": 5},
        {"schema": 2},
        {"error": {"kind": "unknown", "message": "", "hint": ""}},
        {"command": "verify"},
        {"checks": [{"id": "python"}]},
    ],
)
def test_anything_else_is_not(change: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document(), **change}, command_schema("restore"))


def test_a_key_that_is_missing_is_noticed() -> None:
    without = document()
    del without["result"]["speed"]

    with pytest.raises(jsonschema.ValidationError):
        validate(without)
