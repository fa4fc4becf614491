"""Which files may be run, on the one side and on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.python import Files, LooseFile

BITS = {True: "executable", False: "not executable"}


def executable_apart(left: Files | None, right: Files | None) -> Mapping[str, tuple[str, str]]:
    """Give the files that may be run on one side alone, in words, where both looks saw that."""
    if left is None or right is None or left.executable is None or right.executable is None:
        return {}
    there, here = set(left.executable), set(right.executable)
    return {path: (BITS[path in there], BITS[path in here]) for path in sorted(there ^ here)}


def loose_executable_apart(left: LooseFile | None, right: LooseFile | None) -> bool:
    """Say whether a file that no package owns may be run on one side alone."""
    if left is None or right is None or left.executable is None or right.executable is None:
        return False
    return left.executable is not right.executable
