"""What the commands that run something in an environment share: their options and their words."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snapenv.cli.help import Command, option
from snapenv.cli.options import (
    declared_options,
    device_option,
    engine_option,
    into_option,
    prices_option,
    repository_option,
)
from snapenv.places import expanded

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from snapenv.model.launch import Mount, Port

    F = TypeVar("F", bound=Callable[..., object])

_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_PORT = re.compile(r"(?:(?:(\[[0-9a-f:]+\]|[\d.]+):)?(\d{0,9}):)?(\d{1,9})", re.ASCII)
_USER = re.compile(r"(\d{1,10})(?::(\d{1,10}))?", re.ASCII)
_LAST_PORT = 65535


class RunCommand(Command):
    """A command whose options end where the command to run begins: ``REF [OPTIONS] [--] WORDS``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put REF and the words of the command behind all options, and parse as usual."""
        first = self._word_at(ctx, args, 0)
        second = self._word_at(ctx, args, first + 1)
        ref, words = args[first : first + 1], args[second:]
        options = [*args[:first], *args[first + 1 : second]]
        words = words[1:] if words[:1] == ["--"] else words
        return super().parse_args(ctx, [*options, "--", *ref, *words])

    def _word_at(self, ctx: click.Context, args: list[str], start: int) -> int:
        """Return where the first word stands that is no option and no value of one."""
        takes_value = {
            name
            for param in self.get_params(ctx)
            if isinstance(param, click.Option) and not param.is_flag
            for name in param.opts
        }
        at = start
        while at < len(args) and args[at].startswith("-") and args[at] != "--":
            at += 2 if args[at] in takes_value else 1
        return min(at, len(args))


class SizeType(click.ParamType[int]):
    """A size in bytes, or with k, m, g or t as docker reads it."""

    name = "SIZE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return it in bytes, or end in a usage error."""
        match = _SIZE.fullmatch(str(value).strip())
        if match is None or not float(match[1]):
            self.fail(f"{value!r} is not a size such as 512m or 8g", param, ctx)
        return int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])


class PortType(click.ParamType["Port"]):
    """A port of the container, with the machine's port and address before it if they matter."""

    name = "[[ADDRESS:]PORT:]PORT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Port:
        """Return it, or end in a usage error."""
        from snapenv.model.launch import Port

        match = _PORT.fullmatch(str(value))
        numbers = [int(group) for group in match.groups()[1:] if group] if match else []
        if match is None or not all(0 < number <= _LAST_PORT for number in numbers):
            self.fail(f"{value!r} is not a port such as 8888 or 9000:8888", param, ctx)
        return Port(
            inside=int(match[3]),
            host=int(match[2]) if match[2] else None,
            address=(match[1] or "127.0.0.1").strip("[]"),
        )


class MountType(click.ParamType["Mount"]):
    """A folder or file of the machine, or a volume, and where it is in the container."""

    name = "SOURCE:TARGET[:ro]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Mount:
        """Return it, or end in a usage error."""
        from snapenv.model.launch import Mount

        parts = str(value).split(":")
        read_only = parts[2:] == ["ro"]
        if len(parts) not in {2, 3} or parts[2:] not in ([], ["ro"], ["rw"]):
            self.fail(f"{value!r} is not SOURCE:TARGET or SOURCE:TARGET:ro", param, ctx)
        source, target = parts[:2]
        if not target.startswith("/"):
            self.fail(f"{target!r} is not an absolute path of the container", param, ctx)
        if "/" not in source and not source.startswith("."):
            return Mount(source=source, target=target, read_only=read_only, kind="volume")
        place = str(expanded(source).absolute())
        return Mount(source=place, target=os.path.normpath(target), read_only=read_only)


