"""What runs in an environment, as one value, and how a run stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct, field

KIND_LABEL = "io.snapenv.kind"  # of a container: "run", "shell", "up"
WORKSPACE_LAYER = "workspace-layer"  # its value for the image of a workspace
RUN_LABEL = "io.snapenv.run"  # its run's id
USER_LABEL = "io.snapenv.user"  # the login name of who started it
PROJECT_LABEL = "io.snapenv.project"
PURPOSE_LABEL = "io.snapenv.purpose"
MODEL_LABEL = "io.snapenv.model"
CREATED_LABEL = "io.snapenv.created"  # RFC 3339

RUN_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}", re.ASCII)


class InImage(Struct, frozen=True, kw_only=True, tag="image"):
    """An image of an engine, by its id there; ``name`` is what a user calls it."""

    id: str
    name: str


class InVenv(Struct, frozen=True, kw_only=True, tag="venv"):
    """A venv on this machine, by the absolute path of its folder."""

    folder: str


Place: TypeAlias = InImage | InVenv


class Mount(Struct, frozen=True, kw_only=True):
    """What a container sees of the engine's machine; both paths are absolute."""

    source: str  # of a volume its name
    target: str
    read_only: bool = False
    kind: Literal["bind", "volume"] = "bind"


class Port(Struct, frozen=True, kw_only=True):
    """A TCP port of a container, and where the engine's machine listens for it."""

    inside: int  # the container's number
    host: int | None = None  # the machine's; None lets the engine choose
    address: str = "127.0.0.1"  # of the machine


class Limit(Struct, frozen=True, kw_only=True):
    """A ulimit as an engine names it: ``memlock``; -1 is no limit."""

    name: str
    soft: int
    hard: int


class User(Struct, frozen=True, kw_only=True):
    """Whom a program runs as, and the name that these numbers get inside."""

    uid: int
    gid: int
    name: str
    home: str  # inside
    groups: tuple[int, ...] = ()  # beside ``gid``


class Gpu(Struct, frozen=True, kw_only=True):
    """A GPU of this machine, by the number that nvidia-smi gives it."""

    number: int
    uuid: str
    name: str | None = None  # as the driver names it: "NVIDIA H200"


class Launch(Struct, frozen=True, kw_only=True):
    """Everything that decides how a program runs in an environment.

    Made by ``snapenv.launch``; each reader (the engine's, the venv's) does what it says, and
    decides nothing.
    """

    run: str  # the id of the run, see RUN_ID
    place: Place
    argv: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    folder: str | None = None  # where the program starts; None is the image's own
    user: User | None = None  # None is the image's own
    variables: Mapping[str, str | None] = field(default_factory=dict)  # None takes one away
    # By absolute path; written before the program starts, its user's own, mode 0600.
    files: Mapping[str, bytes] = field(default_factory=dict)
    gpus: str | None = None  # None, "all", or numbers and UUIDs with commas between them
    gpu_uuids: tuple[str, ...] = ()  # of those, where they are known
    cpus: float | None = None
    memory_bytes: int | None = None  # of memory and swap together
    shm_bytes: int | None = None  # of a private /dev/shm; None shares the machine's
    limits: tuple[Limit, ...] = ()
    ports: tuple[Port, ...] = ()
    network: str | None = None  # the engine's default, or such as "none"
    tty: bool = False
    stdin: bool = False  # this process's stdin is the program's
    init: bool = True
    stop_signal: str = "SIGINT"
    grace_s: int = 120
    security: tuple[str, ...] = ("no-new-privileges",)
    capabilities: tuple[str, ...] = ()  # that are kept; all others are dropped
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def set_variables(self) -> tuple[tuple[str, str], ...]:
        """The variables that have a value, by name."""
        given = self.variables.items()
        return tuple(sorted((name, value) for name, value in given if value is not None))


Status = Literal["created", "running", "exited"]


