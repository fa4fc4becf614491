"""The command group, and how a run ends: every failure has an exit code and no traceback."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import sys
from typing import TYPE_CHECKING

import click

from snapenv import __version__
from snapenv.cli.app import App, without_secrets
from snapenv.cli.group import LazyGroup, typed_command
from snapenv.cli.options import json_option
from snapenv.cli.streams import (
    answering,
    cannot_answer,
    echo,
    print_stderr,
    take_every_sign,
    warn,
)
from snapenv.errors import (
    HangupError,
    InterruptionError,
    SnapenvError,
    TerminationError,
    UsageError,
    WriteError,
)
from snapenv.ownership.interruption import Interrupted, interruptible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


# The module and the function of each command, in the order in which they are used.
_COMMANDS = {
    "capture": ("capture", "capture"),
    "build": ("build", "build"),
    "restore": ("restore", "restore"),
    "verify": ("verify", "verify"),
    "doctor": ("doctor", "doctor"),
    "diff": ("diff", "diff"),
    "update": ("update", "update"),
    "log": ("log", "log"),
    "audit": ("audit", "audit"),
    "bench": ("bench", "bench"),
    "diagnose": ("diagnose", "diagnose"),
    "tune": ("tune", "tune"),
    "bases": ("bases", "bases"),
    "export": ("export", "export"),
    "import": ("import_", "import_"),
    "push": ("push", "push"),
    "pull": ("pull", "pull"),
    "clean": ("clean", "clean"),
    "list": ("list", "list_"),
    "show": ("show", "show"),
    "run": ("run", "run"),
    "shell": ("run", "shell"),
    "ps": ("runs", "ps"),
    "logs": ("runs", "logs"),
    "attach": ("runs", "attach"),
    "stop": ("runs", "stop"),
    "up": ("workspace", "up"),
    "down": ("workspace", "down"),
    "render": ("render", "render"),
    "onboard": ("onboard", "onboard"),
    "usage": ("usage", "usage"),
    "ssh-proxy": ("workspace", "ssh_proxy"),
}

# How the help of each begins; the help of all imports none.
_SAYS = {
    "capture": "Lock a working environment.",
    "build": "Build the image of SNAPSHOT, and tag it.",
    "restore": "Restore REF, and prove that it matches the capture.",
    "verify": "Prove that what is restored already matches the capture.",
    "doctor": "Check whether this machine can run REF.",
    "diff": "Show the differences between two environments.",
    "update": "Change packages of SNAPSHOT, and write a new snapshot.",
    "log": "Show what REF was made of by snapenv update, the newest first.",
    "audit": "List known vulnerabilities and malicious releases among the packages of REF.",
    "bench": "Measure how fast a training goes in a restored environment, without changing it.",
    "diagnose": "Find what holds a training back, and name one thing to try next.",
    "tune": "Search for the settings with which a training goes fastest in a restored environment.",
    "bases": "List base images, best first, with the reason for each.",
    "export": "Write an image and its snapshot, or a snapshot alone, to a file.",
    "import": "Load the image of an archive, or write its snapshot to a folder.",
    "push": "Push a snapshot alone, or an image, to a registry.",
    "pull": "Pull a snapshot or an image from a registry.",
    "clean": "List what snapenv has made on this machine, and free what is chosen.",
    "list": "List the images that snapenv made, and which of a registry run here.",
    "show": "Show what REF is, without pulling it.",
    "run": "Run COMMAND in a restored environment, as you, in the current folder.",
    "shell": "Open a shell in a restored environment, as you, in the current folder.",
    "ps": "List your runs, the newest first.",
    "logs": "Show what a run has printed.",
    "attach": "Come back to a run, with its terminal if it has one.",
    "stop": "Stop a run: send SIGINT, wait, and take its container away.",
    "up": "Start a workspace in a restored environment: Jupyter, TensorBoard, ssh.",
    "down": "End a workspace, and all that runs in it; results stay.",
    "render": "Write the files that run an environment where people work, without snapenv.",
    "onboard": (
        "Write ONBOARDING.md and ONBOARDING.html: what a new colleague needs to know of REF."
    ),
    "usage": "Count what runs have used of the GPUs, for whom, for what, and at which cost.",
    "ssh-proxy": "Connect stdin and stdout with an sshd in a workspace: for ssh's ProxyCommand.",
}

# Their stdout is what a program writes, and no answer of ours.
HANDING_OVER = ("run", "shell", "logs", "attach", "ssh-proxy")

_FOR_PROGRAMS = ("ssh-proxy",)  # that no person types

_EXAMPLES = (
    "snapenv capture",
    "snapenv build snapshots/TAG --repository example.com/team/env --push",
    "snapenv restore TAG --repository example.com/team/env",
)


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    says=_SAYS,
    for_programs=_FOR_PROGRAMS,
    examples=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="snapenv %(version)s")
@json_option
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Freeze a GPU training environment, restore it elsewhere, and prove that it is the same."""
    ctx.ensure_object(App)


