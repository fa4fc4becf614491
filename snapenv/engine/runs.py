"""Runs as containers of an engine, each made of a Launch, and known by its id and its labels.

A run whose client was killed goes on; the next command takes away only what was never started.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from docker import APIClient
from docker.errors import APIError, DockerException, NotFound
from docker.types import Mount as DockerMount
from docker.types import Ulimit
from msgspec import Struct
from msgspec.structs import replace
from requests import RequestException

from snapenv.engine.answers import InspectedContainer, ListedContainer, Made, read_answer
from snapenv.engine.containers import exec_exit_code, listen
from snapenv.engine.failures import (
    engine_errors,
    engine_message,
    is_timeout,
    one_line,
    start_failure,
)
from snapenv.engine.foreground import Controls, Streamed, connect_streams, frames
from snapenv.engine.gpus import GpuAccess, choose_gpus
from snapenv.engine.leftovers import starter_label
from snapenv.errors import (
    CommandMissingError,
    CommandRefusedError,
    InterpreterError,
    NotFoundError,
    SnapenvError,
    StartError,
    WriteError,
)
from snapenv.kept import Kept
from snapenv.model.host import HostEngine
from snapenv.model.launch import RUN_LABEL, Ended, InImage, Mount, Port, RunState
from snapenv.ownership.leftovers import remove
from snapenv.ports import Completed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from snapenv.model.launch import Launch
    from snapenv.ports import Frame

_RLIMITS = {"3": "stack", "7": "nofile", "8": "memlock"}  # of Linux, by number
_RLIMIT = re.compile(r"rlimit type (\d+)")
_NO_ADDRESS = "cannot assign requested address"
_CLOSED_FOLDER = re.compile(r"type \"bind\": stat (/.*): permission denied")
_TAKEN = ("port is already allocated", "address already in use")
_SCRATCH = PurePosixPath("/tmp/snapenv")  # noqa: S108 - in the container
_STAGED = "inside"  # of a run's folder: what its container sees of it
_NAMES = ("/etc/passwd", "/etc/group")
_DETACHED_S = 1.0  # a container that has ended says so by then
_REFUSED_S = 0.2  # until init has said that there is no such program
_MOST_BYTES = 1 << 20  # of an image's /etc/passwd
_IN_BACKGROUND = {"created": "created", "exited": "exited", "dead": "exited"}


class DockerRuns(Struct, frozen=True):
    """Containers, as ``ports.Runs`` says.

    ``kept`` remembers what an engine refuses; ``state_folder`` is the user's.
    """

    client: Callable[[], APIClient]
    describe: Callable[[], HostEngine]
    warn: Callable[[str], None]
    kept: Kept
    state_folder: Path

    def run(self, launch: Launch) -> Ended:
        """Run in the foreground."""
        started, connection = self._start(launch, attached=True)
        if connection is None:
            raise AssertionError
        streamed = self._connect(started, connection)
        return self._ended(started, streamed, self._final_state(launch.run, is_tty=launch.tty))

    def start(self, launch: Launch) -> RunState:
        """Start in the background."""
        started, _ = self._start(launch, attached=False)
        state = self.wait(launch.run, _REFUSED_S)
        if state and state.exit_code in {126, 127}:
            printed = b"".join(err or b"" for _, err in self.logs(launch.run, follow=False, tail=1))
            self.remove(launch.run)
            raise _not_started(printed.decode(errors="replace"), started)
        return state or RunState(run=launch.run, status="exited")

    def attach(self, run: str) -> Ended:
        """Connect this process's streams to a run."""
        container = self._inspect(run)
        if container is None or not container.state.running:
            raise _not_running(run)
        is_tty, stdin = container.config.tty, container.config.open_stdin
        with engine_errors():
            connection = self._attach(run, stdin=stdin)
        streamed = connect_streams(connection, self._controls(run), is_tty=is_tty, stdin=stdin)
        return Ended(
            state=self._final_state(run, is_tty=is_tty),
            output=streamed.output,
            signals=streamed.signals,
        )

    def state(self, run: str) -> RunState | None:
        """Return how a run stands."""
        container = self._inspect(run)
        return _state(container) if container else None

    def list_runs(self) -> tuple[RunState, ...]:
        """Return how each run stands, the newest first."""
        with engine_errors():
            answered = self.client().containers(all=True, filters={"label": RUN_LABEL})
        containers = read_answer(answered, tuple[ListedContainer, ...])
        names = ((container.labels or {}).get(RUN_LABEL) for container in containers)
        return tuple(filter(None, map(self.state, filter(None, names))))

    def logs(self, run: str, *, follow: bool, tail: int | None) -> Iterator[Frame]:
        """Yield what a run has printed."""
        container = self._inspect(run)
        if container is None:
            raise _no_run(run)
        client = self.client()
        parameters = {
            "stdout": 1,
            "stderr": 1,
            "follow": int(follow),
            "tail": "all" if tail is None else tail,
        }
        url = f"{client.base_url}/v{client.api_version}/containers/{_name(run)}/logs"
        with (
            engine_errors(),
            client.get(url, params=parameters, timeout=None, stream=True) as response,
        ):
            chunks = response.iter_content(None)
            if container.config.tty:
                yield from ((chunk, None) for chunk in chunks)
            else:
                yield from frames(chunks)

    def signal(self, run: str, number: int) -> None:
        """Send a signal; a container that has ended needs none."""
        with engine_errors(), contextlib.suppress(APIError):
            self.client().kill(_name(run), number)

    def wait(self, run: str, timeout_s: float | None = None) -> RunState | None:
        """Wait for the end of a run."""
        with engine_errors(), contextlib.suppress(NotFound):
            try:
                self.client().wait(_name(run), timeout=cast("int", timeout_s))
            except RequestException as error:
                if timeout_s is None or not is_timeout(error):
                    raise
        return self.state(run)

    def stop(self, run: str, grace_s: int) -> RunState | None:
        """Send its stop signal, and SIGKILL after so many seconds."""
        with engine_errors(), contextlib.suppress(NotFound):
            self.client().stop(_name(run), timeout=grace_s)
        return self.state(run)

    def execute(
        self,
        run: str,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        connected: bool = False,
    ) -> Completed:
        """Run one more program in a run, as its user and in its folder."""
        client, out, err = self.client(), "", ""
        try:
            with engine_errors():
                answered = client.exec_create(
                    _name(run), list(argv), environment=dict(environment or {}), stdin=connected
                )
                made = read_answer(answered, Made)
                if connected:
                    self._connect_exec(made.id)
                else:
                    printed = client.exec_start(made.id, stream=True, demux=True)
                    out, err = listen(printed, None)
                code = exec_exit_code(client, made.id)
        except SnapenvError as error:
            if self._is_running(run):
                raise
            raise _not_running(run) from error
        return Completed(exit_code=code, stdout=out, stderr=err)

    def _connect_exec(self, exec_id: str) -> None:
        """Connect this process's streams; the engine hands no signal to such a program."""
        connection = _socket(self.client().exec_start(exec_id, socket=True))
        controls = Controls(
            signal=lambda _: connection.shutdown(socket.SHUT_RDWR),
            resize=lambda _rows, _columns: None,
            abandoned=lambda: connection.shutdown(socket.SHUT_RDWR),
        )
        connect_streams(connection, controls, is_tty=False, stdin=True)

    def put(self, run: str, files: Mapping[str, bytes]) -> None:
        """Write files into a run."""
        container = self._inspect(run)
        if container is None:
            raise _no_run(run)
        uid, _, gid = (container.config.user or "").partition(":")
        owner = (int(uid or 0), int(gid or uid or 0))
        with engine_errors():
            self.client().put_archive(_name(run), "/", _tar(_private(files, owner)))

    def remove(self, run: str) -> None:
        """End a run at once and take its container away, with what was staged for it."""
        with engine_errors(), contextlib.suppress(NotFound):
            self.client().remove_container(_name(run), v=True, force=True)
        remove(self._staging_folder(run))

    def refused_limits(self) -> tuple[str, ...]:
        """Return the limits that this engine has refused before."""
        return tuple(json.loads(self.kept.find(self._limits_name()) or b"[]"))

    def _start(self, launch: Launch, *, attached: bool) -> tuple[Launch, socket.socket | None]:
        """Make and start a container, without what its engine refuses to give.

        Return the launch as it was started.
        """
        staged = self._can_stage(launch)
        while True:
            with engine_errors():
                try:
                    return launch, self._try_start(launch, staged=staged, attached=attached)
                except APIError as error:
                    message = engine_message(error)
                    if staged and str(self._staging_folder(launch.run)) in message:
                        staged = False  # the engine sees other files than this process
                        continue
                    smaller = self._without_refused(launch, message)
                    if smaller is None:
                        raise _start_error(message, launch) from error
                    launch = smaller

    def _can_stage(self, launch: Launch) -> bool:
        """Return whether files of this machine can be those of a container, with their owner.

        An engine needs 80 ms to unpack what is sent instead. Not before the names in the image
        are known, which its container tells.
        """
        engine, user = self.describe(), launch.user
        as_owner = os.geteuid() == 0 or (user is not None and user.uid == os.getuid())
        same_owners = engine.local and not engine.rootless and not engine.userns_remap
        known = (self.kept.find(self._content_name(launch, path)) for path in _NAMES)
        return as_owner and same_owners and None not in known

    def _staging_folder(self, run: str) -> Path:
        return self.state_folder / "runs" / run / _STAGED

    def _try_start(self, launch: Launch, *, staged: bool, attached: bool) -> socket.socket | None:
        client, name = self.client(), _name(launch.run)
        labels = {**launch.labels, **starter_label(self._staging_folder(launch.run))}
        mounts = _stage(self._files(launch), self._staging_folder(launch.run)) if staged else ()
        self._create(replace(launch, labels=labels, mounts=(*launch.mounts, *mounts)))
        try:
            files = {} if staged else self._files(launch)
            if files:
                client.put_archive(name, "/", _tar(files))
            connection = self._attach(launch.run, stdin=launch.stdin) if attached else None
            client.start(name)
        except BaseException:
            with contextlib.suppress(DockerException, OSError):
                client.remove_container(name, v=True, force=True)
            raise
        return connection

    def _create(self, launch: Launch) -> None:
        if not isinstance(launch.place, InImage):
            raise TypeError(launch.place)
        gpus, user = choose_gpus(launch.gpus, self.describe()), launch.user
        variables = {**gpus.variables, **launch.variables}
        client = self.client()
        made = client.create_container(
            launch.place.id,
            command=list(launch.argv),
            name=_name(launch.run),
            labels=dict(launch.labels),
            environment=[
                name if value is None else f"{name}={value}" for name, value in variables.items()
            ],
            working_dir=launch.folder,
            user=f"{user.uid}:{user.gid}" if user else None,
            tty=launch.tty,
            stdin_open=launch.stdin,
            stop_signal=launch.stop_signal,
            stop_timeout=launch.grace_s,
            ports=[(port.inside, "tcp") for port in launch.ports],
            host_config=_host_config(client, launch, gpus),
        )
        # such as of a limit that it cannot hold
        for warning in read_answer(made, Made).warnings or ():
            self.warn(f"the engine says: {one_line(warning)}")

    def _files(self, launch: Launch) -> Mapping[str, _File]:
        """Return what is put in before the start: the launch's files, and names for its numbers."""
        user = launch.user
        if user is None:
            return _private(launch.files, (0, 0))
        files = _private(launch.files, (user.uid, user.gid))
        name, uid, gid = user.name, user.uid, user.gid
        lines = (f"{name}:x:{uid}:{gid}:{name}:{user.home}:/bin/sh", f"{name}:x:{gid}:")
        for path, line in zip(_NAMES, lines, strict=True):
            content = _with_line(self._read(launch, path), line)
            if content is not None:
                files[path] = _File(content, mode=0o644)
        return files

    def _read(self, launch: Launch, path: str) -> bytes:
        """Read a file of the image, which has the same content for ever."""
        name = self._content_name(launch, path)
        content = self.kept.find(name)
        if content is None:
            content = self._fetch(launch.run, path)
            self.kept.keep(name, content)
        return content

    def _content_name(self, launch: Launch, path: str) -> str:
        place = cast("InImage", launch.place)
        return self.kept.namer()("file of an image", place.id, path)

    def _fetch(self, run: str, path: str) -> bytes:
        try:
            chunks, _ = self.client().get_archive(_name(run), path)
        except NotFound:
            return b""
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.next()
            file = archive.extractfile(member) if member and member.isreg() else None
            return file.read(_MOST_BYTES) if file else b""

    def _attach(self, run: str, *, stdin: bool) -> socket.socket:
        parameters = {"stdin": int(stdin), "stdout": 1, "stderr": 1, "stream": 1}
        return _socket(self.client().attach_socket(_name(run), params=parameters))

    def _connect(self, launch: Launch, connection: socket.socket) -> Streamed:
        controls = self._controls(launch.run)
        return connect_streams(connection, controls, is_tty=launch.tty, stdin=launch.stdin)

    def _controls(self, run: str) -> Controls:
        def resize(rows: int, columns: int) -> None:
            with contextlib.suppress(DockerException, OSError):
                self.client().resize(_name(run), height=rows, width=columns)

        def signal(number: int) -> None:
            with contextlib.suppress(SnapenvError):
                self.signal(run, number)

        return Controls(signal=signal, resize=resize, abandoned=lambda: signal(2))

    def _final_state(self, run: str, *, is_tty: bool) -> RunState:
        """Return how a run stands whose output has ended: the user may have detached from it."""
        state = self.wait(run, _DETACHED_S if is_tty else None)
        return state or RunState(run=run, status="exited")

    def _ended(self, launch: Launch, streamed: Streamed, state: RunState) -> Ended:
        if streamed.refused and state.exit_code:
            raise _not_started(streamed.refused, launch)
        return Ended(state=state, output=streamed.output, signals=streamed.signals)

    def _without_refused(self, launch: Launch, message: str) -> Launch | None:
        """Leave out what an engine has just refused, and say so; None where that is no way."""
        limit = _RLIMIT.search(message)
        name = _RLIMITS.get(limit[1]) if limit else None
        if name in {each.name for each in launch.limits}:
            refused = json.dumps([*self.refused_limits(), name]).encode()
            self.kept.keep(self._limits_name(), refused)
            self.warn(f"the engine may not raise the limit {name}, which stays as it is")
            return replace(
                launch, limits=tuple(each for each in launch.limits if each.name != name)
            )
        if any(words in message for words in _TAKEN) and any(port.host for port in launch.ports):
            return self._with_other_ports(launch, message)
        return None

    def _with_other_ports(self, launch: Launch, message: str) -> Launch:
        """Let the engine choose in the place of a port that is taken."""
        taken = [each for each in launch.ports if each.host and f":{each.host}" in message]
        for port in taken or launch.ports:
            self.warn(f"port {port.host} is taken, and the engine chooses another")
        free = (
            replace(each, host=None) if each in (taken or launch.ports) else each
            for each in launch.ports
        )
        return replace(launch, ports=tuple(free))

    def _limits_name(self) -> str:
        engine = self.describe()
        return self.kept.namer()("limits of an engine", engine.address, engine.version)

    def _inspect(self, run: str) -> InspectedContainer | None:
        with engine_errors():
            try:
                inspected = self.client().inspect_container(_name(run))
            except NotFound:
                return None
        return read_answer(inspected, InspectedContainer)

    def _is_running(self, run: str) -> bool:
        state = self.state(run)
        return state is not None and state.running


