from __future__ import annotations

from dataclasses import replace

import pytest

from snapenv.model.outcome import Check
from snapenv.model.python import Interpreter, Libraries
from snapenv.verify.compare import compare_facts
from tests.samples import (
    sample_distribution,
    sample_distributions,
    sample_environment,
    sample_facts,
    sample_files,
    sample_hardware,
)


def failed(checks: tuple[Check, ...]) -> list[str]:
    return [check.id for check in checks if not check.ok]


def test_two_equal_looks_hold_and_need_no_fix() -> None:
    checks = compare_facts(sample_facts(), sample_facts())

    assert failed(checks) == []
    assert [check.fix for check in checks] == [None] * len(checks)


def test_every_check_that_failed_says_what_to_do() -> None:
    seen = sample_facts(
        environment=sample_environment(python="3.12.3", torch=None, distributions=[]),
        variables={"OMP_NUM_THREADS": "4"},
    )

    checks = compare_facts(sample_facts(), seen)

    assert {"python", "frameworks", "distributions", "variables"} <= set(failed(checks))
    assert all(check.fix for check in checks if not check.ok)


def test_the_machine_below_is_no_part_of_the_environment() -> None:
    elsewhere = sample_facts(hardware=sample_hardware(driver=None, glibc="2.39"))

    assert failed(compare_facts(sample_facts(), elsewhere)) == []


def test_another_patch_of_the_same_python_holds() -> None:
    patched = sample_facts(environment=sample_environment(python="3.11.9"))

    assert failed(compare_facts(sample_facts(), patched)) == []


def test_another_implementation_of_the_same_version_does_not_hold() -> None:
    environment = replace(
        sample_environment(), interpreter=Interpreter(implementation="pypy", version="3.11.7")
    )

    checks = compare_facts(sample_facts(), sample_facts(environment=environment))

    assert failed(checks) == ["python"]


def test_a_library_that_torch_loads_is_named_with_both_versions() -> None:
    environment = replace(sample_environment(), libraries=Libraries(cudnn="9.10.2", nccl="2.28.9"))

    checks = compare_facts(sample_facts(), sample_facts(environment=environment))

    (check,) = (check for check in checks if not check.ok)
    assert check.id == "frameworks"
    assert (check.expected, check.seen) == (
        "torch 2.11.0+cu130, CUDA 13.0, cuDNN 9.19.0, NCCL 2.28.9",
        "torch 2.11.0+cu130, CUDA 13.0, cuDNN 9.10.2, NCCL 2.28.9",
    )


def test_a_distribution_of_another_version_is_named() -> None:
    others = [one for one in sample_distributions() if one.name != "pyyaml"]
    environment = sample_environment(
        distributions=[*others, sample_distribution("pyyaml", "6.0.2")]
    )

    checks = compare_facts(sample_facts(), sample_facts(environment=environment))

    assert (
        Check(
            id="distribution.pyyaml",
            ok=False,
            expected="6.0.3",
            seen="6.0.2",
            fix="Reinstall pyyaml from the lock, or restore again.",
        )
        in checks
    )
    assert failed(checks) == ["distributions", "distribution.pyyaml"]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_distribution_on_one_side_alone_is_named(*, swapped: bool) -> None:
    more = sample_facts(
        environment=sample_environment(
            distributions=[*sample_distributions(), sample_distribution("wandb", "0.22.0")]
        )
    )
    pair = (more, sample_facts()) if swapped else (sample_facts(), more)

    checks = compare_facts(*pair)

    assert failed(checks) == ["distributions", "distribution.wandb"]
    assert {checks[-2].expected, checks[-2].seen} == {"absent", "0.22.0"}


def test_an_edited_file_is_named_though_the_version_is_the_same() -> None:
    edited = sample_files("by hand", edited=("ultralytics/utils/loss.py",))
    others = [one for one in sample_distributions() if one.name != "ultralytics"]
    mended = sample_distribution("ultralytics", "8.4.190", files=edited)
    environment = sample_environment(distributions=[*others, mended])

    checks = compare_facts(sample_facts(), sample_facts(environment=environment))

    (check,) = (check for check in checks if check.id == "distribution.ultralytics")
    assert "edited ultralytics/utils/loss.py" in check.seen


def test_who_installed_a_distribution_does_not_matter() -> None:
    by_uv = [replace(one, installer="uv") for one in sample_distributions()]
    environment = sample_environment(distributions=by_uv)

    assert failed(compare_facts(sample_facts(), sample_facts(environment=environment))) == []


def test_a_file_that_belongs_to_no_package_is_named() -> None:
    environment = sample_environment(unowned=("patch.py",))

    checks = compare_facts(sample_facts(), sample_facts(environment=environment))

    assert [(check.id, check.seen) for check in checks if not check.ok] == [("unowned", "patch.py")]


def test_a_variable_that_is_gone_is_named() -> None:
    expected = sample_facts(variables={"OMP_NUM_THREADS": "4"})

    checks = compare_facts(expected, sample_facts())

    assert checks[-1] == Check(
        id="variables",
        ok=False,
        expected="OMP_NUM_THREADS=4",
        seen="OMP_NUM_THREADS unset",
        fix="Set them as captured: OMP_NUM_THREADS",
    )


def test_a_variable_at_its_neutral_value_is_as_good_as_unset() -> None:
    neutral = sample_facts(variables={"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0"})

    assert failed(compare_facts(neutral, sample_facts())) == []
    assert failed(compare_facts(sample_facts(), neutral)) == []
