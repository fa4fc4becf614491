"""Commands that ask a registry, an index or another service, each with a small real case of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from tests.engines.index_server import Form

TAG = "train-py{}.{}-base-cpu".format(*sys.version_info)
TAG_OF_DEBIAN = "train-py3.13-base-cpu"
SNAPSHOT = f"REGISTRY/hostile/snapshot:{TAG}"
IMAGE = f"REGISTRY/hostile/image:{TAG}"
PINNED = f"example.com/team/env:{TAG}@sha256:{'5e' * 32}"
REAL = f"REGISTRY/hostile/real:{TAG_OF_DEBIAN}"  # with Python
SMALL = f"REGISTRY/hostile/small:{TAG}"  # of a few MB; it is to snapenv one of its own
LOCAL = f"hostile/local:{TAG}"
OWN = f"REGISTRY/hostile/own:{TAG_OF_DEBIAN}"  # it is here, too
Stage = Literal["registry", "index", "advisories", "channel", "engine"]

VENV = ("--engine", "venv")
INTO = (*VENV, "--no-smoke", "--into", "made")
CAPTURE = ("capture", "--no-smoke", "--python", "environment/bin/python", "-o", "made")
FORMS: tuple[Form, ...] = ("html", "json and metadata")
UPGRADE = ("--no-smoke", "--upgrade", "tool", "-o", "made")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command line, and what it makes below the folder that it runs in."""

    name: str
    words: tuple[str, ...]
    makes: str | None = None
    pushes: bool = False  # to a repository that has nothing yet, called FREE
    attaches: bool = False  # documents to what it pushes, which may lack where it fails
    attests: bool = False  # to OWN, each time anew
    some_may_fail: bool = False  # what it asks beside the answer may be missing in it
    is_sworn: bool = True  # what it is told has a digest, or a signature
    locks: bool = False  # what it makes is a snapshot, of what an index says that it has
    form: Form = "json"  # in which the index says what it has


OF_REGISTRY = (
    Case(name="push", words=("push", "snapshot", "REGISTRY/FREE"), pushes=True),
    Case(name="pull", words=("pull", SNAPSHOT, "-o", "made"), makes="made"),
    Case(name="restore", words=("restore", SNAPSHOT, *INTO), makes="made"),
    Case(name="doctor", words=("doctor", SNAPSHOT, *VENV)),
    Case(name="show", words=("show", SNAPSHOT)),
    Case(name="diff", words=("diff", SNAPSHOT, "after")),
    Case(name="export", words=("export", SNAPSHOT, "-o", "made.zst"), makes="made.zst"),
    Case(name="update of a registry", words=("update", SNAPSHOT, *UPGRADE), makes="made"),
    Case(name="list", words=("list", "REGISTRY/hostile/snapshot", "--remote"), some_may_fail=True),
    Case(
        name="log",
        words=("log", "after", "--repository", "REGISTRY/hostile/middle"),
        some_may_fail=True,
    ),
    Case(name="show IMAGE", words=("show", IMAGE), some_may_fail=True),
    Case(name="doctor IMAGE", words=("doctor", IMAGE), some_may_fail=True),
    Case(
        name="list IMAGES",
        words=("list", "REGISTRY/hostile/image", "--remote"),
        some_may_fail=True,
    ),
    Case(name="list --fits", words=("list", "REGISTRY/hostile/snapshot", "--fits")),
    Case(
        name="render",
        words=("render", SNAPSHOT, "--image", PINNED, "--as", "slurm", "-o", "made"),
        makes="made",
    ),
)
OF_INDEX = (
    Case(name="capture", words=CAPTURE, makes="made", locks=True),
    Case(name="restore venv", words=("restore", "snapshot", *INTO), makes="made"),
    Case(name="update", words=("update", "snapshot", *UPGRADE), makes="made", locks=True),
    Case(
        name="export --vendor all",
        words=("export", "snapshot", "--vendor", "all", "-o", "made.zst"),
        makes="made.zst",
    ),
    Case(name="capture, html", words=CAPTURE, makes="made", locks=True, form="html"),
    *(
        Case(
            name=f"update, {form}",
            words=("update", "snapshot", *UPGRADE),
            makes="made",
            locks=True,
            form=form,
        )
        for form in FORMS
    ),
)
OF_CHANNEL = (
    Case(name="capture of conda", words=CAPTURE, makes="made", locks=True),
    Case(name="restore of conda", words=("restore", "snapshot", *INTO), makes="made"),
)
OF_ADVISORIES = (
    Case(name="audit", words=("audit", "snapshot", "--service", "ADVISORIES"), is_sworn=False),
)
WITH_ENGINE = (
    Case(name="push IMAGE", words=("push", LOCAL, "REGISTRY/FREE"), pushes=True),
    Case(name="pull IMAGE", words=("pull", SMALL)),
    Case(name="diff IMAGES", words=("diff", SMALL, "after")),
    Case(name="import --mirror", words=("import", "delta.zst", "--mirror", "REGISTRY/mirror")),
    Case(name="restore IMAGE", words=("restore", REAL, "--no-smoke")),
    Case(
        name="restore --require-verified",
        words=(
            *("restore", REAL, "--no-smoke", "--require-verified"),
            *("--verify-key", "keys/key.pub"),
        ),
    ),
    Case(
        name="verify --attest",
        words=("verify", OWN, "--no-smoke", "--attest"),
        attests=True,
    ),
    Case(
        name="build --push",
        words=(
            *("build", "snapshot", "--repository", "REGISTRY/FREE", "--push"),
            *("--sign-key", "keys/key.pem"),
        ),
        pushes=True,
        attaches=True,
    ),
    Case(name="list of both", words=("list", "REGISTRY/hostile/real", "--remote")),
)
CASES: dict[Stage, tuple[Case, ...]] = {
    "registry": OF_REGISTRY,
    "index": OF_INDEX,
    "advisories": OF_ADVISORIES,
    "channel": OF_CHANNEL,
    "engine": WITH_ENGINE,
}
