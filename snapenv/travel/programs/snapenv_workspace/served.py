"""What a workspace was asked to serve, and the command of each of its programs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

TOKEN_FILE = "jupyter_token"  # noqa: S105 - its name
_SERVED_FILE = "served.json"


class Program(NamedTuple):
    """One program of a workspace, with what is added to the environment for it."""

    name: str
    argv: list[str]
    environment: dict[str, str]


class Served(NamedTuple):
    """What is served; a port is None for what was not asked for."""

    state: str  # a folder of this user alone
    address: str  # to listen at
    work: str  # the environment that has jupyterlab and tensorboard
    runs: str
    jupyter: int | None = None
    tensorboard: int | None = None
    ssh: str | None = None  # the folder of sshd and its libraries
    ssh_port: int | None = None  # without one, sshd is started for each connection
    keys: str = ""  # the file of the public keys that may log in
    contained: bool = False  # every process but PID 1 belongs to the workspace
    allow_root: bool = False  # of an engine without root, whose root is the user


def parse(words: list[str]) -> Served:
    """Read the words of ``serve``."""
    parser = argparse.ArgumentParser(prog="snapenv_workspace serve")
    for name in ("state", "work", "runs"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--address", default="127.0.0.1")
    for name in ("jupyter", "tensorboard", "ssh-port"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--ssh")
    parser.add_argument("--keys", default="")
    for name in ("contained", "allow-root"):
        parser.add_argument(f"--{name}", action="store_true")
    return Served(**vars(parser.parse_args(words)))


def write(served: Served) -> None:
    """Write down what is served, for ``status``."""
    Path(served.state, _SERVED_FILE).write_text(json.dumps(served._asdict()))


def read(state: str) -> Served | None:
    """Return what is served by the workspace of a state folder; None where it has not begun."""
    try:
        return Served(**json.loads(Path(state, _SERVED_FILE).read_text()))
    except (OSError, ValueError):
        return None


def programs(served: Served) -> list[Program]:
    """Return the programs that run as long as the workspace does.

    Jupyter is given its token as a file: neither its words nor its environment name it. It keeps
    its port or fails, as another one is not published.
    """
    python = str(Path(served.work, "bin", "python"))
    this = sys.argv[0]
    chosen = []
    if served.jupyter:
        options = {
            "ServerApp.ip": served.address,
            "ServerApp.port": served.jupyter,
            "ServerApp.port_retries": 0,
            "ServerApp.allow_remote_access": False,
            "ServerApp.allow_root": served.allow_root,
            "ServerApp.open_browser": False,
            "KernelSpecManager.ensure_native_kernel": False,
            "LabApp.extension_manager": "readonly",
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        environment = {
            "JUPYTER_TOKEN_FILE": str(Path(served.state, TOKEN_FILE)),
            "JUPYTER_PATH": str(Path(served.work, "kernels")),
            "JUPYTER_RUNTIME_DIR": str(Path(served.state, "jupyter")),
        }
        chosen.append(Program("jupyter", [python, "-I", "-m", "jupyterlab", *words], environment))
    if served.tensorboard:
        events = str(Path(served.state, "events"))
        shown = f"runs:{served.runs},results:{events}"
        where = ["--host", served.address, "--port", str(served.tensorboard)]
        board = [python, "-I", "-m", "tensorboard.main", "--logdir_spec", shown, *where]
        chosen.append(Program("tensorboard", board, {}))
        chosen.append(Program("events", [python, "-I", this, "events", served.runs, events], {}))
    if served.ssh and served.ssh_port:
        sshd = ["sshd", served.ssh, served.state, str(served.ssh_port)]
        chosen.append(Program("sshd", [sys.executable, "-I", "-S", this, *sshd], {}))
    return chosen
