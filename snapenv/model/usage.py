"""What the ledger holds: runs, the GPUs that they used, epochs, events and machines.

Moments are milliseconds since 1970 in UTC, as the machine's clock had them; durations are
milliseconds of CLOCK_BOOTTIME, which no change of that clock moves. Money is whole millionths of a
currency's unit. None is unknown, or does not apply. A key is a random UUID, so that records of many
machines meet in one ledger and tell nothing of one another.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

HOUR_MS = 3_600_000
KWH_MJ = 3_600_000_000
BUCKETS = 10
"""Of the histogram of utilisation: the first holds the time below 10 %, the last that from 90 %."""

UtilSource = Literal[
    "gpm_sm",  # NVML's GPM: share of the time in which a multiprocessor had work, averaged
    "dcgm_sm",
    "gpm_graphics",  # share of the time in which the graphics or compute engine was busy
    "dcgm_gr_engine",
    "nvml",  # share of the time in which any kernel ran: it flatters
]

RunSource = Literal["snapenv", "slurm", "prometheus"]

EventKind = Literal[
    "gap",  # samples are missing from ``at_ms`` for ``value`` milliseconds
    "clock",  # the clock jumped by ``value`` milliseconds
    "throttled",  # ``value`` is what NVML's reasons are, as bits
    "shared",  # another process was on a GPU of the run
    "batch",  # ultralytics went on with ``value`` images a batch, for want of memory
    "warned",  # the stop rule would stop it
    "stopped",  # snapenv stopped it: ``text`` says by which rule or limit
    "orphaned",  # nobody saw its end
]


class Declared(Struct, frozen=True, kw_only=True):
    """For whom and for what a run is, as its user says."""

    project: str | None = None
    purpose: str | None = None
    model: str | None = None


class DeclaredOptions(Declared, frozen=True, kw_only=True):
    """What a user may say of it to a command."""

    require_project: bool = False  # nothing runs without one


class UsedGpu(Struct, frozen=True, kw_only=True):
    """A GPU that a run was given."""

    uuid: str  # of a MIG instance its own
    model: str  # as the driver names it: "NVIDIA H200"


class Training(Struct, frozen=True, kw_only=True):
    """What a training of ultralytics was asked to do, and what came of it, seen from outside."""

    model: str | None = None  # such as "yolov8n.pt"
    task: str | None = None
    epochs: int | None = None  # asked for
    epochs_done: int = 0
    images: int | None = None  # of the training set
    imgsz: int | None = None
    batch: int | None = None  # that it really used
    amp: bool | None = None
    workers: int | None = None
    metric: str | None = None  # that ``best`` is of: "mAP50-95(B)"
    best: float | None = None  # 0 to 1; None where nothing was validated
    best_epoch: int | None = None  # counted from 1
    # Median milliseconds of an epoch but the first of an attempt, which fills caches.
    epoch_ms: int | None = None


class UsageRun(Struct, frozen=True, kw_only=True):
    """A run, as far as it is known; a later ``rev`` of the same key takes its place."""

    key: str
    rev: int = 1
    run: str  # as ``snapenv ps`` calls it; of an imported one as its scheduler does
    source: RunSource = "snapenv"
    kind: str  # "run", "shell", "up", "verify" or "job"
    user: str  # the login name, or the pseudonym in its place
    project: str | None = None
    purpose: str | None = None
    model: str | None = None  # as declared, else that of the training
    command: tuple[str, ...] = ()  # without secrets
    tag: str | None = None
    image: str | None = None  # the digest: sha256:…
    snapshot: str | None = None  # the digest
    host: str
    gpus: tuple[UsedGpu, ...] = ()
    gpus_asked: str | None = None  # as asked for: "all", "0,1"; None for none
    cpus: float | None = None
    memory_bytes: int | None = None
    shm_bytes: int | None = None
    max_cost: int | None = None
    max_duration_ms: int | None = None
    started_ms: int
    ended_ms: int | None = None  # None while it goes on
    duration_ms: int | None = None
    exit_code: int | None = None
    failure: str | None = None  # a word for what ended it: see ``snapenv.causes``
    cause: str | None = None  # the same for a person, one line
    resumed_from: str | None = None  # the id of the run that it continues
    training: Training | None = None


class RunGpu(Struct, frozen=True, kw_only=True):
    """What one GPU did in one run within one month of UTC.

    ``sum(buckets) == covered_ms <= allocated_ms``: what is missing was not seen.
    """

    key: str  # of the run
    gpu: str  # the UUID
    month: str  # "2026-11"
    model: str
    allocated_ms: int
    covered_ms: int = 0
    buckets: tuple[int, ...] = (0,) * BUCKETS  # milliseconds, see BUCKETS
    util_source: UtilSource | None = None
    energy_mj: int | None = None  # millijoules
    memory_peak_bytes: int | None = None
    power_peak_mw: int | None = None  # milliwatts
    throttled_ms: int = 0
    shared_ms: int = 0  # with a process that is not the run's
    cpu_ms: int | None = None  # of all CPUs of the run, told once: with its first GPU
    host_memory_peak_bytes: int | None = None  # likewise


class UsageSum(Struct, frozen=True, kw_only=True):
    """What runs did together in a month, for those who may not see each run of a team's ledger.

    A project with one user in a month is not told apart: it is in the row of ``is_rest``, with
    others like it. Managers get ``user`` and what follows; to finance all of that is None.
    """

    month: str  # "2026-11"
    gpu_model: str
    project: str | None  # None of runs that declare none, and where ``is_rest``
    is_rest: bool = False
    is_correction: bool = False  # differences that were added later; ``runs`` is 0 then
    user: str | None = None  # a pseudonym, the same in all months
    purpose: str | None = None  # None where ``is_rest``, as what follows
    model: str | None = None
    tag: str | None = None
    snapshot: str | None = None  # the digest
    failure: str | None = None
    runs: int  # that had such a GPU in the month: one may be in several rows
    allocated_ms: int
    buckets: tuple[int, ...] = (0,) * BUCKETS  # milliseconds, see BUCKETS
    energy_mj: int | None = None
    util_sources: tuple[UtilSource, ...] = ()  # in order; none where nothing was seen


class EpochRow(Struct, frozen=True, kw_only=True):
    """A finished epoch, as results.csv has it."""

    key: str  # of the run
    attempt: int  # from 1; a resumed training begins another one
    epoch: int  # from 1
    at_ms: int  # when it was seen
    loss: float | None  # the sum of all train/*; None where it is no finite number
    metric: float | None = None  # that of Training.metric; None where it was not validated


class UsageEvent(Struct, frozen=True, kw_only=True):
    """Something that happened to a run, or to its samples."""

    id: str  # a random UUID
    key: str  # of the run
    at_ms: int
    kind: EventKind
    value: int | None = None
    text: str | None = None


class Sample(Struct, frozen=True, kw_only=True):
    """One look at one GPU of a run; kept for 90 days on its own machine alone."""

    key: str  # of the run
    gpu: str
    at_ms: int
    utilization: int | None = None  # percent, averaged since the look before
    util_source: UtilSource | None = None
    memory_bytes: int | None = None
    power_mw: int | None = None
    energy_mj: int | None = None  # of the GPU's counter, which grows
    clock_mhz: int | None = None  # of the multiprocessors
    throttle: int | None = None  # NVML's reasons, as bits
    temperature_c: int | None = None
    cpu_ms: int | None = None  # of the run's cgroup, which grows
    host_memory_bytes: int | None = None


class MachineGpu(Struct, frozen=True, kw_only=True):
    """A GPU that a machine has, so that the hours in which nobody used it are known."""

    host: str
    gpu: str
    model: str
    first_ms: int  # when it was first seen
    last_ms: int


class Correction(Struct, frozen=True, kw_only=True):
    """What is added to a RunGpu that turned out to be wrong; the row itself stays as it was.

    Numbers are differences, so they may be negative; ``sum(buckets)`` is that of ``covered_ms``.
    """

    id: str  # a random UUID
    key: str  # of the run
    gpu: str
    month: str  # "2026-11"
    at_ms: int  # when it was added
    allocated_ms: int = 0
    buckets: tuple[int, ...] = (0,) * BUCKETS
    energy_mj: int = 0
    reason: str


class Beat(Struct, frozen=True, kw_only=True):
    """The last sign of life of the process that watches a run; kept on its own machine alone."""

    key: str  # of the run
    at_ms: int
    boot_ms: int  # the same moment by CLOCK_BOOTTIME
    boot_id: str  # of the kernel: another one after a restart of the machine
    pid: int
    ticks: int  # when the process started, in clock ticks since the boot: a PID is used again


class ProjectMember(Struct, frozen=True, order=True):
    """A login that may count its runs for a project, and sees all runs of it."""

    login: str  # as PostgreSQL knows it
    project: str  # as runs declare it


class TeamGrants(Struct, frozen=True, kw_only=True):
    """Who may do what, by login, in order."""

    members: tuple[ProjectMember, ...] = ()  # see runs of their projects
    managers: tuple[str, ...] = ()  # see sums by project and pseudonym
    finance: tuple[str, ...] = ()  # see sums by project
    services: tuple[str, ...] = ()  # hand over what others ran, for any project
