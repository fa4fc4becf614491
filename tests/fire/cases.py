"""Every command, with a small real case of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.fire.room import Room


def _nothing(room: Room) -> Mapping[str, str]:
    del room
    return {}


def _all_well(room: Room) -> Sequence[str]:
    del room
    return ()


def _start_run(room: Room) -> Mapping[str, str]:
    """Let a program run for a moment; RUN is what the run is called."""
    script = "import time; print('it runs', flush=True); time.sleep(3); print('it ends')"
    words = ("run", "venv", *VENV, "--into", "venv", "--detach", "--", "python", "-c", script)
    done = room.run(*words)
    assert done.code == 0, done
    return {"RUN": done.stdout.split()[0]}


def _start_in_container(room: Room) -> Mapping[str, str]:
    """Let a program run in a container for a moment; RUN is what the run is called."""
    ends = "trap 'exit 130' INT; echo it runs; sleep 10 & wait; echo it ends"  # at once, if stopped
    done = room.run("run", WITH_PYTHON, "--detach", "--", "sh", "-c", ends)
    assert done.code == 0, done
    return {"RUN": done.stdout.split()[0]}


def _empty_database(room: Room) -> Mapping[str, str]:
    """Make a database without a table; DATABASE is its address."""
    return {"DATABASE": room.new_database()}


def _import_job(room: Room) -> Mapping[str, str]:
    """Let the ledger have a job of Slurm, with two GPUs for an hour."""
    done = room.run("usage", "import", "--slurm", "--since", "2026-10-01")
    assert done.code == 0, done
    return {}


def _corrected_once(room: Room) -> Sequence[str]:
    """Look for the hours that are right, and for one correction of each GPU."""
    done = room.run("usage", "report", "--month", "2026-11", "--json")
    result = json.loads(done.stdout)["result"]
    told = (result["total"]["charged_ms"], result["corrections"])
    return () if told == (3_600_000, 2) else (f"it is not corrected once: {told}",)


def free_repository(room: Room) -> Mapping[str, str]:
    """Name a repository of the registry that has nothing yet."""
    del room
    return {"FREE": f"fire/{uuid.uuid4().hex}"}


def _ends_well(room: Room) -> Sequence[str]:
    """Take a workspace down: it is there, and then nothing of it."""
    done = room.run("down", WORKSPACE, "--stop-timeout", "5")
    if done.code:
        return (f"it is not taken down: {done.stderr[-400:]}",)
    return () if room.all_ended() else (f"{len(room.living())} processes of it live on",)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command line, and what it may change."""

    name: str  # the command, as it is typed
    words: tuple[str, ...]
    makes: tuple[str, ...] = ()  # below the folder that it runs in: there whole, or not at all
    changes: tuple[str, ...] = ()  # files that were there: as before, or as afterwards
    in_pieces: bool = False  # one file after another is put there; the next command undoes half
    before: Callable[[Room], Mapping[str, str]] = _nothing  # for each attempt; what words stand for
    once: bool = False  # done again, it finds nothing more to do
    may_say_other: bool = False  # done again, that it was done already; or that its engine is away
    lives_on: bool = False  # what it starts outlives it
    follows: bool = False  # it says as much as a run has said by then
    counts: bool = False  # done again, it has written the same rows into the ledger
    proof: Callable[[Room], Sequence[str]] = (
        _all_well  # what is wrong with what it made, if not here
    )

    def said(self, stand_for: Mapping[str, str]) -> tuple[str, ...]:
        """Return the words of an attempt."""
        words = list[str]()
        for word in self.words:
            for name, value in stand_for.items():
                word = word.replace(name, value)  # noqa: PLW2901
            words.append(word)
        return tuple(words)


