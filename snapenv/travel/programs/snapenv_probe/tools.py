"""Files that venv, virtualenv, uv, pip, setuptools and Python itself put into an environment.

They are known by what they hold, not by their names. Strings in them are not compared, and nor are
absolute paths: they hold the environment's folder and its prompt.
Source: https://docs.python.org/3/library/venv.html
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH114, PTH118, PTH119

from __future__ import annotations

import functools
import hashlib
import os
import re
import sys

from snapenv_probe import entry_scripts, import_path
from snapenv_probe.tool_digests import DIGESTS

_NAMED = re.compile(r"(?:de)?activate[^/]*|pydoc\.bat", re.IGNORECASE)
_IN_SITE = ("_virtualenv.py", "_virtualenv.pth", "distutils-precedence.pth", "README.txt")
_OF_VENV = ("activate", "activate.csh", "activate.fish", "Activate.ps1")
_INSTALLER = re.compile(r"(pip|wheel|easy_install)-?[0-9.]*")
_MAINS = {
    "pip": (("pip._internal.cli.main", "main"), ("pip._internal", "main"), ("pip", "main")),
    "wheel": (("wheel.cli", "main"), ("wheel._commands", "main")),
    "easy_install": (("setuptools.command.easy_install", "main"),),
}
_STRING = re.compile(rb"""(["'])(?:(?!\1)[^\n$\\])*\1""")
_PROMPT = re.compile(rb"\([^()\n\"'$]*\) (?=\$)")
_PATH = re.compile(rb"(?<=[\s=(])/(?!dev/null)[^\s;&|\"'()]+")
_LIMIT_BYTES = 1 << 16  # no tool writes so much
_DIGITS = 16  # of a digest


def is_of_tool(file: str, path: str) -> bool:
    """Return whether a tool wrote a file as it is; ``path`` is from site-packages, as in RECORD."""
    name = os.path.basename(file)
    is_named = entry_scripts.is_in_bin(file) and _NAMED.fullmatch(name)
    if path in _IN_SITE or is_named:
        content = _read(file)
        return digest(content) in DIGESTS or _is_of_venv(name, content)
    return entry_scripts.is_in_bin(file) and _is_installer(file, name)


def _is_of_venv(name: str, content: bytes) -> bool:
    """Return whether this interpreter's own venv writes such a script, for versions not listed."""
    return name in _OF_VENV and masked(content) == masked(_by_venv().get(name, b"none"))


def digest(content: bytes) -> str:
    """Return a digest that two files share whose strings alone differ, in hex."""
    return hashlib.sha256(masked(content)).hexdigest()[:_DIGITS]


def masked(content: bytes) -> bytes:
    """Take out of a script what differs between two environments."""
    without = _STRING.sub(b"''", content.replace(b"\r\n", b"\n"))
    return _PATH.sub(b"''", _PROMPT.sub(b"() ", without))


def _is_installer(file: str, name: str) -> bool:
    """Return whether a file is the script of an installer that is not, or no longer, there."""
    match = _INSTALLER.fullmatch(name)
    if match is None:
        return False
    content = _read(file)
    return any(entry_scripts.is_generated(content, *main) for main in _MAINS[match[1]])


def _read(file: str) -> bytes:
    if os.path.islink(file):
        return b""
    content = entry_scripts.read(file) or b""
    return content if len(content) <= _LIMIT_BYTES else b""


@functools.lru_cache(maxsize=None)
def _by_venv() -> dict[str, bytes]:
    """Return the scripts that this interpreter's own venv would write, by name, or none."""
    import tempfile

    try:
        import venv

        with tempfile.TemporaryDirectory(prefix="snapenv-") as folder:
            builder = venv.EnvBuilder(prompt=_prompt())
            context = builder.ensure_directories(os.path.join(folder, os.path.basename(sys.prefix)))
            builder.setup_scripts(context)
            return {name: _read(os.path.join(context.bin_path, name)) for name in _OF_VENV}
    except Exception:  # noqa: BLE001 - whatever this Python's venv is like
        return {}


def _prompt() -> str | None:
    config = (entry_scripts.read(os.path.join(import_path.prefix(), "pyvenv.cfg")) or b"").decode(
        errors="replace"
    )
    match = re.search(r"^prompt = (['\"]?)(.*)\1$", config, re.MULTILINE)
    return match[2] if match else None
