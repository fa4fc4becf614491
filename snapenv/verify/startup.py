"""Compare what variables put before an environment's own. Pure: values in, checks out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.model.outcome import Check

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

_MAY_COME_FIRST = ("LD_LIBRARY_PATH",)  # a library may name its own folder, which goes before
_IN_MEMORY = ("LD_AUDIT", "LD_PRELOAD")
_NAMED = 5
_FIRST = "before the environment's own"
_UNSET = "Take away what {name} adds: unset {name} in a shell; in an image mend its ENV."
_SET = "Set {name} as it was where this was captured, or see that it makes no difference."


def compare_startup(
    expected: Mapping[str, Sequence[str]] | None, actual: Mapping[str, Sequence[str]] | None
) -> Iterator[Check]:
    """Name each variable that brings what it did not at the capture, and each that brings less.

    The first is a no, but a warning of a folder of libraries, from which only some may be taken,
    and of libraries where nobody looked at the capture. The second is a warning: what a program
    had in memory besides the environment does not travel.
    """
    before, now = expected or {}, actual or {}
    for name in sorted(before.keys() | now.keys()):
        there, here = set(before.get(name, ())), set(now.get(name, ()))
        if here - there:
            is_known = expected is not None or name.startswith("PYTHON")
            yield Check(
                id=f"variables.{name}",
                ok=False,
                expected=f"{_describe(there)} {_FIRST}",
                actual=f"{_describe(here)} {_FIRST}",
                fix=_UNSET.format(name=name),
                severity="error" if is_known and name not in _MAY_COME_FIRST else "warning",
            )
        elif there - here and actual is not None and name in _IN_MEMORY:
            yield Check(
                id=f"variables.{name}",
                ok=False,
                expected=f"{_describe(there)} in every program",
                actual=f"{_describe(here)} of it",
                fix=_SET.format(name=name),
                severity="warning",
            )


def loaded_lines(startup: Mapping[str, Sequence[str]] | None) -> tuple[str, ...]:
    """Say what is in the memory of each program of an environment, and does not travel."""
    found = startup or {}
    return tuple(
        f"{name} loads {_describe(found[name])} into each program here: it does not travel"
        for name in _IN_MEMORY
        if name in found
    )


def _describe(names: Collection[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(ordered[:_NAMED]) + more if ordered else "nothing"
