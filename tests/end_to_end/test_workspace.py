"""A workspace as its user meets it: in a browser, with ssh and sftp, and gone without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from docker import DockerClient

from tests.command import Command
from tests.end_to_end.containers import build_environment
from tests.engines.newer_engine import NEWER, SHARED
from tests.engines.page import open_page
from tests.engines.place import free_ports, install
from tests.engines.provide import provide
from tests.grouping import OLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.engines.browser import Browser

pytestmark = pytest.mark.docker

UID = 4242
NAME = "ours"
REPOSITORY = "snapenv-workspace-world"
RESULTS = "                  epoch,         train/box_loss\n 1, 1.5\n 2, 1.25\n 2, 1.0\n"
CELL = """
import importlib.util, json, os, sys
tools = [name for name in ("jupyterlab", "tensorboard") if importlib.util.find_spec(name)]
print(json.dumps([sys.prefix, tools, os.environ.get("PYTHONPATH", ""), os.getuid()]))
"""
SEEN = ["/opt/snapenv/venv", [], "", UID]
ALL = ("--jupyter", "--tensorboard", "--ssh")


@dataclass(frozen=True)
class World:
    """An environment in an engine, and a user with a project and a key."""

    client: DockerClient
    command: Command
    project: Path
    home: Path
    image: str

    def up(self, *words: str) -> dict[str, object]:
        user = ("--user", f"{UID}:{UID}", "--workdir", str(self.project))
        document = self.command.document("up", self.image, *user, *words)
        assert document["ok"], document
        result: dict[str, object] = document["result"]
        return result

    def ssh(
        self,
        *words: str,
        name: str = NAME,
        key: str = "id_ed25519",
        program: Sequence[str] = ("ssh",),
        given: bytes = b"",
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*program, *self._options(name, key), *words],
            input=given,
            capture_output=True,
            check=False,
            timeout=120,
        )

    def start_ssh(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["ssh", *self._options(NAME, "id_ed25519"), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def _options(self, name: str, key: str) -> tuple[str, ...]:
        config = self.home / "state" / "snapenv" / "ssh" / f"{name}.conf"
        return ("-F", str(config), "-i", str(self.home / ".ssh" / key), "-o", "BatchMode=yes")


@pytest.fixture(scope="module", params=[NEWER.name, pytest.param(OLDER, marks=pytest.mark.full)])
def world(request: pytest.FixtureRequest, newer_host: str, base_image: str) -> Iterator[World]:
    provide(lambda _: install({"openssh-client": "ssh"}))
    older = request.param == OLDER
    address = request.getfixturevalue("engine_host") if older else newer_host
    with (
        tempfile.TemporaryDirectory(prefix="workspace-", dir=SHARED) as name,
        contextlib.closing(DockerClient(base_url=address, timeout=600)) as client,
    ):
        folder = Path(name)
        folder.chmod(0o755)  # for the user of the workspace
        _make_project(folder / "project")
        command = Command({"DOCKER_HOST": address, **_make_home(folder / "home")})
        image = build_environment(
            client, command, base_image, folder / "snapshot", repository=REPOSITORY
        )
        yield World(client, command, folder / "project", folder / "home", image)
        _remove_images(client, image)


def _make_home(home: Path) -> Mapping[str, str]:
    """Make a home with a key, and without the public half of another one."""
    (home / ".ssh").mkdir(parents=True)
    for name in ("id_ed25519", "foreign"):
        key = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{home}/.ssh/{name}")
        subprocess.run(key, check=True)
    (home / ".ssh" / "foreign.pub").unlink()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return {"XDG_STATE_HOME": f"{home}/state", "XDG_CACHE_HOME": cache, "HOME": str(home)}


def _workspace_images(client: DockerClient) -> list[str]:
    return [image.tags[0] for image in client.images.list("snapenv-workspace")]


def _remove_images(client: DockerClient, image: str) -> None:
    """Remove an environment's image, and those of workspaces that stand on it."""
    own = client.images.get(image).attrs["RootFS"]["Layers"]
    for name in _workspace_images(client):
        if client.images.get(name).attrs["RootFS"]["Layers"][: len(own)] == own:
            client.images.remove(name, force=True)
    client.images.remove(image, force=True)


