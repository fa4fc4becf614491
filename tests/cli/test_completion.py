"""What a shell is offered; it asks a program, and shows whatever that prints."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import socketserver
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest

from snapenv.engine.tags import list_tags
from snapenv.model.snapshot import SNAPSHOT_LABEL
from tests.samples import TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

NOWHERE = "unix:///nonexistent/docker.sock"
OTHER = "infer-torch2.11-base-cpu"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a snapshot in its usual place, one beside it, an archive, and other things."""
    for snapshot in (f"snapshots/{TAG}", "mine"):
        (tmp_path / snapshot).mkdir(parents=True)
        (tmp_path / snapshot / "SHA256SUMS").touch()
    (tmp_path / "snapshots" / "unfinished").mkdir()
    (tmp_path / "env.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd and more")
    (tmp_path / "notes.txt").write_text("nothing")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def complete(folder: Path, *words: str, host: str = NOWHERE) -> list[str]:
    """Return what is offered for the last word, as bash is told."""
    done = subprocess.run(
        [sys.executable, "-c", "from snapenv.cli.main import main; main()"],
        env={
            **os.environ,
            "_SNAPENV_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("snapenv", *words)),
            "COMP_CWORD": str(len(words)),
            "DOCKER_HOST": host,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("restore", ""), ["env.tar.zst", "mine", TAG]),
        (("verify", "t"), [TAG]),
        (("doctor", "m"), ["mine"]),
        (("show", "e"), ["env.tar.zst"]),
        (("export", "t"), [TAG]),
        (("diff", "mine", "l"), ["live"]),
        (("build", "t"), [TAG]),
        (("bases", "t"), [TAG]),
        (("restore", "--engine", "v"), ["venv"]),
        (("restore", "--prefl"), ["--preflight"]),
        (("ver",), ["verify"]),
    ],
)
def test_names_are_offered_by_what_they_begin_with(
    folder: Path, words: tuple[str, ...], offered: list[str]
) -> None:
    assert complete(folder, *words) == [f"plain,{one}" for one in offered]


@pytest.mark.parametrize("word", ["./", "/", "~/x", "snapshots/", "nothing-begins-so"])
def test_a_path_is_left_to_the_shell(folder: Path, word: str) -> None:
    assert complete(folder, "restore", word) == [f"file,{word}"]


@pytest.mark.parametrize("host", ["garbage://", "ssh://example.com", "tcp://127.0.0.1:1", "fd://"])
def test_without_an_engine_the_rest_is_offered(folder: Path, host: str) -> None:
    assert complete(folder, "restore", "m", host=host) == ["plain,mine"]


def test_in_a_folder_that_is_gone_nothing_fails(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = "import os; os.rmdir(os.getcwd()); from snapenv.cli.main import main; main()"

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "_SNAPENV_COMPLETE": "bash_complete",
            "COMP_WORDS": "snapenv restore x",
            "COMP_CWORD": "2",
            "DOCKER_HOST": NOWHERE,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        cwd=gone,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


class _Engine(BaseHTTPRequestHandler):
    """Answers with the images that carry the label: https://docs.docker.com/reference/api/engine/."""

    def do_GET(self) -> None:
        images = [
            {"RepoTags": [f"snapenv:{OTHER}", f"example.com/env:{OTHER}"]},
            {"RepoTags": None},
        ]
        body = json.dumps(images if SNAPSHOT_LABEL in self.path else []).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "engine.sock"
    with socketserver.ThreadingUnixStreamServer(str(path), _Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix://{path}"
        server.shutdown()


def test_the_tags_of_images_are_offered_once(folder: Path, engine: str) -> None:
    assert complete(folder, "restore", "i", host=engine) == [f"plain,{OTHER}"]


def test_the_engine_of_the_active_context_is_asked(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"ours").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Endpoints": {"docker": {"Host": engine}}}))
    (tmp_path / "config.json").write_text('{"currentContext": "ours"}')
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    assert list_tags(60) == (OTHER,)


def test_an_engine_that_never_answers_is_not_waited_for(folder: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()

        offered = complete(folder, "restore", "m", host=f"unix://{tmp_path}/silent.sock")

    assert offered == ["plain,mine"]


@pytest.mark.docker
def test_a_real_engine_tells_its_tags(folder: Path, engine_host: str) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w"):
        pass
    client = docker.DockerClient(base_url=engine_host)
    try:
        client.api.import_image_from_data(
            tar.getvalue(),
            repository="completion",
            tag=OTHER,
            changes=[f'LABEL {SNAPSHOT_LABEL}="sha256:1"'],
        )

        assert f"plain,{OTHER}" in complete(folder, "restore", "infer-", host=engine_host)
    finally:
        client.images.remove(f"completion:{OTHER}")
        client.close()


def test_bash_takes_what_is_offered(folder: Path) -> None:
    script = """
        eval "$(_SNAPENV_COMPLETE=bash_source snapenv)"
        COMP_WORDS=(snapenv restore tr) COMP_CWORD=2
        _snapenv_completion snapenv
        echo "${COMPREPLY[@]}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": path, "DOCKER_HOST": NOWHERE},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == (f"{TAG}\n", "")


@pytest.mark.parametrize(("shell", "registers"), [("zsh", "compdef"), ("fish", "complete")])
def test_other_shells_get_a_script_of_their_own(folder: Path, shell: str, registers: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from snapenv.cli.main import main; main()"],
        env={**os.environ, "_SNAPENV_COMPLETE": f"{shell}_source"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )

    assert registers in done.stdout
    assert f"_SNAPENV_COMPLETE={shell}_complete" in done.stdout
