"""Commands that ask a registry or an index, each with a small real case of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TAG = "train-py3.11-base-cpu"
SNAPSHOT = f"REGISTRY/hostile/snapshot:{TAG}"
IMAGE = f"REGISTRY/hostile/image:{TAG}"
Asks = Literal["registry", "index"]

VENV = ("--engine", "venv")
INTO = (*VENV, "--no-smoke", "--into", "made")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command line, and what it makes below the folder that it runs in."""

    name: str
    words: tuple[str, ...]
    makes: str | None = None
    pushes: bool = False  # to a repository that has nothing yet, called FREE
    asks: Asks = "registry"
    some_may_fail: bool = False  # what it asks beside the answer may be missing in it


OF_REGISTRY = (
    Case(name="push", words=("push", "snapshot", "REGISTRY/FREE"), pushes=True),
    Case(name="pull", words=("pull", SNAPSHOT, "-o", "made"), makes="made"),
    Case(name="restore", words=("restore", SNAPSHOT, *INTO), makes="made"),
    Case(name="doctor", words=("doctor", SNAPSHOT, *VENV)),
    Case(name="show", words=("show", SNAPSHOT)),
    Case(name="diff", words=("diff", SNAPSHOT, "after")),
    Case(name="export", words=("export", SNAPSHOT, "-o", "made.zst"), makes="made.zst"),
    Case(name="list", words=("list", "REGISTRY/hostile/snapshot", "--remote"), some_may_fail=True),
    Case(name="show IMAGE", words=("show", IMAGE), some_may_fail=True),
    Case(name="doctor IMAGE", words=("doctor", IMAGE), some_may_fail=True),
    Case(
        name="list IMAGES",
        words=("list", "REGISTRY/hostile/image", "--remote"),
        some_may_fail=True,
    ),
)
OF_INDEX = (
    Case(
        name="capture",
        words=("capture", "--no-smoke", "--python", "environment/bin/python", "-o", "made"),
        makes="made",
        asks="index",
    ),
    Case(name="restore venv", words=("restore", "snapshot", *INTO), makes="made", asks="index"),
    Case(
        name="update",
        words=("update", "snapshot", "--no-smoke", "--upgrade", "tool", "-o", "made"),
        makes="made",
        asks="index",
    ),
)
CASES: dict[Asks, tuple[Case, ...]] = {"registry": OF_REGISTRY, "index": OF_INDEX}
