"""A real sshd on loopback, and an ssh that finds it without the user's own configuration.

Each loopback address gives another login shell, by the name of the host. Debian's sshd runs as
whoever runs the tests, with a host key, a user key and a port of its own.
Source: https://man.openbsd.org/sshd_config
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines.place import Service, UnavailableError, call, install, kept_port, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engines.place import Place

HOST = "here"  # the user's own login shell
SHELLS = ("dash", "bash", "zsh", "fish")  # names of hosts, too
GREETING = "greeting"  # a host whose login shell prints on both streams, and obeys in a subshell
BARE = "bare"  # a host with hardly a program, no tar and no Python on its PATH; its sh is bash
REFUSING = "refusing"  # a host whose login shell runs nothing
STRANGER = "stranger"  # a host that does not know our key
_HOSTS = (HOST, *SHELLS, GREETING, BARE, REFUSING)
_PACKAGES = {"openssh-server": "sshd", "openssh-client": "ssh", "zsh": "zsh", "fish": "fish"}
_POLICY = Path("/usr/sbin/policy-rc.d")

_SERVER = """\
Port {port}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/user_key.pub
AuthenticationMethods publickey
StrictModes no
UsePAM no
PermitRootLogin yes
MaxStartups 100
"""
_LISTEN = "ListenAddress {address}\n"
_FORCED = """
Match LocalAddress {address}
    ForceCommand {command}
"""
_CLIENT = """
Host {name}
    HostName {address}
"""
_CLIENT_COMMON = """
Host *
    Port {port}
    User {user}
    IdentityFile {folder}/user_key
    IdentityAgent none
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile none
    HostKeyAlias snapenv-tests
    StrictHostKeyChecking yes
"""


def start_sshd(place: Place) -> Path:
    """Return a folder for PATH whose ``ssh`` knows the hosts named above; sshd is started.

    Raises:
        UnavailableError: It cannot run here.
    """
    folder = place.folder / "ssh"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _install()
    port = kept_port(folder / "port.json")
    _make_keys(folder)
    _make_bare(folder / "bare")
    changed = _write_server(folder, port)
    ssh = _write_client(folder, port)
    service = _service(place)
    if service.pid() is None or changed:
        service.stop()
        _start(service, folder, port)
    return ssh


def stop_sshd(place: Place) -> bool:
    """End our sshd; False where it did not run."""
    return _service(place).stop()


def _service(place: Place) -> Service:
    return Service(name="sshd", pid_file=place.run / "sshd.pid", log=place.folder / "sshd.log")


def _start(service: Service, folder: Path, port: int) -> None:
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it gives up its rights
    say(f"starting sshd at port {port}")
    config = str(folder / "sshd_config")
    service.start((_sshd(), "-D", "-e", "-f", config), answers=lambda: _answers(port))


def _sshd() -> str:
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "/usr/sbin/sshd"


def _install() -> None:
    if not all((Path(_sshd()).exists(), *map(shutil.which, ("ssh", *SHELLS)))):
        with _nothing_started():
            install(_PACKAGES)


@contextlib.contextmanager
def _nothing_started() -> Iterator[None]:
    """Keep apt from starting the system's sshd, where nobody has said what it may start.

    Source: https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
    """
    ours = os.getuid() == 0 and not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink()


def _make_keys(folder: Path) -> None:
    for name in ("host_key", "user_key"):
        if not (folder / f"{name}.pub").exists():
            call(
                "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", f"{folder}/{name}"
            )
    _put(folder / "known_hosts", f"snapenv-tests {(folder / 'host_key.pub').read_text()}")


def _make_bare(folder: Path) -> None:
    """Make a PATH of what a POSIX system surely has."""
    folder.mkdir(exist_ok=True)
    for name in ("cat", "mkdir", "mktemp", "rm", "sh"):
        if not (folder / name).exists():
            (folder / name).symlink_to(shutil.which("bash" if name == "sh" else name) or name)


def _write_server(folder: Path, port: int) -> bool:
    """Write what sshd reads; True where it is not what it was."""
    config = _SERVER.format(folder=folder, port=port)
    config += "".join(_LISTEN.format(address=address) for address in _addresses().values())
    for name, address in _addresses().items():
        if name != HOST:
            config += _FORCED.format(address=address, command=_login_shell(name, folder))
    return _put(folder / "sshd_config", config)


def _put(path: Path, text: str, *, mode: int = 0o644) -> bool:
    """Write a file that others may be reading in this moment; False where it is so already."""
    if path.exists() and path.read_text() == text:
        return False
    other = path.with_name(f"{path.name}.{os.getpid()}")
    other.write_text(text)
    other.chmod(mode)
    other.replace(path)
    return True


def _login_shell(name: str, folder: Path) -> str:
    """Return what obeys as a login shell would: sshd hands it to the user's own shell."""
    if name == REFUSING:
        return "echo This account is not available.; exit 1"
    if name == BARE:
        return f'PATH={folder / "bare"}; eval "$SSH_ORIGINAL_COMMAND"'
    if name == GREETING:
        said = 'printf "hello\\\\nstdout"; printf "hello\\\\nstderr" >&2'
        return f'{said}; (eval "$SSH_ORIGINAL_COMMAND"); exit $?'
    return f'exec {shutil.which(name)} -c "$SSH_ORIGINAL_COMMAND"'


def _write_client(folder: Path, port: int) -> Path:
    """Write what ssh reads, and an ssh that reads it: ssh itself looks only into the home."""
    config = folder / "ssh_config"
    hosts = (_CLIENT.format(name=name, address=address) for name, address in _addresses().items())
    stranger = f"\nHost {STRANGER}\n    HostName 127.0.0.1\n    User nobody\n"
    common = _CLIENT_COMMON.format(folder=folder, port=port, user=getpass.getuser())
    _put(config, "".join((*hosts, stranger, common)))
    binary = folder / "bin" / "ssh"
    binary.parent.mkdir(exist_ok=True)
    _put(binary, f'#!/bin/sh\nexec {_ssh()} -F {config} "$@"\n', mode=0o755)
    return binary.parent


def _ssh() -> str:
    found = shutil.which("ssh")
    if found is None:
        raise UnavailableError("no ssh")
    return found


def _addresses() -> dict[str, str]:
    return {name: f"127.0.0.{number}" for number, name in enumerate(_HOSTS, start=1)}


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
