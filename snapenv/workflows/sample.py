"""Watch the runs of this machine from outside, until none goes on."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING

from snapenv.errors import PlaceBusyError, UsageError, WriteError
from snapenv.model.outcome import Handed
from snapenv.ownership.claim import describe_self
from snapenv.ownership.lock_file import HeldError, LockFile
from snapenv.steps.handing_over import hand_over
from snapenv.steps.sampling import Sampler
from snapenv.usage.ledger import ledger_path, open_ledger
from snapenv.usage.postgres import team_url
from snapenv.usage.sampler_place import lock_path

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.ports import Sensors, Services
    from snapenv.usage.ledger import Ledger

_AGAIN_S = 60.0
_LATER_S = 300.0  # as each try at a server that does not answer takes some seconds
_LINGER = 4  # intervals without a run, as one often follows another


def sample(services: Services, *, interval_s: float) -> Handed:
    """Look at all runs at every interval; one process alone does so for a ledger.

    Raises:
        LedgerError, LedgerVersionError, WriteError: The ledger cannot be opened.
    """
    if services.state is None or services.sensors is None:
        raise UsageError("nothing is recorded of runs", hint="That needs a state folder.")
    path = ledger_path(services.state, os.environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    while lock := _take(lock_path(path)):
        try:
            _watch(path, services, services.sensors, interval_s)
        finally:
            lock.release()
        # A run that began meanwhile has found the lock held, and started no sampler.
        if not _goes_on(path):
            break
    return Handed(exit_code=0)


def _take(path: Path) -> LockFile | None:
    try:
        lock = LockFile.take(path)
    except HeldError:
        return None
    lock.write(describe_self())
    return lock


def _watch(path: Path, services: Services, sensors: Sensors, interval_s: float) -> None:
    """Look until no run has gone on for a while."""
    with open_ledger(path) as ledger:
        sampler = Sampler(ledger, services, sensors, interval_ms=round(interval_s * 1000))
        until_s = time.monotonic() + _LINGER * interval_s
        again_s = 0.0
        while time.monotonic() < until_s:
            if sampler.sample():
                until_s = time.monotonic() + _LINGER * interval_s
            if time.monotonic() >= again_s:
                again_s = time.monotonic() + _hand_over(ledger)
            sensors.wait(sampler.patience_s(interval_s), sampler.pids)
        _hand_over(ledger)


def _hand_over(ledger: Ledger) -> float:
    """Hand over to the team's ledger, if there is one; return after how many seconds again."""
    url = team_url(os.environ)
    if url is None:
        return math.inf
    try:
        return _AGAIN_S if hand_over(ledger, url).trouble is None else _LATER_S
    except (PlaceBusyError, WriteError):
        return _LATER_S


def _goes_on(path: Path) -> bool:
    with open_ledger(path) as ledger:
        return any(
            run.source == "snapenv" and run.host == os.uname().nodename
            for run in ledger.open_runs()
        )
