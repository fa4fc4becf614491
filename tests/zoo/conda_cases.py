"""Odd environments of conda: each makes one oddity in a fresh prefix, for real."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uv

from tests.conda.channel import make_environment
from tests.conda.packages import SITE
from tests.zoo.environment import run, write

if TYPE_CHECKING:
    from collections.abc import Mapping

_OWN = {
    "CACHEDIR.TAG",
    ".condarc",
    "RECORD",
    "INSTALLER",
    "REQUESTED",
    "direct_url.json",
    "uv_cache.json",
    "uv_build.json",
}
_FIRST_LINE = re.compile(rb"\A#!(?:[^\n]*P/bin/python[^\n]*|/bin/sh\n'''exec'[^\n]*(?:\n' ''')?)\n")


@dataclass(frozen=True)
class Prefix:
    """A conda environment at ``folder``, made of ``channels`` with a cache of packages.

    ``named`` is the folder that its files name, where it was copied out of an image.
    """

    folder: Path
    channels: tuple[str, ...] = ()
    cache: Path = Path()
    named: str | None = None

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        return self.folder / SITE

    def make(self, *specs: str) -> Prefix:
        make_environment(self.folder, self.channels, ["python", *specs], cache=self.cache)
        return self

    def install(self, *words: str) -> None:
        """Install by uv, as pip does."""
        where = ("--python", str(self.python), "--link-mode", "copy")
        run(uv.find_uv_bin(), "pip", "install", "--quiet", *where, *words)

    def rewrite(self, path: str, content: bytes) -> None:
        """Write a file anew: the cache of packages may hold the one that is there."""
        place = self.folder / path
        mode = place.stat().st_mode
        place.unlink()
        place.write_bytes(content)
        place.chmod(mode)

    def say(self, code: str) -> str:
        """Run a line of Python there and give what it prints, without its own folder."""
        return run(str(self.python), "-B", "-c", code).replace(str(self.folder), "P")

    def look(self) -> Mapping[str, object]:
        """Return every file's hash by its path, but for the prefix, and every record's package."""
        records = [json.loads(path.read_text()) for path in self.folder.glob("conda-meta/*.json")]
        return {
            **{path: self._seen(path) for path in self._paths()},
            "packages": sorted(
                (record["name"], record["version"], record["build"], *record["depends"])
                for record in records
            ),
        }

    def _paths(self) -> list[str]:
        left_out = {"conda-meta", "__pycache__", "pkgs", "envs"}
        found = list[Path]()
        for folder, folders, names in os.walk(self.folder):
            links = [name for name in folders if Path(folder, name).is_symlink()]
            folders[:] = [name for name in folders if name not in left_out]
            found += (Path(folder, name) for name in (*names, *links) if name not in _OWN)
        return [str(path.relative_to(self.folder)) for path in found]

    def _seen(self, name: str) -> object:
        path = self.folder / name
        if path.is_symlink():
            return f"-> {path.readlink()}"
        content = path.read_bytes()
        prefix = (self.named or str(self.folder)).encode()
        if prefix in content:  # what follows in a binary is filled up with 0
            content = content.replace(prefix, b"P")
            content = re.sub(rb"\0+", b"\0", _FIRST_LINE.sub(b"#!python\n", content))
        return hashlib.sha256(content).hexdigest(), os.access(path, os.X_OK)


def edited_compiled(prefix: Prefix) -> None:
    prefix.make("zoocext")
    path = f"{SITE}/zoocext/_speedups.so"
    module = (prefix.folder / path).read_bytes().rpartition(b"prefix=")[0]
    prefix.rewrite(path, module + b"prefix=none\0edited\0")


def pip_over_conda(prefix: Prefix) -> None:
    prefix.make("six").install("six==1.16.0")


def conda_over_pip(prefix: Prefix) -> None:
    prefix.make().install("six==1.16.0")
    prefix.make("six")


def around_site_packages(prefix: Prefix) -> None:
    """Edit, add and delete what conda's packages have outside of site-packages."""
    prefix.make("libzoo", "zoohook")
    activate = prefix.folder / "etc" / "conda" / "activate.d" / "zoo.sh"
    prefix.rewrite("etc/conda/activate.d/zoo.sh", activate.read_bytes() + b"export ZOO_OURS=1\n")
    (prefix.folder / "share" / "zoo" / "again.bin").unlink()
    write(prefix.folder, {"share/zoo-hook.txt": "linked\n", "lib/x.txt": ""})


def pixi(prefix: Prefix) -> None:
    prefix.make("zoopure")
    (prefix.folder / "conda-meta" / "history").unlink()
    write(prefix.folder, {"conda-meta/pixi": '{"manifest_path": "pixi.toml"}\n'})
    write(prefix.folder, {"conda-meta/pixi_env_prefix": f"{prefix.folder}\n"})


def base_environment(prefix: Prefix) -> None:
    """Let it be the one that conda itself lives in, with other environments and a cache inside."""
    prefix.make("zoopure")
    others = {"envs/other/bin/x": "", "envs/other/conda-meta/history": "", "pkgs/urls.txt": "x\n"}
    write(
        prefix.folder, {**others, ".condarc": "channels: [zoo]\n", "condabin/conda": "#!/bin/sh\n"}
    )


def everything(prefix: Prefix) -> None:
    """Have a compiled package, one for any Python, pip's on top, and two edits by hand."""
    prefix.make("zoocext", "zoopure")
    prefix.install("numpy")
    init = prefix.site / "zoopure" / "__init__.py"
    prefix.rewrite(f"{SITE}/zoopure/__init__.py", init.read_bytes() + b"EDITED = True\n")
    prefix.rewrite("etc/zoo.conf", b"home = elsewhere\n")


def other_platform(prefix: Prefix) -> None:
    """Say of a package that it is for another platform, as an environment that was copied does."""
    prefix.make("libzoo")
    (path,) = prefix.folder.glob("conda-meta/libzoo-*.json")
    record = json.loads(path.read_text())
    record["subdir"] = "linux-ppc64le"
    record["url"] = record["url"].replace("linux-64", "linux-ppc64le")
    path.write_text(json.dumps(record))


def gone(prefix: Prefix) -> None:
    """Have a package that its channel does not have any more."""
    prefix.make("libzoo", "zoopure")


CASES = {  # how it is made, what it then says, and the folder that it comes back in
    "an edited compiled package": (
        edited_compiled,
        "import zoocext; print(zoocext.PREFIX)",
        "back",
    ),
    "pip over conda": (pip_over_conda, "import six; print(six.__version__)", "back"),
    "conda over pip": (conda_over_pip, "import six; print(six.OF_CONDA)", "back"),
    "around site-packages": (around_site_packages, "print()", "back"),
    "pixi": (pixi, "import zoopure; zoopure.main()", "back/.pixi/envs/default"),
    "the base environment": (base_environment, "import zoopure; zoopure.main()", "back"),
    "a prefix of another length": (
        everything,
        "import numpy, zoocext, zoopure; print(zoocext.PREFIX, zoopure.EDITED, numpy.__version__)",
        "back/" + "long" * 30,
    ),
    "spaces in the path": (
        everything,
        "import zoocext, zoopure; print(zoocext.PREFIX, zoopure.EDITED)",
        "a path/with spaces",
    ),
}
