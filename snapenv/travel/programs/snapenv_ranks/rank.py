"""One rank: meet the others, add up with them, train with them, and compare what came of it."""

from __future__ import annotations

import contextlib
import ctypes
import datetime as dt
import json
import os
import signal
import statistics
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapenv_ranks.exchange import measure_pairs, measure_sum, sum_is_exact
from snapenv_ranks.group import Group
from snapenv_ranks.marks import Marks
from snapenv_ranks.training import load, train
from snapenv_train import surroundings
from snapenv_train.training import tell

if TYPE_CHECKING:
    from snapenv_ranks.training import Trained

_SIGNAL_AT_DEATH = 1  # PR_SET_PDEATHSIG, of <linux/prctl.h>
_LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}  # no network is needed


def run_rank(rank: int, world: int, *, kind: str, limit_s: float, answer: str) -> int:
    """Do everything as one rank on ``cpu`` or ``cuda``; rank 0 writes the answer.

    Give the exit code; why it is not 0 stands in the rank's own file.
    """
    _end_with_parent()
    marks = Marks(Path.cwd(), rank)
    try:
        measured = _do(rank, world, kind, limit_s, marks)
    except Exception as error:  # noqa: BLE001 - whatever the packages raise is the reason
        marks.fail(tell(error))
        traceback.print_exc()
        return 1
    if rank == 0:
        Path(answer).write_text(json.dumps(measured), encoding="utf-8")
    return 0


def _end_with_parent() -> None:
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_SIGNAL_AT_DEATH, signal.SIGKILL)


def _do(rank: int, world: int, kind: str, limit_s: float, marks: Marks) -> dict[str, object]:
    surroundings.refuse_network()
    load()
    group = _join(rank, world, kind, limit_s, marks)
    group.meet("all-reduce")
    exact = sum_is_exact(group)
    bytes_per_s = measure_sum(group)
    group.meet("pairs")
    pairs = measure_pairs(group)
    trained = train(group)
    group.meet("compare")
    return _sum_up(group, exact, bytes_per_s, pairs, trained)


def _join(rank: int, world: int, kind: str, limit_s: float, marks: Marks) -> Group:
    import torch
    import torch.distributed as dist

    surroundings.settle_arithmetic()
    for name, value in _LOOPBACK.items():
        os.environ.setdefault(name, value)
    limit = dt.timedelta(seconds=2 * limit_s)  # the parent, who knows more, ends it before
    if kind == "cuda":
        torch.cuda.set_device(rank)
    dist.init_process_group(
        "nccl" if kind == "cuda" else "gloo",
        init_method=f"file://{Path.cwd()}/store",
        rank=rank,
        world_size=world,
        timeout=limit,
    )
    control = dist.new_group(backend="gloo", timeout=limit)
    device = torch.device(kind, rank) if kind == "cuda" else torch.device("cpu")
    return Group(rank, world, device, control, limit, marks)


def _sum_up(
    group: Group,
    exact: bool,  # noqa: FBT001
    bytes_per_s: float,
    pairs: list[dict[str, object]],
    trained: Trained,
) -> dict[str, object]:
    """Put together what each rank found, as ``Ranks`` and ``RanksSpeed`` of snapenv."""
    exacts = group.gather(exact)
    checksums = group.gather(trained.checksums)
    names = group.gather(_name(group.device))
    parted = [len(set(step)) > 1 for step in zip(*checksums)]
    ranks = {
        "devices": names,
        "backend": "nccl" if group.device.type == "cuda" else "gloo",
        "losses": [loss.hex() for loss in trained.losses],
        "checksums": [of_rank[-1] for of_rank in checksums],
        "parted_at": parted.index(True) + 1 if any(parted) else None,
        "inexact": [rank for rank, right in enumerate(exacts) if not right],
    }
    speed = {
        "bytes_per_s": bytes_per_s,
        "step_ms_median": statistics.median(trained.step_ms),
        "pairs": pairs,
    }
    return {"ranks": ranks, "speed": speed}


def _name(device: Any) -> str:  # noqa: ANN401
    import torch

    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else "cpu"
