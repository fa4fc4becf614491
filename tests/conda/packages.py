"""Conda packages as they really are, made of what this machine has.

Source: https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import platform
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import zstandard
from markupsafe import _speedups

from tests.engines.place import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
SITE = f"lib/python{MINOR}/site-packages"
SUBDIR = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}.get(platform.machine(), "linux-64")
OTHER_SUBDIR = "linux-ppc64le"  # a platform that no test runs on
PLACEHOLDER = "/home/conda/feedstock_root/build_artifacts/zoo/_h_env" + "_placehold" * 20
_LEFT_OUT = {
    "__pycache__",
    "site-packages",
    "test",
    "idlelib",
    "tkinter",
    "ensurepip",
    "turtledemo",
}
_OF_THE_SYSTEM = {  # modules that need libraries which a slim image has not
    *("_crypt", "_curses", "_curses_panel", "_dbm", "_gdbm", "_tkinter", "nis", "readline"),
}
_MADE_AT = 1_700_000_000  # seconds


@dataclass(frozen=True)
class Link:
    """A soft link, or a hard link to another file of the package."""

    to: str
    hard: bool = False


@dataclass(frozen=True, kw_only=True)
class Package:
    """One package to make: its files by path; what may be run; which hold the placeholder."""

    name: str
    version: str = "1.0"
    build: str = "h0_0"
    depends: tuple[str, ...] = ()
    files: Mapping[str, bytes | Link] = field(default_factory=dict)
    executable: tuple[str, ...] = ()
    prefixes: Mapping[str, Literal["text", "binary"]] = field(default_factory=dict)
    noarch: Literal["python", "generic"] | None = None
    entry_points: tuple[str, ...] = ()
    subdir: str = SUBDIR
    extension: Literal[".conda", ".tar.bz2"] = ".conda"
    timestamp: int = _MADE_AT

    @property
    def stem(self) -> str:
        """Its name, version and build, as files are named by them."""
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def filename(self) -> str:
        """The name of its file in a channel."""
        return f"{self.stem}{self.extension}"

    def write(self, channel: Path) -> Path:
        """Write it into the folder of its platform in a channel."""
        place = channel / self.subdir / self.filename
        place.parent.mkdir(parents=True, exist_ok=True)
        info = [(f"info/{name}", content, False) for name, content in self._info().items()]
        content = [
            (name, content, name in self.executable) for name, content in sorted(self.files.items())
        ]
        if self.extension == ".tar.bz2":
            with tarfile.open(place, "w:bz2", compresslevel=1) as archive:
                _add(archive, (*info, *content))
            return place
        with zipfile.ZipFile(place, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
            archive.writestr(f"pkg-{self.stem}.tar.zst", _packed(content))
            archive.writestr(f"info-{self.stem}.tar.zst", _packed(info))
        return place

    def _info(self) -> dict[str, bytes]:
        index = {
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "build_number": 0,
            "depends": list(self.depends),
            "subdir": self.subdir,
            "timestamp": self.timestamp * 1000,
            "license": "MIT",
            "arch": None if self.noarch else "x86_64",
            "platform": None if self.noarch else "linux",
            **({"noarch": self.noarch} if self.noarch else {}),
        }
        paths = [self._path(name, content) for name, content in sorted(self.files.items())]
        link = {"noarch": {"type": "python", "entry_points": list(self.entry_points)}}
        return {
            "index.json": _json(index),
            "paths.json": _json({"paths": paths, "paths_version": 1}),
            "files": "".join(f"{name}\n" for name in sorted(self.files)).encode(),
            "about.json": _json({"summary": f"{self.name} of the tests"}),
            **(
                {"link.json": _json({**link, "package_metadata_version": 1})}
                if self.noarch == "python"
                else {}
            ),
        }

    def _path(self, name: str, content: bytes | Link) -> dict[str, Any]:
        if isinstance(content, Link) and not content.hard:
            return {"_path": name, "path_type": "softlink"}
        while isinstance(content, Link):
            content = self.files[content.to]
        return {
            "_path": name,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_in_bytes": len(content),
            **(
                {"file_mode": self.prefixes[name], "prefix_placeholder": PLACEHOLDER}
                if name in self.prefixes
                else {}
            ),
        }


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode()


def _packed(members: Iterable[tuple[str, bytes | Link, bool]]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        _add(archive, members)
    return zstandard.ZstdCompressor(level=1).compress(packed.getvalue())


def _add(archive: tarfile.TarFile, members: Iterable[tuple[str, bytes | Link, bool]]) -> None:
    links = []
    for name, content, executable in members:
        member = tarfile.TarInfo(name)
        member.mtime, member.mode = _MADE_AT, 0o755 if executable else 0o644
        if isinstance(content, Link):
            member.type = tarfile.LNKTYPE if content.hard else tarfile.SYMTYPE
            member.linkname = content.to
            links.append(member)
        else:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    for member in links:  # a hard link follows what it links to
        archive.addfile(member)


def python() -> Package:
    """Repackage the Python that runs the tests, without what no test needs.

    Raises:
        UnavailableError: It is not laid out as conda's is. Debian's own looks for packages in
            ``dist-packages`` alone, which is compiled into it.
    """
    prefix = Path(sys.base_prefix)
    library = Path(sysconfig.get_path("stdlib"))
    if sys.platform != "linux" or library != prefix / "lib" / f"python{MINOR}":
        raise UnavailableError(f"{sys.base_prefix} is no Python that can be repackaged")
    if "posix_local" in sysconfig.get_scheme_names():
        raise UnavailableError("Debian's own Python cannot be repackaged for conda")
    program = (prefix / "bin" / f"python{MINOR}").resolve()
    files: dict[str, bytes | Link] = {
        f"bin/python{MINOR}": _found_beside(program.read_bytes(), prefix),
        "bin/python3": Link(f"python{MINOR}"),
        "bin/python": Link(f"python{MINOR}"),
        f"{SITE}/README.txt": b"This directory contains packages.\n",
    }
    for path in prefix.glob(f"lib/libpython{MINOR}.so*"):
        name = f"lib/{path.name}"
        files[name] = Link(str(path.readlink())) if path.is_symlink() else path.read_bytes()
    prefixes: dict[str, Literal["text", "binary"]] = {}
    for path in _standard_library(library):
        name, content = str(path.relative_to(prefix)), path.read_bytes()
        if path.name.startswith("_sysconfigdata"):
            content = content.replace(os.fsencode(prefix), PLACEHOLDER.encode())
            prefixes[name] = "text"
        files[name] = content
    return Package(
        name="python",
        version=platform.python_version(),
        files=files,
        executable=(f"bin/python{MINOR}",),
        prefixes=prefixes,
        timestamp=_MADE_AT - 86400,
    )


def _standard_library(library: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(library):
        folders[:] = [name for name in folders if name not in _LEFT_OUT and name[:7] != "config-"]
        yield from (
            Path(folder, name)
            for name in names
            if not name.startswith("_test") and name.partition(".")[0] not in _OF_THE_SYSTEM
        )


def _found_beside(program: bytes, prefix: Path) -> bytes:
    """Let a program look for its libraries beside itself, as conda's do, not where it was built."""
    there = os.fsencode(prefix / "lib") + b"\0"
    return program.replace(there, b"$ORIGIN/../lib".ljust(len(there), b"\0"))