VENV = ("--engine", "venv")
BENCH_OPTIONS = (
    *("--device", "cpu", "--batch", "4", "--workers", "0", "--no-amp"),
    *("--steps", "5", "--repeat", "1"),
)
SMALL_BENCH = ("snapshot", *VENV, "--into", "venv", *BENCH_OPTIONS)
SMALL_SEARCH = (
    *("--vary", "batch=4,8", "--vary", "workers=0", "--vary", "cache=none", "--pairs", "2"),
    *("-o", "made.toml"),
)
IMAGE = f"example.com/team/env:train-py3.11-base-cpu@sha256:{'5e' * 32}"
TAG = "train-py3.11-base-cpu"
NAME = f"fire/env:{TAG}"
WITH_PYTHON = f"fire/python:{TAG}"
WORKSPACE = "ours"
TAG_OF_DEBIAN = "train-py3.13-base-cpu"

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
    Case(name="clean", words=("clean", "--yes"), may_say_other=True),
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
    ),
    Case(
        name="run --detach",
        words=("run", "venv", *VENV, "--into", "venv", "--detach", "--", "sleep", "0.2"),
        lives_on=True,
    ),
    Case(name="shell", words=("shell", "venv", *VENV, "--into", "venv")),
    Case(
        name="logs",
        words=("logs", "RUN"),
        before=_start_run,
        lives_on=True,
        may_say_other=True,
        follows=True,
    ),
    Case(name="attach", words=("attach", "RUN"), before=_start_run, lives_on=True, once=True),
    Case(
        name="stop",
        words=("stop", "RUN", "--stop-timeout", "1"),
        before=_start_run,
        lives_on=True,
        once=True,
        may_say_other=True,
    ),
    Case(name="ps", words=("ps", "--all")),
    Case(
        name="up --engine venv",
        words=("up", "venv", *VENV, "--into", "venv", "--jupyter", "--name", WORKSPACE),
        may_say_other=True,  # that it runs already
        lives_on=True,
        proof=_ends_well,
    ),
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
    Case(
        name="usage correct",
        words=("usage", "correct", "4711", "--hours", "1", "--reason", "it hung"),
        before=_import_job,
        may_say_other=True,  # that it is right already
        proof=_corrected_once,
    ),
    Case(name="usage top", words=("usage", "top")),
    Case(
        name="usage init",
        words=("usage", "init", "DATABASE", "--member", "ada=birds", "--manager", "mona"),
        before=_empty_database,
        may_say_other=True,
    ),
    Case(
        name="usage import",
        words=("usage", "import", "--slurm", "--since", "2026-11-01", "--until", "2026-11-30"),
        may_say_other=True,
        counts=True,
    ),
    Case(
        name="usage import --prometheus",
        words=(
            "usage",
            "import",
            "--prometheus",
            "PROMETHEUS",
            "--since",
            "FIRST",
            "--until",
            "LAST",
        ),
        may_say_other=True,
        counts=True,
    ),
    Case(name="bench", words=("bench", *SMALL_BENCH), may_say_other=True),
    Case(name="diagnose", words=("diagnose", *SMALL_BENCH), may_say_other=True),
    Case(
        name="tune",
        words=("tune", *SMALL_BENCH, *SMALL_SEARCH),
        changes=("made.toml",),
        may_say_other=True,
    ),
    Case(
        name="push",
        words=("push", "snapshot", "REGISTRY/FREE"),
        before=free_repository,
        may_say_other=True,
    ),
    Case(name="pull", words=("pull", f"REGISTRY/fire/pushed:{TAG}", "-o", "made"), makes=("made",)),
)

WITH_ENGINE = (
    Case(name="export IMAGE", words=("export", NAME, "-o", "made.zst"), makes=("made.zst",)),
    Case(
        name="import IMAGE",
        words=("import", "image.zst", "--repository", "fire/back"),
        may_say_other=True,
    ),
    Case(
        name="push IMAGE",
        words=("push", NAME, "REGISTRY/FREE"),
        before=free_repository,
        may_say_other=True,
    ),
    Case(
        name="pull IMAGE",
        words=("pull", f"REGISTRY/fire/image:{TAG}"),
        may_say_other=True,
    ),
    Case(name="list", words=("list", "fire/env")),
    Case(name="show IMAGE", words=("show", NAME)),
    Case(name="run IMAGE", words=("run", WITH_PYTHON, "--", "sh", "-c", "echo it runs")),
    Case(
        name="run IMAGE --detach",
        words=("run", WITH_PYTHON, "--detach", "--", "sh", "-c", "echo it runs"),
    ),
    Case(name="shell IMAGE", words=("shell", WITH_PYTHON)),
    Case(
        name="logs of a container",
        words=("logs", "RUN"),
        before=_start_in_container,
        may_say_other=True,
        follows=True,
    ),
    Case(
        name="attach to a container", words=("attach", "RUN"), before=_start_in_container, once=True
    ),
    Case(
        name="stop a container",
        words=("stop", "RUN", "--stop-timeout", "60"),
        before=_start_in_container,
        once=True,
        may_say_other=True,
    ),
    Case(
        name="ps of containers",
        words=("ps", "--all"),
        before=_start_in_container,
        may_say_other=True,  # a container ends with its engine
    ),
    Case(name="clean with an engine", words=("clean", "--yes"), may_say_other=True),
)
