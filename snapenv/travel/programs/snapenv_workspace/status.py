"""Say whether the programs of a workspace answer, and what a client needs to know."""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import sys
import time
from pathlib import Path

from snapenv_workspace import served, ssh

_MARK = "snapenv-workspace: "
_TIMEOUT_S = 5.0
_LOOK_EVERY_S = 0.1
_OK = 200


def main() -> int:
    """Wait until all programs answer, and print one JSON line: the state as it is then."""
    parser = argparse.ArgumentParser(prog="snapenv_workspace status")
    parser.add_argument("--state", required=True)
    parser.add_argument("--wait", type=float, default=0.0)
    words = parser.parse_args()
    until = time.monotonic() + words.wait
    while True:
        document = _document(words.state)
        if document["waiting"] == [] or time.monotonic() >= until:
            break
        time.sleep(_LOOK_EVERY_S)
    sys.stdout.write(f"\n{_MARK}{json.dumps(document)}\n")
    return 0


def _document(state: str) -> dict[str, object]:
    wanted = served.read(state)
    if wanted is None:
        return {"waiting": ["workspace"], "token": None, "host_key": None}
    token = _read(Path(state, served.TOKEN_FILE))
    ports = {
        "jupyter": wanted.jupyter,
        "tensorboard": wanted.tensorboard,
        "ssh": wanted.ssh_port,
    }
    answers = {
        "jupyter": wanted.jupyter is None
        or _asks(wanted.jupyter, "/api/status", {"Authorization": f"token {token or ''}"}),
        "tensorboard": wanted.tensorboard is None
        or _asks(wanted.tensorboard, "/data/environment", {}),
        "ssh": wanted.ssh_port is None or _sshd_answers(wanted.ssh_port),
    }
    return {
        "waiting": [name for name, answer in answers.items() if not answer],
        "token": token,
        "host_key": ssh.host_key(Path(state)),
        "ports": {name: port for name, port in ports.items() if port},
    }


def _asks(port: int, path: str, headers: dict[str, str]) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status == _OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _sshd_answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None
