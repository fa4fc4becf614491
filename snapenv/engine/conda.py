"""A conda prefix from a lock alone, by py-rattler: what was installed, without a solver.

py-rattler runs in a program of its own, the one that an image is made with too.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.engine.full_disk import could_not_make
from snapenv.errors import InstallError, WriteError
from snapenv.model.snapshot import INSTALL_CONDA
from snapenv.places import is_folder
from snapenv.program import has_rattler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.ports import Completed, Target

_NO_SPACE = re.compile(r"[Nn]o space left on device")
_TOO_LONG = "target prefix cannot be longer than the placeholder prefix"


def check_rattler() -> None:
    """Check that conda's packages can be installed here.

    Raises:
        InstallError: py-rattler is not installed beside snapenv.
    """
    if not has_rattler():
        raise InstallError(
            "py-rattler, which installs conda's packages, is not installed beside snapenv",
            hint="Install it: pip install 'snapenv[conda]'; or restore with --engine docker.",
        )


def install_conda_packages(program: Target, files: Path, lock: str, into: Path) -> None:
    """Install the packages of a lock into a new prefix.

    ``files`` is a folder with a snapshot's files, ``lock`` is the name of one of these, and
    ``program`` runs snapenv's own Python.

    Raises:
        InstallError: An archive cannot be had or is another one, or does not fit there.
        WriteError: The disk is full.
    """
    script = str(files / INSTALL_CONDA)
    words = (sys.executable, "-B", script, str(files / lock), str(into))
    done = program.run(words, environment=_trusted(os.environ))
    if done.exit_code != 0:
        raise _failed(done, into)


def _trusted(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variable by which py-rattler trusts the authorities that this machine trusts."""
    from snapenv.network.session import choose_authorities

    path = choose_authorities(environment)
    if path is None:
        return {}
    return {"SSL_CERT_DIR" if is_folder(Path(path)) else "SSL_CERT_FILE": path}


def _failed(done: Completed, into: Path) -> InstallError | WriteError:
    stderr = " ".join(done.stderr.split())
    if _NO_SPACE.search(stderr):
        what = "of bytes or of inodes" if could_not_make(stderr) else "of bytes"
        return WriteError(
            f"the disk is full, {what}: conda's packages could not be written",
            hint="Free some space there or in the package cache (RATTLER_CACHE_DIR); "
            "nothing was left behind.",
        )
    if _TOO_LONG in stderr:
        return InstallError(
            f"{into} is too long a path: the packages of this environment leave "
            f"fewer than its {len(str(into))} characters for it ({stderr.partition(': ')[2]})",
            hint="Give a shorter one with --into.",
        )
    return InstallError(
        f"conda's packages could not be installed: {stderr.removeprefix('conda: ')}",
        hint="Check that the channels of conda-explicit.txt answer from here, "
        "and have these packages.",
    )
