"""See that nothing which leaves this machine holds a secret."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from snapenv.lock.leaks import find_leaks, refuse_leaks
from snapenv.model.snapshot import IMAGE_PYTHON
from snapenv.ports import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.image import Image
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Outside

_VENV = f" {IMAGE_PYTHON.removesuffix('bin/python').lstrip('/')}"  # in "layer 3: opt/…"


def refuse_leaking_texts(snapshot: Snapshot, outside: Outside) -> None:
    """Look into what snapenv itself has written.

    Raises:
        LeakError: It holds a secret, which no option allows.
    """
    secrets = outside.secrets()
    found = [
        find_leaks(name, [content], secrets)
        for name, content in snapshot.files.items()
        if isinstance(content, bytes) and "/" not in name
    ]
    refuse_leaks(chain(*found), allowed=())


def refuse_leaking_image(
    image: Image, base: Image, *, allow: Sequence[str], outside: Outside
) -> None:
    """Look into all that an image brings beside its base, before it has a name.

    In the venv only the credentials of this machine are looked for: its files are those that a
    capture has looked into, or of public packages, whose tests may ship keys of nobody.

    Raises:
        LeakError: It holds a secret; the place is named.
    """
    allowed = tuple(f"/{name.partition('/')[2]}" for name in allow)
    with outside.progress.task("Looking for secrets in the image") as task:
        total = max(0, image.size_bytes - base.size_bytes)
        heard, secrets = _Heard(task=task, total=total), outside.secrets()
        found = [
            find_leaks(place, heard(chunks), secrets, forms=_VENV not in place)
            for place, chunks in outside.engine.read_leaving(image, base=base)
        ]
    refuse_leaks((one for one in chain(*found) if not one.place.endswith(allowed)), allowed=())


@dataclass(kw_only=True)
class _Heard:
    """Tells a task how many bytes of an image have been read."""

    task: Task
    total: int
    done: int = 0

    def __call__(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            self.done += len(chunk)
            self.task.count(self.done, self.total)
