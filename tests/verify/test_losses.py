from __future__ import annotations

from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.verify.losses import losses_side_by_side, losses_words
from tests.samples import sample_facts, sample_fingerprint

FACTS = sample_facts()
BEFORE = sample_fingerprint()
ONE_CHANGED = replace(
    BEFORE, losses=(BEFORE.losses[0], *(("0x1.0p+9",) * (len(BEFORE.losses) - 1)))
)


def test_the_same_losses_are_identical() -> None:
    losses = losses_side_by_side((BEFORE, FACTS), (BEFORE, FACTS))

    assert losses
    assert (losses.before, losses.first_differing_step) == (losses.after, None)
    assert losses_words(losses) == "losses identical"


def test_others_are_named_by_their_first_step() -> None:
    losses = losses_side_by_side((BEFORE, FACTS), (ONE_CHANGED, FACTS))

    assert losses
    assert (losses.first_differing_step, losses.same_machine) == (2, True)
    assert losses_words(losses) == wording("losses different from step 2, by at most 1.0e+00")


def test_those_of_another_device_are_told_so() -> None:
    conditions = replace(BEFORE.conditions, device="cpu")
    losses = losses_side_by_side(
        (replace(ONE_CHANGED, conditions=conditions), FACTS), (BEFORE, FACTS)
    )

    assert losses
    assert losses.devices == ("cpu", "NVIDIA H200")
    assert losses_words(losses) == wording(
        "losses different from step 2, by at most 1.0e+00; they are of two machines (cpu and NVIDIA H200)"
    )


def test_a_loss_that_is_no_number_is_absent() -> None:
    broken = replace(BEFORE, losses=("nan", *BEFORE.losses[1:]))

    losses = losses_side_by_side((BEFORE, FACTS), (broken, FACTS))

    assert losses
    assert (losses.after[0], losses.largest_relative_difference) == (None, None)
    assert losses_words(losses) == wording("losses different from step 1, not all comparable")


def test_without_a_training_there_is_nothing_to_compare() -> None:
    assert losses_side_by_side((None, FACTS), (BEFORE, FACTS)) is None
    assert losses_words(None) == wording("no losses to compare")
