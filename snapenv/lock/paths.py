"""Which paths of an environment a snapshot can hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snapenv.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Control characters, and those and bytes that are no UTF-8 as Python and the probe write them.
_UNWRITABLE = re.compile(
    r"[\0-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]"
    r"|\\(?:[nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})"
)


def refuse_unsafe(owner: str, paths: Iterable[str]) -> None:
    """Check that paths stay below their root and can be written in a line of UTF-8.

    Raises:
        LockError: A path is absolute or leads out, or its name has a line break or is no UTF-8.
    """
    for path in paths:
        if _UNWRITABLE.search(path):
            raise LockError(
                f"the name {path!r} of {owner} has a line break or is no UTF-8",
                hint="Rename or remove the file.",
            )
        if path.startswith(("/", "~/")) or not {"", ".", ".."}.isdisjoint(path.split("/")):
            raise LockError(
                f"the file {path} of {owner} lies outside of the environment",
                hint="Move it into the environment, or uninstall what put it there.",
            )
