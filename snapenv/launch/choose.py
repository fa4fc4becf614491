"""Decide how a program runs: a Launch, of what is asked, of the environment and of the machine.

The numbers and their reasons: docs/running.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath, PurePosixPath

from msgspec import Struct, field
from msgspec.structs import replace

from snapenv.errors import NotFoundError, UsageError
from snapenv.launch.settings import Settings, settings_file
from snapenv.model.host import HostEngine
from snapenv.model.launch import (
    CREATED_LABEL,
    KIND_LABEL,
    MODEL_LABEL,
    PROJECT_LABEL,
    PURPOSE_LABEL,
    RUN_LABEL,
    USER_LABEL,
    Gpu,
    InImage,
    InVenv,
    Launch,
    Limit,
    Mount,
    Place,
    Port,
    User,
)
from snapenv.model.usage import Declared, DeclaredOptions
from snapenv.sizes import size

SCRATCH = "/tmp/snapenv"  # noqa: S108 - in the container; what we give a program lies there

STACK = Limit(name="stack", soft=64 << 20, hard=64 << 20)

LOCKED_IN = {  # a program takes nothing but what the environment holds
    "PYTHONNOUSERSITE": "1",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_OFFLINE": "true",
}

_SHM_BYTES = 8 << 30
_LIMITS = (  # NVIDIA's for its framework images, and enough files for many workers
    Limit(name="memlock", soft=-1, hard=-1),
    STACK,
    Limit(name="nofile", soft=1 << 20, hard=1 << 20),
)
_HIDING = ("/", "/usr", "/opt", "/home", "/var", "/tmp")  # noqa: S108 - what is below them is fine
_SYSTEM = (  # neither, nor anything below
    *("/opt/snapenv", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/etc", "/bin", "/lib"),
    *("/lib32", "/lib64", "/sbin", "/proc", "/sys", "/dev", "/run"),
)
_YOLO_TRAINS = ("train", "val")


class LaunchOptions(DeclaredOptions, frozen=True, kw_only=True):
    """What a user may ask of a program, wherever it runs; what is None is left to us."""

    argv: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"  # or "cpu", "all", numbers, UUIDs
    cpus: float | None = None
    memory_bytes: int | None = None
    shm_bytes: int | None = None
    host_ipc: bool = False
    ports: tuple[Port, ...] = ()
    user: tuple[int, int] | None = None
    grace_s: int = 120


class LaunchRequirements(LaunchOptions, frozen=True, kw_only=True):
    """What a user may ask of a run. Paths are absolute."""

    run: str  # the id that it is to have
    created: str  # now: RFC 3339
    kind: str = "run"
    folder: Path  # the project: mounted at its own path, and where the program starts
    runs: Path  # for results; below ``folder``, or mounted too
    data: tuple[Path, ...] = ()  # read-only, each at its own path
    network: str | None = None
    tty: bool = False
    stdin: bool = False


class Caller(Struct, frozen=True, kw_only=True):
    """Who runs snapenv."""

    uid: int
    gid: int
    name: str
    groups: tuple[int, ...] = ()


class Machine(Struct, frozen=True, kw_only=True):
    """What a program may get; ``engine`` is None for a venv."""

    engine: HostEngine | None
    cpus: int | None
    memory_bytes: int | None
    gpus: tuple[Gpu, ...] = ()  # of this machine, as far as they are seen
    refused_limits: tuple[str, ...] = ()  # that the engine could not raise before


class Known(Struct, frozen=True, kw_only=True):
    """What is known of an environment before it runs."""

    place: Place
    snapshot: str | None = None  # its digest; of a venv that of what it was proved to be
    tag: str | None = None
    image: str | None = None  # the digest that its repository gave it, else its id
    variables: Mapping[str, str] = field(default_factory=dict)  # that its image sets
    settings: Settings | None = None  # of ultralytics, where it has that
    scratch: str = SCRATCH  # of a venv a folder of the run's own
    bytecode: str | None = None  # where Python keeps that of a venv, which stays as it is
    # What activating a prefix of conda sets; None where it is none.
    activation: Mapping[str, str | None] | None = None


class Chosen(Struct, frozen=True, kw_only=True):
    """A launch, and what a person should be told of it."""

    launch: Launch
    notes: tuple[str, ...] = ()


def choose_launch(
    request: LaunchRequirements, known: Known, machine: Machine, caller: Caller
) -> Chosen:
    """Decide everything of a run.

    Raises:
        NotFoundError: There is no such GPU.
        UsageError: More is asked for than the machine has, or a folder would hide the environment.
    """
    _refuse_too_much(request, machine)
    gpus, uuids = _gpus(request.device, machine)
    user = _user(request, known, machine, caller)
    mounts, unmounted = _mounts(request, known, machine)
    argv, limited = with_cpus(request.argv, request.cpus)
    launch = Launch(
        run=request.run,
        place=known.place,
        argv=argv,
        mounts=mounts,
        folder=None if unmounted else str(request.folder),
        user=user,
        variables=_variables(request, known, user),
        files=_files(request, known),
        gpus=gpus,
        gpu_uuids=uuids,
        cpus=request.cpus,
        memory_bytes=request.memory_bytes,
        shm_bytes=None
        if request.host_ipc
        else shm_bytes(request.shm_bytes, request.memory_bytes or machine.memory_bytes),
        limits=_limits(machine),
        ports=request.ports,
        network=request.network,
        tty=request.tty,
        stdin=request.stdin,
        grace_s=request.grace_s,
        security=_security(machine),
        labels=_labels(request, caller),
    )
    if isinstance(known.place, InVenv):
        return Chosen(launch=_in_venv(launch, request), notes=limited)
    return Chosen(launch=launch, notes=(*unmounted, *limited, *_not_held(request, machine)))


def _not_held(request: LaunchRequirements, machine: Machine) -> Iterator[str]:
    """Yield what to say of limits that the engine takes, and cannot hold a container to."""
    engine = machine.engine
    if engine and request.memory_bytes and not engine.limits_memory:
        yield f"--memory {size(request.memory_bytes)} is not held: the engine has no cgroups for it"
    if engine and request.cpus and not engine.limits_cpus:
        yield f"--cpus {request.cpus:g} limits threads alone: the engine has no cgroups for it"


def scratch_folder(launch: Launch) -> str:
    """Return the folder inside that only holds what snapenv gives the program."""
    return launch.variables["SNAPENV_SCRATCH"] or SCRATCH


def _in_venv(launch: Launch, request: LaunchRequirements) -> Launch:
    """Leave out what only a container has, and let CUDA show the GPUs that were asked for.

    Raises:
        UsageError: It was asked for.
    """
    wanted = {
        "--memory": request.memory_bytes,
        "--shm-size": request.shm_bytes,
        "--user": request.user,
        "--network": request.network,
        "--mount": request.mounts,
        "--port": request.ports,
    }
    for option, value in wanted.items():
        if value:
            raise UsageError(
                f"{option} is of containers, and a venv runs on this machine as it is",
                hint=f"Leave {option} out, or use --engine docker.",
            )
    visible = launch.gpus or ""
    gpus = {} if request.device in {"auto", "all"} else {"CUDA_VISIBLE_DEVICES": visible}
    return replace(
        launch,
        variables={**gpus, **launch.variables},
        mounts=(),
        user=None,
        shm_bytes=None,
        limits=(),
        security=(),
    )


def _refuse_too_much(request: LaunchRequirements, machine: Machine) -> None:
    """Refuse what the engine would take and not give, or refuse in words of its own."""
    for option, wanted in (("--memory", request.memory_bytes), ("--shm-size", request.shm_bytes)):
        if wanted and machine.memory_bytes and wanted > machine.memory_bytes:
            has = size(machine.memory_bytes)
            raise UsageError(
                f"{option} asks for {size(wanted)}, and the machine has {has}",
                hint=f"Ask for less, or leave {option} out.",
            )
    refuse_small_memory(request.memory_bytes, request.shm_bytes)
    if request.cpus and machine.cpus and request.cpus > machine.cpus:
        raise UsageError(
            f"--cpus asks for {request.cpus:g}, and the machine has {machine.cpus}",
            hint="Ask for fewer, or leave --cpus out.",
        )


def refuse_small_memory(memory_bytes: int | None, shm: int | None) -> None:
    """Refuse more shared memory than memory.

    Raises:
        UsageError: It is so.
    """
    if memory_bytes and shm and shm > memory_bytes:
        raise UsageError(
            "--shm-size is more than --memory, which counts it too",
            hint="Ask for less shared memory, or for more memory.",
        )


def _gpus(device: str, machine: Machine) -> tuple[str | None, tuple[str, ...]]:
    """Return what the engine is asked for, and the UUIDs of that as far as they are known."""
    engine, by_uuid = machine.engine, {gpu.uuid: gpu for gpu in machine.gpus}
    if device == "auto":
        able = engine is None or engine.injects is not None
        is_seen = bool(by_uuid) or (engine is not None and not engine.local)
        return ("all", tuple(by_uuid)) if is_seen and able else (None, ())
    if device == "cpu":
        return None, ()
    if device == "all":
        return "all", tuple(by_uuid)
    by_number = {str(gpu.number): gpu.uuid for gpu in machine.gpus}
    uuids = tuple(by_number.get(name, name) for name in device.split(","))
    local = engine is None or engine.local
    for name, uuid in zip(device.split(","), uuids, strict=True):
        if local and not uuid.startswith("MIG-") and uuid not in by_uuid:
            raise NotFoundError(
                f"this machine has no GPU {name}",
                hint="See nvidia-smi -L, or leave --device out.",
            )
    return ",".join(uuids), tuple(uuid for uuid in uuids if not uuid.isdigit())


def _user(request: LaunchRequirements, known: Known, machine: Machine, caller: Caller) -> User:
    """Return the caller; root of an engine without root is the caller outside.

    On another machine the caller's numbers are somebody else's, but nothing of it is mounted.
    """
    home = known.variables.get("HOME") or "/tmp"  # noqa: S108 - in the container
    rootless = machine.engine is not None and machine.engine.rootless
    if request.user is None and rootless:
        return User(uid=0, gid=0, name="root", home=home)
    if request.user is not None and request.user[0] != caller.uid:
        uid, gid = request.user
        return User(uid=uid, gid=gid, name="root" if uid == 0 else f"user{uid}", home=home)
    gid = request.user[1] if request.user else caller.gid
    groups = tuple(group for group in caller.groups if group != gid)
    return User(uid=caller.uid, gid=gid, name=caller.name, home=home, groups=groups)


def _mounts(
    request: LaunchRequirements, known: Known, machine: Machine
) -> tuple[tuple[Mount, ...], tuple[str, ...]]:
    """Return what is mounted, and what to say where nothing can be.

    Raises:
        UsageError: A folder would hide the environment, or the engine is on another machine.
    """
    if isinstance(known.place, InImage) and machine.engine and not machine.engine.local:
        if request.data:
            raise UsageError(
                f"{request.data[0]} is on this machine, and the engine is on another one, "
                f"{machine.engine.address}",
                hint="Name a folder of that machine: --mount SOURCE:TARGET:ro",
            )
        for mount in request.mounts:
            refuse_target(mount.target, "--mount")
        note = (
            f"the engine is on another machine, {machine.engine.address}: {request.folder} is not "
            "there, and what the program writes is lost at its end, but for a --mount"
        )
        return request.mounts, (note,)
    folders = [Mount(source=str(request.folder), target=str(request.folder))]
    if not _is_below(request.runs, request.folder):
        folders.append(Mount(source=str(request.runs), target=str(request.runs)))
    data = (Mount(source=str(path), target=str(path), read_only=True) for path in request.data)
    mounts = {mount.target: mount for mount in (*folders, *data, *request.mounts)}
    if isinstance(known.place, InImage):
        for mount in mounts.values():
            refuse_target(mount.target, mount.source)
    return tuple(mounts.values()), ()


def refuse_target(target: str, named: str) -> None:
    """Refuse a mount that would hide parts of the image.

    Raises:
        UsageError: It is at such a place, or below it.
    """
    place = PurePosixPath(target)
    if target in _HIDING or any(_is_below(place, PurePosixPath(path)) for path in _SYSTEM):
        raise UsageError(
            f"{named} cannot be mounted at {target}: it would hide parts of the image",
            hint="Work in a folder of your own, such as one below your home, or mount it "
            "elsewhere: --mount SOURCE:/data",
        )


def _is_below(path: PurePath, folder: PurePath) -> bool:
    return path == folder or folder in path.parents


def with_cpus(argv: tuple[str, ...], cpus: float | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give ultralytics as many workers as there are CPUs, which it cannot see, and say so."""
    if cpus is None:
        return argv, ()
    count = _threads(cpus)
    note = f"--cpus {cpus:g}: OMP_NUM_THREADS={count} PYTHON_CPU_COUNT={count}"
    is_yolo = bool(argv) and PurePosixPath(argv[0]).name == "yolo"
    trains = any(word in _YOLO_TRAINS or word.startswith("mode=") for word in argv)
    if is_yolo and trains and not any(word.startswith("workers=") for word in argv):
        return (*argv, f"workers={count}"), (f"{note} workers={count}",)
    return argv, (note,)


