"""A base for arm64, and a machine that emulates it, as long as a block lasts.

qemu's program is Debian's; the kernel is told of it by binfmt_misc, which is the whole machine's: so
it is taken away afterwards. Docker's import knows no other architecture than its own: the image is
put together here, and loaded.
Source: https://docs.kernel.org/admin-guide/binfmt-misc.html
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines.base import ENTRYPOINT, VARIABLES, debootstrap, write
from tests.engines.engine import connect
from tests.engines.place import UnavailableError, call, say
from tests.engines.push import pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engines.place import Place

NAME = "arm64/pytorch:25.01-py3"
PACKAGES = ("ca-certificates", "python3", "python3-venv")
_FORMATS = Path("/proc/sys/fs/binfmt_misc")
_FORMAT = "snapenv-tests-aarch64"
# Programs whose header says ELF, 64 bits, little-endian, executable or shared, and AArch64.
_HEADER = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


def make_arm64(place: Place) -> Path:
    """Return a root folder of Debian for arm64, made if it is not there.

    Its packages are unpacked and not set up, which emulated would take seven minutes: users and
    the list of authorities are put there, and apt knows of no package.

    Raises:
        UnavailableError: It cannot be made here.
    """
    key = hashlib.sha256(repr(PACKAGES).encode()).hexdigest()[:12]
    root = place.folder / f"arm64-{key}"
    if root.exists():
        return root
    say("making a root folder of Debian for arm64; about a minute")
    for old in place.folder.glob("arm64-*"):
        shutil.rmtree(old)
    with tempfile.TemporaryDirectory(prefix="making-arm64-", dir=place.folder) as folder:
        fetched, made = Path(folder, "fetched"), Path(folder, "root")
        debootstrap("bookworm", fetched, PACKAGES, machine="arm64")
        made.mkdir()
        for archive in sorted(fetched.rglob("*.deb")):
            call("dpkg-deb", "-x", str(archive), str(made))
        _set_up(made)
        made.rename(root)
    return root


def _set_up(root: Path) -> None:
    (root / "tmp").chmod(0o1777)
    for name in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    authorities = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    text = "".join(one.read_text() for one in authorities)
    write(root / "etc/ssl/certs/ca-certificates.crt", text, mode=0o644)


def make_qemu(place: Place) -> Path:
    """Return Debian's qemu for programs of AArch64, fetched if it is not there.

    Raises:
        UnavailableError: apt does not have it.
    """
    program = place.folder / "qemu-aarch64-static"
    if program.exists():
        return program
    with tempfile.TemporaryDirectory(prefix="making-qemu-", dir=place.folder) as folder:
        fetch = 'cd "$1"; apt-get download qemu-user-static; dpkg-deb -x ./*.deb .'
        call("sh", "-euc", fetch, "sh", folder)
        Path(folder, "usr/bin", program.name).rename(program)
    return program


@contextlib.contextmanager
def emulating(qemu: Path) -> Iterator[None]:
    """Let this machine run programs of AArch64, in containers too, until the block ends.

    Raises:
        UnavailableError: The kernel has no binfmt_misc, or this is not root.
    """
    with contextlib.ExitStack() as undo:
        if not (_FORMATS / "register").exists():
            call("mount", "-t", "binfmt_misc", "binfmt_misc", str(_FORMATS))
            undo.callback(call, "umount", str(_FORMATS))
        if not any(_is_aarch64(one) for one in _FORMATS.iterdir()):
            # F: the kernel opens qemu now, so that a container need not have it.
            line = f":{_FORMAT}:M::{_HEADER}:{_MASK}:{qemu}:F"
            try:
                (_FORMATS / "register").write_text(line)
            except OSError as error:
                raise UnavailableError(f"binfmt_misc takes no format: {error}") from error
            undo.callback((_FORMATS / _FORMAT).write_text, "-1")
        yield


def _is_aarch64(format_file: Path) -> bool:
    if format_file.name in {"register", "status"}:
        return False
    return "7f454c460201" in (text := format_file.read_text()) and "b700" in text


def push_arm64(root: Path, *, engine: str, registry: str) -> str:
    """Return the name of the folder's image for arm64, with NVIDIA's variables, in our registry.

    Raises:
        UnavailableError: It cannot be pushed.
    """
    name = f"{registry}/{NAME}"
    write(root / "opt/nvidia/nvidia_entrypoint.sh", ENTRYPOINT, mode=0o755)
    with tempfile.TemporaryDirectory(prefix="image-", dir=root.parent) as folder:
        archive = _archive(root, Path(folder), name)
        with connect(engine, timeout_s=1800) as client:
            with archive.open("rb") as file:
                list(client.load_image(file))  # type: ignore[no-untyped-call]
            for message in client.push(name, stream=True, decode=True):
                if "error" in message:
                    raise UnavailableError(f"{name} cannot be pushed: {message['error']}")
    return name


def _archive(root: Path, folder: Path, name: str) -> Path:
    """Return an image of one layer as ``docker load`` takes it."""
    layer = folder / "layer.tar"
    pack(root).rename(layer)
    digest = call("sha256sum", str(layer)).split()[0]
    config = {
        "architecture": "arm64",
        "os": "linux",
        "config": {
            "Env": [f"{key}={value}" for key, value in sorted(VARIABLES.items())],
            "Entrypoint": ["/opt/nvidia/nvidia_entrypoint.sh"],
            "Cmd": ["/bin/bash"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "tests.engines.arm64"}],
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": [layer.name]}]
    for file_name, value in (("config.json", config), ("manifest.json", manifest)):
        (folder / file_name).write_text(json.dumps(value))
    archive = folder / "image.tar"
    with tarfile.open(archive, "w") as tar:
        for member in ("manifest.json", "config.json", layer.name):
            tar.add(folder / member, arcname=member)
    return archive
