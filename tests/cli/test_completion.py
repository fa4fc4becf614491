"""What a shell is offered; it asks a program, and shows whatever that prints."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import pty
import select
import shlex
import socket
import socketserver
import subprocess
import sys
import tarfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest

from snapenv.engine.tags import list_tags
from snapenv.model.snapshot import SNAPSHOT_LABEL
from tests.engines.place import install
from tests.engines.provide import provide
from tests.samples import TAG
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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
        labels, workspace = {SNAPSHOT_LABEL: "sha256:1"}, {SNAPSHOT_LABEL: ""}
        images = [
            {"RepoTags": [f"snapenv:{OTHER}", f"example.com/env:{OTHER}"], "Labels": labels},
            {"RepoTags": ["snapenv:inside-a-workspace"], "Labels": workspace},
            {"RepoTags": None, "Labels": labels},
            {"RepoTags": ["snapenv:replaced-1"], "Labels": labels},
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
    with serving(socketserver.ThreadingUnixStreamServer(str(path), _Engine)):
        yield f"unix://{path}"


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


DOCUMENTED = Path(__file__).parents[2] / "docs" / "completion.md"
# What a shell reads at its start. Ctrl-X writes the line as it stands, and ends the shell.
STARTS = {
    "bash": r"""
        {documented}
        bind -x '"\C-x": printf %s "$READLINE_LINE" > "$LINE"; exit'
        PS1="READY "
        """,
    "zsh": r"""
        autoload -Uz compinit && compinit -u -D
        {documented}
        write-line() {{ print -rn -- "$BUFFER" > "$LINE"; exit }}
        zle -N write-line && bindkey "^X" write-line
        PS1="READY "
        """,
}


@pytest.fixture(params=["bash", "zsh", "fish"])
def press_tab(
    request: pytest.FixtureRequest,
    folder: Path,
    engine: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], str]:
    """Return how a shell completes a line that is set up as the documentation says."""
    shell: str = request.param
    provide(lambda _: install({shell: shell}))
    (documented,) = (
        line for line in DOCUMENTED.read_text().splitlines() if f"={shell}_source" in line
    )
    home = tmp_path_factory.mktemp("home")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "TERM": "dumb",
        "LINE": str(home / "line"),
        "DOCKER_HOST": engine,
    }
    if shell == "fish":
        (home / ".config/fish/completions").mkdir(parents=True)
        subprocess.run(["sh", "-c", documented], env=environment, check=True)
        return functools.partial(_ask_fish, folder, environment)
    for name in (".bashrc", ".zshrc"):
        (home / name).write_text(STARTS[shell].format(documented=documented))
    return functools.partial(_type, [shell, "-i"], folder, environment)


def _ask_fish(folder: Path, environment: Mapping[str, str], line: str) -> str:
    script = f"complete --do-complete {shlex.quote(line)}"
    done = subprocess.run(
        ["fish", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    (offered,) = (each.partition("\t")[0] for each in done.stdout.splitlines())
    return f"{line.rpartition(' ')[0]} {offered}"


def _type(argv: Sequence[str], folder: Path, environment: Mapping[str, str], line: str) -> str:
    terminal, its = pty.openpty()
    with subprocess.Popen(
        argv,
        cwd=folder,
        env=environment,
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    ) as process:
        os.close(its)
        screen = _read_until(terminal, b"READY ")
        os.write(terminal, f"{line}\t\x18".encode())
        screen += _read_until(terminal, None)
        process.kill()
    os.close(terminal)
    written = Path(environment["LINE"])
    assert written.exists(), screen.decode(errors="replace")
    return written.read_text().rstrip()


def _read_until(terminal: int, mark: bytes | None) -> bytes:
    """Return what a terminal shows until it shows a mark, or to its end; for a minute at most."""
    shown = b""
    with contextlib.suppress(OSError):  # Linux's way to say that the other side has closed it
        while (mark is None or mark not in shown) and select.select([terminal], [], [], 60)[0]:
            shown += os.read(terminal, 1 << 16)
    return shown


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        pytest.param("restore tr", f"restore {TAG}", id="snapshot"),
        pytest.param("show e", "show env.tar.zst", id="archive"),
        pytest.param("restore inf", f"restore {OTHER}", id="tag"),
        pytest.param("verify ./mi", "verify ./mine/", id="path", marks=pytest.mark.full),
        pytest.param("restore --prefl", "restore --preflight", id="option", marks=pytest.mark.full),
    ],
)
def test_a_shell_completes(press_tab: Callable[[str], str], line: str, completed: str) -> None:
    assert press_tab(f"snapenv {line}") == f"snapenv {completed}"
