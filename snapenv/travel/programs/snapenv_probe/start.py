"""The import path that this program was started with, and one by which its own imports are safe."""

# Paths are plain strings, as the interpreter has them.
# ruff: noqa: PTH100, PTH118, PTH120

from __future__ import annotations

import os
import sys

PATH = tuple(sys.path)
PROGRAM = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # a zipapp, or a folder


def protect() -> None:
    """Let Python's own modules come from its own library, whatever stands before that.

    PYTHONPATH may hold another ``json``: it is to be told, and not to be run.
    """
    library = os.path.dirname(os.__file__)
    own = [place for place in PATH[1:] if place in (library, os.path.join(library, "lib-dynload"))]
    sys.path[1:] = [*own, *(place for place in PATH[1:] if place not in own)]
