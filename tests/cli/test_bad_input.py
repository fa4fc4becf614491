"""What can go wrong: each ends with its kind and exit code, two lines, and nothing half-made."""

from __future__ import annotations

import re
import signal
import socketserver
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from snapenv.lock.store import write_snapshot
from snapenv.model.snapshot import LOCK_FILE, SNAPSHOT_SCHEMA, SUMS_FILE
from tests.command import Command
from tests.samples import TAG, sample_snapshot
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock", "VIRTUAL_ENV": "", "CONDA_PREFIX": ""}


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    folder = tmp_path / "snapshot"
    write_snapshot(sample_snapshot(), folder)
    return folder


@pytest.fixture(scope="module")
def empty_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment without any package."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


@pytest.fixture
def engine_without_buildkit(tmp_path: Path) -> Iterator[str]:
    """An engine that answers as one does on which BuildKit is not there."""
    socket = tmp_path / "engine.sock"
    with serving(socketserver.ThreadingUnixStreamServer(str(socket), _OldEngine)):
        yield f"unix://{socket}"


def refused(kind: str, *words: str, **environment: str) -> str:
    """Run, and return the line of the error after looking at all that every error must be."""
    stderr = Command({**NOWHERE, **environment}).error(kind, *words)
    assert "Traceback" not in stderr
    told = stderr[stderr.index("error: ") :].splitlines()
    assert [line.split(": ")[0] for line in told] == ["error", "hint"]
    return told[0]


def test_an_error_alone_is_no_answer_on_stdout(snapshot: Path) -> None:
    done = Command(NOWHERE).run("build", str(snapshot))

    assert (done.returncode, done.stdout) == (4, "")


@pytest.mark.parametrize(
    "command",
    [
        "show NAME",
        "capture --python NAME",
        "diff NAME live",
        "run NAME -- true",
        "run . --data NAME -- true",
        "run . --runs NAME -- true",
        "run x --textfile NAME -- true",
        "bench x --data NAME",
        "verify x --engine venv --into NAME",
        "update NAME --upgrade x -o NAME",
        "render NAME --as compose",
        "export x -o NAME",
        "usage report --prices NAME",
    ],
)
def test_a_path_that_cannot_be_looked_at_is_no_bug(command: str, tmp_path: Path) -> None:
    name = str(tmp_path / ("a" * 300))  # longer than any file system's names

    done = Command(NOWHERE).run(*command.replace("NAME", name).split())

    assert (done.returncode in {0, 70}, "hint: " in done.stderr) == (False, True)


def test_no_engine(snapshot: Path) -> None:
    assert "/nonexistent/docker.sock" in refused("engine-missing", "build", str(snapshot))


def test_an_engine_without_buildkit(snapshot: Path, engine_without_buildkit: str) -> None:
    said = refused("buildkit-missing", "build", str(snapshot), DOCKER_HOST=engine_without_buildkit)

    assert "BuildKit" in said


@pytest.mark.docker
def test_no_such_tag(registry: str, engine_host: str) -> None:
    words = ("restore", TAG, "--repository", f"{registry}/team/none")

    said = refused("not-found", *words, DOCKER_HOST=engine_host)

    assert f"{registry}/team/none:{TAG}" in said


@pytest.mark.docker
def test_a_registry_that_is_down(engine_host: str) -> None:
    said = refused("registry", "restore", f"localhost:9/team/env:{TAG}", DOCKER_HOST=engine_host)

    assert "localhost:9" in said


@pytest.mark.docker
def test_no_such_container(engine_host: str) -> None:
    said = refused(
        "environment-missing", "capture", "--container", "nobody", DOCKER_HOST=engine_host
    )

    assert "nobody" in said


def test_a_snapshot_of_a_newer_snapenv(snapshot: Path) -> None:
    lock = snapshot / LOCK_FILE
    newer = f"schema = {SNAPSHOT_SCHEMA + 1}"
    lock.write_text(lock.read_text().replace(f"schema = {SNAPSHOT_SCHEMA}", newer))
    _sum_anew(snapshot)

    assert newer.replace(" = ", " ") in refused("snapshot-version", "build", str(snapshot))