class _File(Struct, frozen=True):
    content: bytes
    owner: tuple[int, int] = (0, 0)
    mode: int = 0o600


def _socket(connection: object) -> socket.socket:
    """Return the socket of what docker-py wraps differently by how the engine is reached."""
    plain = cast("socket.socket", getattr(connection, "_sock", connection))
    plain.settimeout(None)
    return plain


def _host_config(client: APIClient, launch: Launch, gpus: GpuAccess) -> Any:  # noqa: ANN401 - docker-py's
    user = launch.user
    return client.create_host_config(
        network_mode=launch.network,
        ipc_mode="host" if launch.shm_bytes is None else "private",
        cap_drop=["ALL"],
        cap_add=list(launch.capabilities) or None,
        security_opt=list(launch.security),
        shm_size=launch.shm_bytes,
        init=launch.init,
        nano_cpus=round(launch.cpus * 1e9) if launch.cpus else None,
        mem_limit=launch.memory_bytes,
        memswap_limit=launch.memory_bytes,
        group_add=[str(group) for group in user.groups] if user else None,
        device_requests=list(gpus.requests) or None,
        runtime=gpus.runtime,
        ulimits=[
            Ulimit(name=limit.name, soft=limit.soft, hard=limit.hard) for limit in launch.limits
        ],
        port_bindings={
            port.inside: (port.address, port.host) if port.host else (port.address,)
            for port in launch.ports
        },
        mounts=[
            DockerMount(mount.target, mount.source, type=mount.kind, read_only=mount.read_only)
            for mount in launch.mounts
        ],
    )


