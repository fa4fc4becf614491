"""Every command, with a small real case of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.fire.room import Room


def _nothing(room: Room) -> None:
    del room


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command line, and what it may change."""

    name: str  # the command, as it is typed
    words: tuple[str, ...]
    makes: tuple[str, ...] = ()  # below the folder that it runs in: there whole, or not at all
    changes: tuple[str, ...] = ()  # files that were there: as before, or as afterwards
    in_pieces: bool = False  # one file after another is put there; the next command undoes half
    before: Callable[[Room], None] = _nothing  # for each attempt
    needs: str = ""  # "registry" or "engine"
    runs: bool = False  # it starts a program, and so writes into the ledger


IMAGE = f"example.com/team/env:train-py3.11-base-cpu@sha256:{'5e' * 32}"
VENV = ("--engine", "venv")

LOCAL = (
    Case(
        name="capture",
        words=("capture", "--no-smoke", "--python", "environment/bin/python", "-o", "made"),
        makes=("made",),
    ),
    Case(
        name="restore",
        words=("restore", "snapshot", *VENV, "--no-smoke", "--into", "made"),
        makes=("made",),
    ),
    Case(
        name="verify",
        words=(
            "verify",
            "snapshot",
            *VENV,
            "--no-smoke",
            "--into",
            "venv",
            "--report",
            "made.html",
        ),
        makes=("made.html",),
    ),
    Case(name="doctor", words=("doctor", "snapshot", *VENV)),
    Case(name="diff", words=("diff", "snapshot", "after")),
    Case(
        name="update",
        words=("update", "snapshot", "--no-smoke", "--upgrade", "tool", "-o", "made"),
        makes=("made",),
    ),
    Case(name="log", words=("log", "after")),
    Case(name="audit", words=("audit", "snapshot", "--database", "all.zip")),
    Case(name="bases", words=("bases", "snapshot")),
    Case(name="export", words=("export", "snapshot", "-o", "made.zst"), makes=("made.zst",)),
    Case(name="import", words=("import", "archive.zst", "-o", "made"), makes=("made",)),
    Case(name="clean", words=("clean", "--yes")),
    Case(name="show", words=("show", "snapshot")),
    Case(
        name="run",
        words=(
            "run",
            "venv",
            *VENV,
            "--into",
            "venv",
            "--",
            "python",
            "-c",
            "print(__import__('tool').V)",
        ),
        runs=True,
    ),
    Case(name="ps", words=("ps", "--all")),
    Case(
        name="render",
        words=("render", "snapshot", "--image", IMAGE, "--as", "kubernetes", "-o", "made"),
        makes=("made",),
        in_pieces=True,
    ),
    Case(
        name="render --force",
        words=(
            "render",
            "snapshot",
            "--image",
            IMAGE,
            "--as",
            "slurm",
            "-o",
            "rendered",
            "--force",
        ),
        changes=("rendered",),
        in_pieces=True,
    ),
    Case(
        name="onboard",
        words=("onboard", "snapshot", "--image", IMAGE, "--no-preflight", *VENV, "-o", "made"),
        makes=("made",),
        in_pieces=True,
    ),
    Case(name="usage report", words=("usage", "report")),
    Case(
        name="usage export",
        words=("usage", "export", "--role", "manager", "-o", "made"),
        makes=("made",),
    ),
    Case(name="usage top", words=("usage", "top")),
)
