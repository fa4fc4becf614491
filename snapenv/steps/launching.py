"""From a REF to a program that runs in it: find the environment, choose a Launch, start, record."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from snapenv.causes import Cause
from snapenv.errors import (
    EngineError,
    EngineMissingError,
    NotFoundError,
    SnapenvError,
    StartError,
    WriteError,
)
from snapenv.json_text import read_json
from snapenv.launch.activation import ACTIVATE, parse_activated, parse_state, prefix_variables
from snapenv.launch.choose import (
    SCRATCH,
    Caller,
    Known,
    LaunchRequirements,
    Machine,
    choose_launch,
    path_with,
)
from snapenv.launch.ending import Ending, explain_end, find_victims, find_xids, handed_code
from snapenv.launch.records import (
    forget,
    new_run_id,
    now,
    read_record,
    read_resumed,
    read_stop,
    run_folder,
    was_stopped,
    write_end,
    write_record,
)
from snapenv.launch.settings import ASK, Settings, parse_answer
from snapenv.model.host import HostEngine
from snapenv.model.image import ImageRef
from snapenv.model.launch import (
    InImage,
    InVenv,
    Launch,
    LimitOptions,
    RunEnd,
    RunRecord,
    RunState,
)
from snapenv.model.snapshot import IMAGE_PYTHON, SNAPSHOT_LABEL, SUMS_FILE
from snapenv.places import exists, expanded, give_folder, is_file, is_folder
from snapenv.ports import Runs
from snapenv.steps.declaring import counted_user, declared_in, login_name
from snapenv.steps.limiting import choose_limits
from snapenv.steps.proved_venv import proved_venv, venv_state
from snapenv.steps.recording import begin_usage, end_usage, fail_usage, with_key
from snapenv.steps.source import LocalImage, RegistryImage, resolve_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from snapenv.launch.records import Resumed, Stop
    from snapenv.ports import Services, Target


_NOTHING_TO_RESUME = 3  # an exit code of snapenv_resume
_LAST_LINES = 50
_FULL_BYTES = 1 << 20


class LaunchRequest(LaunchRequirements, frozen=True, kw_only=True):
    """What a user may ask of a command that runs something in an environment."""

    run: str = ""  # the id; without one, a new one is made
    created: str = ""
    ref: str
    repository: str
    engine: Literal["docker", "venv"] = "docker"
    into: Path = Path(".venv")
    detached: bool = False
    strict: bool = False  # start nothing that is not as locked
    limits: LimitOptions = LimitOptions()
    textfile: Path | None = None  # absolute, as of RunRecord
    job_mapping: Path | None = None


class Prepared(Struct, frozen=True, kw_only=True):
    """A run that may start: what was decided of it, what to say, and what starts it."""

    record: RunRecord
    runs: Runs
    engine: HostEngine | None = None  # of a container
    notes: tuple[str, ...] = ()

    @property
    def launch(self) -> Launch:
        """What runs."""
        return self.record.launch


def prepare(request: LaunchRequest, services: Services) -> Prepared:
    """Decide everything of a run; nothing is started or written.

    Raises:
        NotFoundError: The REF names nothing that was restored here, or a folder is not there.
        UsageError: More is asked for than there is, or a folder would hide the environment.
        WriteError: Results cannot be written.
    """
    _refuse_folders(request)
    run = request.run or new_run_id()
    declared = declared_in(request.folder, request)
    stamped = replace(request, run=run, created=request.created or now(), **asdict(declared))
    known = _known(stamped, services)
    in_venv = isinstance(known.place, InVenv)
    engine = None if in_venv else services.engine.describe()
    runs = services.processes if in_venv else services.containers
    machine = replace(_machine(engine, services), refused_limits=runs.refused_limits())
    caller = _caller()
    chosen = choose_launch(stamped, known, machine, caller)
    record = RunRecord(
        run=run,
        kind=request.kind,
        ref=request.ref,
        snapshot=known.snapshot,
        created=stamped.created,
        user=counted_user(caller.name, request.folder, services),
        engine=engine.address if engine else None,
        results=str(request.runs),
        detached=request.detached,
        launch=chosen.launch,
        tag=known.tag,
        image=known.image,
        textfile=str(request.textfile) if request.textfile else None,
        job_mapping=str(request.job_mapping) if request.job_mapping else None,
        limits=choose_limits(request.limits, chosen.launch, services),
    )
    return Prepared(record=record, runs=runs, engine=engine, notes=chosen.notes)


def run_launch(prepared: Prepared, services: Services) -> RunEnd | None:
    """Run in the foreground to its end, write down how it ended, and take it away.

    What the user detached from goes on, and stays: None.

    Raises:
        CommandMissingError, CommandRefusedError, StartError: It was not started.
    """
    run, runs = prepared.record.run, prepared.runs
    with _recorded(prepared, services) as record:
        ended = runs.run(prepared.launch)
        if ended.state.running:
            return None
        end = end_run(record, ended.state, services, output=ended.output, signals=ended.signals)
        runs.remove(run)
    return end


def start_launch(prepared: Prepared, services: Services) -> RunState:
    """Start in the background.

    Raises:
        CommandMissingError, CommandRefusedError, StartError: It was not started.
    """
    with _recorded(prepared, services):
        return prepared.runs.start(prepared.launch)


def end_run(  # noqa: PLR0913 - all but three by name
    record: RunRecord,
    state: RunState,
    services: Services,
    *,
    output: bytes = b"",
    signals: Sequence[int] = (),
    finished: str | None = None,
) -> RunEnd:
    """Write down how a run ended, and why.

    ``output`` is the end of what it printed, ``signals`` are those that this process handed on;
    ``finished`` is when that was, in RFC 3339, where it is not now.
    """
    stopped = services.state is not None and was_stopped(services.state, record.run)
    stop = read_stop(services.state, record.run) if services.state else None
    signalled = bool(signals) or stopped
    resumed = read_resumed(record.training) if record.training else None
    out_of_memory = state.out_of_memory
    if stop:
        cause: Cause | None = _stopped_by(stop, record)
    elif resumed and resumed.problem and state.exit_code == _NOTHING_TO_RESUME:
        cause = Cause(resumed.problem, resumed.hint or "", "not-resumed")
    else:
        ending = _ending(record, state, services, output, signalled=signalled)
        cause = explain_end(ending)
        out_of_memory |= bool(ending.victims)  # of whom the engine may not have heard yet
    end = RunEnd(
        exit_code=state.exit_code,
        finished=state.finished or now(),
        out_of_memory=out_of_memory,
        stopped=signalled,
        failure=stop.by if stop else _failure(state, cause, signalled=signalled),
        cause=cause.reason if cause else None,
        hint=cause.fix if cause else None,
        continued=_continued(resumed),
        stopped_by=stop.by if stop else None,
    )
    if services.state:
        write_end(services.state, record.run, end)
    end_usage(record, end, services, finished=finished)
    services.start_sampler()
    return end


def _failure(state: RunState, cause: Cause | None, *, signalled: bool) -> str | None:
    """Return the word by which an end is counted as a failure; None for none."""
    if not state.exit_code:
        return None
    return "stopped" if signalled else cause.kind if cause else "unknown"


def _stopped_by(stop: Stop, record: RunRecord) -> Cause:
    """Say why snapenv itself has stopped a run, and how it goes on."""
    on = "It has left no checkpoint: start it anew."
    if stop.checkpoint:
        on = f"Go on with: snapenv run --resume {record.run}"
    return Cause(f"snapenv stopped it, as {stop.reason}", on, stop.by)


def end_unseen(record: RunRecord, runs: Runs, state: RunState, services: Services) -> RunEnd:
    """Write down how a run ended that nobody watched, and why, by what is kept of its output."""
    output = bytearray()
    with contextlib.suppress(NotFoundError):
        for out, err in runs.logs(record.run, follow=False, tail=_LAST_LINES):
            output += out or err or b""
    return end_run(record, state, services, output=bytes(output), finished=state.finished)


def say_end(end: RunEnd, say: Callable[[str], None]) -> None:
    """Tell a person why a run ended, where that is known, and what mends it."""
    if end.cause:
        say(f"exit code {handed_code(end)}: {end.cause}")
    if end.hint:
        say(end.hint)


def _ending(
    record: RunRecord, state: RunState, services: Services, output: bytes, *, signalled: bool
) -> Ending:
    """Look at what tells why a run ended: the kernel's log, and file systems that are full.

    A shell's last words are those of the programs in it.
    """
    log = _kernel_log(record, state, services)
    launch = record.launch
    return Ending(
        exit_code=state.exit_code or 0,
        out_of_memory=state.out_of_memory,
        memory_bytes=launch.memory_bytes,
        shm_bytes=launch.shm_bytes,
        victims=tuple(find_victims(log, container=state.container, pid=state.pid)),
        xids=tuple(find_xids(log)) if launch.gpus else (),
        full=tuple(filter(_is_full, (record.results,) if record.results else ())),
        output="" if record.kind == "shell" else output.decode(errors="replace"),
        signalled=signalled,
    )


def _kernel_log(record: RunRecord, state: RunState, services: Services) -> tuple[str, ...]:
    """Return what the kernel has said since a run began; of another machine nothing is known."""
    began = datetime.fromisoformat((state.started or record.created)[:19] + "+00:00")
    with contextlib.suppress(EngineMissingError, EngineError):
        if record.engine is None or services.engine.describe().local:
            return services.kernel_log(began.timestamp())
    return ()


def _is_full(folder: str) -> bool:
    try:
        status = os.statvfs(folder)
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < _FULL_BYTES or (
        status.f_files > 0 and status.f_favail == 0
    )


def _continued(resumed: Resumed | None) -> str | None:
    if resumed is None or resumed.checkpoint is None:
        return None
    return (
        f"{resumed.epoch} of {resumed.epochs} epochs in {resumed.checkpoint}: continued, not "
        "identical"
    )


def find_run(run: str, services: Services) -> tuple[RunRecord, Runs]:
    """Return the record of a run, and what knows how it stands.

    Raises:
        NotFoundError: There is no such run.
    """
    record = read_record(services.state or Path(), run)
    return record, services.containers if record.engine else services.processes


@contextlib.contextmanager
def _recorded(prepared: Prepared, services: Services) -> Iterator[RunRecord]:
    """Write a run down for the block; where that fails, only the ledger knows that it was tried.

    What goes on although its engine was lost stays, and is listed: it may be days of training.
    """
    run, results = prepared.record.run, Path(prepared.record.results or ".")
    made = _make_results(prepared, results)
    record = with_key(prepared.record, services)
    try:
        if services.state:
            write_record(services.state, record)
        record = begin_usage(record, services)
        if record.limits.any_given and record.counted and not record.counted.written:
            services.warn("its limits are not watched, as only what is in the ledger is")
        services.start_sampler()
        yield record
    except BaseException as error:
        if isinstance(error, EngineError) and _may_go_on(prepared):
            raise
        with contextlib.suppress(SnapenvError):
            prepared.runs.remove(run)
        fail_usage(record, error, services)
        if services.state:
            forget(services.state, run)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _may_go_on(prepared: Prepared) -> bool:
    """Return whether a run goes on; where its engine cannot be asked, it may."""
    try:
        state = prepared.runs.state(prepared.record.run)
    except SnapenvError:
        return True
    return state is not None and state.running


def _make_results(prepared: Prepared, results: Path) -> list[Path]:
    """Make the folder for results, its user's own, where it is mounted; return what was made."""
    launch = prepared.launch
    if not any(mount.source == str(results) for mount in launch.mounts):
        return []
    missing = [each for each in (results, *results.parents) if not exists(each)]
    try:
        results.mkdir(parents=True, exist_ok=True)
        if missing and launch.user and os.geteuid() == 0:
            give_folder(results, launch.user.uid, launch.user.gid)
    except OSError as error:
        raise _unwritable(results, error.strerror) from error
    return missing


