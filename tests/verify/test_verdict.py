from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.fingerprint import Operator, Speed
from snapenv.model.outcome import Check, Part, Severity, Topic, Verdict
from snapenv.steps.prove import prove
from snapenv.steps.runnable import Runnable
from snapenv.verify.verdict import PARTS, judge
from tests.samples import (
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_fingerprint,
    sample_hardware,
    sample_lock,
)
from tests.workflows.services import services, target

if TYPE_CHECKING:
    from snapenv.model.facts import Facts
    from snapenv.model.fingerprint import Fingerprint
    from snapenv.steps.prove import Proved

DIFF = "snapenv diff snapshots/train .venv"


def no(
    name: str,
    part: Part,
    severity: Severity = "error",
    *,
    topic: Topic | None = None,
    package: str | None = None,
) -> Check:
    return Check(
        id=name,
        ok=False,
        expected="this",
        actual="that",
        fix=f"Mend {name}.",
        part=part,
        severity=severity,
        topic=topic,
        package=package,
    )


NUMPY = no("distribution.numpy", "environment", topic="packages", package="numpy")
COUNT = no("distributions", "environment", topic="packages")
HELD = Check(id="python", ok=True, expected="3.11", actual="3.11")


def verdict(*checks: Check, diff: str | None = DIFF) -> Verdict:
    return judge(
        checks,
        passed="train is back in .venv",
        failed=".venv is not train",
        tier="close",
        diff=diff,
    )


def test_all_held_is_told_with_the_tier() -> None:
    assert verdict(HELD) == Verdict(ok=True, summary=wording("train is back in .venv: tier close"))


def test_without_a_tier_the_summary_is_as_given() -> None:
    assert judge([HELD], passed="this machine can run it", failed="") == Verdict(
        ok=True, summary=wording("this machine can run it")
    )


def test_a_warning_does_not_decide() -> None:
    assert verdict(HELD, no("speed", "host", "warning")).ok


def test_the_parts_are_asked_in_the_order_in_which_they_build_on_another() -> None:
    assert PARTS == ("host", "transport", "image", "environment", "workload")


@pytest.mark.parametrize("first", PARTS)
def test_the_first_part_that_fails_has_the_cause(first: Part) -> None:
    failing = [no(f"of {part}", part) for part in PARTS[PARTS.index(first) :]]

    found = {verdict(*checks).part for checks in permutations(failing)}

    assert found == {first}


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("host", "that (expected: this)"),
        ("transport", "that (expected: this)"),
        ("image", "driver is that, not this"),
        ("workload", "driver is that, not this"),
    ],
)
def test_the_next_step_is_the_fix_of_the_check_that_decided(part: Part, reason: str) -> None:
    assert verdict(no("driver", part), no("later", part)) == Verdict(
        ok=False,
        summary=f".venv is not train: {reason}",
        part=part,
        check="driver",
        next="Mend driver.",
    )


@pytest.mark.parametrize(
    ("topic", "next_step"),
    [
        ("packages", DIFF),
        ("python", DIFF),
        ("frameworks", DIFF),
        ("files", DIFF),
        ("kernels", DIFF),
        ("libraries", "Mend it."),
        ("import-path", "Mend it."),
        ("startup", "Mend it."),
        ("variables", "Mend it."),
        (None, "Mend it."),
    ],
)
def test_packages_that_differ_are_shown_by_a_diff_and_all_else_has_its_fix(
    topic: Topic | None, next_step: str
) -> None:
    assert verdict(no("it", "environment", topic=topic)).next == next_step


def test_without_a_command_the_fix_is_next() -> None:
    assert verdict(NUMPY, diff=None).next == "Mend distribution.numpy."


def test_a_package_decides_before_the_count_of_those_that_differ() -> None:
    found = verdict(COUNT, NUMPY)

    assert (found.check, found.summary) == (
        "distribution.numpy",
        wording(".venv is not train: numpy is that, not this"),
    )


