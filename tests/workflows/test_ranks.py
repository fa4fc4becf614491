"""``--device 0,1``: what a capture writes down, and what a proof compares with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import SmokeTrainError
from snapenv.lock.store import parse_snapshot, write_snapshot
from snapenv.model.fingerprint import RankPair, Ranks, RanksSpeed
from snapenv.ports import Completed
from snapenv.report.summary import lock_lines
from snapenv.steps.locking import with_ranks
from snapenv.verify.train_ranks import Measured, MissingRanks, RanksAnswer
from snapenv.workflows.verify import Verify, verify
from tests.samples import sample_facts, sample_fingerprint, sample_lock, sample_snapshot
from tests.workflows.services import REPOSITORY, services, target

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.outcome import Outcome
    from snapenv.model.results import ProofResult
    from snapenv.model.snapshot import Snapshot
    from tests.fakes import FakeTarget

H200 = "NVIDIA H200"
ALONE = sample_fingerprint((3.5, 2.5))
RANKS = Ranks(
    devices=(H200, H200),
    backend="nccl",
    losses=((61.5).hex(), (53.5).hex()),
    checksums=("ab" * 32, "ab" * 32),
)
SPEED = RanksSpeed(
    bytes_per_s=300e9,
    step_ms_median=12.0,
    pairs=(RankPair(ranks=(0, 1), peer=True, bytes_per_s=250e9),),
)
GOOD = RanksAnswer(seen=2, measured=Measured(ranks=RANKS, speed=SPEED))


def snapshot(speed: RanksSpeed = SPEED) -> Snapshot:
    answer = RanksAnswer(seen=2, measured=Measured(ranks=RANKS, speed=speed))
    return sample_snapshot(sample_lock(baseline=answer.added_to(ALONE)))


def training(answer: RanksAnswer) -> FakeTarget:
    made = target(sample_facts(), ALONE)
    line = f"snapenv-ranks: {msgspec.json.encode(answer).decode()}\n"
    made.answers["snapenv_ranks.pyz"] = Completed(exit_code=0, stdout=line, stderr="")
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_snapshot(snapshot(), tmp_path / "snapshot")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()
    return tmp_path


def run(folder: Path, here: FakeTarget, **options: Any) -> Outcome[ProofResult]:  # noqa: ANN401
    request = Verify(
        ref=str(folder / "snapshot"),
        engine="venv",
        into=folder / ".venv",
        repository=REPOSITORY,
        device="0,1",
    )
    return verify(replace(request, **options), services(here=here))


def started(here: FakeTarget) -> list[tuple[tuple[str, ...], str | None]]:
    """Return the words and the visible GPUs of each training on several devices."""
    return [
        (call.argv[3:], call.environment.get("CUDA_VISIBLE_DEVICES"))
        for call in here.calls
        if "snapenv_ranks.pyz" in call.files
    ]


def of_ranks(done: Outcome[ProofResult]) -> dict[str, bool]:
    return {check.id: check.ok for check in done.checks if check.id.startswith("ranks.")}


def test_two_named_gpus_are_tried_together_and_compared_with_the_capture(folder: Path) -> None:
    here = training(GOOD)

    done = run(folder, here)

    assert done.ok
    assert started(here) == [(("--devices", "cuda", "--limit-s", "60.0"), "0,1")]
    assert set(of_ranks(done)) == {
        *("ranks.count", "ranks.present", "ranks.sum", "ranks.parameters"),
        *("ranks.losses", "ranks.bandwidth", "ranks.peers"),
    }
    assert all(of_ranks(done).values())


@pytest.mark.parametrize("device", ["0", "cpu", "auto"])
def test_one_device_is_tried_alone(device: str, folder: Path) -> None:
    here = training(GOOD)

    run(folder, here, device=device)

    assert started(here) == []


def test_a_missing_rank_is_a_no_with_its_name(folder: Path) -> None:
    missing = MissingRanks(ranks=(1,), doing="step 5: forward", why="it was killed by SIGKILL")

    done = run(folder, training(RanksAnswer(seen=2, missing=missing)))

    assert done.exit_code == 1
    assert done.verdict
    assert (done.verdict.part, done.verdict.check) == ("host", "ranks.present")
    assert "rank 1" in done.verdict.summary


def test_other_parameters_on_one_rank_are_a_no(folder: Path) -> None:
    parted = replace(RANKS, checksums=("ab" * 32, "cd" * 32), parted_at=3)

    done = run(folder, training(RanksAnswer(seen=2, measured=Measured(ranks=parted, speed=SPEED))))

    assert done.exit_code == 1
    assert done.verdict
    assert done.verdict.check == "ranks.parameters"


def test_a_capture_on_two_gpus_keeps_what_they_came_to_in_its_baseline() -> None:
    here = training(GOOD)

    baseline = with_ranks(ALONE, "0,1", sample_facts(), here, services())

    assert baseline.losses == ALONE.losses
    assert baseline.ranks == RANKS
    assert baseline.speed
    assert baseline.speed.ranks == SPEED
    assert [line for line in lock_lines(sample_lock(baseline=baseline)) if "baseline" in line] == [
        wording(
            "baseline on NVIDIA H200: 2 losses, the first 3.500000, the last 2.500000, and of 2 ranks together"
        )
    ]
    assert with_ranks(ALONE, "0", sample_facts(), here, services()) == ALONE


def test_a_capture_refuses_gpus_that_do_not_train_together() -> None:
    wrong = RanksAnswer(seen=2, measured=Measured(ranks=replace(RANKS, inexact=(1,)), speed=SPEED))

    with pytest.raises(SmokeTrainError) as refused:
        with_ranks(ALONE, "0,1", sample_facts(), training(wrong), services())

    assert "wrong on rank 1" in refused.value.message


def test_why_ranks_gave_no_answer_is_told() -> None:
    here = training(GOOD)
    here.answers["snapenv_ranks.pyz"] = Completed(
        exit_code=1, stdout="", stderr="noise\nsnapenv-ranks: ImportError: no libnccl\n"
    )

    with pytest.raises(SmokeTrainError) as refused:
        with_ranks(ALONE, "0,1", sample_facts(), here, services())

    assert refused.value.message.endswith("failed: ImportError: no libnccl")


def test_what_ranks_came_to_is_in_the_lock_and_their_bandwidth_no_part_of_its_digest() -> None:
    captured, slower = snapshot(), snapshot(replace(SPEED, bytes_per_s=1e9))

    read = parse_snapshot(captured.files, where="there")

    assert captured.digest == slower.digest
    assert read == captured
    assert read.lock.baseline
    assert read.lock.baseline.ranks == RANKS
    assert read.lock.baseline.speed
    assert read.lock.baseline.speed.ranks == SPEED