_EMPTY = re.compile(r"--[a-z-]+=")
_ENDS: dict[int, tuple[str, type[SnapenvError]]] = {
    signal.SIGINT: ("interrupted", InterruptionError),
    signal.SIGTERM: ("ended by SIGTERM", TerminationError),
    signal.SIGHUP: ("ended by SIGHUP: the terminal or the connection was closed", HangupError),
}
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    own = words[: words.index("--")] if "--" in words else words
    take_every_sign()
    app = App(json=_answers_json(own) and ("--json" in own or _is_set("SNAPENV_JSON")))
    try:
        with interruptible():
            _refuse_empty(own)
            ended = cli.main(args=words, prog_name="snapenv", obj=app, standalone_mode=False)
        with answering():
            pass  # what a help page has left to write
    except click.UsageError as usage:
        if not app.json:
            warn(_usage_text(usage))
            return usage.exit_code
        error: SnapenvError = UsageError(usage.format_message(), hint="See snapenv --help.")
    except SnapenvError as ours:
        error = ours
    except KeyboardInterrupt as raised:
        error = _explained(raised, app)
    except Exception as raised:
        error = _explained(raised, app)
        if error.exit_code == SnapenvError.exit_code and _is_set("SNAPENV_DEBUG"):
            raise
    else:
        return ended if isinstance(ended, int) else 0
    return _end(error, app=app, words=words)


def _end(error: SnapenvError, *, app: App, words: Sequence[str]) -> int:
    """Explain an error, and return its exit code."""
    try:
        _explain(error, app=app, words=words)
    except WriteError as unwritten:  # the document that a program waits for
        _explain(unwritten, app=App(), words=words)
        return unwritten.exit_code
    return error.exit_code


def _answers_json(words: Sequence[str]) -> bool:
    """Return whether stdout is for an answer, and not for what a program writes."""
    return typed_command(cli, words) not in HANDING_OVER


def _is_set(name: str) -> bool:
    """Read a variable that says yes or no as Click reads those of options."""
    try:
        return bool(click.BOOL.convert(os.environ.get(name) or "no", None, None))
    except click.BadParameter:
        return False


def _refuse_empty(words: Sequence[str]) -> None:
    """Refuse an empty word, which a variable of a shell that is not set leaves.

    Raises:
        UsageError: There is one.
    """
    for before, word in zip(["", *words], words, strict=False):
        if not word or _EMPTY.fullmatch(word):
            option = word.rstrip("=") or (before if before.startswith("-") else "a word")
            raise click.UsageError(f"{option} is empty: give a value, or leave it out")


def _usage_text(usage: click.UsageError) -> str:
    shown = io.StringIO()
    usage.show(file=shown)
    return shown.getvalue().rstrip("\n")


def _explained(raised: BaseException, app: App) -> SnapenvError:
    """Say what an exception that is not ours means to a user.

    A signal may end a command in a moment in which something else fails of it.
    """
    chain = tuple(_chain(raised))
    if any(isinstance(link, (click.Abort, KeyboardInterrupt)) for link in chain):
        number = next(
            (link.number for link in chain if isinstance(link, Interrupted)), signal.SIGINT
        )
        word, kind = _ENDS.get(number, _ENDS[signal.SIGINT])
        return kind(word, hint="Nothing incomplete was left behind.")
    if isinstance(raised, OSError) and not app.in_workflow:
        return cannot_answer(raised)  # a help page, a version
    if isinstance(raised, OSError) and raised.errno in _OF_THE_DISK:
        return _disk_failure(raised)
    return _unexpected(raised)


def _disk_failure(error: OSError) -> WriteError:
    return WriteError(
        f"cannot write {error.filename or 'a file'}: {error.strerror}",
        hint="Free some space; df -h and df -i tell where there is none, dmesg of a broken disk.",
    )


def _chain(raised: BaseException | None) -> Iterator[BaseException]:
    while raised is not None:
        yield raised
        raised = raised.__cause__ or raised.__context__


def _unexpected(bug: BaseException) -> SnapenvError:
    return SnapenvError(
        f"this is a bug in snapenv: {type(bug).__name__}: {' '.join(str(bug).split())}",
        hint="Run it again with SNAPENV_DEBUG=1, and report what it prints.",
    )


def _explain(error: SnapenvError, *, app: App, words: Sequence[str]) -> None:
    """Tell people on stderr, and a program on stdout."""
    from snapenv.report.document import error_json
    from snapenv.report.text import error_text

    error.message, error.hint = without_secrets(error.message), without_secrets(error.hint)
    print_stderr(error_text(error))
    if app.json:
        with answering():
            echo(error_json(error, command=typed_command(cli, words)))