def user_numbers(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Read numbers of a user and a group, or end in a usage error."""
    if value is None:
        return None
    match = _USER.fullmatch(value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not numbers such as 1000:1000", ctx, param)
    return int(match[1]), int(match[2] or match[1])


def _variables(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Read NAME=VALUE, or NAME alone for the value that it has here."""
    variables = {}
    for word in values:
        name, given, value = word.partition("=")
        if not name or (not given and name not in os.environ):
            raise click.BadParameter(f"{word!r} is not NAME=VALUE, nor is it set here", ctx, param)
        variables[name] = value if given else os.environ[name]
    return variables


def _positive(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0 < value < float("inf"):
        raise click.BadParameter(f"{value:g} is not more than 0", ctx, param)
    return value


def stop_timeout_option(
    text: str, *, group: str = "Program", default: int | None = None
) -> Callable[[F], F]:
    """Make the option that says how long a program may take to end, in seconds."""
    return option(
        "--stop-timeout",
        "grace_s",
        type=click.IntRange(0),
        metavar="SECONDS",
        default=default,
        show_default=default is not None,
        envvar="SNAPENV_STOP_TIMEOUT",
        group=group,
        help=text,
    )


def mount_option(kind: MountType) -> Callable[[F], F]:
    """Make the option that mounts more; ``kind`` says whose paths it takes."""
    return option(
        "--mount",
        "mounts",
        type=kind,
        multiple=True,
        envvar="SNAPENV_MOUNT",
        group="Folder",
        help="Mount a folder or a volume too. May be repeated.",
    )


def user_option(default: str) -> Callable[[F], F]:
    """Make the option that says who the program runs as; ``default`` says who else, in words."""
    return option(
        "--user",
        metavar="UID[:GID]",
        callback=user_numbers,
        envvar="SNAPENV_USER",
        group="Program",
        help=f"Run as this user.  [default: {default}]",
    )


data_option = option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    multiple=True,
    envvar="SNAPENV_DATA",
    group="Folder",
    help="Let the program read this folder, at its own path. May be repeated.",
)
env_option = option(
    "-e",
    "--env",
    "variables",
    metavar="NAME[=VALUE]",
    multiple=True,
    callback=_variables,
    envvar="SNAPENV_ENV",
    group="Program",
    help="Set a variable; without a value, to what it is here. May be repeated.",
)
grace_option = stop_timeout_option(
    "Wait this many seconds after SIGINT before killing it.", default=120
)
cpus_option = option(
    "--cpus",
    type=float,
    callback=_positive,
    envvar="SNAPENV_CPUS",
    group="Resource",
    help="Limit the CPUs, and threads and workers with them.",
)
memory_option = option(
    "--memory",
    "memory_bytes",
    type=SizeType(),
    envvar="SNAPENV_MEMORY",
    group="Resource",
    help="Limit memory and swap together, such as 16g.",
)
shm_option = option(
    "--shm-size",
    "shm_bytes",
    type=SizeType(),
    envvar="SNAPENV_SHM_SIZE",
    group="Resource",
    help="Size of /dev/shm.  [default: 8g, or a quarter of the memory]",
)
ipc_option = option(
    "--ipc",
    type=click.Choice(("private", "host")),
    default="private",
    show_default=True,
    envvar="SNAPENV_IPC",
    group="Resource",
    help="Have a /dev/shm of its own, or that of the machine.",
)
port_option = option(
    "-p",
    "--port",
    "ports",
    type=PortType(),
    multiple=True,
    envvar="SNAPENV_PORT",
    group="Network",
    help="Publish a port, on 127.0.0.1 unless an address is given. May be repeated.",
)
_FOLDER = click.Path(path_type=Path)
_OPTIONS = (
    engine_option,
    into_option("run in the one in this folder"),
    repository_option,
    data_option,
    option(
        "--runs",
        type=_FOLDER,
        metavar="DIR",
        default=Path("runs"),
        show_default=True,
        envvar="SNAPENV_RUNS",
        group="Folder",
        help="Let ultralytics write its results here.",
    ),
    option(
        "--workdir",
        type=_FOLDER,
        metavar="DIR",
        default=Path(),
        show_default="the current folder",
        envvar="SNAPENV_WORKDIR",
        group="Folder",
        help="Start in this folder, which is the same inside.",
    ),
    mount_option(MountType()),
    env_option,
    user_option("you"),
    grace_option,
    declared_options,
    option(
        "--textfile",
        type=_FOLDER,
        metavar="DIR",
        envvar="SNAPENV_TEXTFILE",
        group="Usage",
        help="Tell node_exporter of the run and its GPUs, in its folder of text files.",
    ),
    option(
        "--job-mapping",
        type=_FOLDER,
        metavar="DIR",
        envvar="SNAPENV_JOB_MAPPING",
        group="Usage",
        help="Tell dcgm-exporter which run each GPU has, in its folder of jobs.",
    ),
    device_option,
    cpus_option,
    memory_option,
    shm_option,
    ipc_option,
    port_option,
    option(
        "--network",
        metavar="NAME",
        envvar="SNAPENV_NETWORK",
        group="Network",
        help="Use this network of the engine, such as none.",
    ),
    option(
        "--strict",
        is_flag=True,
        envvar="SNAPENV_STRICT",
        group="Check",
        help="Start nothing in an environment that is not as locked.",
    ),
    option(
        "--dry-run",
        is_flag=True,
        envvar="SNAPENV_DRY_RUN",
        group="Output",
        help="Print the equal docker command, and start nothing.",
    ),
)


tty_option = option(
    "--tty/--no-tty",
    default=None,
    envvar="SNAPENV_TTY",
    group="Program",
    help="Give the program a terminal.  [default: where stdin and stdout are one]",
)


def _amount(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Read an amount of money in millionths, or end in a usage error."""
    if value is None:
        return None
    from snapenv.money import parse_amount

    try:
        micros = parse_amount(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    if not micros:
        raise click.BadParameter(f"{value} is not more than 0", ctx, param)
    return micros


def _notified(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty", ctx, param)
    return value


_STOP_RULE = (
    option(
        "--stop-rule",
        type=click.Choice(("off", "warn", "pause")),
        envvar="SNAPENV_STOP_RULE",
        group="Limit",
        help="Warn of a training that goes on for nothing, or pause it an hour later.  "
        "[default: off]",
    ),
    option(
        "--min-improvement",
        type=float,
        metavar="LOSS",
        callback=_positive,
        envvar="SNAPENV_MIN_IMPROVEMENT",
        group="Limit",
        help="What the stop rule takes for an improvement.  [default: 0.1 % of the loss]",
    ),
)
_LIMITS = (
    option(
        "--max-hours",
        type=float,
        metavar="HOURS",
        callback=_positive,
        envvar="SNAPENV_MAX_HOURS",
        group="Limit",
        help="Stop it, so that it can go on later, before it lasts longer.",
    ),
    option(
        "--max-cost",
        metavar="AMOUNT",
        callback=_amount,
        envvar="SNAPENV_MAX_COST",
        group="Limit",
        help="Stop it likewise before its GPUs cost more, by the price list.",
    ),
    prices_option,
    option(
        "--notify",
        metavar="COMMAND|URL",
        callback=_notified,
        envvar="SNAPENV_NOTIFY",
        group="Limit",
        help="When it is warned of or stopped, run this command or call this webhook.",
    ),
)
_PUBLISHED = ("textfile", "job_mapping")
_LIMIT_FIELDS = ("stop_rule", "min_improvement", "max_hours", "max_cost", "prices", "notify")


def limit_options(*, stop_rule: bool) -> Callable[[F], F]:
    """Make the options that say when snapenv itself is to stop a run; not all have the rule."""
    options = (*_STOP_RULE, *_LIMITS) if stop_rule else _LIMITS

    def add_all(command: F) -> F:
        return functools.reduce(lambda decorated, add: add(decorated), reversed(options), command)

    return add_all


def launch_options(command: F) -> F:
    """Add every option of a launch, in the order in which help lists them."""
    return functools.reduce(lambda decorated, add: add(decorated), reversed(_OPTIONS), command)


def request_fields(options: dict[str, Any], *, stdin: bool = True) -> dict[str, Any]:
    """Return the fields of a request from the options: absolute paths, and the terminal."""
    from snapenv.model.launch import LimitOptions

    limits = {name: options.pop(name) for name in _LIMIT_FIELDS if name in options}
    folder, ipc = options.pop("workdir").absolute(), options.pop("ipc")
    tty = options.pop("tty", None)
    if stdin and tty and not _is_terminal():
        raise click.UsageError("--tty needs a terminal: stdin or stdout is not one")
    return {
        **options,
        "folder": folder,
        "runs": folder / expanded(options["runs"]),
        **{name: options[name] and expanded(options[name]).absolute() for name in _PUBLISHED},
        "data": tuple(expanded(each).absolute() for each in options["data"]),
        "repository": str(options["repository"]),
        "host_ipc": ipc == "host",
        "tty": stdin and (_is_terminal() if tty is None else tty),
        "stdin": stdin and _may_read_stdin(),
        "limits": LimitOptions(**limits),
    }


def _is_terminal() -> bool:
    return os.isatty(0) and os.isatty(1)


def _may_read_stdin() -> bool:
    """Return whether stdin can be read: a job in the background may not read a terminal."""
    try:
        os.fstat(0)
    except OSError:  # it is closed
        return False
    return not os.isatty(0) or os.tcgetpgrp(0) == os.getpgrp()
