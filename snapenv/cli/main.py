"""The command group, and how a run ends: every failure has its own exit code and no traceback."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from snapenv import __version__
from snapenv.cli.app import App, say, without_secrets
from snapenv.cli.bases import bases
from snapenv.cli.build import build
from snapenv.cli.capture import capture
from snapenv.cli.diff import diff
from snapenv.cli.doctor import doctor
from snapenv.cli.export import export
from snapenv.cli.import_ import import_
from snapenv.cli.list import list_
from snapenv.cli.options import json_option
from snapenv.cli.restore import restore
from snapenv.cli.show import show
from snapenv.cli.verify import verify
from snapenv.errors import (
    HangupError,
    InterruptionError,
    SnapenvError,
    TerminationError,
    UsageError,
)
from snapenv.ownership.interruption import Interrupted, interruptible

if TYPE_CHECKING:
    from collections.abc import Sequence


class _InOrder(click.Group):
    """Lists its commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names as they were added."""
        del ctx
        return list(self.commands)


@click.group(
    cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, message="snapenv %(version)s")
@json_option
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Freeze a GPU training environment that works, bring it back elsewhere, prove it the same."""
    ctx.ensure_object(App)


_COMMANDS = (
    capture,
    build,
    restore,
    verify,
    doctor,
    diff,
    bases,
    export,
    import_,
    list_,
    show,
)
for command in _COMMANDS:
    cli.add_command(command)


_ENDS: dict[int, tuple[str, type[SnapenvError]]] = {
    signal.SIGINT: ("interrupted", InterruptionError),
    signal.SIGTERM: ("ended by SIGTERM", TerminationError),
    signal.SIGHUP: ("ended by SIGHUP: the terminal or the connection was closed", HangupError),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    app = App(json="--json" in words or bool(os.environ.get("SNAPENV_JSON")))
    try:
        with interruptible():
            ended = cli.main(args=words, prog_name="snapenv", obj=app, standalone_mode=False)
    except (click.Abort, KeyboardInterrupt) as interruption:
        error: SnapenvError = _interruption(interruption)
    except click.ClickException as usage:
        if not app.json:
            usage.show()
            return usage.exit_code
        error = UsageError(usage.format_message(), hint="See snapenv --help.")
    except SnapenvError as ours:
        error = ours
    except Exception as bug:
        if os.environ.get("SNAPENV_DEBUG"):
            raise
        error = _unexpected(bug)
    else:
        return ended if isinstance(ended, int) else 0
    _explain(error, app=app, words=words)
    return error.exit_code


def _interruption(raised: BaseException) -> SnapenvError:
    """Say which signal has ended the command; Click gives its own exception for each."""
    chain = (raised, raised.__cause__, raised.__context__)
    number = next((one.number for one in chain if isinstance(one, Interrupted)), signal.SIGINT)
    word, kind = _ENDS.get(number, _ENDS[signal.SIGINT])
    return kind(word, hint="Nothing half-made was left behind.")


def _unexpected(bug: Exception) -> SnapenvError:
    return SnapenvError(
        f"this is a bug in snapenv: {type(bug).__name__}: {' '.join(str(bug).split())}",
        hint="Run it again with SNAPENV_DEBUG=1, and report what it prints.",
    )


def _explain(error: SnapenvError, *, app: App, words: Sequence[str]) -> None:
    """Tell people on stderr, and a program on stdout."""
    from snapenv.report.document import error_json
    from snapenv.report.text import error_text

    error.message, error.hint = without_secrets(error.message), without_secrets(error.hint)
    say(error_text(error))
    if app.json:
        command = next((word for word in words if word in cli.commands), "")
        click.echo(error_json(error, command=command))
