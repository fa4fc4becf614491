from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.model.clean import Freeable
from snapenv.model.outcome import Check, Outcome, Result
from snapenv.model.python import Interpreter
from tests.samples import sample_environment, sample_facts, sample_fingerprint, sample_lock

HELD = Check(id="python", ok=True, expected="3.11", actual="3.11")
FAILED = Check(id="python", ok=False, expected="3.11", actual="3.12", fix="Use Python 3.11.")


@pytest.mark.parametrize(
    ("identifier", "name"),
    [(f"sha256:{'ab' * 32}", "abababababab"), ("261128-213218-3d49", "261128-213218-3d49")],
)
def test_what_could_be_freed_has_a_name_that_commands_take(identifier: str, name: str) -> None:
    assert Freeable(kind="run", id=identifier, size_bytes=1).name == name


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_losses_come_back_bit_for_bit(losses: list[float]) -> None:
    assert sample_fingerprint(losses).values == tuple(losses)


@pytest.mark.parametrize(
    ("version", "minor"), [("3.11.7", "3.11"), ("3.9.0", "3.9"), ("3.14.0rc1", "3.14")]
)
def test_wheels_are_built_for_a_minor_version(version: str, minor: str) -> None:
    assert Interpreter(implementation="cpython", version=version).minor == minor


def test_a_distribution_is_found_by_its_normalised_name() -> None:
    environment = sample_environment()

    assert environment.find("nvidia-cudnn-cu13") in environment.distributions
    assert environment.find("nvidia_cudnn_cu13") is None


def test_a_lock_gives_back_the_facts_that_it_was_made_of() -> None:
    facts = sample_facts(variables={"OMP_NUM_THREADS": "1"}, image={"CUDA_VERSION": "12.8"})

    assert sample_lock(facts=facts).facts == facts


@pytest.mark.parametrize(
    ("checks", "exit_code"), [((), 0), ((HELD,), 0), ((HELD, FAILED), 1), ((FAILED, HELD), 1)]
)
def test_an_outcome_is_ok_only_if_every_check_held(
    checks: tuple[Check, ...], exit_code: int
) -> None:
    outcome = Outcome(command="restore", result=Result(), checks=checks)

    assert outcome.ok == (exit_code == 0)
    assert outcome.exit_code == exit_code


def test_a_value_never_changes() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        HELD.ok = False  # type: ignore[misc]
    assert replace(HELD, ok=False) != HELD
