"""Runs as processes of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.errors import CommandMissingError, CommandRefusedError, NotFoundError, WriteError
from snapenv.model.launch import InVenv, Launch
from snapenv.targets.venv_runs import VenvRuns
from tests.command import redirected
from tests.targets.processes import all_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snapenv.model.launch import Ended

RUN = "261128-192551-4f2a"


@pytest.fixture
def runs(tmp_path: Path) -> VenvRuns:
    return VenvRuns(tmp_path / "state")


def launch(folder: Path, script: str, **variables: str) -> Launch:
    return Launch(
        run=RUN,
        place=InVenv(folder=sys.prefix),
        argv=("sh", "-c", script),
        folder=str(folder),
        variables={"HOME": None, **variables},
        files={str(folder / "given/secret"): b"known"},
    )


def run(runs: VenvRuns, asked: Launch) -> tuple[Ended, str]:
    with tempfile.TemporaryFile() as out:
        with redirected("stdout", out):
            ended = runs.run(asked)
        return ended, os.pread(out.fileno(), 4096, 0).decode()


def test_a_program_gets_its_files_its_folder_and_its_variables(
    runs: VenvRuns, tmp_path: Path
) -> None:
    script = 'pwd; echo "$A ${HOME-none}"; cat given/secret; exit 7'

    ended, out = run(runs, launch(tmp_path, script, A="a"))
    runs.remove(RUN)

    assert (ended.state.exit_code, out) == (7, f"{tmp_path}\na none\nknown")
    assert runs.state(RUN) is None


def test_a_program_that_a_signal_ended_has_the_code_of_a_shell(
    runs: VenvRuns, tmp_path: Path
) -> None:
    ended, _ = run(runs, launch(tmp_path, "kill -9 $$"))

    assert ended.state.exit_code == 137


@pytest.mark.parametrize(
    ("program", "error"), [("nosuch", CommandMissingError), ("/etc", CommandRefusedError)]
)
def test_what_cannot_be_started_is_told_apart(
    runs: VenvRuns, tmp_path: Path, program: str, error: type[Exception]
) -> None:
    asked = replace(launch(tmp_path, ""), argv=(program,))

    with pytest.raises(error, match=program):
        runs.run(asked)
    with pytest.raises(error, match=program):
        runs.start(asked)
    assert runs.list_runs() == ()


@pytest.mark.parametrize("start", [VenvRuns.run, VenvRuns.start], ids=["attached", "detached"])
def test_what_could_not_be_found_again_is_ended(
    runs: VenvRuns, tmp_path: Path, start: Callable[[VenvRuns, Launch], object]
) -> None:
    (tmp_path / "state/runs" / RUN / "process.json").mkdir(parents=True)  # it cannot be written
    mark = uuid.uuid4().hex
    asked = launch(tmp_path, "sleep 60 & wait", MARK=mark)

    with pytest.raises(WriteError, match="process.json"):
        start(runs, asked)

    assert all_end(*_marked(mark))


def _marked(mark: str) -> Iterator[int]:
    """Yield the processes that have a variable of this value."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark.encode() in path.read_bytes():
                yield int(path.parent.name)


def test_a_run_in_the_background_outlives_signals_to_its_supervisor(
    runs: VenvRuns, tmp_path: Path
) -> None:
    script = "trap 'echo bye; exit 9' INT; echo hello; while :; do sleep 0.1; done"

    started = runs.start(launch(tmp_path, script))
    listed = runs.list_runs()
    done = runs.execute(RUN, ("sh", "-c", "pwd"))
    stopped = runs.stop(RUN, 30)
    logs = b"".join(out or b"" for out, _ in runs.logs(RUN, follow=True, tail=None))
    last = list(runs.logs(RUN, follow=False, tail=1))
    runs.remove(RUN)

    assert started.running
    assert [one.run for one in listed] == [RUN]
    assert done.stdout.strip() == str(tmp_path)
    assert stopped
    assert (stopped.status, stopped.exit_code) == ("exited", 9)
    assert (logs, last) == (b"hello\nbye\n", [(b"bye\n", None)])


def test_what_does_not_stop_is_killed(runs: VenvRuns, tmp_path: Path) -> None:
    runs.start(launch(tmp_path, "trap '' INT; while :; do sleep 0.1; done"))

    stopped = runs.stop(RUN, 1)

    assert stopped
    assert not stopped.running
    runs.remove(RUN)


def test_signals_are_handed_on_to_the_whole_group(runs: VenvRuns, tmp_path: Path) -> None:
    asked = launch(
        tmp_path,
        f"sh -c 'trap \"echo saved; exit 3\" TERM; : > {tmp_path}/ready; while :; do sleep 0.1; done'",
    )
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(theirs, 1)
        os._exit(runs.run(asked).state.exit_code or 0)
    os.close(theirs)
    while not (tmp_path / "ready").exists():
        time.sleep(0.1)

    os.kill(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)

    assert os.read(ours, 100) == b"saved\n"
    assert os.waitstatus_to_exitcode(status) in {3, 143}
    os.close(ours)


def test_a_number_that_another_process_has_now_is_not_the_run(
    runs: VenvRuns, tmp_path: Path
) -> None:
    runs.start(launch(tmp_path, "sleep 60"))
    process = tmp_path / "state/runs" / RUN / "process.json"
    found = runs.state(RUN)
    assert found
    with subprocess.Popen(["sleep", "60"]) as other:
        text = process.read_text().replace(f'"pid":{found.pid}', f'"pid":{other.pid}')
        kept = process.read_text()
        process.write_text(text)
        state = runs.state(RUN)
        runs.signal(RUN, signal.SIGKILL)
        alive = other.poll() is None
        process.write_text(kept)
        runs.remove(RUN)
        other.kill()

    assert state
    assert (state.status, state.exit_code) == ("exited", None)
    assert alive


def test_the_output_of_a_run_in_the_foreground_is_not_kept(runs: VenvRuns, tmp_path: Path) -> None:
    run(runs, launch(tmp_path, "true"))

    with pytest.raises(NotFoundError, match="no output of"):
        list(runs.logs(RUN, follow=False, tail=None))
