"""Runs commands one after the other, each in a fork of this process, with short waits.

It reads a line of JSON for each command, and answers with its exit code, -999 where it had to be
killed. Starting Python and importing what a command needs takes longer than most commands. Waits
for servers are a fiftieth of what they are else, but of those that it is patient with, so that
thousands of wrong answers can be tried:
``python -m tests.hostile.commands``.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import signal
import sys
import time
from typing import Any

import snapenv.cli
import snapenv.index
import snapenv.workflows
from snapenv.cli.main import main
from snapenv.engine.docker import DockerEngine
from snapenv.engine.stream import Patience as EnginePatience
from snapenv.index.advisories import OsvService
from snapenv.index.wheels import IndexWheels
from snapenv.network.session import Patience
from snapenv.registry.client import RegistryClient

QUICK = Patience(connect_s=2.0, read_s=1.0, retries=2, backoff_s=0.02, max_wait_s=0.05)
PATIENT = Patience(connect_s=120.0, read_s=120.0)  # with a machine that does other things too
KILLED = -999


def serve() -> None:
    """Run what is asked for, until stdin ends."""
    _import_all()
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(asked)
        sys.stdout.write(f"{_wait(child, asked['limit_s'])}\n")
        sys.stdout.flush()


def _import_all() -> None:
    """Import what commands use, which each of them would do by itself."""
    for package in (snapenv.cli, snapenv.workflows, snapenv.index):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def _wait_so(patience: Patience, engine: EnginePatience) -> None:
    for adapter, chosen in (
        (RegistryClient, patience),
        (IndexWheels, patience),
        (OsvService, patience),
        (DockerEngine, engine),
    ):
        defaults: dict[str, object] = inspect.unwrap(adapter.__init__).__kwdefaults__ or {}
        defaults["patience"] = chosen


def _run(asked: dict[str, Any]) -> None:
    """Be the command."""
    os.setsid()
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    code = 70
    if asked["patient"]:
        _wait_so(PATIENT, EnginePatience(answer_s=120.0))
    else:
        _wait_so(QUICK, EnginePatience(answer_s=5.0, silence_s=30.0, before_retries_s=(0.05,)))
    try:
        code = main(asked["words"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _wait(child: int, limit_s: float) -> int:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return KILLED


if __name__ == "__main__":
    serve()
