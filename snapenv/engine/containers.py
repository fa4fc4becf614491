"""Targets in containers: a fresh one for each run of an image, or one that runs already."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tarfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from docker import APIClient
from docker.errors import APIError, DockerException, NotFound
from msgspec import Struct

from snapenv.content import Tar
from snapenv.engine.answers import (
    InspectedContainer,
    InspectedExec,
    Made,
    Waited,
    read_answer,
)
from snapenv.engine.failures import engine_errors, engine_message, no_program, start_failure
from snapenv.engine.gpus import choose_gpus, choose_shm, unraised
from snapenv.engine.leftovers import end_program, note_program, own_label
from snapenv.errors import EngineError
from snapenv.model.host import HostEngine
from snapenv.model.image import Image
from snapenv.ports import Completed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from docker.types import HostConfig

    from snapenv.engine.gpus import GpuAccess
    from snapenv.model.carried import Content

    Frame = tuple[bytes | None, bytes | None]  # (stdout, stderr), one of them None

_UNIX = "http+docker://localhost"  # what docker-py makes of an engine's socket on this machine
_NOT_RUN = (126, 127)  # a shell's, and the engine's, for what cannot be executed
_FOREIGN = re.compile(r"exec \S+: exec format error")  # all that runc says, with 1 or 255
_KILLED = 137
_LIMIT_REFUSED = "error setting rlimit"
_FOLDER_MODE = 0o777


class _Owned(Tar, Struct, frozen=True):
    """Files in a folder, all of them and the folders between them one user's."""

    folder: str = "."
    owner: tuple[int, int] = (0, 0)  # (user, group)

    def _members(self) -> Iterator[tuple[tarfile.TarInfo, Content]]:
        for name in self._folders():
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, _FOLDER_MODE
            yield self._own(folder), b""
        for member, content in super()._members():
            if not member.isdir():
                yield self._own(member), content

    def _folders(self) -> list[str]:
        """Return the names of all folders, each after the one that it is in."""
        files = (PurePosixPath(self.folder, name) for name in self.files)
        return sorted(
            {self.folder} | {str(parent) for file in files for parent in file.parents} - {"."}
        )

    def _own(self, member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid, member.gid = self.owner
        return member


class _Run(Struct, frozen=True):
    """One program in one container, but for its GPUs."""

    name: str  # of the container
    argv: Sequence[str]
    environment: Mapping[str, str]  # that is asked for, beside the image's
    tar: _Owned
    shm_bytes: int


class ImageTarget(Struct, frozen=True, kw_only=True):
    """An image: each run is a fresh container without network, removed at its end."""

    client: APIClient
    describe: Callable[[], HostEngine]
    image: Image
    python: str
    gpus: str | None
    entrypoint: tuple[str, ...] | None = None  # in the place of the image's own

    def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, Content] | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        stdout: BinaryIO | None = None,
    ) -> Completed:
        """Run a program as ``ports.Target`` says, below the image's own entrypoint."""
        name = f"snapenv-run-{uuid.uuid4().hex[:12]}"
        try:
            with engine_errors(), _start_errors(argv[0], self._where):
                frames = self._begin(name, argv, files or {}, environment or {})
            out, err = listen(_heard(frames), on_line, stdout)
            with engine_errors():
                exit_code = read_answer(self.client.wait(name), Waited).status_code
        finally:
            self._remove(name)
        done = Completed(exit_code=exit_code, stdout=out, stderr=err)
        return _checked(done, argv[0], self._where)

    @property
    def _where(self) -> str:
        return f"image {self.image.id[:19]}"

    def _begin(
        self,
        name: str,
        argv: Sequence[str],
        files: Mapping[str, Content],
        environment: Mapping[str, str],
    ) -> Iterator[Frame]:
        """Start a program in a container, and return what it prints.

        An engine that may not raise a limit of its own, as inside of another container, keeps it.
        """
        here, engine = self.client.base_url == _UNIX, self.describe()
        gpus = choose_gpus(self.gpus, engine)
        user = choose_user(os.getuid(), os.getgid(), local=here, rootless=engine.rootless)
        tar = _Owned(files, name, user)
        run = _Run(name, argv, environment, tar, choose_shm(engine))
        try:
            return self._start(run, gpus)
        except APIError as error:
            if _LIMIT_REFUSED not in engine_message(error):
                raise
            self._remove(name)
            return self._start(run, unraised(gpus))

    def _start(self, run: _Run, gpus: GpuAccess) -> Iterator[Frame]:
        self.client.create_container(
            self.image.id,
            command=list(run.argv),
            entrypoint=list(self.entrypoint) if self.entrypoint else None,
            name=run.name,
            labels=own_label(),
            environment=_variables(run.environment, gpus.variables),
            working_dir=_folder(run.name),
            user=":".join(map(str, run.tar.owner)),
            use_config_proxy=False,
            host_config=self._host_config(gpus, shm_bytes=run.shm_bytes),
        )
        self.client.put_archive(run.name, "/tmp", iter(run.tar))  # noqa: S108 - over there
        frames: Iterator[Frame] = self.client.attach(run.name, stream=True, demux=True)
        self.client.start(run.name)
        return frames

    def _host_config(self, gpus: GpuAccess, *, shm_bytes: int) -> HostConfig:
        return self.client.create_host_config(
            network_mode="none",
            ipc_mode="private",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            shm_size=shm_bytes,
            device_requests=list(gpus.requests) or None,
            runtime=gpus.runtime,
            ulimits=list(gpus.ulimits) or None,
        )

    def _remove(self, name: str) -> None:
        with contextlib.suppress(DockerException, OSError):
            self.client.remove_container(name, v=True, force=True)


