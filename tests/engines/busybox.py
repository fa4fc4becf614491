"""Builds and layers of busybox alone: a few MB, from no registry."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.model.image import BuildContext
from tests.engines.place import install

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.carried import Content

_BUSYBOX = Path("/bin/busybox")
_PROGRAMS = ("cat", "date", "dd", "echo", "mkdir", "seq", "sh", "sleep", "test")


def small_context(*steps: str, **files: Content) -> BuildContext:
    """Return a build of these steps, over a layer with a shell and a few programs.

    Raises:
        UnavailableError: There is no busybox, and it cannot be installed.
    """
    install({"busybox-static": str(_BUSYBOX)})
    link = f"for name in {' '.join(_PROGRAMS)}; do /bin/busybox ln -s busybox /bin/$name; done"
    lines = (
        "FROM scratch",
        "COPY --chmod=755 busybox /bin/busybox",
        f'RUN ["/bin/busybox", "sh", "-c", "cd /bin; {link}"]',
        *steps,
    )
    return BuildContext(
        files={"Dockerfile": "\n".join(lines).encode(), "busybox": _BUSYBOX.read_bytes(), **files},
        labels={"org.example.what": "a test"},
    )


def small_layer(programs: Mapping[str, str], *, links: tuple[str, ...] = _PROGRAMS) -> bytes:
    """Return a layer as a tar: a shell, a few programs, and scripts by their absolute path.

    Raises:
        UnavailableError: There is no busybox, and it cannot be installed.
    """
    install({"busybox-static": str(_BUSYBOX)})
    files = {"/bin/busybox": _BUSYBOX.read_bytes()}
    files |= {path: text.encode() for path, text in programs.items()}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
        for name in links:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return stream.getvalue()