def _refuse_folders(request: LaunchRequest) -> None:
    """Refuse folders that are not there, and results that cannot be written."""
    for folder in (request.folder, *request.data):
        if not is_folder(folder):
            raise NotFoundError(
                f"there is no folder {folder}", hint="Check its path; nothing was started."
            )
    for mount in request.mounts:
        if mount.kind == "bind" and not exists(Path(mount.source)):
            raise NotFoundError(
                f"there is no {mount.source} to mount", hint="Check its path; nothing was started."
            )
    for folder in filter(None, (request.textfile, request.job_mapping)):
        if not (is_folder(folder) and os.access(folder, os.W_OK)):
            raise WriteError(
                f"nothing can be written to the folder {folder}",
                hint="Make it, or let your user write there; nothing was started.",
            )
    above = next(each for each in (request.runs, *request.runs.parents) if exists(each))
    if not (is_folder(above) and os.access(above, os.W_OK)):
        raise _unwritable(request.runs, "Permission denied" if is_folder(above) else "not a folder")


def _unwritable(results: Path, why: str | None) -> WriteError:
    return WriteError(
        f"results cannot be written to {results}: {why}",
        hint="Name a folder of your own: --runs DIR",
    )


def _known(request: LaunchRequest, services: Services) -> Known:
    """Find the environment that a REF names, and what is known of it."""
    named = expanded(request.ref)
    if _is_venv(named):
        return _known_venv(named.absolute(), request, services)
    if request.engine == "venv":
        if not _is_venv(request.into):
            raise NotFoundError(
                f"{request.ref} is not restored in {request.into}",
                hint=f"Run: snapenv restore {request.ref} --engine venv --into {request.into}",
            )
        return _known_venv(request.into.absolute(), request, services)
    restored = restored_image(request.ref, request.repository, services)
    return Known(
        place=InImage(id=restored.image.id, name=str(restored.ref)),
        snapshot=restored.image.labels[SNAPSHOT_LABEL],
        tag=restored.ref.tag,
        image=restored.image.digest_in(restored.ref.repository) or restored.image.id,
        variables=restored.image.variables,
        settings=_settings(
            restored.image.id,
            lambda: services.engine.image_target(restored.image, python=IMAGE_PYTHON, gpus=None),
            services,
        ),
        scratch=SCRATCH,
    )


