"""Which Python a venv is made with: the very version, else another patch of its minor version.

Source: https://docs.astral.sh/uv/concepts/python-versions/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field

from snapenv.errors import InstallError

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERSION = re.compile(r"(?P<minor>(?:[a-z]+@)?\d+\.\d+)(?:\.\w+)?")
_NOT_HERE = re.compile(
    r"No interpreter found|Failed to (?:download|install|fetch)|No download found"
)
_WHERE = re.compile(r"No interpreter found for .+? in ([a-z ]+)")
_CAUSE = re.compile(r"(?m)^ *cause: (.+)$")
_OFF = re.compile(r"(?m)^hint: .*, but (.+)$")


class Attempt(Struct, frozen=True, kw_only=True):
    """What uv is asked for, and what it is told for that."""

    python: str
    variables: Mapping[str, str] = field(default_factory=dict)


def attempts(python: str) -> tuple[Attempt, ...]:
    """Return what to ask uv for, in order, until a Python is found.

    ``python`` is a version such as ``3.11.7`` or ``pypy@3.10.14``, or the path of a Python, which
    alone is then asked for. The very version may be fetched, which is not tried long: offline it
    would keep a person waiting for nothing.
    """
    match = _VERSION.fullmatch(python)
    if not match:
        return (Attempt(python=python),)
    return (
        Attempt(python=python, variables={"UV_HTTP_RETRIES": "1"}),
        Attempt(python=match["minor"], variables={"UV_PYTHON_DOWNLOADS": "never"}),
        Attempt(python=match["minor"]),
    )


def is_not_here(stderr: str) -> bool:
    """Return whether uv found no such Python, and could not fetch it."""
    return _NOT_HERE.search(stderr) is not None


def no_python(python: str, refusals: Sequence[str]) -> InstallError:
    """Say that no attempt found a Python, and why none was fetched, by what uv said each time."""
    match = _VERSION.fullmatch(python)
    if not match:
        return InstallError(
            f"{python} is not a Python that a venv can be made with",
            hint="Name the path of a Python with --python, or leave it out.",
        )
    stderr = "\n".join(refusals)
    where = _WHERE.search(stderr)
    places = f" (uv looked in {where[1].strip()})" if where else ""
    why = [*_CAUSE.findall(refusals[-1])[-1:], *_OFF.findall(refusals[-1])]
    return InstallError(
        f"no Python {python} is here, nor another {match['minor']}{places}, and none could be "
        f"fetched: {why[0] if why else 'uv knows of none'}",
        hint=f"Install one (uv python install {python}), name one with --python PATH, "
        "or restore with --engine docker.",
    )
