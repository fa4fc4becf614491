"""Refuse to let anything leave this machine that holds a secret."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from snapenv.errors import LeakError
from snapenv.model.snapshot import IMAGE_PYTHON, SUMS_FILE
from snapenv.program import program_digest
from snapenv.secrets.model import Location

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from snapenv.kept import Kept
    from snapenv.model.snapshot import Snapshot
    from snapenv.secrets.model import Leak, Secret

_NAMED = 5  # leaks, in an error
_VENV = IMAGE_PYTHON.removesuffix("bin/python").lstrip("/")  # as a layer has it


def refuse_leaks(leaks: Iterable[Leak], *, allowed: Collection[str]) -> tuple[str, ...]:
    """Return the locations, sorted, that hold a leak and are allowed; a folder allows all below it.

    Raises:
        LeakError: A location that is not allowed holds a secret; five are named.
    """
    leaks = tuple(leaks)
    passed = {str(leak.location) for leak in leaks if _is_allowed(str(leak.location), allowed)}
    refused = [leak for leak in leaks if str(leak.location) not in passed]
    if refused:
        more = f", and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
        raise LeakError(
            "; ".join(_describe(leak) for leak in refused[:_NAMED]) + more,
            hint=f"Remove it; what is not a secret passes with --allow {refused[0].location}",
        )
    return tuple(sorted(passed))


def refuse_leaking_texts(snapshot: Snapshot, secrets: Sequence[Secret], made: Kept) -> None:
    """Search what snapenv itself has written, unless ``made`` says that it was searched before.

    Raises:
        LeakError: It holds a secret, which no option allows.
    """
    texts = {
        name: content
        for name, content in snapshot.files.items()
        if isinstance(content, bytes) and "/" not in name
    }
    sums = texts[SUMS_FILE].partition(b"\n")[2]  # without the line that is new each time
    looked_for = repr([(secret.value, secret.what) for secret in secrets])
    name = made.namer()(
        "no leak", program_digest(), looked_for, *{**texts, SUMS_FILE: sums}.values()
    )
    if made.find(name) is not None:
        return
    refuse_leaking_files(texts, secrets)
    made.keep(name, b"")


def refuse_leaking_files(files: Mapping[str, bytes], secrets: Collection[Secret]) -> None:
    """Search the files that a command is about to write, by their names.

    Raises:
        LeakError: One holds a secret, which no option allows.
    """
    from snapenv.secrets.search import find_leaks  # a warm capture does without

    leaks = (find_leaks(Location(name=name), [text], secrets) for name, text in files.items())
    refuse_leaks(chain(*leaks), allowed=())


def refuse_leaking_image(
    leaving: Iterable[tuple[Location, Iterator[bytes]]],
    secrets: Sequence[Secret],
    *,
    allow: Sequence[str],
    count: Callable[[int], None],
) -> None:
    """Search all that an image has beside its base; ``count`` hears of the bytes done.

    In the venv only the credentials of this machine are looked for: its files are those that a
    capture has searched, or of public packages, whose tests may ship keys of nobody. ``allow``
    names files of the snapshot, such as ``site/x.py``.

    Raises:
        LeakError: It holds a secret; the location is named.
    """
    from snapenv.secrets.search import find_leaks

    allowed = tuple(f"/{name.partition('/')[2]}" for name in allow)
    done = 0

    def counted(chunks: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal done
        for chunk in chunks:
            yield chunk
            done += len(chunk)
            count(done)

    leaks = (
        find_leaks(
            location,
            counted(chunks),
            secrets,
            forms=location.layer is None or not location.name.startswith(_VENV),
        )
        for location, chunks in leaving
    )
    refuse_leaks(
        (leak for leak in chain(*leaks) if not leak.location.name.endswith(allowed)), allowed=()
    )


def _is_allowed(name: str, allowed: Collection[str]) -> bool:
    return any(name == place or name.startswith(f"{place.rstrip('/')}/") for place in allowed)


def _describe(leak: Leak) -> str:
    where = leak.location if leak.line is None else f"{leak.location} line {leak.line}"
    return f"{where} holds {leak.what}"
