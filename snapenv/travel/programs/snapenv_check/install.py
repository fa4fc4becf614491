"""Make snapenv-check ready in an image: compiled, startable, and with how all files stand.

It runs once, as the last step that makes the image. A record that cannot be written leaves a check
that is slower, and an image that is made all the same.
"""

# Paths are plain strings, as elsewhere in what travels.
# ruff: noqa: PTH101, PTH103, PTH118, PTH119, PTH120, PTH123, S103, S606

from __future__ import annotations

import os
import shlex
import sys
import traceback

from snapenv_check import compare, environment, expected, record
from snapenv_probe import bytecode, file_tree, hash_index, import_path, start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from snapenv_probe.file_status import Status

_ROOT = os.path.dirname(os.path.dirname(start.PROGRAM))  # the snapshot is a folder in there
_STARTER = os.path.join(_ROOT, "bin", "snapenv-check")
_PROGRAM = os.path.join(_ROOT, "check", os.path.basename(start.PROGRAM))


def install() -> None:
    """Install this program beside its snapshot, and let what was installed write the record.

    Raises:
        OSError: A file cannot be written.
    """
    words = (sys.executable, "-B", _PROGRAM)
    _write(_PROGRAM, bytecode.compiled(start.PROGRAM, with_sources=False))
    _write(_STARTER, f'#!/bin/sh\nexec {" ".join(map(shlex.quote, words))} "$@"\n'.encode())
    os.chmod(_STARTER, 0o755)
    sys.stdout.flush()
    os.execv(sys.executable, [*words, "--record"])


def write_record() -> None:
    """Look at every file, and write down how all stands and what is not as locked."""
    try:
        lock, path = expected.read(), import_path.folders()
        tree = file_tree.walk(import_path.own_folders(), file_tree.root())
        index = _Names()
        facts = environment.describe(path, tree, index)
        findings = compare.contents(lock["facts"], facts)
        recorded = record.Recorded(findings, environment.count_packages(facts))
        record.write(path, tree, recorded, hashed=index.names, libraries=facts["loaded"])
    except Exception:  # noqa: BLE001 - without a record, the files are looked at each time
        traceback.print_exc()


class _Names(hash_index.Index):
    """An index that knows nothing, and notes which files are hashed."""

    def __init__(self) -> None:
        super().__init__(None)
        self.names: set[str] = set()

    def learn(self, path: str, _sha256: str, _before: Status) -> None:
        """Note a file."""
        self.names.add(path)


def _write(file: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "wb") as stream:
        stream.write(content)
