"""Which paths of an environment a snapshot can hold."""

from __future__ import annotations

import re
from posixpath import normpath
from typing import TYPE_CHECKING

from snapenv.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Control characters, line separators, and how Python holds a byte that is no UTF-8.
_UNWRITABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def place_in_environment(owner: str, path: str, minor: str) -> str:
    """Return ``site/PATH`` or ``prefix/PATH`` of a file that RECORD names from site-packages.

    ``minor`` is Python's, such as "3.11"; of ``../../../bin/x`` the place is ``prefix/bin/x``.

    Raises:
        LockError: As ``refuse_unsafe``.
    """
    site = f"lib/python{minor}/site-packages"
    below = normpath(f"{site}/{path}") if path.startswith("../") else f"{site}/{path}"
    refuse_unsafe(owner, (path, below) if below.endswith(f"/{path}") else (below,))
    inside = below.removeprefix(f"{site}/")
    return f"site/{inside}" if inside != below else f"prefix/{below}"


def refuse_unsafe(owner: str, paths: Iterable[str]) -> None:
    """Check that paths stay below their root and can be written in a line of UTF-8.

    Raises:
        LockError: A path is absolute or leads out, or has a control character or is no UTF-8.
    """
    for path in paths:
        if _UNWRITABLE.search(path):
            raise LockError(
                f"the name {path!r} of {owner} has a control character or is no UTF-8",
                hint="Rename or remove the file.",
            )
        if path.startswith(("/", "~/")) or not {"", ".", ".."}.isdisjoint(path.split("/")):
            raise LockError(
                f"the file {path} of {owner} lies outside of the environment",
                hint="Move it into the environment, or uninstall what put it there.",
            )