def _heard(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield what a program prints, and name an engine that goes away meanwhile."""
    with engine_errors():
        yield from frames


def choose_user(uid: int, gid: int, *, local: bool, rootless: bool) -> tuple[int, int]:
    """Choose the user and group of a container's program: those of whoever runs snapenv.

    For an engine without root, 0 is that user; on another machine the numbers are somebody else's.
    """
    return (uid, gid) if local and not rootless else (0, 0)


def _variables(requested: Mapping[str, str], decided: Mapping[str, str | None]) -> list[str]:
    """Return a container's variables as an engine takes them.

    A name alone takes a variable of the image away; one that is asked for stays.
    """
    given = {name: value for name, value in decided.items() if value is not None}
    variables = {**decided, **requested, **given}
    return [name if value is None else f"{name}={value}" for name, value in variables.items()]


class ContainerTarget(Struct, frozen=True, kw_only=True):
    """A container that runs already: each run is an ``exec``, with the container's environment."""

    client: APIClient
    id: str
    name: str
    python: str

    def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, Content] | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        stdout: BinaryIO | None = None,
    ) -> Completed:
        """Run a program as ``ports.Target`` says."""
        name = f"snapenv-run-{uuid.uuid4().hex[:12]}"
        note_program(self.id, _folder(name))
        try:
            with engine_errors():
                self.client.put_archive(self.id, "/tmp", iter(Tar(files or {}, name)))  # noqa: S108 - over there
                answered = self.client.exec_create(
                    self.id, list(argv), environment=dict(environment or {}), workdir=_folder(name)
                )
                made = read_answer(answered, Made)
            out, err = listen(self._start(made.id, argv[0]), on_line, stdout)
            with engine_errors():
                self._refuse_ended()
                exit_code = exec_exit_code(self.client, made.id)
        except BaseException:
            with contextlib.suppress(DockerException, OSError):
                end_program(self.client, self.id, _folder(name))
            raise
        self._quietly(["rm", "-rf", _folder(name)], user="0")
        done = Completed(exit_code=exit_code, stdout=out, stderr=err)
        return _checked(done, argv[0], f"container {self.name}")

    def _start(self, exec_id: str, program: str) -> Iterator[Frame]:
        with engine_errors(), _start_errors(program, f"container {self.name}"):
            yield from self.client.exec_start(exec_id, stream=True, demux=True)

    def _refuse_ended(self) -> None:
        try:
            inspected = self.client.inspect_container(self.id)
            running = read_answer(inspected, InspectedContainer).state.running
        except NotFound:
            running = False
        if not running:
            raise EngineError(
                f"container {self.name} ended before the program did",
                hint="Start it again, and see docker logs for why it ended.",
            )

    def _quietly(self, argv: list[str], *, user: str = "") -> None:
        with contextlib.suppress(DockerException, OSError):
            made = self.client.exec_create(self.id, argv, user=user)
            self.client.exec_start(made["Id"])


def exec_exit_code(client: APIClient, exec_id: str) -> int:
    """Return how a program ended in a container; -1 where an engine does not tell.

    Raises:
        EngineError: It is no answer of an engine.
    """
    code = read_answer(client.exec_inspect(exec_id), InspectedExec).exit_code
    return -1 if code is None else code


def listen(
    frames: Iterable[Frame],
    on_line: Callable[[str], None] | None,
    stdout: BinaryIO | None = None,
) -> tuple[str, str]:
    """Read what a program prints to its end, and let each line of stderr be heard as it comes.

    What is given back for stdout is empty where its bytes are written to ``stdout``.
    """
    kept, stderr, line = io.BytesIO(), bytearray(), b""
    for out, err in frames:
        (kept if stdout is None else stdout).write(out or b"")
        stderr += err or b""
        *whole, line = (line + (err or b"")).split(b"\n")
        for each in whole if on_line else ():
            _hear(each, on_line)
    if line:
        _hear(line, on_line)
    return kept.getvalue().decode(errors="replace"), stderr.decode(errors="replace")


def _hear(line: bytes, on_line: Callable[[str], None] | None) -> None:
    if on_line:
        on_line(line.decode(errors="replace").rstrip())


def _checked(done: Completed, program: str, where: str) -> Completed:
    """Tell a program's own end from not having run, and from a container that was killed."""
    if done.exit_code in _NOT_RUN or _FOREIGN.fullmatch(done.stderr.strip()):
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise no_program(lines[-1] if lines else "no such program", program, where)
    if done.exit_code == _KILLED:
        raise EngineError(
            f"{program} was killed in {where}",
            hint="The memory may not be enough; see docker events and the kernel's log.",
        )
    return done


@contextlib.contextmanager
def _start_errors(program: str, where: str) -> Iterator[None]:
    """Name why the engine did not make or start what it was to run."""
    try:
        yield
    except APIError as error:
        raise start_failure(engine_message(error), program, where) from error


def _folder(name: str) -> str:
    return f"/tmp/{name}"  # noqa: S108 - over there
