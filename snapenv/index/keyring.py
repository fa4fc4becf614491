"""Ask the ``keyring`` program of this machine, as pip and uv do.

Source: https://github.com/jaraco/keyring#command-line-utility
"""

from __future__ import annotations

import os
import shutil
import subprocess  # noqa: TID251 - it asks the person who runs snapenv, in no target

from snapenv.index.address import Login

_PATIENCE_S = 60.0  # it may be waiting for a person who unlocks it


def has_keyring() -> bool:
    """Say whether there is such a program."""
    return shutil.which("keyring") is not None


def ask_keyring(service: str, user: str | None) -> Login | None:
    """Ask for the password of a user, or for any login of a service.

    None where the program is not there, does not know, or does not answer within a minute.
    """
    words = ("get", service, user) if user else ("get", "--mode", "creds", service)
    said = _run(words)
    if said is None:
        return None
    lines = said.splitlines()
    if user:
        return Login(user=user, password=lines[0]) if lines and lines[0] else None
    return Login(user=lines[0], password=lines[1]) if len(lines) > 1 else None


def _run(words: tuple[str, ...]) -> str | None:
    program = shutil.which("keyring")
    if program is None:
        return None
    try:
        done = subprocess.run(
            (program, *words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            timeout=_PATIENCE_S,
        )
        return done.stdout.decode() if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