def _threads(cpus: float) -> int:
    return max(1, math.ceil(cpus))


def thread_variables(cpus: float | None) -> Mapping[str, str]:
    """Return the variables that tell libraries of a limit which they cannot see."""
    if cpus is None:
        return {}
    count = str(_threads(cpus))
    return {"OMP_NUM_THREADS": count, "PYTHON_CPU_COUNT": count}


def shm_bytes(wanted: int | None, memory_bytes: int | None) -> int:
    """Return 8 GiB or a quarter of the memory: enough for batches, and a limit, not a use."""
    return wanted or min(_SHM_BYTES, (memory_bytes or 4 * _SHM_BYTES) // 4)


def _limits(machine: Machine) -> tuple[Limit, ...]:
    """An engine without root may raise none of those that stand above its own."""
    rootless = machine.engine is not None and machine.engine.rootless
    return tuple(
        limit
        for limit in _LIMITS
        if limit.name not in machine.refused_limits and (limit.name == "stack" or not rootless)
    )


def _security(machine: Machine) -> tuple[str, ...]:
    """With SELinux, what is mounted keeps its labels, and the container alone goes without."""
    labels = ("label=disable",) if machine.engine and machine.engine.selinux else ()
    return ("no-new-privileges", *labels)


def _variables(request: LaunchRequirements, known: Known, user: User) -> Mapping[str, str | None]:
    variables: dict[str, str | None] = {
        **LOCKED_IN,
        "SNAPENV_SCRATCH": known.scratch,
        "YOLO_CONFIG_DIR": f"{known.scratch}/config",
    }
    if isinstance(known.place, InVenv):
        variables |= _venv_variables(known.place.folder, known)
    else:
        variables |= {
            "HOME": user.home,
            "USER": user.name,
            "LOGNAME": user.name,
            "TINI_KILL_PROCESS_GROUP": "1",  # its init signals shells and launchers alone else
        }
    return {**variables, **thread_variables(request.cpus), **request.variables}


def path_with(folder: str, variables: Mapping[str, str]) -> str:
    """Return PATH with the programs of a venv or a prefix of conda before those of the machine."""
    return f"{folder}/bin:{variables.get('PATH', '/usr/local/bin:/usr/bin:/bin')}"


def _venv_variables(folder: str, known: Known) -> Mapping[str, str | None]:
    """Activate a venv; its own bytecode stays as it is, and nothing leads Python elsewhere."""
    of_conda = known.activation is not None
    return {
        "VIRTUAL_ENV": None if of_conda else folder,
        "PATH": path_with(folder, known.variables),
        "PYTHONPATH": None,
        "PYTHONHOME": None,
        "PYTHONPYCACHEPREFIX": known.bytecode,
        **(known.activation or {}),
    }


def _files(request: LaunchRequirements, known: Known) -> Mapping[str, bytes]:
    if known.settings is None:
        return {}
    name, content = settings_file(known.settings, folder=request.folder, runs=request.runs)
    return {f"{known.scratch}/config/{name}": content}


def _labels(request: LaunchRequirements, caller: Caller) -> Mapping[str, str]:
    labels = {
        KIND_LABEL: request.kind,
        RUN_LABEL: request.run,
        USER_LABEL: caller.name,
        CREATED_LABEL: request.created,
    }
    return {**labels, **declared_labels(request)}


def declared_labels(declared: Declared) -> dict[str, str]:
    """Return the labels that say for whom and for what something runs."""
    labels = {
        PROJECT_LABEL: declared.project,
        PURPOSE_LABEL: declared.purpose,
        MODEL_LABEL: declared.model,
    }
    return {label: value for label, value in labels.items() if value}