SPEED = Speed(images_per_s=100.0, step_ms_median=40.0, step_ms_p95=50.0, joules_per_image=3.6)
MATMUL = Operator(name="matmul fp32", sha256="1", values=((1.0).hex(),))
TRAINED = replace(
    sample_fingerprint((3.5, 2.5), device="cpu"), operators=(MATMUL,), afterwards=None, speed=SPEED
)
SAMPLE = sample_facts()
ELSEWHERE = replace(
    sample_hardware(), system=replace(sample_hardware().system, cpu="another model of CPU")
)


def proof(
    facts: Facts = SAMPLE,
    trained: Fingerprint = TRAINED,
    *,
    smoke: bool | None = None,
    checked: tuple[Check, ...] = (),
) -> Proved:
    return prove(
        Runnable(target=target(facts, trained), device="cpu", name=".venv", checked=checked),
        sample_lock(facts=SAMPLE, baseline=TRAINED),
        smoke=smoke,
        services=services(),
        diff=DIFF,
    )


def test_a_proof_gives_the_verdict_with_all_that_a_report_shows() -> None:
    proved = proof()

    assert proved.verdict == Verdict(
        ok=True, summary=wording("train-yolov8.4.190-base-cu130 is back in .venv: tier identical")
    )
    assert (proved.tier, proved.limits) == ("identical", None)
    assert (proved.fingerprint, proved.baseline) == (TRAINED, TRAINED)
    assert [check.id for check in proved.checks][-2:] == ["fingerprint", "operators"]
    assert proved.energy[0] == wording("3.60 J an image, of the whole GPU")


def test_a_proof_without_a_smoke_train_says_so() -> None:
    proved = proof(smoke=False)

    assert proved.verdict.summary == wording(
        "train-yolov8.4.190-base-cu130 is back in .venv: verified without a smoke-train"
    )
    assert (proved.fingerprint, proved.baseline) == (None, TRAINED)


def test_a_package_that_differs_decides_before_the_losses_that_it_changed() -> None:
    other = sample_environment(distributions=[sample_distribution("numpy", "1.0")])
    losses = replace(TRAINED, losses=sample_fingerprint((9.5, 2.5)).losses)

    proved = proof(sample_facts(environment=other), losses)

    fingerprint = next(check for check in proved.checks if check.id == "fingerprint")
    assert (proved.verdict.part, proved.verdict.next) == ("environment", DIFF)
    assert "numpy 2.4.6 → 1.0" in (fingerprint.fix or "")


def test_a_host_that_failed_before_the_proof_decides() -> None:
    proved = proof(checked=(no("driver", "host"),))

    assert (proved.verdict.ok, proved.verdict.check) == (False, "driver")
    assert "driver" not in [check.id for check in proved.checks]


def test_on_the_same_model_of_cpu_a_near_operation_is_a_warning_and_a_slow_training_nothing() -> (
    None
):
    actual = replace(
        TRAINED,
        operators=(replace(MATMUL, sha256="2"),),
        speed=replace(SPEED, images_per_s=50.0),
    )

    proved = proof(trained=actual)

    assert proved.verdict.ok
    assert [check.id for check in proved.checks if not check.ok] == ["operators"]


def test_on_another_model_of_cpu_neither_says_anything() -> None:
    actual = replace(
        TRAINED,
        operators=(replace(MATMUL, sha256="2"),),
        speed=replace(SPEED, images_per_s=50.0),
    )

    proved = proof(sample_facts(hardware=ELSEWHERE), actual)

    assert [check.id for check in proved.checks if not check.ok] == []
    assert "speed" not in [check.id for check in proved.checks]


def test_a_new_failure_after_training_is_the_workloads() -> None:
    proved = proof(trained=replace(TRAINED, afterwards="KeyError: 'names'"))

    assert (proved.verdict.part, proved.verdict.check) == ("workload", "afterwards")
    assert proved.tier == "identical"
