"""A month in small: three people run things for two projects, and some of it is killed.

Each person has a state folder, a login of a team's ledger and a GPU that works as a curve says.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Literal

from snapenv.model.launch import RUN_LABEL
from snapenv.usage.ledger import open_ledger
from snapenv.usage.sampler_place import lock_path
from tests.targets.processes import is_running
from tests.working_gpus import gpu_uuid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from docker import DockerClient

    from snapenv.model.usage import RunGpu, UsageRun
    from snapenv.usage.ledger import Ledger

INTERVAL_S = 0.5
_WAIT_S = 90.0

Fate = Literal["ends", "fails", "program", "command", "sampler", "all", "container"]
"""How a run ends: by itself, or as something of it is killed."""

FATES: tuple[Fate, ...] = ("program", "command", "sampler", "fails", "all", "ends")
"""In turns; what is lost with a sampler is found by the next one, so it is no one's last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What a person saw of a run, however busy the machine was."""

    fate: Fate
    project: str
    alive_s: float  # of the program, from after its first line to before its end
    looked_ms: int  # when the sampler looked at it for the last time before that, since 1970
    spanned_s: float  # from before the command to when its end was known


@dataclass(kw_only=True)
class Person:
    """Who runs things; each has a GPU of the machine."""

    login: str
    projects: tuple[str, ...]
    folder: Path
    gpu: int
    variables: Mapping[str, str]
    seen: list[Seen] = field(default_factory=list)

    @property
    def ledger(self) -> Path:
        """Where the ledger of this machine is."""
        return self.folder / "state" / "snapenv" / "usage.sqlite3"

    def open(self) -> Ledger:
        return open_ledger(self.ledger)

    def records(self) -> tuple[tuple[UsageRun, ...], tuple[RunGpu, ...]]:
        """Return all that the ledger holds of runs."""
        with self.open() as ledger:
            runs = ledger.runs(0, 1 << 62)
            return runs, tuple(row for run in runs for row in ledger.run_gpus_of(run.key))

    def sampler(self) -> int | None:
        """Return the PID of the sampler that runs."""
        with contextlib.suppress(FileNotFoundError, IndexError):
            pid = int(lock_path(self.ledger).read_text().split()[1].strip(","))
            return pid if is_running(pid) else None
        return None

    def run(self, place: str, project: str, fate: Fate) -> None:
        """Run something for a project, and let it end as it is to, once it was looked at."""
        number = len(self.seen)
        begun, pipe = self.folder / f"begun-{number}", self.folder / f"end-{number}"
        os.mkfifo(pipe)
        ending = os.open(pipe, os.O_RDWR)  # waits for no reader
        script = f"echo $$ >{begun}; read _ <{pipe}; exit {3 if fate == 'fails' else 0}"
        command_s = time.monotonic()
        with self._start(place, project, script) as command:
            until(lambda: begun.exists() and begun.read_text().endswith("\n"))
            start_s, program = time.monotonic(), int(begun.read_text())
            looks = self._wait_for_looks(number, 2)
            alive_s = time.monotonic() - start_s
            self._kill(fate, command.pid, program)
            if fate not in {"program", "all"}:
                looks = self._wait_for_looks(number, len(looks) + 1)
                alive_s = time.monotonic() - start_s
            os.write(ending, b"\n")
            until(lambda: not is_running(program))
            os.close(ending)
            if fate == "command":  # the sampler tells when, and sees it a little later
                until(lambda: self.records()[0][number].ended_ms is not None)
            self._see(fate, project, alive_s, looks[-1], command_s)

    def run_container(self, image: str, project: str, fate: Fate, docker: DockerClient) -> None:
        """Run a container for a project, and kill it, or the command that waits for it."""
        number, begun = len(self.seen), self.folder / f"begun-{len(self.seen)}"
        command_s = time.monotonic()
        with self._start(image, project, f"touch {begun}; sleep 4; exit 7") as command:
            until(begun.exists)
            start_s = time.monotonic()
            looks = self._wait_for_looks(number, 1)
            alive_s = time.monotonic() - start_s
            (container,) = docker.containers.list(
                filters={"label": f"{RUN_LABEL}={self.records()[0][number].run}"}
            )
            if fate == "container":
                container.kill()
            else:
                command.kill()
                container.wait()
                alive_s = 4
            self._see(fate, project, alive_s, looks[-1], command_s)

    @contextlib.contextmanager
    def _start(self, place: str, project: str, script: str) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "snapenv", "run", place, "--project", project),
                *("-e", f"STUB_ON_GPU={self.gpu}", "--", "sh", "-c", script),
            ],
            env={**os.environ, **self.variables},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as command:
            try:
                yield command
            except BaseException:
                command.terminate()
                raise

    def _see(
        self, fate: Fate, project: str, alive_s: float, looked_ms: int, command_s: float
    ) -> None:
        self.seen.append(
            Seen(
                fate=fate,
                project=project,
                alive_s=alive_s,
                looked_ms=looked_ms,
                spanned_s=time.monotonic() - command_s,
            )
        )

    def _wait_for_looks(self, number: int, least: int) -> list[int]:
        """Wait until a run was looked at so often; return when."""
        until(lambda: len(self._looks(number)) >= least)
        return self._looks(number)

    def _looks(self, number: int) -> list[int]:
        with self.open() as ledger:
            runs = ledger.runs(0, 1 << 62)
            samples = ledger.samples(runs[number].key) if len(runs) > number else ()
            return [sample.at_ms for sample in samples if sample.gpu == gpu_uuid(self.gpu)]

    def _kill(self, fate: Fate, command: int, program: int) -> None:
        if fate in {"sampler", "all"}:
            os.kill(self.sampler() or 0, signal.SIGKILL)
        if fate in {"command", "all"}:
            os.kill(command, signal.SIGKILL)
        if fate in {"program", "all"}:
            with contextlib.suppress(ProcessLookupError):  # it may have ended with its command
                os.kill(program, signal.SIGKILL)

    def settle(self) -> None:
        """Wait until each run has ended in the ledger, is counted, and the team knows of it."""
        until(self._is_settled)

    def _is_settled(self) -> bool:
        runs, rows = self.records()
        ended = {run.key for run in runs if run.ended_ms is not None}
        counted = {run.key for run in runs if _allocated(run, rows) == run.duration_ms}
        with self.open() as ledger:
            waiting = ledger.outbox(1)
        return len(ended & counted) == len(self.seen) and not waiting


def _allocated(run: UsageRun, rows: Sequence[RunGpu]) -> int:
    return sum(row.allocated_ms for row in rows if row.key == run.key)


def until(holds: Callable[[], bool]) -> None:
    """Wait for something."""
    end_s = time.monotonic() + _WAIT_S
    while not holds():
        assert time.monotonic() < end_s, "it never holds"
        time.sleep(0.05)


def fates(number: int, runs: int) -> tuple[Fate, ...]:
    """Return how the runs of a person end."""
    return tuple(islice(cycle(FATES), 2 * number, 2 * number + runs))


def work(people: Sequence[Person], place: str, *, runs: Sequence[int]) -> None:
    """Let all people run things at the same time, each so many."""
    errors = list[BaseException]()

    def work_of(number: int, person: Person) -> None:
        try:
            for project, fate in zip(
                cycle(person.projects), fates(number, runs[number]), strict=False
            ):
                person.run(place, project, fate)
            person.settle()
        except BaseException as error:  # noqa: BLE001 - raised again, in the test's own thread
            errors.append(error)

    threads = [Thread(target=work_of, args=pair) for pair in enumerate(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