def _distribution(
    name: str, version: str, files: Mapping[str, bytes], *, site: str = SITE
) -> dict[str, bytes | Link]:
    """Return the files of a distribution in site-packages, with its metadata and RECORD."""
    info = f"{name}-{version}.dist-info"
    whole = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/INSTALLER": b"conda\n",
    }
    record = "".join(f"{path},{_recorded(content)}\n" for path, content in whole.items())
    whole[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    return {f"{site}/{path}": content for path, content in whole.items()}


def _recorded(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"sha256={digest},{len(content)}"


def library(extension: Literal[".conda", ".tar.bz2"] = ".tar.bz2") -> Package:
    """Make a package of no Python: a library's links, texts and a binary that name the prefix."""
    activate = (
        "export ZOO_THREADS=4\nexport ZOO_GREETING='hello there'\n"
        'export ZOO_HOME="${CONDA_PREFIX}/share/zoo"\n'
    )
    script = f"#!{PLACEHOLDER}/bin/python\nprint('zoo-config of {PLACEHOLDER}')\n"
    binary = b"\x7fELF zoo\0" + f"{PLACEHOLDER}/share/zoo".encode() + b"\0the end\0"
    return Package(
        name="libzoo",
        files={
            "lib/libzoo.so.1.0": binary,
            "lib/libzoo.so.1": Link("libzoo.so.1.0"),
            "lib/libzoo.so": Link("libzoo.so.1"),
            "lib/libzoo-copy.so": Link("lib/libzoo.so.1.0", hard=True),
            "share/zoo/data.bin": bytes(range(256)),
            "share/zoo/again.bin": Link("share/zoo/data.bin", hard=True),
            "etc/zoo.conf": f"home = {PLACEHOLDER}/share/zoo\n".encode(),
            "bin/zoo-config": script.encode(),
            "etc/conda/activate.d/zoo.sh": activate.encode(),
            "etc/conda/deactivate.d/zoo.sh": b"unset ZOO_THREADS ZOO_GREETING ZOO_HOME\n",
        },
        executable=("bin/zoo-config", "lib/libzoo.so.1.0"),
        prefixes={
            "lib/libzoo.so.1.0": "binary",
            "lib/libzoo-copy.so": "binary",
            "etc/zoo.conf": "text",
            "bin/zoo-config": "text",
        },
        extension=extension,
    )


def compiled(version: str = "1.0") -> Package:
    """Make a package of a compiled module, which carries the prefix behind what is loaded of it."""
    module = Path(_speedups.__file__).read_bytes() + f"prefix={PLACEHOLDER}/lib".encode() + b"\0"
    init = """\
from pathlib import Path
from zoocext import _speedups

PREFIX = Path(_speedups.__file__).read_bytes().rpartition(b"prefix=")[2].split(b"\\0")[0].decode()
"""
    return Package(
        name="zoocext",
        version=version,
        build=f"py{MINOR.replace('.', '')}_0",
        depends=(f"python {MINOR}.*", "libzoo"),
        files=_distribution(
            "zoocext",
            version,
            {"zoocext/__init__.py": init.encode(), "zoocext/_speedups.so": module},
        ),
        prefixes={f"{SITE}/zoocext/_speedups.so": "binary"},
        timestamp=_MADE_AT + 86400,
    )


def noarch_python(version: str = "1.0") -> Package:
    """Make a package for any Python, with a program that conda writes where it installs."""
    code = f"VERSION = {version!r}\ndef main():\n    print('roar', VERSION)\n"
    points = b"[console_scripts]\nzoo-roar = zoopure:main\n"
    return Package(
        name="zoopure",
        version=version,
        build="pyh0_0",
        depends=("python >=3.8",),
        files=_distribution(
            "zoopure",
            version,
            {
                "zoopure/__init__.py": code.encode(),
                "zoopure/data.txt": b"data\n",
                f"zoopure-{version}.dist-info/entry_points.txt": points,
            },
            site="site-packages",
        ),
        noarch="python",
        entry_points=("zoo-roar = zoopure:main",),
        subdir="noarch",
        timestamp=_MADE_AT + 2 * 86400,
    )


def six() -> Package:
    """Make a package that pip has too, in other versions."""
    code = b"__version__ = '1.15.0'\nOF_CONDA = True\n"
    return Package(
        name="six",
        version="1.15.0",
        build="pyh0_0",
        depends=("python",),
        files=_distribution("six", "1.15.0", {"six.py": code}, site="site-packages"),
        noarch="python",
        subdir="noarch",
    )


def hooked() -> Package:
    """Make a package whose post-link script writes a file that no list has."""
    script = '#!/bin/sh\necho "linked into $PREFIX" > "$PREFIX/share/zoo-hook.txt"\n'
    return Package(
        name="zoohook",
        files={"bin/.zoohook-post-link.sh": script.encode(), "share/hook/x.txt": b"x\n"},
        executable=("bin/.zoohook-post-link.sh",),
    )


def usual() -> tuple[Package, ...]:
    """Return the packages that most tests use."""
    return (
        python(),
        library(),
        compiled(),
        noarch_python(),
        hooked(),
        six(),
        of_another_platform(),
    )


def of_another_platform() -> Package:
    """Make a package that cannot be used here."""
    return Package(
        name="libzoo", files={"lib/libzoo.so.1.0": b"other"}, subdir=OTHER_SUBDIR, build="hppc_0"
    )
