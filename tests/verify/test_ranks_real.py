"""Two ranks on the processor, by gloo: what repeats, and each planted fault with its rank.

Faults are planted with a ``sitecustomize.py``, which Python runs before the program; a rank knows
which one it is by its own words.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.probe.probe import probe
from snapenv.steps.prove import prove
from snapenv.steps.runnable import Runnable
from snapenv.targets.local import LocalTarget
from snapenv.verify.ranks import check_ranks
from snapenv.verify.train_ranks import train_ranks
from tests.samples import sample_lock
from tests.verify.told import Told
from tests.workflows.services import services

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.model.fingerprint import Fingerprint
    from snapenv.verify.train_ranks import RanksAnswer

    Train = Callable[..., RanksAnswer]

pytestmark = pytest.mark.exact

ON_RANK_1 = """
import sys
if "--rank" in sys.argv and sys.argv[sys.argv.index("--rank") + 1] == "1":
    import os, signal, time
    sys.path.insert(0, "snapenv_ranks.pyz")
    import snapenv_ranks.training as training
    original = training._batch
    def planted(group, step):
        if step == 3:
            {fault}
        return original(group, step)
    training._batch = planted
"""
OTHER_GRADIENTS = """
import sys
if "--rank" in sys.argv and sys.argv[sys.argv.index("--rank") + 1] == "1":
    sys.path.insert(0, "snapenv_ranks.pyz")
    import snapenv_ranks.training as training
    original = training.checksum
    calls = []
    def planted(network):
        calls.append(1)
        if len(calls) == 5:
            import torch
            with torch.no_grad():
                next(network.parameters()).view(-1)[0] += 1e-7
        return original(network)
    training.checksum = planted
"""
WRONG_SUM = """
import sys
if "--rank" in sys.argv and sys.argv[sys.argv.index("--rank") + 1] == "1":
    import torch.distributed as dist
    original = dist.all_reduce
    def planted(tensor, *others, **named):
        original(tensor, *others, **named)
        tensor.view(-1)[7] += 1
    dist.all_reduce = planted
"""


@pytest.fixture
def train(exact_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Train on two ranks with something planted."""

    def run(code: str = "", *, limit_s: float = 60.0) -> RanksAnswer:
        (tmp_path / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        target = LocalTarget(str(exact_python))
        return train_ranks(target, device="cpu,cpu", task=Told(), limit_s=limit_s)

    return run


def failing(answer: RanksAnswer) -> set[str]:
    return {check.id for check in check_ranks(2, answer, None) if not check.ok}


def test_two_ranks_add_up_exactly_and_end_with_the_same_parameters(train: Train) -> None:
    answer = train()

    assert (answer.seen, answer.missing) == (2, None)
    assert answer.measured
    ranks, speed = answer.measured.ranks, answer.measured.speed
    assert (ranks.devices, ranks.backend, ranks.inexact) == (("cpu", "cpu"), "gloo", ())
    assert (len(set(ranks.checksums)), len(ranks.checksums), ranks.parted_at) == (1, 2, None)
    assert len(set(ranks.losses)) == 10
    assert speed.bytes_per_s > 0
    assert [pair.ranks for pair in speed.pairs] == [(0, 1)]
    assert failing(answer) == set()


@pytest.mark.full
def test_the_same_ranks_give_the_same_losses_and_parameters(train: Train) -> None:
    first, second = train().measured, train().measured

    assert first
    assert second
    assert first.ranks == second.ranks


@pytest.mark.full
def test_one_weight_that_moves_on_one_rank_is_found_at_its_step(train: Train) -> None:
    answer = train(OTHER_GRADIENTS)

    assert answer.measured
    assert answer.measured.ranks.parted_at == 5
    assert failing(answer) == {"ranks.parameters"}


@pytest.mark.full
def test_a_proof_on_two_ranks_compares_them_with_a_capture_of_two(
    train: Train, exact_python: Path, trained: Fingerprint
) -> None:
    target = LocalTarget(str(exact_python))
    lock = sample_lock(facts=probe(target), baseline=train().added_to(trained))
    runnable = Runnable(target=target, device="cpu,cpu", name="what came back")

    proved = prove(runnable, lock, smoke=None, services=services())

    checks = {check.id: check for check in proved.checks if check.id.startswith("ranks.")}
    assert set(checks) == {
        *("ranks.count", "ranks.present", "ranks.sum", "ranks.parameters", "ranks.losses")
    }
    assert checks["ranks.losses"].actual == wording("identical: all 10 losses are the same")
    assert proved.fingerprint
    assert lock.baseline
    assert proved.fingerprint.ranks == lock.baseline.ranks


@pytest.mark.full
def test_a_rank_with_a_wrong_sum_is_named(train: Train) -> None:
    answer = train(WRONG_SUM)

    assert answer.measured
    assert answer.measured.ranks.inexact == (1,)


def test_a_rank_that_hangs_is_named_within_the_limit(train: Train) -> None:
    began = time.monotonic()

    answer = train(ON_RANK_1.format(fault="time.sleep(600)"), limit_s=8)

    assert answer.missing
    assert (answer.missing.ranks, answer.missing.doing) == ((1,), "step 3: images")
    assert time.monotonic() - began < 500  # it would hang for 600
    assert failing(answer) == {"ranks.present"}


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        pytest.param(
            "os.kill(os.getpid(), signal.SIGKILL)",
            "it was killed by SIGKILL",
            marks=pytest.mark.full,
        ),
        pytest.param("os._exit(7)", "it ended with exit code 7", marks=pytest.mark.full),
        pytest.param("raise OSError('gone')", "OSError: gone", marks=pytest.mark.full),
    ],
)
def test_a_rank_that_ends_is_named_with_its_reason(
    fault: str, why: str, train: Train, tmp_path: Path
) -> None:
    answer = train(ON_RANK_1.format(fault=fault))

    assert answer.missing
    assert (answer.missing.ranks, answer.missing.why) == ((1,), why)
    assert answer.missing.doing == "step 3: images"
    assert _left(tmp_path) == []


def _left(folder: Path) -> list[Path]:
    """Return the processes that still run below a folder."""
    return [place for place in Path("/proc").glob("[0-9]*/cwd") if _is_below(place, folder)]


def _is_below(place: Path, folder: Path) -> bool:
    try:
        return str(place.readlink()).startswith(str(folder))
    except OSError:  # it has ended since, or is another user's
        return False
