"""Look at a working environment, and write down what it is."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.ownership.claim import claim_path
from snapenv.ownership.staging import refuse_unwritable
from snapenv.probe.probe import look, parse_facts
from snapenv.steps.capture_request import Capture
from snapenv.steps.interpreter import find_in_container, find_interpreter

if TYPE_CHECKING:
    from snapenv.model.outcome import Outcome
    from snapenv.model.results import CaptureResult
    from snapenv.ports import Services, Target

__all__ = ["Capture", "capture"]

_HEAD_START_S = 0.01  # of the probe: imports beside it hold the interpreter's lock
_LATER = (
    "snapenv.steps.locked_before",
    "snapenv.report.text",
    "snapenv.report.document",
)


def capture(request: Capture, services: Services) -> Outcome[CaptureResult]:
    """Probe, lock, choose a base, train for a baseline, and write the snapshot.

    Imports are part of what a user waits for: those of what comes later, and all that hangs on
    nothing that the probe sees, run beside it.

    Raises:
        PlaceBusyError: Another command writes the snapshot's folder.
        PlaceTakenError: It exists already.
        WriteError: It cannot be written.
    """
    if request.output:
        refuse_unwritable(request.output)
        with claim_path(services.kept("locks"), request.output):
            return _capture(request, services)
    return _capture(request, services)


def _capture(request: Capture, services: Services) -> Outcome[CaptureResult]:
    request = _as_seen_from_here(request)
    target = _target(request, services)
    with services.progress.task("Looking at the environment"):
        beside = threading.Thread(target=_prepare, args=(services,), daemon=True)
        beside.start()
        hashes = None if request.container or request.ssh else services.kept("hashes")
        answer = look(target, hashes=hashes, rehash=request.rehash, carry=request.carry)
        beside.join()
    from snapenv.steps.locked_before import find_lock, name_lock, write_again

    name = name_lock(request, answer, services)
    kept = None if request.rehash else find_lock(name, services)
    if kept:
        return write_again(*kept, request, target, services)
    from snapenv.steps.locking import lock_environment

    return lock_environment(request, parse_facts(answer), target, services, keep_as=name)


def _as_seen_from_here(request: Capture) -> Capture:
    """Make a path to carry absolute where it is on this machine; else a project has it."""
    if request.container or request.ssh or not request.carry:
        return request
    return replace(
        request,
        carry=tuple(
            os.path.abspath(path) if os.path.exists(path) else path  # noqa: PTH100, PTH110 - text
            for path in request.carry
        ),
    )


def _prepare(services: Services) -> None:
    """Import and ask for what is kept until it is needed; who needs it meets what goes wrong."""
    time.sleep(_HEAD_START_S)
    with contextlib.suppress(Exception):
        for module in _LATER:
            importlib.import_module(module)
        from snapenv.program import program_digest

        program_digest()
        services.secrets()
        services.wheels.uv_settings("ask")
        services.uv()


def _target(request: Capture, services: Services) -> Target:
    if request.container:
        name, python = request.container, request.python
        target = services.engine.container_target(name, python=python or "python3")
        if python:
            return target
        return services.engine.container_target(name, python=find_in_container(target))
    if request.ssh:
        return services.remote(request.ssh, request.python or "python3")
    return services.local(find_interpreter(request.python, os.environ, own_prefix=sys.prefix))
