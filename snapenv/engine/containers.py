"""Targets in containers: a fresh one for each run of an image, or one that runs already."""

from __future__ import annotations

import contextlib
import io
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from docker import APIClient
from docker.errors import APIError, DockerException, NotFound
from docker.types import DeviceRequest

from snapenv.content import Tar
from snapenv.engine.failures import engine_errors, no_program, said, start_failure
from snapenv.errors import EngineError
from snapenv.model.image import Image
from snapenv.ports import Completed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from docker.types import HostConfig

    from snapenv.model.carried import Content

    Frame = tuple[bytes | None, bytes | None]  # (stdout, stderr), one of them None

SHM_SIZE = "1g"  # the default of 64 MB ends a DataLoader's worker
_NOT_RUN = (126, 127)  # a shell's, and the engine's, for what cannot be executed
_KILLED = 137
# The engine cannot end what an exec started; it is known by its working folder. As the user of
# the program: another one, root too, may not read the link.
_KILL = """
for process in /proc/[0-9]*; do
    [ "$(readlink "$process/cwd")" = "$1" ] && kill -9 "${process#/proc/}"
done
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageTarget:
    """An image: each run is a fresh container without network, removed at its end."""

    client: APIClient
    image: Image
    python: str
    gpus: str | None

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
            with engine_errors():
                self._create(name, argv, environment or {})
                self.client.put_archive(name, _folder(name), iter(Tar(files or {})))
            out, err = listen(self._start(name, argv[0]), on_line, stdout)
            with engine_errors():
                exit_code = self.client.wait(name)["StatusCode"]
        finally:
            with contextlib.suppress(DockerException, OSError):
                self.client.remove_container(name, v=True, force=True)
        done = Completed(exit_code=exit_code, stdout=out, stderr=err)
        return _checked(done, argv[0], f"image {self.image.id[:19]}")

    def _create(self, name: str, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        hidden = {} if self.gpus else {"NVIDIA_VISIBLE_DEVICES": "void"}
        self.client.create_container(
            self.image.id,
            command=list(argv),
            name=name,
            environment={**environment, **hidden},
            working_dir=_folder(name),
            user="0:0",
            use_config_proxy=False,
            host_config=self._host_config(),
        )

    def _host_config(self) -> HostConfig:
        return self.client.create_host_config(
            network_mode="none",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            shm_size=SHM_SIZE,
            device_requests=_device_requests(self.gpus),
        )

    def _start(self, name: str, program: str) -> Iterator[Frame]:
        """Start a container and give what it prints."""
        with engine_errors():
            frames = self.client.attach(name, stream=True, demux=True)
            try:
                self.client.start(name)
            except APIError as error:
                where = f"image {self.image.id[:19]}"
                raise start_failure(said(error), program, where) from error
            yield from frames


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerTarget:
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
        try:
            with engine_errors():
                self.client.put_archive(self.id, "/tmp", iter(Tar(files or {}, name)))  # noqa: S108 - over there
                made = self.client.exec_create(
                    self.id, list(argv), environment=dict(environment or {}), workdir=_folder(name)
                )
            out, err = listen(self._start(made["Id"], argv[0]), on_line, stdout)
            with engine_errors():
                self._refuse_ended()
                exit_code = self.client.exec_inspect(made["Id"])["ExitCode"]
        except BaseException:
            self._quietly(["sh", "-c", _KILL, "sh", _folder(name)])
            raise
        finally:
            self._quietly(["rm", "-rf", _folder(name)], user="0")
        done = Completed(exit_code=exit_code, stdout=out, stderr=err)
        return _checked(done, argv[0], f"container {self.name}")

    def _start(self, exec_id: str, program: str) -> Iterator[Frame]:
        with engine_errors():
            try:
                yield from self.client.exec_start(exec_id, stream=True, demux=True)
            except APIError as error:
                raise start_failure(said(error), program, f"container {self.name}") from error

    def _refuse_ended(self) -> None:
        try:
            running = self.client.inspect_container(self.id)["State"]["Running"]
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
    if done.exit_code in _NOT_RUN:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise no_program(lines[-1] if lines else "no such program", program, where)
    if done.exit_code == _KILLED:
        raise EngineError(
            f"{program} was killed in {where}",
            hint="The memory may not be enough; see docker events and the kernel's log.",
        )
    return done


def _device_requests(gpus: str | None) -> list[DeviceRequest] | None:
    if gpus is None:
        return None
    if gpus == "all":
        return [DeviceRequest(count=-1, capabilities=[["gpu"]])]
    return [DeviceRequest(device_ids=gpus.split(","), capabilities=[["gpu"]])]


def _folder(name: str) -> str:
    return f"/tmp/{name}"  # noqa: S108 - over there
