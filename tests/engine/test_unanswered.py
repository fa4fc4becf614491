"""Why no engine answers: real sockets and servers, each with one thing that is wrong."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from docker.tls import TLSConfig
from inline_snapshot import snapshot as wording

from snapenv.engine.address import Address
from snapenv.engine.connection import connect
from snapenv.engine.docker import DockerEngine
from snapenv.engine.ssh import ssh_words
from snapenv.engine.unanswered import explain
from snapenv.errors import EngineError, EngineMissingError
from tests.certificates import OPENSSL, make_certificates, serve
from tests.engine.answering import DOCKER, PODMAN, answering, silent
from tests.steady import steady

if TYPE_CHECKING:
    from pathlib import Path

QUICK_S = 0.3  # for what never answers
LONG_S = 60.0  # for what does
BRIDGE = """#!{python}
import os, socket, sys, threading
assert sys.argv[-1] == "docker --host unix:///over/there system dial-stdio", sys.argv
far = socket.socket(socket.AF_UNIX)
far.connect({path!r})
def back():
    while got := far.recv(65536):
        os.write(1, got)
    os._exit(0)
threading.Thread(target=back).start()
while got := os.read(0, 65536):
    far.sendall(got)
far.shutdown(socket.SHUT_WR)
"""


def refusal(address: Address, *, first_answer_s: float = LONG_S) -> EngineMissingError:
    with pytest.raises(EngineMissingError) as caught:
        connect(address, first_answer_s=first_answer_s)
    return caught.value


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_an_engine_that_never_answers_is_told_with_its_address(tmp_path: Path) -> None:
    with silent(tmp_path / "s") as url:
        error = refusal(Address(url=url), first_answer_s=QUICK_S)

    assert steady(error.message, url=url) == wording(
        "no Docker engine answers at URL: no answer within 0.3 s"
    )
    assert "systemctl restart docker" in error.hint


def test_who_has_not_answered_once_is_not_waited_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapenv.engine.connection.FIRST_ANSWER_S", QUICK_S)
    engine = DockerEngine()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/gone")
    with pytest.raises(EngineMissingError) as first:
        engine.describe()
    with answering(tmp_path / "gone"), pytest.raises(EngineMissingError) as second:
        engine.find("x")

    assert first.value is second.value


def test_an_engine_that_answers_no_more_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapenv.engine.connection.QUESTION_S", QUICK_S)
    with answering(tmp_path / "s", hangs_at="/info") as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        with pytest.raises(EngineError) as caught:
            DockerEngine().describe()

        assert str(caught.value) == wording(
            "the Docker engine does not answer any more: no answer arrived for too long"
        )

    assert "systemctl restart docker" in caught.value.hint


def test_a_socket_that_is_not_there_none_at_all_and_a_dead_one_are_three_things(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))

    told = {name: refusal(Address(url=f"unix://{tmp_path}/{name}")) for name in ("gone", "file")}
    told["dead"] = refusal(Address(url=f"unix://{tmp_path}/dead"))

    assert told["gone"].message.replace(str(tmp_path), "TMP") == wording(
        "no Docker engine answers at unix://TMP/gone: there is no such socket"
    )
    assert told["file"].message.replace(str(tmp_path), "TMP") == wording(
        "no Docker engine answers at unix://TMP/file: this is not a socket"
    )
    assert told["dead"].message.replace(str(tmp_path), "TMP") == wording(
        "no Docker engine answers at unix://TMP/dead: nothing listens at this socket"
    )
    assert len({error.hint for error in told.values()}) == 3


def test_a_socket_that_we_may_not_open_is_told_apart() -> None:
    behind = ConnectionError("Connection aborted.", PermissionError(13, "Permission denied"))

    error = explain(Address(url="unix:///x"), behind, waited_s=1.0)

    assert error.message == wording("you have no permission to use the Docker engine at unix:///x")
    assert "group docker" in error.hint


@pytest.mark.parametrize(
    ("answer", "status", "why", "hint"),
    [
        (
            wording("Client sent an HTTP request to an HTTPS server."),
            400,
            wording("no Docker engine answers at URL: it requires TLS"),
            "TLS_VERIFY=1",
        ),
        (
            "denied",
            403,
            wording("no Docker engine answers at URL: what answers refuses with 403"),
            "pass /version",
        ),
        (
            "<html>",
            404,
            wording("no Docker engine answers at URL: what answers there is not a Docker engine"),
            "right port",
        ),
        (
            "<html>",
            200,
            wording("no Docker engine answers at URL: what answers there is not a Docker engine"),
            "right port",
        ),
        (
            {},
            200,
            wording("no Docker engine answers at URL: what answers there is not a Docker engine"),
            "right port",
        ),
        (
            [],
            200,
            wording("no Docker engine answers at URL: what answers there is not a Docker engine"),
            "right port",
        ),
        (
            DOCKER | {"ApiVersion": "1.18"},
            200,
            wording("no Docker engine answers at URL: it is too old"),
            "Update Docker",
        ),
    ],
)
def test_an_answer_that_is_none_of_an_engines_is_told(
    tmp_path: Path, answer: object, status: int, why: str, hint: str
) -> None:
    with answering(tmp_path / "s", answer, status=status) as url:
        error = refusal(Address(url=url))

    assert error.message.replace(url, "URL") == why
    assert hint in error.hint


def test_podman_is_named_by_every_question_in_one_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(tmp_path / "s", PODMAN) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        engine = DockerEngine()
        told = set()
        for ask in (engine.check, engine.describe, lambda: engine.find("x")):
            with pytest.raises(EngineMissingError) as caught:
                ask()
            told.add((caught.value.message, caught.value.hint))

    ((message, hint),) = told
    assert steady(message, url=url) == wording(
        "Podman 4.3.1 answers at URL, and snapenv works with Docker's engine alone"
    )
    assert "pdate Docker" not in hint


@pytest.mark.parametrize(
    ("url", "why", "hint"),
    [
        ("tcp://127.0.0.1:9", "the connection is refused", "Start Docker there"),
        ("tcp://engine.invalid:2375", "its name cannot be resolved", "spelled right"),
    ],
)
def test_why_an_engine_elsewhere_does_not_answer_is_told(url: str, why: str, hint: str) -> None:
    error = refusal(Address(url=url))

    assert steady(error.message, url=url, why=why) == wording(
        "no Docker engine answers at URL: WHY"
    )
    assert hint in error.hint


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_a_proxy_before_an_engine_is_named_without_its_login(
    monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str
) -> None:
    monkeypatch.setenv(variable, f"{scheme}://me:canary@127.0.0.1:9")

    error = refusal(Address(url="tcp://192.0.2.1:2375"))

    assert f"{scheme}://127.0.0.1:9" in error.message
    assert "NO_PROXY=192.0.2.1" in error.hint
    assert "canary" not in error.message + error.hint


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
def test_each_fault_of_an_engines_tls_has_a_text_and_a_mend_of_its_own(tmp_path: Path) -> None:
    made, others = make_certificates(tmp_path / "made"), make_certificates(tmp_path / "others")
    ours, other = (
        TLSConfig(ca_cert=str(folder / "ca.crt"), verify=True) for folder in (made, others)
    )
    told = {}
    for name, tls in (
        ("expired", ours),
        ("not-yet-valid", ours),
        ("other-name", ours),
        ("good", other),
        ("plain", ours),
    ):
        with serve(made / f"{name}.crt" if name != "plain" else None) as host:
            told[name] = refusal(Address(url=f"tcp://{host}", tls=tls))

    assert steady(told["expired"].message) == wording(
        "no Docker engine answers at tcp://0.0.0.0:PORT: it has a certificate that has expired"
    )
    assert steady(told["not-yet-valid"].message) == wording(
        "no Docker engine answers at tcp://0.0.0.0:PORT: it has a certificate that is not valid yet by the clock of this machine"
    )
    assert steady(told["other-name"].message) == wording(
        "no Docker engine answers at tcp://0.0.0.0:PORT: it has a certificate for another host name"
    )
    assert "from an authority that is not trusted" in told["good"].message
    assert "ca.pem" in told["good"].hint
    assert steady(told["plain"].message) == wording(
        "no Docker engine answers at tcp://0.0.0.0:PORT: it answers over plain HTTP where HTTPS is expected"
    )
    assert "DOCKER_TLS_VERIFY" in told["plain"].hint
    assert len({error.hint for error in told.values()}) == len(told)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://there", ("--", "there", "docker system dial-stdio")),
        ("ssh://me@there:7", ("-l", "me", "-p", "7", "--", "there", "docker system dial-stdio")),
        ("ssh://there/x y", ("--", "there", "docker --host 'unix:///x y' system dial-stdio")),
    ],
)
def test_the_words_for_ssh_hold_what_an_address_does(url: str, words: tuple[str, ...]) -> None:
    assert ssh_words(url)[-len(words) :] == words


def fake_ssh(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / "ssh").write_text(script)
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_an_engine_is_reached_through_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "ssh://me@there/over/there"
    script = BRIDGE.format(python=sys.executable, path=str(tmp_path / "s"))
    fake_ssh(tmp_path / "bin", script, monkeypatch)
    monkeypatch.setenv("DOCKER_HOST", url)
    with answering(tmp_path / "s"):
        engine = DockerEngine()
        name, described = engine.check(), engine.describe()
        engine.client.close()

    assert name == wording("Docker 28.5.2 at ssh://me@there/over/there")
    assert not described.local


@pytest.mark.parametrize(
    "words",
    [
        "ssh: connect to host there port 22: Connection refused",
        "me@there: Permission denied (publickey).",
        "bash: docker: command not found",
    ],
)
def test_what_ssh_says_in_an_engines_place_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    fake_ssh(tmp_path / "bin", f"#!/bin/sh\necho '{words}' >&2\nexit 255\n", monkeypatch)

    error = refusal(Address(url="ssh://me@there"))

    assert error.message == f"no Docker engine answers at ssh://me@there: {words}"
    assert "ssh -oBatchMode=yes ssh://me@there docker version" in error.hint


def test_an_ssh_that_hangs_is_given_its_time_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    script = f"#!/bin/sh\necho $$ > {started}\nexec sleep 60\n"
    fake_ssh(tmp_path / "bin", script, monkeypatch)

    error = refusal(Address(url="ssh://there"), first_answer_s=5)  # until it has started, too

    assert error.message == wording("no Docker engine answers at ssh://there: no answer within 5 s")
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
