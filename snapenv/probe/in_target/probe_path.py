"""Where the environment imports from, and which of these folders are its own."""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH100, PTH112, PTH119, PTH120

from __future__ import annotations

import functools
import os
import site
import sys

# Where NVIDIA's images keep what they bring: 23 and newer, their sources, and 22 and older.
_OF_IMAGE = ("/usr", "/opt/pytorch", "/opt/conda")


def folders() -> list[str]:
    """Give the folders of ``sys.path`` in its order, resolved, each once, without this program."""
    program = os.path.dirname(os.path.abspath(__file__))
    resolved = (os.path.realpath(entry) for entry in sys.path if os.path.abspath(entry) != program)
    return list(dict.fromkeys(folder for folder in resolved if os.path.isdir(folder)))


def site_folders() -> list[str]:
    """Give the site-packages that are imported from, less those of an operating system's Python."""
    return [folder for folder in folders() if is_site(folder) and not is_of_system(folder)]


def own_folders() -> list[str]:
    """Give the site-packages whose files are looked at: neither the system's nor an image's."""
    return [folder for folder in site_folders() if not is_of_image(folder)]


def is_of_image(folder: str) -> bool:
    """Say whether a folder came with NVIDIA's image; its pip and ours use one folder there."""
    if not os.environ.get("NVIDIA_PYTORCH_VERSION") or folder == user_site():
        return False
    is_venv = sys.prefix != sys.base_prefix
    if is_venv and is_below(folder, sys.prefix):
        return False
    roots = (*_OF_IMAGE, sys.base_prefix) if is_venv else _OF_IMAGE
    return is_debian(folder) or any(is_below(folder, root) for root in roots)


def prefix() -> str:
    """Give the folder that the environment lies in, resolved."""
    return os.path.realpath(sys.prefix)


def root_of(folder: str) -> str:
    """Give the folder that holds bin and share for what is installed in ``folder``.

    That is three above of ``lib/python3.11/site-packages``, else the environment's own.
    """
    above = os.path.dirname(folder)
    if is_site(folder) and os.path.basename(above).startswith(("python", "pypy")):
        return os.path.dirname(os.path.dirname(above))
    return prefix()


def is_site(folder: str) -> bool:
    """Say whether installers put packages into a folder, by its name."""
    return os.path.basename(folder) in ("site-packages", "dist-packages")


def is_of_system(folder: str) -> bool:
    """Say whether a folder belongs to the operating system's packages."""
    return folder.startswith(("/usr/lib/", "/usr/lib64/"))


def is_below(path: str, folder: str) -> bool:
    """Say whether a resolved path lies in a folder."""
    return path.startswith(_root(folder))


@functools.lru_cache(maxsize=None)
def _root(folder: str) -> str:
    return os.path.realpath(folder).rstrip(os.sep) + os.sep


def is_debian(folder: str) -> bool:
    """Say whether a folder is one of those that Debian's Python, and so NVIDIA's images, use."""
    return os.path.basename(folder) == "dist-packages"


def user_site() -> str | None:
    """Give the user's own site-packages where they are looked at."""
    return os.path.realpath(site.getusersitepackages()) if site.ENABLE_USER_SITE else None
