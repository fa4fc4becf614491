"""Start a workspace, which stays until it is taken down, and say how to reach it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.errors import NotFoundError, PlaceTakenError, UsageError
from snapenv.launch.command import files_note, shell_command
from snapenv.model.image import ImageRef
from snapenv.model.launch import RUN_ID, InVenv, Port
from snapenv.model.outcome import Outcome
from snapenv.model.results import UpResult
from snapenv.steps.launching import (
    LaunchRequest,
    end_unseen,
    find_run,
    prepare,
    start_launch,
)
from snapenv.steps.recording import fail_usage
from snapenv.steps.serving import (
    WORKSPACE,
    find_workspace,
    include_ssh_files,
    own_keys,
    ssh_folder,
    state_folder,
    take_away,
    write_ssh_files,
)
from snapenv.steps.source import LocalImage
from snapenv.steps.still_locked import check_before, check_running
from snapenv.steps.workspace import find_workspace_image, make_workspace_image, tools_folder
from snapenv.workspace.layer import Parts
from snapenv.workspace.serving import (
    PORTS,
    Service,
    Wanted,
    ports,
    serve_in_container,
    serve_in_venv,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snapenv.model.launch import Launch
    from snapenv.ports import Services
    from snapenv.steps.launching import Prepared
    from snapenv.steps.serving import Workspace

_NAME = re.compile(r"[^a-z0-9_.-]+")
_NAME_LENGTH = 63
_END_S = 10  # for what does not answer


class Up(LaunchRequest, frozen=True, kw_only=True):
    """What a user may ask of a workspace."""

    kind: str = WORKSPACE
    argv: tuple[str, ...] = ()
    detached: bool = True
    serves: tuple[Service, ...]
    ssh_port: int | None = None
    bind: str = "127.0.0.1"
    dry_run: bool = False


def workspace_name(folder: Path) -> str:
    """Return what a workspace is called where nobody names it: as the folder of its project.

    Raises:
        UsageError: No name can be made of it.
    """
    name = _NAME.sub("-", folder.name.lower()).strip("-_.")[:_NAME_LENGTH]
    if not RUN_ID.fullmatch(name):
        raise UsageError(f"no name can be made of {folder}", hint="Give one with --name.")
    return name


def up(request: Up, services: Services, confirm: Callable[[str], bool]) -> Outcome[UpResult]:
    """Start a workspace and wait until all of it answers; of one that runs, say how to reach it.

    ``confirm`` asks the user whether their ssh configuration may be changed.

    Raises:
        NotAsLockedError: It is not what its lock says, and --strict is given.
        PlaceTakenError: A workspace of something else, or a run, has the name.
        StartError: It did not start, or does not answer; nothing is left.
        UsageError: Something is asked for that is not to be had.
    """
    ended = _leftover(request, services)
    if ended is None:
        notes = _still_locked(request, services)
        outcome = _addresses(request, services, confirm, started=False)
        return replace(outcome, warnings=(*notes, *outcome.warnings))
    prepared = _as_somebody(prepare(request, services), request, services)
    wanted = _wanted(request, prepared, services)
    if request.dry_run:
        return _dry_run(prepared, wanted)
    notes = check_before(prepared.record, request.repository, services, strict=request.strict)
    serving = _serving(prepared, wanted, services)
    start_launch(serving, services)
    try:
        outcome = _addresses(request, services, confirm, started=True)
    except BaseException as error:
        serving.runs.stop(request.run, _END_S)
        serving.runs.remove(request.run)
        with contextlib.suppress(NotFoundError):
            fail_usage(find_run(request.run, services)[0], error, services)
        take_away(request.run, services)
        raise
    return replace(outcome, warnings=(*ended, *prepared.notes, *notes, *outcome.warnings))


def _still_locked(request: Up, services: Services) -> tuple[str, ...]:
    """Say of a workspace that runs already whether something in it has changed."""
    record, runs = find_run(request.run, services)
    if record.engine is None:
        return check_before(record, request.repository, services, strict=request.strict)
    return check_running(record, runs, strict=request.strict)


def _leftover(request: Up, services: Services) -> tuple[str, ...] | None:
    """Take away a workspace of this name that has ended, and say so; None where it runs.

    Raises:
        PlaceTakenError: It is of something else.
    """
    try:
        record, runs = find_run(request.run, services)
    except NotFoundError:
        return ()
    same = record.kind == WORKSPACE and record.ref == request.ref
    if not same or record.launch.folder not in (None, str(request.folder)):
        what = "workspace" if record.kind == WORKSPACE else "run"
        how = "down" if record.kind == WORKSPACE else "stop"
        raise PlaceTakenError(
            f"{request.run} is a {what} of {record.ref} in {record.launch.folder}",
            hint=f"Give another name with --name, or end it: snapenv {how} {request.run}",
        )
    state = runs.state(request.run)
    if state and state.running:
        return None
    if not request.dry_run:
        if state:
            end_unseen(record, runs, state, services)
        runs.remove(request.run)
        take_away(request.run, services)
    code = f" with exit code {state.exit_code}" if state and state.exit_code is not None else ""
    return (f"{request.run} had ended{code}, and is started anew",)


def _as_somebody(prepared: Prepared, request: Up, services: Services) -> Prepared:
    """See that a container does not run as root: for root, as the owner of the folder.

    Raises:
        UsageError: That is root too.
    """
    user, engine = prepared.launch.user, prepared.engine
    if user is None or user.uid or engine is None or engine.rootless:
        return prepared
    owner = request.folder.stat()
    if request.user is None and owner.st_uid:
        return prepare(replace(request, user=(owner.st_uid, owner.st_gid)), services)
    raise UsageError(
        "a workspace does not run as root",
        hint=f"Name who may write to {request.folder}, such as --user 1000:1000",
    )


def _wanted(request: Up, prepared: Prepared, services: Services) -> Wanted:
    """Return what is to be served.

    Raises:
        NotFoundError: ssh is asked for, and there is no public key to log in with.
        UsageError: ssh is asked for, and there is no container.
    """
    ssh, engine = "ssh" in request.serves, prepared.engine
    if ssh and engine is None:
        raise UsageError(
            "--ssh is of containers, and a venv runs on this machine as it is",
            hint="Leave --ssh out, or use --engine docker.",
        )
    return Wanted(
        services=request.serves,
        runs=str(request.runs),
        address=request.bind,
        ssh_port=request.ssh_port,
        keys=own_keys(services) if ssh else (),
        allow_root=engine.rootless if engine else os.getuid() == 0,
    )


def _dry_run(prepared: Prepared, wanted: Wanted) -> Outcome[UpResult]:
    """Show the equal command, but for what has to be made first."""
    if prepared.engine:
        serving = _in_container(prepared, wanted, image="")
        name = getattr(prepared.launch.place, "name", "")
        made = f"an image of the workspace is made on top of {name}, and runs in its place"
    else:
        serving = _in_venv(prepared, wanted, Path("TOOLS"))
        made = "TOOLS stands for a folder of the user's cache, which is made"
    command = shell_command(serving.launch, prepared.engine, detached=True)
    record = prepared.record
    result = UpResult(name=record.run, ref=record.ref, runs=record.results, command=command)
    notes = filter(None, (made, files_note(serving.launch)))
    return Outcome(
        command="up", result=result, lines=(command,), warnings=(*prepared.notes, *notes)
    )


def _serving(prepared: Prepared, wanted: Wanted, services: Services) -> Prepared:
    """Return what starts the workspace, with all that it needs made."""
    place = prepared.launch.place
    if isinstance(place, InVenv):
        target = services.local(f"{place.folder}/bin/python")
        return _in_venv(prepared, wanted, tools_folder(target, services))
    environment = services.engine.find(place.id)
    if environment is None:
        raise NotFoundError(f"{place.name} is gone", hint="Run it once more.")
    parts = Parts(
        tools="jupyter" in wanted.services or "tensorboard" in wanted.services,
        ssh="ssh" in wanted.services,
    )
    image = find_workspace_image(environment, parts, services)
    if image is None:
        local = LocalImage(ImageRef.parse(place.name), environment)
        image = make_workspace_image(local, parts, services)
    return _in_container(prepared, wanted, image=image.id)


def _in_container(prepared: Prepared, wanted: Wanted, *, image: str) -> Prepared:
    launch = replace(prepared.launch, ports=ports(wanted, prepared.launch.ports))
    return _with_launch(prepared, serve_in_container(launch, wanted, image))


def _in_venv(prepared: Prepared, wanted: Wanted, folder: Path) -> Prepared:
    at = {name: _free_port(wanted.address, PORTS[name]) for name in wanted.services}
    own = tuple(Port(inside=port, host=port, address=wanted.address) for port in at.values())
    launch = replace(prepared.launch, ports=own)
    state = state_folder(launch)
    serving = serve_in_venv(launch, wanted, folder=str(folder), state=state, at=at)
    return _with_launch(prepared, serving)


def _with_launch(prepared: Prepared, launch: Launch) -> Prepared:
    return replace(prepared, record=replace(prepared.record, launch=launch))


def _free_port(address: str, wish: int) -> int:
    """Return a port of this machine that nobody listens at: the wish, else any."""
    for port in (wish, 0):
        with contextlib.suppress(OSError), socket.create_server((address, port)) as server:
            return int(server.getsockname()[1])
    raise UsageError(f"this machine cannot listen at {address}", hint="Give another --bind.")


def _addresses(
    request: Up, services: Services, confirm: Callable[[str], bool], *, started: bool
) -> Outcome[UpResult]:
    """Wait until a workspace answers, tell ssh of it, and say how to reach it."""
    record, runs = find_run(request.run, services)
    with services.progress.task(f"Waiting for {record.run}"):
        workspace = find_workspace(record, runs)
    ssh, warnings = None, list[str]()
    if workspace.status.host_key:
        host = write_ssh_files(workspace, services)
        included = include_ssh_files(services, confirm)
        ssh = (
            f"ssh {host}" if included else f"ssh -F {ssh_folder(services)}/{record.run}.conf {host}"
        )
    lacking = [name for name in request.serves if name not in _served(workspace, ssh)]
    if lacking:
        warnings.append(
            f"{record.run} runs without {' and '.join(lacking)}: for that, first snapenv down"
        )
    if record.engine and not services.engine.describe().local:
        warnings.append(
            f"the engine is on another machine, {record.engine}: so are the addresses. "
            "ssh -L makes one an address of this machine"
        )
    result = UpResult(
        name=record.run,
        ref=record.ref,
        started=started,
        container=f"snapenv-{record.run}" if record.engine else None,
        jupyter=workspace.jupyter,
        tensorboard=workspace.tensorboard,
        ssh=ssh,
        runs=record.results,
    )
    return Outcome(
        command="up", result=result, lines=tuple(_lines(result)), warnings=tuple(warnings)
    )


def _served(workspace: Workspace, ssh: str | None) -> tuple[str, ...]:
    return (*workspace.status.ports, *(("ssh",) if ssh else ()))


def _lines(result: UpResult) -> Iterator[str]:
    yield f"{result.name} is up" if result.started else f"{result.name} is up already"
    if result.jupyter:
        yield f"Jupyter      {result.jupyter}"
    if result.tensorboard:
        yield f"TensorBoard  {result.tensorboard}"
    if result.ssh:
        yield f"ssh          {result.ssh}"
