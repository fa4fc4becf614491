from __future__ import annotations

import json

from inline_snapshot import snapshot as wording

from snapenv.errors import LockError
from snapenv.model.outcome import Check, Outcome, Result, Verdict
from snapenv.model.results import ProofResult
from snapenv.report.document import error_json, outcome_json


def test_yes_no_and_failure_have_the_same_keys() -> None:
    no = Check(id="python", ok=False, expected="3.11", actual="3.12", fix="Use a Python 3.11.")
    documents = [
        json.loads(outcome_json(Outcome(command="restore", result=ProofResult(tier="identical")))),
        json.loads(outcome_json(Outcome(command="restore", result=Result(), checks=(no,)))),
        json.loads(error_json(LockError("edited", hint="Reinstall."), command="capture")),
    ]

    assert documents[0].keys() == documents[1].keys() == documents[2].keys()
    assert [(each["ok"], each["exit_code"]) for each in documents] == [
        (True, 0),
        (False, 1),
        (False, 5),
    ]


def test_a_check_is_written_with_all_its_keys() -> None:
    no = Check(id="python", ok=False, expected="3.11", actual="3.12", fix="Use a Python 3.11.")

    document = json.loads(outcome_json(Outcome(command="restore", result=Result(), checks=(no,))))

    assert document["checks"] == [
        {
            "id": "python",
            "ok": False,
            "expected": "3.11",
            "actual": "3.12",
            "fix": wording("Use a Python 3.11."),
            "part": "environment",
            "severity": "error",
            "topic": None,
            "package": None,
        }
    ]


def test_a_verdict_is_written_with_all_its_keys() -> None:
    verdict = Verdict(ok=True, summary="train-x is back")

    document = json.loads(
        outcome_json(Outcome(command="restore", result=Result(), verdict=verdict))
    )

    assert document["verdict"] == {
        "ok": True,
        "summary": "train-x is back",
        "part": None,
        "check": None,
        "next": None,
    }


def test_a_command_that_judges_nothing_or_fails_has_no_verdict() -> None:
    outcome = json.loads(outcome_json(Outcome(command="list", result=Result())))
    error = json.loads(error_json(LockError("edited", hint="Reinstall."), command="capture"))

    assert (outcome["verdict"], error["verdict"]) == (None, None)


def test_an_error_is_written_with_its_kind_and_its_hint() -> None:
    document = json.loads(error_json(LockError("edited", hint="Reinstall."), command="capture"))

    assert document["error"] == {"kind": "lock", "message": "edited", "hint": "Reinstall."}
