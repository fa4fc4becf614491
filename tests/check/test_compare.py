"""What snapenv-check compares and how it judges is what snapenv verify does."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.lock.check_files import write_expected
from snapenv.model.facts import Kernels, Native
from snapenv.model.python import Files, UntrackedFile
from snapenv.verify import smoke_train
from snapenv.verify.compare import compare_facts
from snapenv.verify.fingerprint import compare_fingerprints
from snapenv_check import compare, losses, training
from tests.samples import (
    INDEX_TORCH,
    sample_conda_lock,
    sample_conda_package,
    sample_distribution,
    sample_facts,
    sample_files,
    sample_fingerprint,
    sample_lock,
    sample_native,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.facts import Facts
    from snapenv.model.fingerprint import Conditions, Fingerprint

SCRIPT = "../../../bin/tool"
CONDA = sample_conda_lock(sample_conda_package(), variables={"A": "1"}).environment
PLAIN = replace(
    sample_facts(native=sample_native(), variables={"OMP_NUM_THREADS": "4"}),
    startup={"PYTHONPATH": ("left",)},
    conda=CONDA,
)


def with_environment(**fields: object) -> Facts:
    return replace(PLAIN, environment=replace(PLAIN.environment, **fields))


def with_files(files: Files | None) -> Facts:
    changed = replace(PLAIN.environment.distributions[0], files=files)
    return with_environment(distributions=(changed, *PLAIN.environment.distributions[1:]))


def with_untracked(*files: UntrackedFile) -> Facts:
    return with_environment(untracked=files)


def with_native(**fields: object) -> Facts:
    return replace(PLAIN, native=replace(sample_native(), **fields))


FILES = sample_files("numpy 2.4.6")
FACTS: Mapping[str, Facts] = {
    "plain": PLAIN,
    "other Python": with_environment(
        interpreter=replace(PLAIN.environment.interpreter, version="3.12.1")
    ),
    "other patch": with_environment(
        interpreter=replace(PLAIN.environment.interpreter, version="3.11.9")
    ),
    "PyPy": with_environment(
        interpreter=replace(PLAIN.environment.interpreter, implementation="pypy")
    ),
    "no torch": with_environment(torch=None),
    "torch for another CUDA": with_environment(torch=replace(INDEX_TORCH, cuda="12.8")),
    "other cuDNN": with_environment(libraries=replace(PLAIN.environment.libraries, cudnn="9.1.0")),
    "no package": with_environment(distributions=()),
    "one more": with_environment(
        distributions=(*PLAIN.environment.distributions, sample_distribution("zzz", "1"))
    ),
    "other version": with_environment(
        distributions=(sample_distribution(version="2.4.5"), *PLAIN.environment.distributions[1:])
    ),
    "other content": with_files(sample_files("other")),
    "edited": with_files(sample_files("other", edited=("numpy/x.py",), missing=("numpy/y.py",))),
    "no RECORD": with_files(None),
    "executable": with_files(replace(FILES, executable=("numpy/x",))),
    "not executable": with_files(replace(FILES, executable=())),
    "import path": with_environment(import_path=("site", "prefix/x")),
    "other order": with_environment(import_path=("prefix/x", "site")),
    "other tail": with_environment(import_path=("site", "prefix/y", "prefix/x")),
    "a file": with_untracked(UntrackedFile(path="x.py", sha256="a" * 64)),
    "another file": with_untracked(UntrackedFile(path="x.py", sha256="b" * 64)),
    "a link": with_untracked(UntrackedFile(path="x.py", link="y.py")),
    "a folder": with_untracked(UntrackedFile(path="x.py", folder=True)),
    "by a tool": with_untracked(UntrackedFile(path="../../../bin/activate", sha256="a" * 64)),
    "a script": with_untracked(UntrackedFile(path=SCRIPT, sha256="a" * 64, executable=True)),
    "no script": with_untracked(UntrackedFile(path=SCRIPT, sha256="a" * 64, executable=False)),
    "placeholders": with_untracked(
        UntrackedFile(path=SCRIPT, sha256="a" * 64, executable=True, placeholders=True)
    ),
    "nobody looked": replace(PLAIN, native=None, startup=None),
    "other cuBLAS": with_native(cublas="12.0.0"),
    "other kernels": with_native(kernels=(Kernels(architectures=("sm_90",)),)),
    "no library": with_native(
        libraries=tuple(replace(one, found=False) for one in sample_native().libraries)
    ),
    "no libraries": with_native(libraries=()),
    "nothing compiled": replace(PLAIN, native=Native()),
    "no variables": replace(PLAIN, variables={}),
    "neutral": replace(PLAIN, variables={"OMP_NUM_THREADS": "4", "PYTHONOPTIMIZE": "0"}),
    "not neutral": replace(PLAIN, variables={"OMP_NUM_THREADS": "4", "PYTHONOPTIMIZE": "2"}),
    "other variable": replace(PLAIN, variables={"OMP_NUM_THREADS": "5"}),
    "nothing at start": replace(PLAIN, startup={}),
    "preloaded": replace(PLAIN, startup={"LD_PRELOAD": ("libx.so",), "PYTHONPATH": ("left",)}),
    "more modules": replace(PLAIN, startup={"PYTHONPATH": ("left", "numpy")}),
    "a folder of libraries": replace(
        PLAIN, startup={"PYTHONPATH": ("left",), "LD_LIBRARY_PATH": ("libc10.so",)}
    ),
    "no conda": replace(PLAIN, conda=None),
    "other variables of conda": replace(PLAIN, conda=replace(CONDA, variables={"A": "2"})),
    "other build": replace(
        PLAIN, conda=replace(CONDA, packages=(sample_conda_package(build="h2_0"),))
    ),
    "edited package of conda": replace(
        PLAIN, conda=replace(CONDA, packages=(sample_conda_package(files=sample_files("x")),))
    ),
    "another package of conda": replace(
        PLAIN, conda=replace(CONDA, packages=(sample_conda_package("xz"),))
    ),
}


def judged_by_verify(expected: Facts, actual: Facts) -> dict[str, set[str]]:
    """Return the topics of the checks that fail, with the packages that they name."""
    failing = [check for check in compare_facts(expected, actual) if check.fails]
    return {
        str(topic): {check.package for check in failing if check.topic == topic and check.package}
        for topic in {check.topic for check in failing}
    }


def judged_in_the_image(expected: Facts, actual: Facts) -> dict[str, set[str]]:
    """Return the same of what snapenv-check finds, reading what it reads there."""
    lock = replace(sample_lock(facts=expected), native=expected.native, startup=expected.startup)
    lock = replace(
        lock, conda=expected.conda and replace(sample_conda_lock(), environment=expected.conda)
    )
    document = json.loads(write_expected(lock))
    there: dict[str, Any] = json.loads(msgspec.json.encode(actual))
    there["startup"] = there["startup"] or {}
    findings = [
        *compare.contents(document["facts"], there),
        *compare.surroundings(document["facts"], there, document["neutral"]),
    ]
    failing = [finding for finding in findings if finding.counts]
    return {
        topic: {one.package for one in failing if one.topic == topic == "packages" and one.package}
        for topic in {one.topic for one in failing}
    }


@pytest.mark.parametrize("actual", FACTS.values(), ids=FACTS)
def test_it_judges_as_verify_does(actual: Facts) -> None:
    for expected in FACTS.values():
        assert judged_in_the_image(expected, actual) == judged_by_verify(expected, actual)


def test_what_is_the_same_has_no_findings() -> None:
    assert judged_in_the_image(PLAIN, PLAIN) == {}
    assert judged_in_the_image(PLAIN, FACTS["other version"]) == {"packages": {"numpy"}}


steps = st.lists(
    st.sampled_from(
        [1.5, 1.5 * (1 + 5e-7), 1.5 * (1 + 5e-5), 1.5 * (1 + 5e-4), 1.6, math.nan, math.inf]
    )
    | st.floats(1, 2),
    max_size=4,
)
CONDITIONS = {
    "as they were": {},
    "on the CPU": {"device": "cpu", "cudnn": None},
    "on another GPU": {"device": "NVIDIA A100"},
    "with TF32": {"tf32": True},
    "on another GPU with TF32": {"device": "NVIDIA A100", "tf32": True},
    "on more threads": {"threads": 2},
    "of another torch": {"torch": "2.10.0"},
    "of another ultralytics": {"ultralytics": "8.3.0"},
    "of other images": {"images_sha256": "0" * 64},
    "of other arguments": {"arguments": {"imgsz": "32"}},
}
conditions = st.sampled_from([*CONDITIONS.values()])


@given(st.tuples(steps, conditions), st.tuples(steps, conditions), st.booleans())
def test_losses_are_as_near_as_verify_finds_them(
    left: tuple[list[float], Any],
    right: tuple[list[float], Any],
    same_packages: bool,  # noqa: FBT001
) -> None:
    sides = [trained(*left), trained(*right)]
    match = compare_fingerprints(*sides, same_packages=same_packages)

    documents = [json.loads(msgspec.json.encode(side)) for side in sides]
    found = losses.compare(documents[0], documents[1], same_packages=same_packages)

    largest = match.largest_relative_difference
    assert found == losses.Trained(
        ok=match.tier != "different",
        tier=match.tier,
        device=sides[1].conditions.device,
        steps=match.steps,
        first_differing_step=match.first_differing_step,
        largest_relative_difference=largest if math.isfinite(largest) else None,
        words=found.words,
    )


def trained(values: list[float], changed: Mapping[str, Any]) -> Fingerprint:
    fingerprint = sample_fingerprint(values)
    there: Conditions = replace(fingerprint.conditions, **changed)
    return replace(fingerprint, conditions=there)


def test_it_trains_with_the_variables_of_a_proof() -> None:
    assert smoke_train.ENVIRONMENT == training.ENVIRONMENT