class RunState(Struct, frozen=True, kw_only=True):
    """How a run stands, as its engine or the kernel says. Times are RFC 3339, in UTC."""

    run: str
    status: Status
    container: str | None = None  # its id
    pid: int | None = None  # on the engine's machine
    exit_code: int | None = None  # once it has ended; None too where nobody was there to see it
    out_of_memory: bool = False  # the kernel ended one of its processes
    error: str | None = None  # why the engine did not start it
    started: str | None = None
    finished: str | None = None
    ports: tuple[Port, ...] = ()  # as they are bound now
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self.status == "running"


class Ended(Struct, frozen=True, kw_only=True):
    """What this process saw of a run in the foreground.

    ``state`` may still be running: the user detached from it.
    """

    state: RunState
    output: bytes  # the last 64 KiB of stdout and stderr, as they came
    signals: tuple[int, ...] = ()  # that this process got and handed on, in order


StopRule: TypeAlias = Literal["off", "warn", "pause"]

StoppedBy: TypeAlias = Literal["stop-rule", "max-hours", "max-cost"]


class LimitOptions(Struct, frozen=True, kw_only=True):
    """What a user asks of the limits of a run; None is left as it was, or is off."""

    stop_rule: StopRule | None = None
    min_improvement: float | None = None
    max_hours: float | None = None
    max_cost: int | None = None  # millionths of the price list's currency
    notify: str | None = None
    prices: Path | None = None


class Limits(Struct, frozen=True, kw_only=True):
    """When snapenv itself is to end a run, and whom it tells of that."""

    stop_rule: StopRule = "off"
    min_improvement: float | None = None  # of the loss, in its own unit; None is 0.1 % of it
    max_duration_ms: int | None = None
    max_cost: int | None = None  # millionths of ``currency``
    currency: str | None = None  # of the price list
    cost_duration_ms: int | None = None  # after which it has cost ``max_cost``
    notify: str | None = None  # a command line, or the address of a webhook

    @property
    def any_given(self) -> bool:
        """Whether a run has to be watched for them."""
        return self.stop_rule != "off" or bool(self.max_duration_ms or self.max_cost)


class Counted(Struct, frozen=True, kw_only=True):
    """What the ledger of usage knows a run by, and when it began."""

    key: str
    started_ms: int  # since 1970, UTC
    boot_ms: int  # the same moment by CLOCK_BOOTTIME
    boot_id: str  # of the kernel
    written: bool = False  # the ledger has a record of its start


class RunRecord(Struct, frozen=True, kw_only=True):
    """What is written down of a run before it starts: ``runs/ID/run.json`` of the state folder."""

    schema: int = 1
    run: str
    kind: str  # as of KIND_LABEL
    ref: str  # as the user wrote it
    snapshot: str | None  # the digest
    created: str  # RFC 3339, UTC
    user: str = ""  # as the ledger of usage calls them: the login name, or a pseudonym
    engine: str | None  # the address of the engine; None for a venv
    results: str | None  # the folder for results, on this machine
    detached: bool
    launch: Launch
    resumed_from: str | None = None  # the id of the run that this one continues
    training: str | None = None  # the folder of the training that it continues
    tag: str | None = None  # of the snapshot
    image: str | None = None  # the digest that its repository gave it, else its id
    counted: Counted | None = None
    limits: Limits = Limits()
    textfile: str | None = None  # the folder of node_exporter's textfile collector
    job_mapping: str | None = None  # of dcgm-exporter's files of jobs


class RunEnd(Struct, frozen=True, kw_only=True):
    """What is written down when a run has ended and somebody saw it: ``runs/ID/end.json``."""

    exit_code: int | None
    finished: str
    out_of_memory: bool = False
    stopped: bool = False  # somebody asked for its end
    failure: str | None = None  # a word by which failures are counted; None is none
    cause: str | None = None  # one line, where it is known
    hint: str | None = None
    continued: str | None = None  # of a training that was continued: from what
    stopped_by: StoppedBy | None = None  # snapenv itself asked for its end
