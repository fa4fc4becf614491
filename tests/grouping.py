"""Which tests one worker of pytest-xdist runs one after the other, and which are begun first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.engines.newer_engine import CONTAINERD, NEWER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

NEWER_ENGINES = "docker-newer"
OLDER = "docker20"
"""The parameter of a test that works with Docker 20.10 instead of the newer one."""
# The longest first: who begins them last would be alone at the end.
_IN_LINE = ("docker", "exact", NEWER_ENGINES, "ssh", "tests/zoo/", "tests/probe/")
_SHARED = ("docker", "exact", "ssh")  # by mark: parts that tests would dispute with each other
_NEEDS = {  # fixtures of tests/conftest.py, and the mark that each needs
    "engine_host": "docker",
    "newer_host": "docker",
    "base_image": "docker",
    "plain_image": "docker",
    "plain_bookworm": "docker",
    "torch_image": "docker",
    "exact_python": "exact",
    "ssh": "ssh",
    "browser": "browser",
}


def group_of(
    *, marks: Collection[str], fixtures: Collection[str], params: Iterable[object], module: str
) -> str:
    """Return the group of a test: the part that it shares with others, else its module.

    The newer engines are a group beside Docker 20.10, for tests that ask for nothing of that one
    but to push a base image. Who asks for ``newer_host`` works with that, or as ``OLDER`` says.
    """
    shared = next((mark for mark in _SHARED if mark in marks), None)
    chosen = {*map(str, params)}
    if shared == "docker" and "newer_host" in fixtures:
        return shared if OLDER in chosen else NEWER_ENGINES
    if shared == "docker" and chosen & {NEWER.name, CONTAINERD.name}:
        return shared if "engine_host" in fixtures else NEWER_ENGINES
    return shared or module


def missing_mark(*, marks: Collection[str], fixtures: Collection[str]) -> str | None:
    """Return the mark without which a test would use a part beside the group that shares it."""
    needed = (_NEEDS[name] for name in fixtures if name in _NEEDS)
    return next((mark for mark in needed if mark not in marks), None)


def place_in_line(group: str) -> int:
    """Return when a group is begun: a smaller number goes first."""
    places = (place for place, start in enumerate(_IN_LINE) if group.startswith(start))
    return max(places, default=len(_IN_LINE))


def short_id(value: object) -> str | None:
    """Return a short name for a long text or for bytes; None leaves the other parameters to pytest.

    Each worker sends the names of all tests, and of each test whenever it says something of it.
    All workers must give a test the same name, and what is packed as they collect holds the time.
    """
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, str) and len(value) > 120:
        return f"{value[:40]!r} and {len(value) - 40} more"
    return None