def _make_project(project: Path) -> None:
    run = project / "runs" / "train"
    run.mkdir(parents=True)
    (run / "results.csv").write_text(RESULTS)
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "source": [CELL]}
    kernel = {"kernelspec": {"name": "python3", "display_name": "x", "language": "python"}}
    notebook = {
        "cells": [{**cell, "execution_count": None}],
        "metadata": kernel,
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (project / "notebook.ipynb").write_text(json.dumps(notebook))
    for path in (project, *project.rglob("*")):
        os.chown(path, UID, UID)


@pytest.fixture(scope="module")
def up(world: World) -> Iterator[Mapping[str, object]]:
    """All that a workspace serves; how to reach it."""
    yield world.up(*ALL, "--name", NAME)
    world.command.run("down", NAME)


def token_of(up: Mapping[str, object]) -> str:
    return parse_qs(urlsplit(str(up["jupyter"])).query)["token"][0]


@pytest.mark.browser
def test_a_browser_logs_in_and_runs_a_cell_in_the_environment(
    world: World, up: Mapping[str, object], browser: Browser
) -> None:
    address = str(up["jupyter"]).partition("?")[0]

    with open_page(browser) as page:
        page.go(f"{address}/tree/notebook.ipynb")
        page.wait("document.querySelector('input[name=password]') !== null")
        page.evaluate("document.querySelector('input[name=password]').focus()")
        page.write(token_of(up))
        page.press_enter()
        page.wait("document.querySelector('.jp-Cell .cm-content') !== null")
        page.wait("document.body.innerText.includes('Python 3 | Idle')")
        page.evaluate("document.querySelector('.jp-Cell .cm-content').focus()")
        page.press_enter(shift=True)
        shown = page.wait("(document.querySelector('.jp-OutputArea-output') || {}).innerText")

    assert json.loads(str(shown)) == SEEN
    assert all(path.stat().st_uid == UID for path in world.project.rglob("*"))


def test_jupyter_lets_in_by_the_token_alone_and_by_no_other_name(
    up: Mapping[str, object],
) -> None:
    address = str(up["jupyter"]).partition("/lab")[0]
    login = {"Authorization": f"token {token_of(up)}"}

    def ask(path: str, headers: Mapping[str, str]) -> requests.Response:
        return requests.get(f"{address}/api/{path}", headers=headers, timeout=30)

    assert ask("contents", {}).status_code == 403
    assert ask("status", login).status_code == 200
    assert ask("status", {**login, "Host": "evil.example"}).status_code == 403
    assert list(ask("kernelspecs", login).json()["kernelspecs"]) == ["python3"]
    assert urlsplit(address).hostname == "127.0.0.1"


def test_tensorboard_shows_what_the_environment_did_not_log(up: Mapping[str, object]) -> None:
    plugin = f"{up['tensorboard']}/data/plugin/scalars"
    what: Mapping[str, str] = {"run": "results/train", "tag": "train/box_loss"}
    until = time.monotonic() + 60

    while "results/train" not in requests.get(f"{plugin}/tags", timeout=30).json():
        assert time.monotonic() < until
        time.sleep(1)
    scalars = requests.get(f"{plugin}/scalars", params=what, timeout=30).json()

    assert [(step, value) for _, step, value in scalars] == [(1, 1.5), (2, 1.0)]


@pytest.mark.usefixtures("up")
def test_ssh_runs_commands_in_the_environment(world: World) -> None:
    login = "bash -lc 'command -v python'"
    host = f"{NAME}.snapenv"

    assert world.ssh(host, "exit 7").returncode == 7
    assert world.ssh(host, "command -v python").stdout == b"/opt/snapenv/venv/bin/python\n"
    assert world.ssh(host, login).stdout == b"/opt/snapenv/venv/bin/python\n"
    assert world.ssh(host, "id -u; pwd").stdout.split() == [b"4242", b"/home/snapenv"]
    assert world.ssh(host, "exit 0", key="foreign").returncode == 255
    assert world.ssh(f"root@{host}", "exit 0").returncode == 255


@pytest.mark.usefixtures("up")
def test_ssh_carries_files_and_connections(world: World, tmp_path: Path) -> None:
    host = f"{NAME}.snapenv"
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(1 << 20))
    batch = f"put {sent} /tmp/carried\nget /tmp/carried {back}\n".encode()

    assert world.ssh("-b", "-", host, program=("sftp",), given=batch).returncode == 0
    port, proxy = free_ports(2)
    # As VS Code does: a shell without a terminal, and a SOCKS proxy beside it.
    words = ("-T", "-D", str(proxy), f"-L{port}:127.0.0.1:8888", host, "bash")
    with world.start_ssh(*words) as shell:
        assert shell.stdin
        assert shell.stdout
        shell.stdin.write(b"echo from bash\n")
        shell.stdin.flush()
        said = shell.stdout.readline()
        forwarded = requests.get(
            f"http://127.0.0.1:{port}/api", headers={"Connection": "close"}, timeout=60
        )
        by_proxy = _status_by_socks(proxy, 8888)
        shell.stdin.close()

    assert back.read_bytes() == sent.read_bytes()
    assert said == b"from bash\n"
    assert forwarded.status_code == 200
    assert by_proxy == b"HTTP/1.1 200 OK"


