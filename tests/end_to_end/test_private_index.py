"""Packages of an index behind a password: proved, built and restored, and the password nowhere."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tomlkit
from docker import DockerClient

from tests.command import Command
from tests.engines.index_server import IndexServer, build_wheel, serve_index
from tests.zoo.environment import Venv

if TYPE_CHECKING:
    from collections.abc import Iterator


PASSWORD = "hunter2-canary-of-the-index"
LOGIN = ("reader", PASSWORD)


@dataclass(frozen=True)
class Private:
    """An environment with a package of the private index beside one of the public one."""

    server: IndexServer
    environment: Venv
    snapshot: Path
    command: Command


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Private]:
    folder = tmp_path_factory.mktemp("private")
    with serve_index(build_wheel("inner_tool", "2.0"), build_wheel("other_tool")) as server:
        server.login = LOGIN
        made = Venv(folder / "venv").make()
        made.install("--extra-index-url", server.index_as(":".join(LOGIN)), "inner-tool==2.0")
        made.install("markupsafe==3.0.2")
        command = Command(
            {
                "PIP_EXTRA_INDEX_URL": server.index_as(":".join(LOGIN)),
                "XDG_CACHE_HOME": str(folder / "cache"),
                "UV_CACHE_DIR": str(folder / "uv"),
            }
        )
        snapshot = folder / "snapshot"
        words = ("capture", "--no-smoke", "--python", str(made.python), "-o", str(snapshot))
        done = command.run(*words)
        assert done.returncode == 0, done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        yield Private(server, made, snapshot, command)


def held(folder: Path) -> bytes:
    """Return every byte below a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_it_is_proved_by_the_record_that_only_a_password_opens(private: Private) -> None:
    lock = tomlkit.parse((private.snapshot / "pylock.toml").read_text()).unwrap()

    packages = {package["name"]: package for package in lock["packages"]}
    inner = packages["inner-tool"]
    assert inner["tool"]["snapenv"] == {"proof": "record"}
    assert inner["wheels"][0]["url"] == private.server.wheel("inner_tool-2.0-py3-none-any.whl").url
    assert PASSWORD.encode() not in held(private.snapshot)


def test_a_venv_comes_back_with_the_password_of_this_machine(
    private: Private, tmp_path: Path
) -> None:
    into = tmp_path / "back"

    done = private.command.run(
        "restore", str(private.snapshot), "--engine", "venv", "--into", str(into)
    )

    assert done.returncode == 0, done.stderr
    assert Venv(into).look() == private.environment.look()
    assert PASSWORD.encode() not in held(into) + (done.stdout + done.stderr).encode()


def test_a_second_restore_downloads_no_private_wheel_again(
    private: Private, tmp_path: Path
) -> None:
    command = Command({**private.command.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")})
    counts = []
    for name in ("first", "second"):
        before = len(private.server.files_asked())
        words = ("restore", str(private.snapshot), "--engine", "venv", "--no-smoke")
        command.result(*words, "--into", str(tmp_path / name))
        counts.append(len(private.server.files_asked()) - before)

    assert counts[0] > 0
    assert counts[1] == 0


def test_without_the_password_the_package_and_the_host_are_named(
    private: Private, tmp_path: Path
) -> None:
    without = Command({"UV_CACHE_DIR": str(tmp_path / "uv")})

    words = ("restore", str(private.snapshot), "--engine", "venv", "--into", str(tmp_path / "back"))
    said = without.error("install", *words)

    assert "inner-tool" in said or "inner_tool" in said
    assert "127.0.0.1" in said
    assert not (tmp_path / "back").exists()


def test_a_capture_without_the_password_says_who_asked_for_one(
    private: Private, tmp_path: Path
) -> None:
    without = Command(
        {
            "PIP_EXTRA_INDEX_URL": private.server.index,
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "UV_CACHE_DIR": str(tmp_path / "uv"),
        }
    )

    done = without.document(
        *("capture", "--no-smoke", "--python", str(private.environment.python)),
        *("-o", str(tmp_path / "snapshot")),
    )

    assert done["error"]["kind"] in {"lock", "index"}
    assert "127.0.0.1" in done["error"]["message"] + done["error"]["hint"]
    assert not (tmp_path / "snapshot").exists()


@pytest.mark.docker
def test_an_image_is_built_without_the_password_reaching_the_engine(
    private: Private, registry: str, base_image: str, engine_host: str, tmp_path: Path
) -> None:
    command = Command({**private.command.environment, "DOCKER_HOST": engine_host})
    snapshot = str(tmp_path / "snapshot")
    client = DockerClient(base_url=engine_host, timeout=600)
    try:
        with working(client, base_image, private.server) as container:
            command.result(
                *("capture", "--container", container, "--python", "/env/bin/python"),
                *("--no-smoke", "--base", base_image, "-o", snapshot),
            )
        built = command.result(
            *("build", snapshot, "--repository", f"{registry}/team/private", "--replace"),
        )

        image = client.images.get(built["image"])
        run = ["/opt/snapenv/venv/bin/python", "-c", "import inner_tool; print(inner_tool.x)"]
        assert client.containers.run(image, run, remove=True).endswith(b"\n1\n")
        assert PASSWORD.encode() not in b"".join(image.save())
        assert PASSWORD not in str(image.history()) + str(image.attrs)
        client.images.remove(built["image"], force=True)
    finally:
        client.close()


@contextmanager
def working(client: DockerClient, base: str, server: IndexServer) -> Iterator[str]:
    """Yield the name of a container into whose venv the private package was installed."""
    container = client.containers.run(
        base, ["sleep", "600"], detach=True, network_mode="host", init=True
    )
    index = server.index_as(":".join(LOGIN))
    try:
        for words in (
            "python3 -m venv --system-site-packages /env",
            f"/env/bin/pip install --quiet --no-deps --index-url {index} inner-tool==2.0",
        ):
            code, output = container.exec_run(words, environment={"PIP_CONSTRAINT": ""})
            assert code == 0, output
        yield str(container.name)
    finally:
        container.remove(force=True)