def _name(run: str) -> str:
    return f"snapenv-{run}"


def _private(files: Mapping[str, bytes], owner: tuple[int, int]) -> dict[str, _File]:
    return {path: _File(content, owner) for path, content in files.items()}


def _stage(files: Mapping[str, _File], folder: Path) -> tuple[Mount, ...]:
    """Write files by absolute path below a folder of this machine; return what to mount of it.

    Raises:
        WriteError: They cannot be written.
    """
    remove(folder)
    places = {path: folder / path.lstrip("/") for path in files}
    try:
        for path, owner in _scratch_folders(files).items():
            _own(_made(folder / path.lstrip("/")), owner, mode=0o700)
        for path, file in files.items():
            _made(places[path].parent)
            places[path].write_bytes(file.content)
            _own(places[path], file.owner, mode=file.mode)
    except OSError as error:
        raise WriteError(
            f"cannot write {error.filename or folder}: {error.strerror}",
            hint="Free some space, or name another state folder: XDG_STATE_HOME.",
        ) from error
    scratch = folder / str(_SCRATCH).lstrip("/")
    shared = (Mount(source=str(scratch), target=str(_SCRATCH)),) if scratch.is_dir() else ()
    single = (path for path in files if _SCRATCH not in PurePosixPath(path).parents)
    return *shared, *(
        Mount(source=str(places[path]), target=path, read_only=path in _NAMES) for path in single
    )


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _own(path: Path, owner: tuple[int, int], *, mode: int) -> None:
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, *owner)


