"""Start one process a device, watch how far each is, and return one answer for all.

Runs on the environment's own Python, from 3.8 on, in an empty working folder. stdout holds the
answer alone. A launcher of torch would do the same, but blames whoever ends first, which is the
one that has waited, not the one that hangs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapenv_ranks.marks import Missing, find_behind, find_ended, read_failures, read_marks
from snapenv_ranks.rank import run_rank
from snapenv_train import surroundings
from snapenv_train.smoke import claim_stdout, explain

if TYPE_CHECKING:
    from typing import Mapping, Sequence

_PREFIX = "snapenv-ranks: "
_LOOK_S = 0.05
_START_S = 300.0  # to import torch, from a slow disk, and to meet
_LOOSE_S = 2.0  # in which those end that lost another
_ANSWER = "answer.json"


def main() -> int:
    """Be the parent, or with ``--rank`` one of its ranks; return the exit code.

    ``--devices`` is ``cuda`` for all that torch sees, or one word a process: ``cpu,cpu``.
    """
    parser = argparse.ArgumentParser(prog="snapenv_ranks")
    parser.add_argument("--devices", required=True)
    parser.add_argument("--limit-s", type=float, default=60.0)
    parser.add_argument("--rank", type=int)
    parser.add_argument("--world", type=int)
    options = parser.parse_args()
    answer = claim_stdout()
    if options.rank is not None:
        kind = "cpu" if options.devices.startswith("cpu") else "cuda"
        return run_rank(
            options.rank, options.world, kind=kind, limit_s=options.limit_s, answer=_ANSWER
        )
    try:
        ranks = _run(options.devices, options.limit_s, Path.cwd())
    except Exception as error:  # noqa: BLE001 - whatever comes is the answer
        return explain(error, _PREFIX)
    os.write(answer, f"\n{_PREFIX}{json.dumps(ranks)}\n".encode())
    return 0


def _run(devices: str, limit_s: float, folder: Path) -> dict[str, object]:
    """Return what snapenv reads as ``RanksAnswer``."""
    surroundings.keep_inside(folder)
    surroundings.let_torch_decide()
    devices_there = _count(devices)
    if devices_there < 2:  # noqa: PLR2004 - there is nobody to talk to
        return {"seen": devices_there}
    ranks = [_start(rank, devices_there, devices, limit_s) for rank in range(devices_there)]
    try:
        missing = _watch(ranks, folder, limit_s)
    finally:
        for process in ranks:
            process.kill()
            process.wait()
    if missing:
        return {"seen": devices_there, "missing": missing._asdict()}
    measured = json.loads((folder / _ANSWER).read_text(encoding="utf-8"))
    return {"seen": devices_there, "measured": measured}


def _count(devices: str) -> int:
    if devices != "cuda":
        return len(devices.split(","))
    import torch

    return int(torch.cuda.device_count())


def _start(rank: int, world: int, devices: str, limit_s: float) -> subprocess.Popen[bytes]:
    words = (
        *(sys.executable, "-B", sys.argv[0], "--devices", devices),
        *("--limit-s", str(limit_s), "--rank", str(rank), "--world", str(world)),
    )
    return subprocess.Popen(words, stdin=subprocess.DEVNULL)


def _watch(
    ranks: Sequence[subprocess.Popen[bytes]], folder: Path, limit_s: float
) -> Missing | None:
    """Wait until all have ended well; name who is missing as soon as that is clear."""
    marks, changed = read_marks(folder, len(ranks)), time.monotonic()
    phase = ""
    while True:
        codes = _ended(ranks)
        if any(codes.values()):
            return _judge_ended(ranks, folder)
        if len(codes) == len(ranks):
            return None
        now = read_marks(folder, len(ranks))
        if now != marks:
            marks, changed = now, time.monotonic()
            doing = max(marks).doing
            if doing.partition(":")[0] != phase:
                phase = doing.partition(":")[0]
                print(f"{_PREFIX}{phase}", file=sys.stderr, flush=True)
        limit = limit_s if min(mark.passed for mark in marks) else max(limit_s, _START_S)
        if time.monotonic() - changed > limit:
            return find_behind(marks, limit)
        time.sleep(_LOOK_S)


def _judge_ended(ranks: Sequence[subprocess.Popen[bytes]], folder: Path) -> Missing:
    """Wait a little, as who was lost and who lost it end at nearly the same time."""
    until = time.monotonic() + _LOOSE_S
    while len(_ended(ranks)) < len(ranks) and time.monotonic() < until:
        time.sleep(_LOOK_S)
    codes = {rank: code for rank, code in _ended(ranks).items() if code}
    return find_ended(read_marks(folder, len(ranks)), codes, read_failures(folder, len(ranks)))


def _ended(ranks: Sequence[subprocess.Popen[bytes]]) -> Mapping[int, int]:
    codes: dict[int, Any] = {rank: process.poll() for rank, process in enumerate(ranks)}
    return {rank: code for rank, code in codes.items() if code is not None}
