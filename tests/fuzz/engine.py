"""Targets under atheris, each in a process of its own that is forked once all is instrumented.

atheris is libFuzzer with the coverage of Python's bytecode. A finding is written down, and the
search goes on: libFuzzer itself would end with the first.
Source: https://github.com/google/atheris
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import os
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MOST_BYTES = 1 << 30  # of memory, over what the program has before it begins
_MOST_FINDINGS = 30
_PATIENCE_S = 1800  # by the clock: only for what waits; readers are ended by what they compute
_OWN = ("snapenv", "snapenv_probe", "snapenv_workspace")
_OTHERS = ("packaging", "tarfile", "zipfile", "configparser", "netrc", "pickletools")


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What came of one target."""

    name: str
    executions: int
    edges: int
    new: int  # documents that showed something new
    findings: int
    fuzzed_s: float
    cpu_s: float = 0.0
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class _Child:
    name: str
    log: Path
    scratch: str
    before: frozenset[Path]
    began_s: float


def fuzz(names: Sequence[str], *, seconds: int, jobs: int, folder: Path) -> Iterator[Ran]:
    """Fuzz each target for so long, so many at once; yield what came of each as it ends."""
    atheris = importlib.import_module("atheris")
    watched = atheris.instrument_imports(include=[*_OWN, *_OTHERS], enable_loader_override=False)
    with contextlib.redirect_stderr(io.StringIO()), watched:  # it names each module
        importlib.import_module("tests.fuzz.targets")
        importlib.import_module("tests.fuzz.mutate")
    waiting, running = list(names), dict[int, _Child]()
    while waiting or running:
        while waiting and len(running) < jobs:
            child = _prepare(waiting.pop(0), folder)
            running[_fork(atheris, child, folder, seconds)] = child
        number, status, used = os.wait3(0)
        child = running.pop(number)
        shutil.rmtree(child.scratch, ignore_errors=True)
        ran = _ran(child, folder, os.waitstatus_to_exitcode(status), seconds)
        yield replace(ran, cpu_s=used.ru_utime + used.ru_stime)


def _prepare(name: str, folder: Path) -> _Child:
    """Put the seeds into the corpus of a target."""
    seeds: Path = sys.modules["tests.fuzz.targets"].SEEDS
    corpus, found = folder / "corpus" / name, folder / "found" / name
    for place in (corpus, found):
        place.mkdir(parents=True, exist_ok=True)
    for seed in (seeds / name).iterdir():
        shutil.copyfile(seed, corpus / f"seed-{seed.name}")
    return _Child(
        name=name,
        log=folder / f"{name}.log",
        scratch=tempfile.mkdtemp(prefix="snapenv-fuzz-"),
        before=frozenset(found.iterdir()),
        began_s=time.monotonic(),
    )


def _fork(atheris: Any, child: _Child, folder: Path, seconds: int) -> int:  # noqa: ANN401
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    try:
        log = os.open(child.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        with sys.modules["tests.fuzz.target"].writing_below(child.scratch):
            _run(atheris, child, folder, seconds)
    except BaseException:  # noqa: BLE001 - this process must not go on as the parent
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)


def _run(atheris: Any, child: _Child, folder: Path, seconds: int) -> None:  # noqa: ANN401
    """Fuzz one target; libFuzzer ends the process."""
    rules, mutate = sys.modules["tests.fuzz.target"], sys.modules["tests.fuzz.mutate"].mutate
    target = sys.modules["tests.fuzz.targets"].find(child.name)
    corpus, found = folder / "corpus" / child.name, folder / "found" / child.name
    os.environ["DOCKER_HOST"] = "unix:///nonexistent"
    seen: set[str] = set()

    def take(content: bytes) -> None:
        finding, _ = rules.try_reader(target, content)
        if finding is None or finding.place in seen or len(seen) >= _MOST_FINDINGS:
            return
        seen.add(finding.place)
        stem = hashlib.sha256(content).hexdigest()[:12]
        (found / stem).write_bytes(content)
        told = f"{finding.what}\n{finding.place}\n{finding.details}"
        (found / f"{stem}.txt").write_text(told, errors="backslashreplace")

    def change(content: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        changed: bytes
        if random.random() < 0.4:
            changed = atheris.Mutate(content, most)
        else:
            changed = mutate(target.form, content, random)[:most]
        return changed

    for seed in sorted(corpus.iterdir()):  # imports what is imported late
        take(seed.read_bytes())
    _limit_memory()
    words = [
        *(sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-max_len={target.most_bytes}"),
        *(f"-timeout={_PATIENCE_S}", f"-artifact_prefix={found}/", "-print_final_stats=1"),
        *("-rss_limit_mb=0", "-report_slow_units=1000000", "-len_control=0", "-verbosity=1"),
    ]
    atheris.Setup(words, take, custom_mutator=change)
    atheris.Fuzz()


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + _MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _ran(child: _Child, folder: Path, exit_code: int, seconds: int) -> Ran:
    told = child.log.read_text(errors="replace")
    statuses = re.findall(r"^#\d+.*cov: (\d+)", told, re.MULTILINE)
    new = {*(folder / "found" / child.name).iterdir()} - child.before
    return Ran(
        name=child.name,
        executions=_number(told, "number_of_executed_units"),
        edges=int(statuses[-1]) if statuses else 0,
        new=_number(told, "new_units_added"),
        findings=len([path for path in new if path.suffix != ".txt"]),
        fuzzed_s=min(time.monotonic() - child.began_s, seconds),
        failure="" if exit_code == 0 else f"exit code {exit_code}, see {child.log}",
    )


def _number(text: str, name: str) -> int:
    match = re.search(rf"^stat::{name}:\s+(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else 0
