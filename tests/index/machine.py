"""What a test tells a machine: files of pip, uv and netrc, and a keyring program."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import tomlkit
from uv import find_uv_bin

from snapenv.index.wheels import IndexWheels
from snapenv.network.session import Patience

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

DEMO = "demo-1.0-py3-none-any.whl"
QUICK = Patience(connect_s=60.0, read_s=60.0, retries=2, backoff_s=0.0)


def quick_wheels(cache: Path | None = None) -> IndexWheels:
    """Return the real class, which does not wait long for a server on loopback."""
    return IndexWheels(cache, patience=QUICK)


def write_pip_conf(home: Path, **options: str) -> None:
    """Write the user's pip.conf."""
    path = home / ".config" / "pip" / "pip.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{name.replace('_', '-')} = {value}\n" for name, value in options.items())
    path.write_text("".join(("[global]\n", *lines)))


def write_uv_toml(home: Path, text: str) -> None:
    """Write the user's uv.toml."""
    path = home / ".config" / "uv" / "uv.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def put_keyring(folder: Path, answers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a ``keyring`` program on PATH that knows these words after ``get``; give its log."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = "".join(
        f"  {shlex.quote(words)}) printf '%s\\n' {shlex.quote(said)};;\n"
        for words, said in answers.items()
    )
    log = folder / "asked"
    log.touch()
    program = folder / "keyring"
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {shlex.quote(str(log))}\nshift\ncase "$*" in\n{cases}'
        "  *) exit 1;;\nesac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return log


def compile_with_uv(requirement: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Ask the real uv, told these variables, and give the addresses of the wheels it found.

    Raises:
        CalledProcessError: It found none.
    """
    done = subprocess.run(
        (find_uv_bin(), "pip", "compile", "-", "--format", "pylock.toml", "--no-deps", "--quiet"),
        input=requirement,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    packages = tomlkit.parse(done.stdout).unwrap()["packages"]
    return tuple(wheel["url"] for package in packages for wheel in package["wheels"])
