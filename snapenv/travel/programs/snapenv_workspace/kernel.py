"""Start a Jupyter kernel that finds ipykernel behind the environment's own packages.

PYTHONPATH would put it before them, and every child process would see it.
"""

from __future__ import annotations

import sys


def start(folder: str) -> None:
    """Run ipykernel out of ``folder``; what is left of ``sys.argv`` is for it."""
    del sys.path[0]  # the zipapp
    sys.path.append(folder)
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()