def _status_by_socks(proxy: int, port: int) -> bytes:
    """Ask Jupyter through a SOCKS proxy; return the first line of its answer. Source: RFC 1928."""
    with socket.create_connection(("127.0.0.1", proxy), timeout=60) as connection:
        connection.sendall(b"\x05\x01\x00")
        assert connection.recv(2) == b"\x05\x00"
        address = socket.inet_aton("127.0.0.1") + port.to_bytes(2, "big")
        connection.sendall(b"\x05\x01\x00\x01" + address)
        assert connection.recv(10)[1] == 0
        connection.sendall(b"GET /api HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return connection.makefile("rb").readline().strip()


def test_the_token_is_nowhere_and_the_environment_as_it_was(
    world: World, up: Mapping[str, object]
) -> None:
    container = world.client.containers.get(f"snapenv-{NAME}")
    token = token_of(up)

    proof = world.command.document(
        *("verify", world.image, "--container", f"snapenv-{NAME}", "--no-smoke")
    )

    listed = [image["name"] for image in world.command.result("list")["images"]]

    assert world.image in listed
    assert not [name for name in listed if name.startswith("snapenv-workspace:")]
    assert token not in json.dumps(container.attrs)
    assert token not in container.logs().decode()
    state = (path for path in (world.home / "state").rglob("*") if path.is_file())
    assert not [path for path in state if token.encode() in path.read_bytes()]
    changed = [str(change["Path"]) for change in container.diff()]
    assert not [path for path in changed if path.startswith("/opt/snapenv/venv")]
    assert proof["ok"], proof


def test_a_second_up_tells_the_same_addresses(world: World, up: Mapping[str, object]) -> None:
    again = world.up("--name", NAME)

    assert again == {**up, "started": False}


def test_without_a_network_ssh_works_and_down_leaves_nothing(world: World) -> None:
    words = ("--ssh", "--name", "apart", "--network", "none", "--yes")
    world.up(*words)
    world.client.containers.get("snapenv-apart").kill()
    result = world.up(*words)

    said = world.ssh("apart.snapenv", "ls /sys/class/net", name="apart")
    config = (world.home / ".ssh" / "config").read_text()
    same, changed = _up_again_after_a_change(world, *words)
    world.command.result("down", "apart")

    assert not any("not as locked" in one for one in same)
    assert any("not as locked: added.py" in one for one in changed)
    assert result["started"]
    assert result["ssh"] == "ssh apart.snapenv"
    assert config == f'Include "{world.home}/state/snapenv/ssh/*.conf"\n'
    assert said.stdout == b"lo\n"
    assert not world.client.containers.list(all=True, filters={"name": "snapenv-apart"})
    left = [path.name for path in (world.home / "state").rglob("*") if "apart" in path.name]
    assert left == []
    assert (world.project / "runs" / "train" / "results.csv").exists()


def _up_again_after_a_change(world: World, *words: str) -> tuple[list[str], list[str]]:
    """Return what an up says of a workspace that runs, before and after root adds a module."""
    add = "for site in /opt/snapenv/venv/lib/python3*/site-packages; do touch $site/added.py; done"
    user = ("--user", f"{UID}:{UID}", "--workdir", str(world.project))
    before = world.command.document("up", world.image, *user, *words)
    container = world.client.containers.get("snapenv-apart")
    assert container.exec_run(["sh", "-c", add], user="0").exit_code == 0
    after = world.command.document("up", world.image, *user, *words)
    world.command.error("not-as-locked", "up", "--strict", world.image, *user, *words)
    return before["warnings"], after["warnings"]


@pytest.mark.full
def test_its_image_serves_what_is_rendered_for_docker_compose(
    world: World, up: Mapping[str, object], registry: str, tmp_path: Path
) -> None:
    image = _push(
        world.client, world.image, f"{registry}/rendered/env:{world.image.partition(':')[2]}"
    )
    container = world.client.containers.get(str(up["container"]))
    tools = _push(world.client, container.attrs["Image"], f"{registry}/rendered/env:workspace")
    world.command.result(
        *("render", image, "--as", "compose", "--tools-image", tools, "-o", str(tmp_path)),
        *("--workdir", str(world.project), "--user", f"{UID}:{UID}"),
    )

    ports = {"SNAPENV_JUPYTER_PORT": "0", "SNAPENV_TENSORBOARD_PORT": "0"}

    def compose(*words: str) -> str:
        return subprocess.run(
            [Path(sys.executable).parent / "docker-compose", *words],
            cwd=tmp_path,
            env={**os.environ, **ports, "SNAPENV_CHECK_INTERVAL": "1s"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    try:
        compose("--profile", "*", "up", "--detach", "--wait")
        address = compose("port", "jupyter", "8888").strip()
        token = re.search(r"token=([0-9a-f]+)", compose("logs", "jupyter"))
        asked = f"http://{address}/api/kernelspecs"
        refused = requests.get(asked, timeout=10)
        answer = requests.get(asked, params={"token": token and token[1]}, timeout=10)
        board = compose("port", "tensorboard", "6006").strip()
        until = time.monotonic() + 60
        while not (runs := requests.get(f"http://{board}/data/runs", timeout=10).json()):
            assert time.monotonic() < until
            time.sleep(0.5)
    finally:
        compose("--profile", "*", "down", "--timeout", "5")
        for name in (image, tools):
            world.client.images.remove(name.partition("@")[0])

    assert refused.status_code == 403
    assert [run for run in runs if run.startswith("results")]  # of results.csv
    spec = answer.json()["kernelspecs"]["python3"]["spec"]
    assert spec["argv"][0] == "/opt/snapenv/venv/bin/python"


def _push(client: DockerClient, image: str, name: str) -> str:
    """Push an image under another name, and return that with its digest."""
    client.images.get(image).tag(name)
    pushed = client.api.push(name, stream=True, decode=True)
    (digest,) = [line["aux"]["Digest"] for line in pushed if "aux" in line]
    return f"{name}@{digest}"
