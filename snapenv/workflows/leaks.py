"""See that nothing which leaves this machine holds a secret."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from snapenv.model.snapshot import IMAGE_PYTHON, SUMS_FILE
from snapenv.ports import Task
from snapenv.program import program_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.image import Image
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Outside

_VENV = f" {IMAGE_PYTHON.removesuffix('bin/python').lstrip('/')}"  # in "layer 3: opt/…"


def refuse_leaking_texts(snapshot: Snapshot, outside: Outside) -> None:
    """Look into what snapenv itself has written, unless the very same has been looked into.

    Raises:
        LeakError: It holds a secret, which no option allows.
    """
    texts = {
        name: content
        for name, content in snapshot.files.items()
        if isinstance(content, bytes) and "/" not in name
    }
    sums = texts[SUMS_FILE].partition(b"\n")[2]  # without the line that is new each time
    made, secrets = outside.made(), outside.secrets()
    looked_for = repr([(secret.value, secret.what) for secret in secrets])
    name = made.namer()(
        "no leak", program_digest(), looked_for, *{**texts, SUMS_FILE: sums}.values()
    )
    if made.find(name) is not None:
        return
    from snapenv.lock.leaks import find_leaks, refuse_leaks

    found = [find_leaks(place, [content], secrets) for place, content in texts.items()]
    refuse_leaks(chain(*found), allowed=())
    made.keep(name, b"")


def refuse_leaking_image(
    image: Image, base: Image, *, allow: Sequence[str], outside: Outside
) -> None:
    """Look into all that an image brings beside its base, before it has a name.

    In the venv only the credentials of this machine are looked for: its files are those that a
    capture has looked into, or of public packages, whose tests may ship keys of nobody.

    Raises:
        LeakError: It holds a secret; the place is named.
    """
    from snapenv.lock.leaks import find_leaks, refuse_leaks

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
