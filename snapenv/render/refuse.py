"""What several targets refuse of a launch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.launch import Launch


class Grammar(Struct, frozen=True):
    """What a target takes as a name, and how that is told to people."""

    what: str
    pattern: re.Pattern[str]
    hint: str


def matched(option: str, value: str, grammar: Grammar) -> str:
    """Return a value of a grammar.

    Raises:
        UsageError: It is not.
    """
    if not grammar.pattern.fullmatch(value):
        raise UsageError(f"{option} {value!r} is not a {grammar.what}", hint=grammar.hint)
    return value


def option_of_label(label: str) -> str:
    """Return the option that a label of a launch comes from: ``--project``."""
    return f"--{label.rpartition('.')[2]}"


def refuse_options(given: Mapping[str, object], *, why: str, hint: str = "") -> None:
    """Refuse options by their names; ``why`` follows the name in the message.

    Raises:
        UsageError: One was given.
    """
    for option, value in given.items():
        if value:
            raise UsageError(f"{option} {why}", hint=hint or f"Leave {option} out.")


def refuse_named_gpus(launch: Launch, *, hint: str) -> None:
    """Refuse numbers and UUIDs of GPUs.

    Raises:
        UsageError: The launch asks for such GPUs.
    """
    if launch.gpus not in {None, "all"}:
        raise UsageError(f"--device {launch.gpus} names GPUs of one machine", hint=hint)


def refuse_volumes(launch: Launch, *, program: str) -> None:
    """Refuse volumes of Docker.

    Raises:
        UsageError: The launch mounts one.
    """
    for mount in launch.mounts:
        if mount.kind == "volume":
            raise UsageError(
                f"{mount.source} is a volume of Docker, which {program} does not have",
                hint="Name a folder by its absolute path: --mount /SOURCE:/TARGET",
            )
