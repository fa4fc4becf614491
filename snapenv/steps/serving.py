"""A workspace that was started: whether it answers, and how people and ssh reach it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.errors import InterpreterError, NotFoundError, StartError, WriteError
from snapenv.launch.records import forget
from snapenv.model.launch import InVenv, Port, RunRecord
from snapenv.ownership.staging import replace_file
from snapenv.places import home
from snapenv.workspace.layer import FOLDER
from snapenv.workspace.serving import STATE, Status, parse_status
from snapenv.workspace.ssh_client import (
    SshHost,
    alias,
    host_block,
    include_line,
    known_host,
    proxy_words,
    public_keys,
    with_include,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.model.launch import Launch
    from snapenv.ports import Runs, Services

WORKSPACE = "up"  # the kind of its run
READY_S = 120.0
_LOG_LINES = 5
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with


class Workspace(Struct, frozen=True, kw_only=True):
    """A workspace that answers, and its addresses."""

    record: RunRecord
    status: Status
    ports: tuple[Port, ...]  # as they are published now

    @property
    def jupyter(self) -> str | None:
        """The address of Jupyter, with the token that lets in."""
        address = self._address("jupyter")
        return f"{address}/lab?token={self.status.token}" if address else None

    @property
    def tensorboard(self) -> str | None:
        """The address of TensorBoard, which asks for nothing."""
        return self._address("tensorboard")

    def port(self, service: str) -> Port | None:
        """Return where a service listens on the engine's machine."""
        inside = self.status.ports.get(service)
        return next((port for port in self.ports if port.inside == inside), None)

    def _address(self, service: str) -> str | None:
        port = self.port(service)
        if port is None or port.host is None:
            return None
        host = "127.0.0.1" if port.address in _EVERYWHERE else port.address
        return f"http://{f'[{host}]' if ':' in host else host}:{port.host}"


def find_workspace(record: RunRecord, runs: Runs) -> Workspace:
    """Wait until all of a workspace answers.

    Raises:
        StartError: It does not, or has ended; the hint holds its last words.
    """
    words = (*_program(record.launch), "status", "--state", state_folder(record.launch))
    try:
        done = runs.execute(record.run, (*words, "--wait", f"{READY_S:.0f}"))
    except NotFoundError as error:
        raise _failed(f"{record.run} ended at once", record.run, runs) from error
    status = parse_status(done.stdout)
    if status is None:
        raise _failed(f"{record.run} does not tell how it is", record.run, runs)
    if status.waiting:
        names = " and ".join(status.waiting)
        raise _failed(f"{names} did not answer within {READY_S:.0f} s", record.run, runs)
    state = runs.state(record.run)
    published = state.ports if state and state.ports else record.launch.ports
    return Workspace(record=record, status=status, ports=published)


def state_folder(launch: Launch) -> str:
    """Return where the program of a workspace keeps what is its own."""
    in_venv = isinstance(launch.place, InVenv)
    return f"{launch.variables['SNAPENV_SCRATCH']}/workspace" if in_venv else STATE


def sshd_words(launch: Launch) -> tuple[str, ...]:
    """Return the command that is an sshd for one connection, in a workspace's container."""
    return (*_program(launch), "sshd", f"{FOLDER}/ssh", state_folder(launch))


def _program(launch: Launch) -> tuple[str, ...]:
    return launch.argv[: launch.argv.index("serve")]


def _failed(what: str, run: str, runs: Runs) -> StartError:
    lines = list[str]()
    with contextlib.suppress(NotFoundError):
        frames = runs.logs(run, follow=False, tail=_LOG_LINES)
        text = b"".join(out or err or b"" for out, err in frames)
        lines = text.decode(errors="replace").splitlines()
    return StartError(what, hint="\n".join(lines[-_LOG_LINES:]) or "It has said nothing.")


def own_keys(services: Services) -> tuple[str, ...]:
    """Return the public keys of the user's agent and of ~/.ssh, each once.

    Raises:
        NotFoundError: There are none.
    """
    texts = list[str]()
    with contextlib.suppress(InterpreterError):  # no ssh-add here
        done = services.local(sys.executable).run(("ssh-add", "-L"))
        texts.append(done.stdout if done.exit_code == 0 else "")
    for file in sorted((home(os.environ) / ".ssh").glob("*.pub")):
        with contextlib.suppress(OSError):
            texts.append(file.read_text(errors="replace"))
    keys = public_keys(texts)
    if not keys:
        raise NotFoundError(
            "you have no public key that could log in: none in ~/.ssh, none in an agent",
            hint="Make one: ssh-keygen -t ed25519",
        )
    return keys


def write_ssh_files(workspace: Workspace, services: Services) -> str:
    """Write what this machine's ssh needs of a workspace, and return its name for ssh.

    Raises:
        WriteError: It cannot be written.
    """
    record = workspace.record
    folder = ssh_folder(services)
    port = workspace.port("ssh")
    user = record.launch.user
    host = SshHost(
        alias=alias(record.run),
        user=user.name if user else "root",
        known_hosts=folder / f"{record.run}.known_hosts",
        port=port.host if port else None,
        address=port.address if port else "",
        proxy=proxy_words((sys.executable, "-m", "snapenv"), record.run, os.environ),
    )
    _write(host.known_hosts, known_host(host, workspace.status.host_key or ""))
    _write(folder / f"{record.run}.conf", host_block(host))
    return host.alias


def take_away(run: str, services: Services) -> None:
    """Forget a workspace that is gone: its record, and what ssh was told of it."""
    if services.state:
        forget(services.state, run)
    for suffix in ("conf", "known_hosts"):
        (ssh_folder(services) / f"{run}.{suffix}").unlink(missing_ok=True)


def ssh_folder(services: Services) -> Path:
    """Return the folder with what ssh is told of workspaces."""
    return (services.state or Path()) / "ssh"


def include_ssh_files(services: Services, confirm: Callable[[str], bool]) -> bool:
    """See that the user's ssh configuration reads ours; return whether it does.

    It is changed once, by a line at its beginning, and only where ``confirm`` allows that.

    Raises:
        WriteError: It cannot be written.
    """
    config = home(os.environ) / ".ssh" / "config"
    line = include_line(ssh_folder(services))
    try:
        text = config.read_text() if config.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise WriteError(f"cannot read {config}: {error}", hint="See who may read it.") from error
    if line in text.splitlines():
        return True
    if not confirm(f"Let {config} read what snapenv says of its workspaces?"):
        return False
    _write(config.resolve(), with_include(text, line))
    return True


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, text.encode())
    except OSError as error:
        raise WriteError(
            f"cannot write {path}: {error.strerror}", hint="Free some space."
        ) from error