def _scratch_folders(files: Mapping[str, _File]) -> dict[str, tuple[int, int]]:
    """Return the folders from ``/tmp/snapenv`` on, the outer first, and who owns them."""
    folders = dict[str, tuple[int, int]]()
    for path, file in files.items():
        for parent in reversed(PurePosixPath(path).parents):
            if parent == _SCRATCH or _SCRATCH in parent.parents:
                folders.setdefault(str(parent), file.owner)
    return folders


def _tar(files: Mapping[str, _File]) -> bytes:
    """Return files by absolute path as a tar for ``/``; the scratch folder is their owner's."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, owner in _scratch_folders(files).items():
            archive.addfile(_member(path, owner, kind=tarfile.DIRTYPE, mode=0o700))
        for path, file in files.items():
            member = _member(path, file.owner, kind=tarfile.REGTYPE, mode=file.mode)
            member.size = len(file.content)
            archive.addfile(member, io.BytesIO(file.content))
    return stream.getvalue()


def _member(path: str, owner: tuple[int, int], *, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path.lstrip("/"))
    member.type, member.mode = kind, mode
    member.uid, member.gid = owner
    return member


def _with_line(content: bytes, line: str) -> bytes | None:
    """Add a line to /etc/passwd or /etc/group; None where its number has a name already."""
    lines = [each.split(":") for each in content.decode(errors="surrogateescape").splitlines()]
    name, _, number, *rest = line.split(":")
    if any(each[2:3] == [number] for each in lines):
        return None
    if any(each[0] == name for each in lines):
        line = ":".join((f"{name}-{number}", "x", number, *rest))
    before = content if not content or content.endswith(b"\n") else content + b"\n"
    return before + line.encode(errors="surrogateescape") + b"\n"


def _state(container: InspectedContainer) -> RunState:
    state, labels = container.state, container.config.labels or {}
    status = _IN_BACKGROUND.get(state.status, "running")
    return RunState(
        run=labels.get(RUN_LABEL) or container.name.removeprefix("/snapenv-"),
        status=cast("Any", status),
        container=container.id,
        pid=state.pid or None,
        exit_code=state.exit_code if status == "exited" else None,
        out_of_memory=bool(state.oom_killed),
        error=state.error or None,
        started=_time(state.started_at),
        finished=_time(state.finished_at),
        ports=tuple(_ports(container)),
        labels=labels,
    )


def _time(text: str | None) -> str | None:
    """Return a time to the second; an engine says year 1 for never."""
    return f"{text[:19]}Z" if text and not text.startswith("0001") else None


def _ports(container: InspectedContainer) -> Iterator[Port]:
    for inside, places in (container.network_settings.ports or {}).items():
        for place in places or ():
            yield Port(
                inside=int(inside.partition("/")[0]),
                host=int(place.host_port),
                address=place.host_ip,
            )


def _not_started(text: str, launch: Launch) -> SnapenvError:
    """Name a program that init, or the engine itself, could not start."""
    program = launch.argv[0] if launch.argv else "the command"
    where = launch.place.name if isinstance(launch.place, InImage) else ""
    if "No such file" in text or "not found" in text:
        return CommandMissingError(
            f"there is no command {program} in {where}",
            hint="Check its name; a file of this folder is called by its path: ./NAME",
        )
    return CommandRefusedError(
        f"{program} in {where} cannot be executed: {one_line(text.rpartition(': ')[2])}",
        hint="Check that it is a program, and may be executed: ls -l",
    )


def _start_error(message: str, launch: Launch) -> SnapenvError:
    if _NO_ADDRESS in message:
        wanted = ", ".join(sorted({port.address for port in launch.ports}))
        return StartError(
            f"the engine's machine has no address {wanted} to listen at",
            hint="See ip address, and name one that it has, or 0.0.0.0 for all.",
        )
    closed = _CLOSED_FOLDER.search(message)
    if closed:
        return StartError(
            f"the engine may not enter {closed[1]}",
            hint="Check the modes of the folders above it: namei -l PATH. An engine without root "
            "may go where its user may.",
        )
    error = start_failure(message, launch.argv[0], "the image")
    if isinstance(error, InterpreterError):
        return _not_started(message, launch)
    return StartError(error.message, hint=error.hint)


def _no_run(run: str) -> NotFoundError:
    return NotFoundError(f"there is no run {run}", hint="See snapenv ps --all.")


def _not_running(run: str) -> NotFoundError:
    return NotFoundError(f"no run {run} is running", hint="See snapenv ps.")
