"""What several devices came to, judged from values: a capture of as many, and each thing wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.fingerprint import RankPair, Ranks, RanksSpeed
from snapenv.verify.ranks import check_ranks, compare_topology, find_defect
from snapenv.verify.train_ranks import Measured, MissingRanks, RanksAnswer, count_ranks
from snapenv_ranks.marks import Mark, Missing, find_behind, find_ended
from tests.samples import sample_fingerprint

if TYPE_CHECKING:
    from snapenv.model.outcome import Check

H200 = "NVIDIA H200"
RIGHT = Ranks(
    devices=(H200, H200),
    backend="nccl",
    losses=tuple(loss.hex() for loss in (61.5, 56.25, 53.5)),
    checksums=("ab" * 32, "ab" * 32),
)
FAST = RanksSpeed(
    bytes_per_s=300e9,
    step_ms_median=12.0,
    pairs=(RankPair(ranks=(0, 1), peer=True, bytes_per_s=250e9),),
)
ANSWER = RanksAnswer(seen=2, measured=Measured(ranks=RIGHT, speed=FAST))
BASELINE = ANSWER.added_to(sample_fingerprint())


def answer(ranks: Ranks = RIGHT, speed: RanksSpeed = FAST) -> RanksAnswer:
    return RanksAnswer(seen=len(ranks.devices), measured=Measured(ranks=ranks, speed=speed))


def judged(answer: RanksAnswer, asked: int = 2) -> dict[str, Check]:
    return {
        check.id.removeprefix("ranks."): check for check in check_ranks(asked, answer, BASELINE)
    }


def wrong(answer: RanksAnswer, wanted: int = 2) -> dict[str, str]:
    """Return what is wrong, and how grave that is."""
    checks = judged(answer, wanted)
    return {name: check.severity for name, check in checks.items() if not check.ok}


def test_what_is_as_at_the_capture_passes_and_each_check_says_so() -> None:
    checks = judged(ANSWER)

    assert wrong(ANSWER) == {}
    assert {name: check.actual for name, check in checks.items()} == wording(
        {
            "count": "2 devices",
            "present": "2 ranks",
            "sum": "exact on every rank",
            "parameters": "all abababababab",
            "losses": "identical: all 3 losses are the same",
            "bandwidth": "300.0 GB/s, 100% of the capture's",
            "peers": "1 of 1 pair",
        }
    )


def test_a_device_that_torch_does_not_see_is_counted() -> None:
    assert wrong(RanksAnswer(seen=1), wanted=2) == {"count": "error"}
    assert wrong(ANSWER, wanted=3) == {"count": "error"}
    assert wrong(ANSWER, wanted=1) == {"count": "error"}  # others than were named


def test_a_missing_rank_is_named_with_what_it_did_not_pass() -> None:
    missing = MissingRanks(ranks=(3,), doing="step 5: forward", why="nothing happened for 60 s")

    check = judged(RanksAnswer(seen=4, missing=missing), 4)["present"]

    assert (check.ok, check.severity, check.part) == (False, "error", "host")
    assert check.actual == wording(
        "rank 3 did not come past step 5: forward: nothing happened for 60 s"
    )
    assert check.fix == wording(
        "Run it again with each device alone, such as --device 3, to find the one that is wrong. Look for Xid errors with dmesg, and at nvidia-smi topo -m."
    )


def test_ranks_that_all_wait_at_one_place_blame_none() -> None:
    missing = MissingRanks(ranks=(), doing="all-reduce", why="nothing happened for 60 s")

    check = judged(RanksAnswer(seen=2, missing=missing))["present"]

    assert check.actual == wording("all ranks stand at all-reduce: nothing happened for 60 s")


def test_a_sum_that_is_wrong_on_one_rank_names_it() -> None:
    found = answer(replace(RIGHT, inexact=(1,)))

    assert wrong(found) == {"sum": "error"}
    assert judged(found)["sum"].actual == wording("wrong on rank 1")


def test_parameters_that_part_name_the_rank_unlike_most() -> None:
    three = replace(
        RIGHT, devices=(H200,) * 3, checksums=("cd" * 32, "ab" * 32, "ab" * 32), parted_at=5
    )

    check = judged(answer(three), 3)["parameters"]

    assert (check.ok, check.severity) == (False, "error")
    assert check.actual == wording(
        "rank 0 has others from step 5 on: cdcdcdcdcdcd, the others abababababab"
    )


@pytest.mark.parametrize(("factor", "ok"), [(1 + 5e-7, True), (1 + 2e-6, False)])
def test_a_first_loss_is_within_the_tolerance_of_one_device(factor: float, *, ok: bool) -> None:
    losses = ((61.5 * factor).hex(), *RIGHT.losses[1:])

    assert judged(answer(replace(RIGHT, losses=losses)))["losses"].ok == ok


def test_losses_of_fewer_steps_or_no_number_are_different() -> None:
    fewer = replace(RIGHT, losses=RIGHT.losses[:2])
    none = replace(RIGHT, losses=(*RIGHT.losses[:2], "nan"))

    assert wrong(answer(fewer)) == {"losses": "error"}
    assert wrong(answer(none)) == {"losses": "error"}


def test_a_capture_of_another_number_of_ranks_is_not_compared() -> None:
    three = replace(RIGHT, devices=(H200,) * 3, checksums=("ab" * 32,) * 3)
    pairs = tuple(
        RankPair(ranks=ranks, peer=True, bytes_per_s=1e9) for ranks in ((0, 1), (0, 2), (1, 2))
    )
    found = answer(three, replace(FAST, bytes_per_s=1e9, pairs=pairs))

    assert wrong(found, 3) == {"losses": "warning"}
    check = judged(found, 3)["losses"]
    assert (check.actual, check.fix) == wording(
        (
            "it was captured with 2 ranks",
            "Capture with --device 0,1,2 where it is known to be right.",
        )
    )


@pytest.mark.parametrize(("bytes_per_s", "found"), [(271e9, {}), (269e9, {"bandwidth": "warning"})])
def test_less_than_nine_tenths_of_the_bandwidth_is_a_warning(
    bytes_per_s: float, found: dict[str, str]
) -> None:
    assert wrong(answer(speed=replace(FAST, bytes_per_s=bytes_per_s))) == found


def test_bandwidth_of_other_gpus_is_not_compared() -> None:
    other = replace(RIGHT, devices=("NVIDIA A100", "NVIDIA A100"))

    assert "bandwidth" not in judged(answer(other, replace(FAST, bytes_per_s=1e9)))


def test_lost_peer_access_names_the_pair() -> None:
    speed = replace(FAST, pairs=(replace(FAST.pairs[0], peer=False),))

    assert wrong(answer(speed=speed)) == {"peers": "warning"}
    assert judged(answer(speed=speed))["peers"].actual == wording("0 of 1 pair, none between 0-1")


def test_a_pair_is_compared_with_those_of_its_kind() -> None:
    rates = {(0, 1): (True, 250e9), (0, 2): (True, 236e9), (1, 2): (False, 20e9)}
    pairs = tuple(
        RankPair(ranks=ranks, peer=peer, bytes_per_s=rate) for ranks, (peer, rate) in rates.items()
    )
    three = replace(RIGHT, devices=(H200,) * 3, checksums=("ab" * 32,) * 3)

    check = judged(answer(three, replace(FAST, pairs=pairs)), 3)["pairs"]

    assert (check.ok, check.severity) == (False, "warning")
    assert check.actual == wording("20.0 GB/s to 250.0 GB/s, slow: 0-2")


def test_only_what_works_together_is_a_baseline() -> None:
    broken = find_defect(2, answer(replace(RIGHT, inexact=(0,))))

    assert find_defect(2, ANSWER) is None
    assert broken
    assert broken.id == "ranks.sum"
    assert find_defect(2, RanksAnswer(seen=1))


def test_links_are_compared_by_their_ways_and_not_by_numbers() -> None:
    captured = {"nvlink": ("0-1",)}

    same = compare_topology(captured, {"nvlink": ("2-3",)})
    other = compare_topology(captured, {"system": ("0-1",)})

    assert same
    assert same.ok
    assert other
    assert (other.ok, other.severity) == (False, "warning")
    assert (other.expected, other.actual) == wording(("1 pair by nvlink", "1 pair by system"))
    assert compare_topology({}, captured) is None


@pytest.mark.parametrize(
    ("device", "gpus", "ranks"),
    [("0,1", 8, 2), ("all", 8, 8), ("all", 1, 0), ("0", 8, 0), ("auto", 8, 0), ("cpu", 0, 0)],
)
def test_several_ranks_are_asked_for_by_naming_several(device: str, gpus: int, ranks: int) -> None:
    assert count_ranks(device, gpus=gpus) == ranks


def test_who_passed_the_fewest_marks_is_behind() -> None:
    marks = [Mark(9, "step 2: wait for all"), Mark(8, "step 2: forward")]

    assert find_behind(marks, 60) == Missing(
        (1,), "step 2: forward", wording("nothing happened for 60 s")
    )
    assert find_behind([marks[0]] * 2, 60).ranks == ()


def test_who_was_killed_is_the_cause_and_not_who_lost_it() -> None:
    marks = [Mark(9, "step 2: wait for all"), Mark(8, "step 2: forward")]

    lost = {0: (1.0, "RuntimeError: connection reset")}

    assert find_ended(marks, {0: 1, 1: -9}, lost).ranks == (1,)
    assert find_ended(marks, {0: 1, 1: -9}, lost).why == wording("it was killed by SIGKILL")
    both = {**lost, 1: (0.5, "OutOfMemoryError")}
    assert find_ended(marks, {0: 1, 1: 1}, both) == Missing((1,), "step 2: forward", both[1][1])
