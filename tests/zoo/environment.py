"""Odd environments, made for real by uv, and a look at them that knows nothing of snapenv."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uv

from snapenv.index.wheels import IndexWheels

if TYPE_CHECKING:
    from collections.abc import Iterator

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"

LOOK = r"""
import hashlib, importlib.metadata, json, os, re, sys, sysconfig
site = sysconfig.get_path("purelib")
python = re.compile(re.escape(sys.prefix.encode()) + rb"/bin/python[0-9.]*")
of_venv = ("activate", "deactivate", "pydoc.bat", "python")
own = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}
files = {}
for folder, folders, names in os.walk(site):
    for name in names + [name for name in folders if os.path.islink(os.path.join(folder, name))]:
        path = os.path.join(folder, name)
        shown = os.path.relpath(path, site)
        if name.endswith(".pyc") or name in own or name.startswith("_virtualenv"):
            continue
        if os.path.islink(path) and os.path.realpath(path).startswith(site):
            files[shown] = "-> " + os.readlink(path)
        elif not os.path.isdir(path):
            with open(path, "rb") as file:
                files[shown] = hashlib.sha256(file.read()).hexdigest()
for top in ("bin", "etc", "include", "lib", "share"):
    for folder, folders, names in os.walk(os.path.join(sys.prefix, top)):
        folders[:] = [name for name in folders if name not in ("site-packages", "__pycache__")]
        for name in names:
            path = os.path.join(folder, name)
            if top == "bin" and name.lower().startswith(of_venv):
                continue
            shown = "/" + os.path.relpath(path, sys.prefix)
            if os.path.islink(path):
                files[shown] = "-> " + os.readlink(path)
            else:
                with open(path, "rb") as file:
                    content = python.sub(b"PYTHON", file.read())
                files[shown] = [hashlib.sha256(content).hexdigest(), os.access(path, os.X_OK)]
dists = sorted({  # sources beside an .egg-info are found there too
    (found.metadata["Name"] or "?", found.version or "?")
    for found in importlib.metadata.distributions(path=sys.path[1:])
})
print(json.dumps({"files": files, "dists": dists}))
"""


@dataclass(frozen=True)
class Venv:
    """An environment at ``folder``, and a folder beside it for what is installed from."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        return self.folder / "lib" / f"python{MINOR}" / "site-packages"

    @property
    def beside(self) -> Path:
        place = self.folder.parent / "beside"
        place.mkdir(exist_ok=True)
        return place

    def make(self) -> Venv:
        run(uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(self.folder))
        return self

    def install(self, *words: str) -> None:
        where = ("--python", str(self.python))
        copied = ("--link-mode", "copy")  # what is edited here must not be the cache's own file
        run(uv.find_uv_bin(), "pip", "install", "--quiet", *copied, *where, *words)

    def files(self) -> Iterator[tuple[str, Iterator[bytes] | None]]:
        """Yield what lies below the folder, as an engine gives it of an image."""
        for above, folders, names in os.walk(self.folder):
            links = [name for name in folders if Path(above, name).is_symlink()]
            for name in (*names, *links):
                path = Path(above, name)
                is_plain = path.is_file() and not path.is_symlink()
                content = iter([path.read_bytes()]) if is_plain else None
                yield str(path.relative_to(self.folder)), content

    def say(self, code: str) -> str:
        """Run a line of Python there and give what it prints."""
        return run(str(self.python), "-B", "-c", code)

    def look(self) -> dict[str, Any]:
        """Return every file's hash by its path, and every distribution, as they are on disk."""
        seen: dict[str, Any] = json.loads(self.say(LOOK))
        return seen


def run(*argv: str, folder: Path | None = None) -> str:
    """Run a program that must not fail."""
    done = subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, **IndexWheels(None).variables()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write text files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
