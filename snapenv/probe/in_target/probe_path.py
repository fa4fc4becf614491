"""Where the environment imports from, and which of these folders are its own."""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH100, PTH112, PTH119, PTH120

from __future__ import annotations

import os
import site
import sys
import sysconfig


def folders() -> list[str]:
    """Give the folders of ``sys.path`` in its order, resolved, each once, without this program."""
    program = os.path.dirname(os.path.abspath(__file__))
    resolved = (os.path.realpath(entry) for entry in sys.path if os.path.abspath(entry) != program)
    return list(dict.fromkeys(folder for folder in resolved if os.path.isdir(folder)))


def site_folders() -> list[str]:
    """Give the site-packages that belong to this environment alone and are imported from.

    None for an operating system's Python: there they belong to the system.
    """
    imported = folders()
    paths = (os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib"))
    return [
        folder
        for folder in dict.fromkeys(paths)
        if is_below(folder, sys.prefix) and not is_debian(folder) and folder in imported
    ]


def is_below(path: str, folder: str) -> bool:
    """Say whether a resolved path lies in a folder."""
    root = os.path.realpath(folder).rstrip(os.sep) + os.sep
    return path.startswith(root)


def is_debian(folder: str) -> bool:
    """Say whether a folder is one of those that Debian's Python, and so NVIDIA's images, use."""
    return os.path.basename(folder) == "dist-packages"


def user_site() -> str | None:
    """Give the user's own site-packages where they are looked at."""
    return os.path.realpath(site.getusersitepackages()) if site.ENABLE_USER_SITE else None
