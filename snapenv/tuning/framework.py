"""What PyTorch could do faster, on a GPU whose time goes into computing."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from snapenv.tuning.application import idle_loaders, most_workers
from snapenv.tuning.case import DATA_BOUND, Case, found
from snapenv.tuning.system import PROFILER, data_bound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.findings import Finding

COMPUTING = 0.5
MOSTLY_COMPUTING = 0.8
COMPILE_PAYS_STEPS = 5000

_find = functools.partial(found, "framework")


def find_no_amp(case: Case) -> Iterator[Finding]:
    """Find tensor cores that are not used."""
    if not case.options.amp and case.tensor_cores and case.computing > COMPUTING:
        yield _find(
            "amp",
            "warning",
            "of a step is computing in float32, on a GPU with tensor cores",
            figure=case.computing,
            threshold=COMPUTING,
            source=f"{PROFILER}, which advises AMP for them",
            next="Try amp=True, and see that the losses stay finite.",
        )


def find_channels(case: Case) -> Iterator[Finding]:
    """Find a model that tensor cores read in the slower order."""
    options = case.options
    if options.amp and not options.channels_last and case.tensor_cores and _computes(case):
        yield _find(
            "channels-last",
            "warning",
            "of a step is computing, with channels first",
            figure=case.computing,
            threshold=MOSTLY_COMPUTING,
            source="PyTorch's tutorial on channels last: 8 to 35 % with AMP on tensor cores",
            next="Try channels_last=True, where this ultralytics has it.",
        )


def find_no_compile(case: Case) -> Iterator[Finding]:
    """Find a model that may go faster once it is compiled."""
    if not case.on_cpu and not case.options.compile and _computes(case):
        yield _find(
            "compile",
            "warning",
            "of a step is computing, and nothing is compiled",
            figure=case.computing,
            threshold=MOSTLY_COMPUTING,
            source="snapenv; compiling takes minutes, and pays in long trainings only",
            next=f"Try compile=True, for trainings of more than {COMPILE_PAYS_STEPS} steps.",
        )


def find_decoding(case: Case) -> Iterator[Finding]:
    """Find decoding that all the CPUs there are do not manage."""
    enough = case.options.workers >= most_workers(case)
    if not case.on_cpu and data_bound(case) and enough and not idle_loaders(case):
        yield _find(
            "decoding",
            "warning",
            "of a step is waiting for loaders that use all their CPUs",
            figure=case.share("wait"),
            threshold=DATA_BOUND,
            source="measured, as of data-wait",
            next="Consider NVIDIA DALI, which decodes on the GPU; its loader is yours to write.",
        )


def _computes(case: Case) -> bool:
    return case.computing > MOSTLY_COMPUTING