def restored_image(ref: str, repository: str, services: Services) -> LocalImage:
    """Return the local image that a REF names; nothing is pulled.

    Raises:
        NotFoundError: It was never restored here, or is none of snapenv's.
        EngineMissingError: No engine answers.
    """
    source = resolve_source(ref, repository=repository, services=services)
    if isinstance(source, LocalImage) and source.image.labels.get(SNAPSHOT_LABEL):
        return source
    if isinstance(source, RegistryImage):
        raise source.engine_error or _not_restored(ref)

    from snapenv.steps.snapshots import no_snapshot, read_source  # most runs need not wait for it

    if isinstance(source, LocalImage):
        raise no_snapshot(source.ref)
    snapshot = read_source(source, services)
    named = ImageRef(repository=repository, tag=snapshot.lock.tag)
    image = services.engine.find(str(named))
    if image is None or image.labels.get(SNAPSHOT_LABEL) != snapshot.digest:
        raise _not_restored(ref)
    return LocalImage(named, image)


def _not_restored(ref: str) -> NotFoundError:
    return NotFoundError(
        f"{ref} is not restored on this machine", hint=f"Run: snapenv restore {ref}"
    )


def _is_venv(folder: Path) -> bool:
    return is_file(folder / "bin" / "python") and not exists(folder / SUMS_FILE)


