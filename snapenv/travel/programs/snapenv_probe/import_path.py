"""Where the environment imports from, and which of these folders are its own."""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH100, PTH112, PTH113, PTH118, PTH119, PTH120, PTH208

from __future__ import annotations

import functools
import os
import re
import site
import sys

from snapenv_probe import start

# Where NVIDIA's images keep what they bring: 23 and newer, their sources, and 22 and older.
_OF_IMAGE = ("/usr", "/opt/pytorch", "/opt/conda")
_OF_PYTHON = re.compile(r"(?:python|pypy)[0-9]+t?\.zip")  # its own library, as one file


def folders() -> list[str]:
    """Return the folders of the import path in order, resolved, each once, without this program.

    A site-packages that is a link keeps its own name: RECORD names ``bin`` from there.
    """
    return [place for place in places() if os.path.isdir(place)]


def places() -> list[str]:
    """Return the folders of the import path, and what is in it of and in zip archives."""
    started = (entry for entry in start.PATH if os.path.abspath(entry) != start.PROGRAM)
    resolved = map(os.path.realpath, started)
    named = dict.fromkeys(_sites().get(place, place) for place in resolved)
    return [place for place in named if os.path.isdir(place) or archive(place)]


def archive(place: str) -> str | None:
    """Return the zip archive that a path is of, or leads into; None where there is none."""
    while not os.path.lexists(place) and place != os.path.dirname(place):
        place = os.path.dirname(place)
    if not os.path.isfile(place) or _OF_PYTHON.fullmatch(os.path.basename(place)):
        return None
    import zipfile  # takes 10 ms, and is seldom needed

    return place if zipfile.is_zipfile(place) else None


def site_folders() -> list[str]:
    """Return the site-packages that are imported from, but an operating system's."""
    return [folder for folder in folders() if is_site(folder) and not is_of_system(folder)]


def own_folders() -> list[str]:
    """Return the site-packages whose files are looked at: neither the system's nor an image's."""
    return [folder for folder in site_folders() if not is_of_image(folder)]


def is_of_image(folder: str) -> bool:
    """Return whether a folder came with NVIDIA's image; its pip and ours use one folder there."""
    if not os.environ.get("NVIDIA_PYTORCH_VERSION") or folder == user_site():
        return False
    is_venv = sys.prefix != sys.base_prefix
    if is_venv and is_below(folder, sys.prefix):
        return False
    roots = (*_OF_IMAGE, sys.base_prefix) if is_venv else _OF_IMAGE
    return is_debian(folder) or any(is_below(folder, root) for root in roots)


def prefix() -> str:
    """Return the folder that the environment lies in, resolved."""
    return os.path.realpath(sys.prefix)


@functools.lru_cache(maxsize=None)
def conda() -> str | None:
    """Return the folder that the environment lies in where it is a prefix of conda; else None.

    A venv that a Python of conda made is none, nor is what came with NVIDIA's image.
    """
    root = prefix()
    is_own = sys.prefix == sys.base_prefix and not is_of_image(root)
    return root if is_own and os.path.isdir(os.path.join(root, "conda-meta")) else None


def root_of(folder: str) -> str:
    """Return the folder that holds bin and share for what is installed in ``folder``.

    That is three above of ``lib/python3.11/site-packages``, else the environment's own.
    """
    above = os.path.dirname(folder)
    is_named = os.path.basename(folder) in ("site-packages", "dist-packages")
    if is_named and os.path.basename(above).startswith(("python", "pypy")):
        return os.path.dirname(os.path.dirname(above))
    return prefix()


def is_site(folder: str) -> bool:
    """Return whether this interpreter has a folder for what is installed."""
    return folder in _sites().values()


@functools.lru_cache(maxsize=None)
def _sites() -> dict[str, str]:
    """Return the name of each site-packages of this interpreter, by where it really lies.

    The name is the real one where that is among them: ``lib64`` may be a link to ``lib``.
    """
    own = site.getusersitepackages() if site.ENABLE_USER_SITE else None
    names = [_below_real_root(way) for way in (*_installed_into(), own) if way]
    sites: dict[str, str] = {}
    for name in names:
        real = os.path.realpath(name)
        sites.setdefault(real, real if real in names else name)
    return sites


def _installed_into() -> list[str]:
    """Ask ``site``, which virtualenv before 20 had replaced by one that does not tell."""
    if hasattr(site, "getsitepackages"):
        return site.getsitepackages()
    import sysconfig  # reads what Python was built with, in 2 ms

    return [*map(sysconfig.get_path, ("purelib", "platlib"))]


def _below_real_root(path: str) -> str:
    """Resolve the folder that an installation lies in, and nothing below it."""
    for root in (sys.prefix, sys.exec_prefix, sys.base_prefix, site.getuserbase()):
        if root and path.startswith(root + os.sep):
            return os.path.join(os.path.realpath(root), path[len(root) + 1 :])
    return os.path.realpath(path)


def is_of_system(folder: str) -> bool:
    """Return whether a folder belongs to the operating system's packages."""
    return folder.startswith(("/usr/lib/", "/usr/lib64/"))


def names(folder: str) -> list[str]:
    """List what a folder holds, sorted; nothing where it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def is_below(path: str, folder: str) -> bool:
    """Return whether a resolved path lies in a folder."""
    return path.startswith(_root(folder))


@functools.lru_cache(maxsize=None)
def _root(folder: str) -> str:
    return os.path.realpath(folder).rstrip(os.sep) + os.sep


def is_debian(folder: str) -> bool:
    """Return whether a folder is one of those that Debian's Python, and so NVIDIA's images, use."""
    return os.path.basename(folder) == "dist-packages"


def user_site() -> str | None:
    """Return the user's own site-packages where they are looked at."""
    own = os.path.realpath(site.getusersitepackages()) if site.ENABLE_USER_SITE else None
    return _sites().get(own, own) if own else None
