"""An sshd for one user: its keys, its configuration and its libraries.

Where the user is root, of an engine without root, that is whoever runs the engine.

Sources: https://man.openbsd.org/sshd_config and https://man.openbsd.org/sshd
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from typing import Mapping

_OF_EACH_SESSION = ("HOME", "HOSTNAME", "LOGNAME", "OLDPWD", "PWD", "SHELL", "SHLVL", "USER", "_")
_CONFIG = """\
HostKey {state}/host_key
PidFile none
AuthorizedKeysFile {keys}
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin {root}
UsePAM no
X11Forwarding no
PrintMotd no
Subsystem sftp internal-sftp
"""
_SEPARATED = "sshd:x:74:65534::/run/sshd:/usr/sbin/nologin"  # who sshd is until a login, if root
_PROGRAMS = {"SshdSessionPath": "sshd-session", "SshdAuthPath": "sshd-auth"}  # since 9.8, 10.0


def prepare(programs: Path, state: Path, keys: str, environment: Mapping[str, str]) -> None:
    """Make a host key where there is none, and write the configuration."""
    host_key = state / "host_key"
    if not host_key.exists():
        words = [str(programs / "ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "workspace"]
        subprocess.run([*words, "-f", str(host_key)], env=_loading(programs), check=True)
    paths = {key: programs / name for key, name in _PROGRAMS.items()}
    extra = "".join(f"{key} {path}\n" for key, path in paths.items() if path.exists())
    is_root = os.getuid() == 0
    root = "prohibit-password" if is_root else "no"
    config = _CONFIG.format(state=state, keys=keys, root=root) + extra + set_env(environment)
    (state / "sshd_config").write_text(config)
    if is_root:
        _separate()


def _separate() -> None:
    """Make what sshd asks for where it is root: a user of its own, and an empty folder."""
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    users = Path("/etc/passwd")
    known = users.read_text()
    if not any(line.startswith("sshd:") for line in known.splitlines()):
        users.write_text("{}\n{}\n".format(known.rstrip("\n"), _SEPARATED))


def set_env(environment: Mapping[str, str]) -> str:
    """Return the line that gives a session the variables of the container.

    sshd starts each with an empty environment. A login shell sets PATH anew, which a script of
    /etc/profile.d takes back by SNAPENV_PATH.
    """
    given = {**environment, "SNAPENV_PATH": environment.get("PATH", "")}
    pairs = (
        _quoted(f"{name}={value}")
        for name, value in sorted(given.items())
        if name not in _OF_EACH_SESSION and not name.startswith("SSH_") and "\n" not in value
    )
    return f"SetEnv {' '.join(pairs)}\n"


def execute(programs: str, state: str, port: str | None = None) -> NoReturn:
    """Become sshd: on stdin and stdout, or at a port."""
    sshd = str(Path(programs, "sshd"))
    mode = ["-D", "-p", port] if port else ["-i", "-o", "LogLevel=ERROR"]  # stderr is the client's
    words = [sshd, *mode, "-e", "-f", str(Path(state, "sshd_config"))]
    os.execve(sshd, words, _loading(Path(programs)))  # noqa: S606 - no shell is meant


def _loading(programs: Path) -> Mapping[str, str]:
    """Return an environment in which the libraries beside the programs are loaded."""
    return {"PATH": os.defpath, "LD_LIBRARY_PATH": str(programs / "lib")}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def host_key(state: Path) -> str | None:
    """Return the public half of the host key, as ``ssh-ed25519 AAAA…``, where there is one."""
    try:
        return " ".join((state / "host_key.pub").read_text().split()[:2])
    except OSError:
        return None
