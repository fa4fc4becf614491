"""What a page says may go wrong, is what the checks say."""

from __future__ import annotations

from msgspec.structs import replace

from snapenv.preflight.needs import of_lock
from snapenv.steps.troubles import usual_troubles
from tests.samples import (
    sample_environment,
    sample_facts,
    sample_fingerprint,
    sample_lock,
    sample_native,
)

GPU = replace(sample_lock(baseline=sample_fingerprint()), native=sample_native())
CPU = sample_lock(facts=sample_facts(environment=sample_environment(torch=None)))


def test_each_names_what_mends_it() -> None:
    troubles = usual_troubles(GPU, of_lock(GPU, "x"))

    assert [one.id for one in troubles] == [
        "engine",
        "gpu.present",
        "driver.cuda",
        "gpu.kernels",
        "gpu.plumbing",
        "disk",
        "distribution.numpy",
        "variables",
        "fingerprint",
    ]
    assert all(one.fix for one in troubles)


def test_without_cuda_and_a_baseline_there_are_fewer() -> None:
    troubles = usual_troubles(CPU, of_lock(CPU, "x"))

    assert [one.id for one in troubles] == ["engine", "disk", "distribution.numpy", "variables"]