def _known_venv(folder: Path, request: LaunchRequest, services: Services) -> Known:
    cache, name = services.cache, sha256(os.fsencode(folder)).hexdigest()[:16]
    scratch = str(run_folder(services.state or Path(), request.run) / "scratch")
    state = venv_state(folder)
    proved = proved_venv(state, services)
    return Known(
        place=InVenv(folder=str(folder)),
        snapshot=proved.snapshot if proved else None,
        tag=proved.tag if proved else None,
        activation=_activation(folder, services) if is_folder(folder / "conda-meta") else None,
        variables=os.environ,
        settings=_settings(state, lambda: services.local(str(folder / "bin" / "python")), services),
        scratch=scratch,
        bytecode=str(cache / "bytecode" / name) if cache else None,
    )


def _activation(prefix: Path, services: Services) -> Mapping[str, str | None]:
    """Return what activating a prefix of conda sets, as its scripts do it now.

    Raises:
        StartError: A script ends the shell, or what conda knows of the prefix is damaged.
    """
    state = prefix / "conda-meta" / "state"
    try:
        own = parse_state(state.read_bytes()) if exists(state) else {}
        variables = {
            **own,
            **prefix_variables(str(prefix)),
            "PATH": path_with(str(prefix), os.environ),
        }
        target = services.local(str(prefix / "bin" / "python"))
        done = target.run(("bash", "-c", ACTIVATE), environment=variables)
        return {**variables, **parse_activated(done.stdout)}
    except (OSError, ValueError) as error:
        raise StartError(
            f"{prefix} cannot be activated: {error}",
            hint=f"Look into {state} and the scripts of {prefix}/etc/conda/activate.d.",
        ) from error


def _settings(key: str, target: Callable[[], Target], services: Services) -> Settings | None:
    """Return the settings that the environment's ultralytics writes, asked for once."""
    kept = services.made()
    name = kept.namer()("settings of ultralytics", ASK, key)
    answer = kept.find(name)
    if answer is not None:
        return read_json(answer, Settings | None)
    with services.progress.task("Asking ultralytics for its settings"):
        asking = target()
        done = asking.run((asking.python, "-B", "-c", ASK))
    try:
        settings = parse_answer(done.stdout)
    except ValueError as error:
        last = done.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise StartError(
            f"ultralytics cannot be imported in the environment: {last[0]}",
            hint="See that it is whole: snapenv verify",
        ) from error
    kept.keep(name, msgspec.json.encode(settings))
    return settings


def _machine(engine: HostEngine | None, services: Services) -> Machine:
    local = engine is None or engine.local
    return Machine(
        engine=engine,
        cpus=engine.cpus if engine else os.cpu_count(),
        memory_bytes=engine.memory_bytes if engine else None,
        gpus=services.gpus() if local else (),
    )


def _caller() -> Caller:
    uid, gid = os.getuid(), os.getgid()
    groups = tuple(os.getgroups()) if uid else ()
    return Caller(uid=uid, gid=gid, name=login_name(), groups=groups)