def test_a_damaged_snapshot(snapshot: Path) -> None:
    with (snapshot / SUMS_FILE).open("r+b") as file:
        file.seek(100)
        file.write(b"?")

    into = ("--engine", "venv", "--into", str(snapshot.parent / "venv"))
    assert SUMS_FILE in refused("snapshot-damaged", "restore", str(snapshot), *into)


def test_a_folder_that_holds_no_snapshot(tmp_path: Path) -> None:
    assert "holds no snapshot" in refused("not-found", "build", str(tmp_path))


def test_an_unknown_interpreter(tmp_path: Path) -> None:
    said = refused(
        "interpreter", "capture", "--python", "/nowhere/python", "-o", str(tmp_path / "s")
    )

    assert "/nowhere/python" in said
    assert not (tmp_path / "s").exists()


def test_a_program_that_is_no_python(tmp_path: Path) -> None:
    said = refused("interpreter", "capture", "--python", "/bin/false", "-o", str(tmp_path / "s"))

    assert "/bin/false" in said


def test_an_active_environment_that_is_not_there(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")

    assert gone in refused("environment-missing", "capture", VIRTUAL_ENV=gone)


def test_no_environment_at_all() -> None:
    assert "no environment is active" in refused("environment-missing", "capture", PATH="/nowhere")


def test_a_smoke_train_without_ultralytics(empty_python: str, tmp_path: Path) -> None:
    output = tmp_path / "snapshot"

    said = refused("smoke-train", "capture", "--python", empty_python, "--smoke", "-o", str(output))

    assert "ultralytics is not installed" in said
    assert not output.exists()


def test_an_output_folder_that_is_taken(empty_python: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")

    refused("place-taken", "capture", "--python", empty_python, "-o", str(tmp_path / "mine"))

    assert (tmp_path / "mine").read_text() == "precious"


def test_a_full_disk(empty_python: str, full_disk: Path) -> None:
    output = full_disk / "snapshot"

    said = refused("write", "capture", "--python", empty_python, "-o", str(output))

    assert "No space left" in said
    assert [path.name for path in full_disk.iterdir()] == ["filler"]


def test_a_restore_into_a_folder_that_is_taken(snapshot: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.txt").write_text("precious")

    words = ("restore", str(snapshot), "--engine", "venv", "--into", str(tmp_path / "mine"))

    refused("place-taken", *words)
    assert (tmp_path / "mine" / "work.txt").read_text() == "precious"


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Undo what a job in the background inherits: Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_ends_with_130_and_leaves_nothing(tmp_path: Path) -> None:
    slow, begun = tmp_path / "python", tmp_path / "begun"
    slow.write_text(f"#!/bin/sh\n: > '{begun}'\nexec sleep 600\n")
    slow.chmod(0o755)
    output = tmp_path / "snapshot"
    process = subprocess.Popen(
        [sys.executable, "-m", "snapenv", "capture", "--python", str(slow), "-o", str(output)],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.05)

    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)

    assert process.returncode == 130
    assert "error: interrupted" in said
    assert "Traceback" not in said
    assert not output.exists()


class _OldEngine(BaseHTTPRequestHandler):
    """Answers /_ping and /version; the API page: https://docs.docker.com/reference/api/engine/."""

    def do_GET(self) -> None:
        body = (
            b"OK" if self.path.endswith("_ping") else b'{"Version": "18.06", "ApiVersion": "1.38"}'
        )
        self.send_response(200)
        self.send_header("API-Version", "1.38")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - http.server's word

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass


def _sum_anew(snapshot: Path) -> None:
    """Write checksums that fit, as someone else's snapenv would have."""
    names = re.findall(r"  (\S+)\n", (snapshot / SUMS_FILE).read_text())
    sums = subprocess.run(
        ["sha256sum", *names], cwd=snapshot, capture_output=True, text=True, check=True
    )
    date = (snapshot / SUMS_FILE).read_text().splitlines()[0]
    (snapshot / SUMS_FILE).write_text(f"{date}\n{sums.stdout}")
