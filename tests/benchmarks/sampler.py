"""What the sampler takes of a processor, on a machine with eight GPUs and four runs.

NVML is the tests' own, which answers at once: a
real one takes longer. The sampler looks twice a second, and what a look costs is told for every
15 s, as it looks by default. ``docs/usage.md`` promises no more than half a percent.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.model.usage import UsedGpu
from snapenv.usage.ledger import open_ledger
from tests.benchmarks.results import Row, Table
from tests.benchmarks.shown import median
from tests.sampled_machine import Machine, ledger_of
from tests.working_gpus import PULSES, gpu_uuid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.bench import Bench

_GPUS, _RUNS = 8, 4
_INTERVAL_S, _DEFAULT_S = 0.5, 15.0


def measure(bench: Bench) -> Iterator[Table]:
    took = tuple(round(look_s(10.0), 5) for _ in range(bench.rounds(1)))
    share = median(took) / _DEFAULT_S
    yield Table(
        title=f"The sampler of usage: one look at {_GPUS} GPUs and {_RUNS} runs",
        rows=(Row(name="snapenv's sampler, time of a processor", seconds=took),),
        note=f"Every {_DEFAULT_S:.0f} s, as by default, that is {share:.3%} of a core.",
    )


def look_s(seconds: float) -> float:
    """Return what a look takes of a processor, seen for so long."""
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder), *[PULSES] * _GPUS)
        machine.environment.update(SNAPENV_SAMPLE_INTERVAL=str(_INTERVAL_S), STUB_ALONE="1")
        for number in range(_RUNS):
            machine.begin("exec sleep 3600", run=f"run{number}")
            own = range(number * _GPUS // _RUNS, (number + 1) * _GPUS // _RUNS)
            gpus = tuple(UsedGpu(uuid=gpu_uuid(gpu), model="NVIDIA H200") for gpu in own)
            with open_ledger(ledger_of(machine.state)) as ledger:
                ledger.change_run(f"run{number}", gpus=gpus)
        sampler = machine.start_sampler()
        try:
            time.sleep(4)  # until it has imported what it uses
            before_s, looks = cpu_s(sampler), looks_of(machine)
            time.sleep(seconds)
            return (cpu_s(sampler) - before_s) / (looks_of(machine) - looks)
        finally:
            os.kill(sampler, signal.SIGKILL)
            for number in range(_RUNS):
                machine.runs.stop(f"run{number}", 0)


def cpu_s(pid: int) -> float:
    """Return how long a process has had a processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def looks_of(machine: Machine) -> int:
    with open_ledger(ledger_of(machine.state)) as ledger:
        return len({sample.at_ms for sample in ledger.samples("run0")})
