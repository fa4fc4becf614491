"""run, shell, ps, logs, attach and stop, as a user types them."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import docker
import pytest

from snapenv.model.launch import KIND_LABEL
from tests.command import Command
from tests.engines.run_image import run_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

isolated = pytest.mark.usefixtures("nothing_left")
NAME = "run-tests:train-py3.13-base-cpu"
# Not by print: a signal may come while that writes "ready".
SAVING = """
import os, signal, sys, time
def save(number, frame):
    time.sleep(0.5)
    os.write(1, b"saved\\n")
    sys.exit(7)
signal.signal(signal.SIGINT, save)
os.write(1, b"ready\\n")
time.sleep(600)
"""


@pytest.fixture(scope="module")
def image(engine_host: str, base_image: str) -> Iterator[str]:
    with run_image(NAME, engine=engine_host, base=base_image) as name:
        yield name


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def words(home: Path) -> Command:
    return Command({"XDG_STATE_HOME": str(home / "state"), "XDG_CACHE_HOME": str(home / "cache")})


@pytest.fixture
def nothing_left(engine_host: str) -> Iterator[None]:
    """See that no run is left at the end."""
    client = docker.DockerClient(base_url=engine_host)
    yield
    left = client.containers.list(all=True, filters={"label": f"{KIND_LABEL}=run"})
    mine = [one for one in left if one.image and NAME in one.image.tags]
    for one in mine:
        one.remove(force=True)
    client.close()
    assert mine == []


def start(words: Command, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401
    return subprocess.Popen(
        [sys.executable, "-m", "snapenv", *arguments],
        env={**os.environ, **words.environment},
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **streams},
    )


def running(words: Command) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = words.result("ps")["runs"]
    return runs


@pytest.mark.docker
@isolated
@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -9 $$"), 137),
        (("nosuch",), 127),
        (("/etc/passwd",), 126),
    ],
)
def test_a_run_ends_with_the_code_of_its_command(
    words: Command, image: str, tmp_path: Path, command: Sequence[str], code: int
) -> None:
    done = words.run("run", image, "--", *command, folder=tmp_path)

    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert ("error: " in done.stderr) == (code in {126, 127})


@pytest.mark.docker
@isolated
def test_the_command_may_have_options_of_ours_and_empty_words(
    words: Command, image: str, tmp_path: Path
) -> None:
    script = "import sys; print(sys.argv[1:])"

    plain = words.run("run", image, "python", "-c", script, "--json", "--cpus", folder=tmp_path)
    apart = words.run("run", "--no-tty", image, "--", "python", "-c", script, "", folder=tmp_path)

    assert plain.stdout == "['--json', '--cpus']\n", plain.stderr
    assert apart.stdout == "['']\n", apart.stderr


@pytest.mark.docker
@isolated
@pytest.mark.parametrize("uid", [0, 4242])
def test_results_belong_to_the_caller_and_data_cannot_be_written(
    words: Command, image: str, tmp_path: Path, uid: int
) -> None:
    project, data = tmp_path / "project", tmp_path / "data"
    for folder in (project, data):
        folder.mkdir()
        os.chown(folder, uid, uid)
    (data / "a.txt").write_text("known")
    script = (
        f"pwd; cat {data}/a.txt; echo > {data}/b; mkdir runs; echo 1 > runs/r; touch ~/x; id -un"
    )

    done = words.run(
        *("run", image, "--data", str(data), "--user", f"{uid}:{uid}"),
        *("--", "sh", "-c", script),
        folder=project,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{project}\nknown{'root' if uid == 0 else 'user4242'}\n"
    assert "Read-only file system" in done.stderr
    assert (project / "runs/r").stat().st_uid == uid
    assert [one.name for one in data.iterdir()] == ["a.txt"]


@pytest.mark.docker
@isolated
def test_stdin_is_the_programs(words: Command, image: str) -> None:
    sent = os.urandom(3_000_000)

    process = start(words, "run", image, "--", "sh", "-c", "cat", stdin=subprocess.PIPE)
    out, _ = process.communicate(sent)

    assert (process.returncode, out == sent) == (0, True)


@pytest.mark.docker
@isolated
def test_a_shell_reads_its_commands(words: Command, image: str, tmp_path: Path) -> None:
    process = start(words, "shell", image, stdin=subprocess.PIPE, cwd=tmp_path)
    out, _ = process.communicate(b"pwd\nexit 3\n")

    assert (process.returncode, out.decode()) == (3, f"{tmp_path}\n")


@pytest.mark.docker
@isolated
def test_a_terminal_has_its_size_and_ctrl_c(words: Command, image: str) -> None:
    script = (
        "import os, time\n"
        "while os.get_terminal_size().lines != 33: time.sleep(0.1)\n"
        "print(os.get_terminal_size(), flush=True)\n"
        "time.sleep(600)"
    )
    ours, theirs = pty.openpty()
    subprocess.run(["stty", "rows", "33", "cols", "99"], stdin=theirs, check=True)
    process = start(
        words, "run", image, "--", "python", "-c", script,
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=_own_terminal
    )  # fmt: skip
    os.close(theirs)

    shown = _until(ours, "lines=33")
    os.write(ours, b"\x03")
    shown += _until(ours, "KeyboardInterrupt")
    code = process.wait(300)
    os.close(ours)

    assert "columns=99" in shown
    assert code in {1, 130}


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _until(handle: int, wanted: str) -> str:
    shown = ""
    until = time.monotonic() + 300
    while wanted not in shown and time.monotonic() < until:
        if select.select([handle], [], [], 1)[0]:
            shown += os.read(handle, 4096).decode(errors="replace")
    assert wanted in shown, shown
    return shown


@pytest.mark.docker
@isolated
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 7), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_are_handed_on(
    words: Command, image: str, number: signal.Signals, code: int
) -> None:
    process = start(words, "run", image, "--", "python", "-c", SAVING)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"

    process.send_signal(number)
    out, _ = process.communicate(timeout=300)

    assert (process.returncode, out) == (code, b"saved\n" if code == 7 else b"")


@pytest.mark.docker
@isolated
def test_a_run_whose_client_was_killed_is_found_and_stopped(words: Command, image: str) -> None:
    process = start(words, "run", image, "--", "python", "-c", SAVING)
    assert process.stdout
    process.stdout.readline()
    process.kill()
    process.communicate()

    (found,) = running(words)
    stopped = words.result("stop", found["run"])
    again = words.error("not-found", "stop", "nothing")

    assert (found["status"], found["ref"]) == ("running", image)
    assert (stopped["was_running"], stopped["exit_code"]) == (True, 7)
    assert running(words) == []
    assert "there is no run nothing" in again


@pytest.mark.docker
@isolated
def test_a_run_in_the_background_is_listed_read_attached_to_and_gone(
    words: Command, image: str, tmp_path: Path
) -> None:
    script = "echo begin; sleep 3; echo end; exit 5"

    begun = words.run("run", image, "--detach", "--", "sh", "-c", script, folder=tmp_path)
    run = begun.stdout.strip()
    (found,) = running(words)
    logs = words.run("logs", run)
    attached = words.run("attach", run)
    ended = [one for one in words.result("ps", "--all")["runs"] if one["run"] == run]

    assert begun.returncode == 0, begun.stderr
    assert (found["run"], found["command"]) == (run, ["sh", "-c", script])
    assert logs.stdout == "begin\n"
    assert (attached.returncode, attached.stdout) == (5, "end\n")
    assert [(one["status"], one["exit_code"]) for one in ended] == [("exited", 5)]


@pytest.mark.docker
@isolated
def test_the_command_of_a_dry_run_does_the_same(words: Command, image: str, tmp_path: Path) -> None:
    data = tmp_path / "a, b"
    data.mkdir()
    options = ("--data", str(data), "--cpus", "1", "--memory", "1g", "-e", "A=it's", "-p", "8888")
    program = ("sh", "-c", 'echo "$A $PWD $OMP_NUM_THREADS"; df -k /dev/shm | tail -1; exit 6')

    real = words.run("run", image, *options, "--", *program, folder=tmp_path)
    shown = words.run("run", image, *options, "--dry-run", "--", *program, folder=tmp_path)
    by_docker = subprocess.run(
        ["sh", "-c", shown.stdout], capture_output=True, text=True, check=False, cwd=tmp_path
    )

    assert real.stdout.startswith(f"it's {tmp_path} 1\n"), real.stderr
    assert (by_docker.returncode, by_docker.stdout) == (6, real.stdout), by_docker.stderr
    assert "--cpus 1: OMP_NUM_THREADS=1 PYTHON_CPU_COUNT=1" in shown.stderr


@pytest.mark.docker
@isolated
def test_an_image_that_was_never_restored_says_how_to(words: Command, tmp_path: Path) -> None:
    absent = words.run("run", "example.com/team/env:train-py3.13-base-cpu", "true", folder=tmp_path)

    assert absent.returncode == 3
    assert "is not restored on this machine" in absent.stderr
    assert "snapenv restore example.com/team/env:train-py3.13-base-cpu" in absent.stderr


@pytest.mark.docker
@isolated
@pytest.mark.parametrize(
    "case",
    [
        (("--data", "/nowhere"), 3, "there is no folder /nowhere"),
        (("--workdir", "/nowhere"), 3, "there is no folder /nowhere"),
        (("--workdir", "/etc"), 2, "/etc cannot be mounted at /etc"),
        (("--memory", "900t"), 2, "--memory asks for"),
        (("--cpus", "9000"), 2, "--cpus asks for 9000"),
        (("--device", "99"), 3, "this machine has no GPU 99"),
        (("--mount", "/nowhere:/data"), 3, "there is no /nowhere to mount"),
        (("--runs", "/etc/hostname/runs"), 4, "results cannot be written"),
        (("--memory", "much"), 2, "is not a size such as"),
        (("--port", "99999"), 2, "is not a port such as"),
        (("--user", "ann"), 2, "is not numbers such as"),
        (("--env", "SURELY_NOT_SET"), 2, "is not NAME=VALUE"),
        (("--tty",), 2, "--tty needs a terminal"),
    ],
)
def test_bad_input_is_told_before_anything_starts(
    words: Command, image: str, tmp_path: Path, case: tuple[Sequence[str], int, str]
) -> None:
    options, code, message = case
    done = words.run("run", image, *options, "--", "true", folder=tmp_path)

    assert (done.returncode, done.stdout) == (code, "")
    assert message in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_without_a_command_there_is_a_hint(words: Command) -> None:
    done = words.run("run", "anything")

    assert done.returncode == 2
    assert "snapenv shell anything" in done.stderr
