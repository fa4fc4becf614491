"""A profile: how a training runs fastest, which a search found, as words of a command."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from snapenv.errors import ArchiveError, NotFoundError, UsageError
from snapenv.model.tuning import Profile
from snapenv.toml import read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from snapenv.model.tuning import Settings

_MOST_BYTES = 1 << 16


def read_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        ArchiveError: It is none.
        NotFoundError: It is not there.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES)
    except OSError as error:
        raise NotFoundError(
            f"cannot read {path}: {error.strerror}", hint="Make it: snapenv tune REF"
        ) from error
    try:
        return msgspec.convert(read_toml(text.decode()), Profile)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(
            f"{path} is not a profile: {error}", hint="Make one: snapenv tune REF"
        ) from error


def with_profile(argv: tuple[str, ...], profile: Profile) -> tuple[str, ...]:
    """Add a profile's settings to a training by ``yolo``; what the command names itself stays.

    Raises:
        UsageError: The command is no training by ``yolo``.
    """
    words = _words(profile.train)
    named = {word.partition("=")[0] for word in argv if "=" in word}
    is_training = {"train", "mode=train"} & set(argv)
    if not argv or PurePosixPath(argv[0]).name != "yolo" or not is_training:
        raise UsageError(
            "a profile adds words to yolo train, and this command is another",
            hint=f"Give them to your program: {' '.join(f'{k}={v}' for k, v in words.items())}",
        )
    return (*argv, *(f"{key}={value}" for key, value in words.items() if key not in named))


def _words(settings: Settings) -> Mapping[str, str]:
    """Return settings as ultralytics takes them; older ones do not know ``compile``."""
    words = {
        "batch": str(settings.batch),
        "workers": str(settings.workers),
        "cache": "False" if settings.cache == "none" else settings.cache,
        "amp": str(settings.amp),
    }
    return {**words, "compile": "True"} if settings.compile else words
