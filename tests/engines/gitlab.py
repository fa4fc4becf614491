"""gitlab-ci-local, which runs the jobs of a .gitlab-ci.yml in real containers.

Source: https://github.com/firecow/gitlab-ci-local
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines.engine import connect
from tests.engines.node import npm_tool
from tests.engines.place import UnavailableError, call, install

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engines.place import Place

_HELPER = "snapenv-tests/rsync"
_DOCKERFILE = (
    "FROM {base}\nCOPY rsync /usr/bin/\nCOPY lib/ /usr/lib/x86_64-linux-gnu/\nENTRYPOINT []\n"
)


def make_gitlab_ci_local(place: Place) -> tuple[str, ...]:
    """Return the words that start it: it needs a newer Node than Debian's, and rsync.

    Raises:
        UnavailableError: npm or apt cannot install it here.
    """
    install({"rsync": "rsync"})
    node = npm_tool(place, "node@22") / "node"
    return (str(node), str(npm_tool(place, "gitlab-ci-local@4.75.1") / "gitlab-ci-local"))


@contextlib.contextmanager
def helper_image(engine: str, base: str) -> Iterator[str]:
    """Give it an image with rsync, by which it moves artifacts and caches."""
    with connect(engine, timeout_s=600) as client:
        for message in client.build(
            fileobj=_context(base), custom_context=True, tag=_HELPER, rm=True, decode=True
        ):
            if "error" in message:
                raise UnavailableError(f"no image with rsync: {message['error']}")
        yield _HELPER
        client.remove_image(_HELPER, force=True)


def _context(base: str) -> io.BytesIO:
    """Return this machine's rsync with its libraries, but for those that the base has."""
    install({"rsync": "rsync"})
    program = str(shutil.which("rsync"))
    libraries = re.findall(r"=> (/\S+)", call("ldd", program))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as context:
        text = _DOCKERFILE.format(base=base).encode()
        dockerfile = tarfile.TarInfo("Dockerfile")
        dockerfile.size = len(text)
        context.addfile(dockerfile, io.BytesIO(text))
        context.add(Path(program).resolve(), "rsync")
        for path in map(Path, libraries):
            if not path.name.startswith("libc."):
                context.add(path.resolve(), f"lib/{path.name}")
    stream.seek(0)
    return stream
