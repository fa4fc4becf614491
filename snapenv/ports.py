"""The services that snapenv uses. One real class each, and one fake in the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from msgspec import Struct

from snapenv.kept import Kept
from snapenv.model.launch import Gpu
from snapenv.secrets.model import Location, Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, MutableMapping
    from contextlib import AbstractContextManager

    from snapenv.model.artifact import Artifact, RemoteSnapshot
    from snapenv.model.attachment import Attachment
    from snapenv.model.carried import Content
    from snapenv.model.clean import Freeable
    from snapenv.model.host import HostEngine
    from snapenv.model.image import BuildContext, Image, ImageRef, RemoteImage
    from snapenv.model.launch import Ended, Launch, RunState
    from snapenv.model.oci import Config, Descriptor
    from snapenv.model.osv import Advisory, Query
    from snapenv.model.sampling import GpuReading, Load, Moment
    from snapenv.model.uv import Call, UvSettings
    from snapenv.model.wheels import IndexWheel, WheelRecord


Frame = tuple[bytes | None, bytes | None]
"""A piece of what a program prints: of stdout or of stderr, the other is None."""


class Completed(Struct, frozen=True, kw_only=True):
    """A program that has ended."""

    exit_code: int
    stdout: str
    stderr: str


class Target(Protocol):
    """Where an environment lives: how to run a program there."""

    @property
    def python(self) -> str:
        """The environment's interpreter, as a path over there."""
        ...

    def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, Content] | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        stdout: BinaryIO | None = None,
    ) -> Completed:
        """Run a program in an empty working folder that holds ``files``, and remove the folder.

        The program may change those files: they are copies. ``environment`` is added to what is
        set over there; ``on_line`` hears each line of stderr as it comes, and where it raises, the
        program ends with all that it started. With ``stdout``, the bytes of the program's stdout
        are written there, and the ``stdout`` of what is given back is empty.

        Raises:
            SnapshotDamagedError: One of ``files`` is gone or cannot be read.
            InterpreterError: The program is not there or cannot be executed.
            EngineError: The container ended before the program did.
            SshError: The other machine cannot be reached, or was lost.
        """
        ...


class Task(Protocol):
    """One thing under way that a person may be waiting for."""

    def note(self, text: str) -> None:
        """Say in a few words what is being done now."""
        ...

    def count(self, done: int, total: int | None) -> None:
        """Say how many bytes are done, of how many where that is known."""
        ...


class Progress(Protocol):
    """Shows what is under way, on a terminal as a bar, else as a line each."""

    def task(self, title: str) -> AbstractContextManager[Task]:
        """Show a task until the block ends."""
        ...


class Engine(Protocol):
    """A container engine that holds, builds and moves images."""

    def check(self) -> str:
        """Return the engine's name, version and address, such as ``Docker 28.5.2 at unix://…``.

        Raises:
            EngineMissingError: Nothing answers.
            BuildKitMissingError: The engine cannot build with BuildKit.
        """
        ...

    def describe(self) -> HostEngine:
        """Say what the engine is and can do.

        Raises:
            EngineMissingError: Nothing answers.
            EngineError: It went away.
        """
        ...

    def find(self, ref: str) -> Image | None:
        """Return a local image by reference or id."""
        ...

    def list_names(self, *, label: str) -> tuple[tuple[str, str], ...]:
        """List the names of local images that have a label, with when each was made.

        Sorted by name; the time is RFC 3339. An image without a name is not in it, nor one whose
        label is empty: it cannot take off what its base has.
        """
        ...

    def is_insecure(self, host: str) -> bool:
        """Return whether the engine is configured to take http from a registry by this name."""
        ...

    def resolve(self, ref: ImageRef, task: Task) -> ImageRef:
        """Pin a name to the digest that its registry gives, or that the local image came with.

        Raises:
            NotFoundError: The registry has no such name.
            RegistryError: The registry does not answer, or refuses.
        """
        ...

    def pull(self, ref: ImageRef, task: Task) -> Image:
        """Fetch an image, read the stream to its end, and check what came.

        Where the registry answers the engine alone, and not this machine, it is kept with a
        warning of ``Services.warnings``: it was checked by the engine, against its digest.

        Raises:
            NotFoundError: The registry has no such name.
            RegistryError: The registry does not answer, refuses, or the transfer broke.
        """
        ...

    def push(self, ref: ImageRef, task: Task) -> ImageRef:
        """Send a local image; return its name with the digest that the registry now serves.

        Raises:
            RegistryError: The registry does not answer, refuses, or the transfer broke.
        """
        ...

    def build(self, context: BuildContext, task: Task) -> Image:
        """Build with BuildKit; the result has no name yet.

        Raises:
            BuildError: A step failed; the message names it, the hint holds its last lines.
            SnapshotDamagedError: A file of the context is gone or cannot be read.
        """
        ...

    def tag(self, image: Image, ref: ImageRef) -> None:
        """Name a local image."""
        ...

    def remove(self, ref: str) -> None:
        """Take a local name or image away, if it is there."""
        ...

    def list_made(self) -> tuple[Freeable, ...]:
        """List the images that snapenv has made, and what its builds keep.

        Raises:
            EngineMissingError: Nothing answers.
            EngineError: The engine failed.
        """
        ...

    def remove_made(self, made: Freeable) -> None:
        """Remove one of those with all its names, if it is there.

        Raises:
            EngineError: A container has begun to use it, or the engine failed.
        """
        ...

    def read_folder(self, image: Image, path: str) -> Mapping[str, bytes]:
        """Read the plain files directly in a folder of an image, without running anything.

        Raises:
            NotFoundError: The image has no such folder.
        """
        ...

    def read_files(
        self, image: Image, path: str
    ) -> Iterator[tuple[str, Iterator[bytes] | None]] | None:
        """Yield all but folders below a folder of an image, without running anything.

        By its path from there: of a plain file its bytes, which are to be read before the next is
        asked for, of all else None. An engine that gives no files of an image returns None.

        Raises:
            NotFoundError: The image has no such folder.
            EngineError: The engine failed.
        """
        ...

    def read_leaving(
        self, image: Image, *, base: Image
    ) -> Iterator[tuple[Location, Iterator[bytes]]]:
        """Yield all that an image has beside its base, as locations with their bytes.

        First its configuration, such as ``history`` and ``label x``; then the files of its
        layers. The bytes of one location are to be read before the next is asked for.

        Raises:
            NotFoundError: There is no such image.
            EngineError: The engine failed, or a layer cannot be read.
        """
        ...

    def save(self, image: Image) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        """Yield an image's config and its layers, each once, unpacked, in the engine's order.

        Each is a digest (of a layer its diff id), a size in bytes, and as many bytes, which are
        read before the next is asked for, or not at all. Nothing has checked them.

        Raises:
            EngineError: The engine failed, or a layer cannot be read.
        """
        ...

    def load(self, tar: Iterable[bytes]) -> Image:
        """Take an image in from a tar of the form of ``docker save``; it gets no name.

        Layers that the engine has already may be missing in it, where the engine can do so.

        Raises:
            EngineError: The engine refused it, or failed.
            WriteError: The engine's disk is full.
        """
        ...

    def image_target(self, image: Image, *, python: str, gpus: str | None) -> Target:
        """Make a target of an image: each run is a fresh container without network.

        ``gpus`` is None for none, ``all``, or names with commas between them: numbers, or the
        UUIDs of GPUs (``GPU-…``) or of MIG instances (``MIG-…``). The program runs as snapenv's
        own user where the engine is on this machine and has root, else as the engine's root.
        It runs below the image's entrypoint, but for one that starts no command.
        """
        ...

    def starts_commands(self, image: Image) -> bool:
        """Return whether an image's entrypoint starts the command that a container is given.

        What starts neither with nor without its entrypoint says nothing of the entrypoint.
        """
        ...

    def container_target(self, name: str, *, python: str) -> Target:
        """Make a target of a running container.

        Raises:
            EnvironmentMissingError: No container of this name is running.
        """
        ...


class Registry(Protocol):
    """What registries say of their images, without moving a layer; and snapshots that lie alone.

    Credentials are those of docker's own configuration and its helpers. Any of these fails so:

    Raises:
        NotFoundError: The registry has no such image, snapshot or repository.
        RegistryError: The registry does not answer, refuses, or serves other bytes.
        SnapshotVersionError: A newer snapenv wrote the snapshot.
    """

    def tags(self, repository: str) -> tuple[str, ...]:
        """List the tags of a repository such as ``example.com/team/env``, sorted.

        Raises:
            NotFoundError: The registry has no such repository.
            RegistryError: The registry does not answer, or refuses.
        """
        ...

    def read(self, ref: ImageRef, *, machine: str | None = None) -> RemoteImage:
        """Read the manifest and the config of an image for one kind of machine: ``amd64/v3``.

        Without ``machine``, of the image that is there: of several, of this machine's.

        Raises:
            NotFoundError: The registry has no such image, or not for this machine.
            RegistryError: The registry does not answer, refuses, or serves other bytes.
        """
        ...

    def describe(
        self,
        ref: ImageRef,
        *,
        machine: str | None = None,
        configs: MutableMapping[str, Config] | None = None,
    ) -> RemoteImage | RemoteSnapshot:
        """Read what a name is: an image, of one kind of machine as ``read`` says, or a snapshot.

        ``configs`` are those of images that were read before, by digest; it gets what is read now.
        """
        ...

    def find_snapshot(self, ref: ImageRef) -> RemoteSnapshot | None:
        """Read the manifest of a snapshot that lies alone; None where the name is an image's."""
        ...

    def find_digest(self, ref: ImageRef) -> str | None:
        """Return the digest that a tag has now; None where the registry has no such tag."""
        ...

    def fetch(self, ref: ImageRef, layer: Descriptor, into: Path, task: Task) -> None:
        """Download a layer to a new file, whole and with its digest checked, or not at all.

        Raises:
            OSError: The file cannot be written.
        """
        ...

    def attach(
        self, ref: ImageRef, attachments: Sequence[Attachment], task: Task
    ) -> tuple[Descriptor, ...]:
        """Attach documents to an image by its digest; return their entries.

        What is attached already is not sent. In a registry without a list of referrers, the list
        is kept under a tag.
        """
        ...

    def attachments(self, ref: ImageRef) -> tuple[Descriptor, ...]:
        """Return the entries of what is attached to an image by its digest, as anybody may."""
        ...

    def read_attachment(self, ref: ImageRef, entry: Descriptor) -> bytes:
        """Return the one document of an attachment, checked by its digest."""
        ...

    def push(
        self, ref: ImageRef, artifact: Artifact, task: Task, *, mount: ImageRef | None = None
    ) -> str:
        """Send an artifact under a tag; return its digest, which the registry then serves.

        What the registry has is not sent; of that, ``mount`` names a repository that may have some.
        The tag is moved, whatever it was.
        """
        ...

    def retag(self, ref: ImageRef, tag: str) -> None:
        """Add one more tag to what a name is, in its repository; its digest stays."""
        ...


class Venvs(Protocol):
    """Makes virtual environments from a lock, without a daemon and without root."""

    def create(
        self, files: Mapping[str, Content], *, python: str, into: Path, task: Task
    ) -> Target:
        """Make a venv at ``into`` with ``python`` from a snapshot's files.

        ``python`` is a version such as 3.11.7, or the path of a Python. Where that very version
        is not here and cannot be fetched, it is another patch of it.

        ``into`` is a folder that its caller holds, with nothing in it but the mark of that.
        The lock is installed, with the wheels of ``vendor/``, and ``overlay/`` is put over it. In
        its place ``staged/pylock.toml`` is installed where it is among them, which says of some
        wheels that they lie in ``staged/``.

        Raises:
            InstallError: No such Python here, or a distribution cannot be had.
        """
        ...


class Wheels(Protocol):
    """The wheels of package indexes, asked for with this machine's credentials where needed."""

    def uv_settings(self, call: Call) -> UvSettings:
        """Return what a call of uv gets of this machine's settings; it may hold a credential."""
        ...

    def record(self, wheel: IndexWheel) -> WheelRecord:
        """Return a wheel's own RECORD and size, of a few kB where the server can.

        Many may ask at once.

        Raises:
            PackageIndexError: The host does not answer or refuses, or it is no wheel.
        """
        ...

    def fetch(self, wheel: IndexWheel, into: Path, task: Task) -> None:
        """Download a wheel to a new file, whole and with its hash checked, or not at all.

        Raises:
            PackageIndexError: The host does not answer or refuses, or serves other bytes.
            WriteError: The disk is full or the place cannot be written.
        """
        ...

    def is_offered(self, wheel: IndexWheel) -> bool:
        """Return whether its host still has a file, of its size; nothing of it is read.

        Many may ask at once.

        Raises:
            PackageIndexError: The host does not answer or refuses.
        """
        ...

    def is_private(self, wheel: IndexWheel) -> bool:
        """Return whether this machine has a credential for where the wheel lies."""
        ...


class Runs(Protocol):
    """Starts what a Launch says, and finds it again by the id of its run.

    Two keep it: an engine, whose runs are containers, and this machine, where they are processes
    in a venv.
    """

    def refused_limits(self) -> tuple[str, ...]:
        """Return the names of the limits that could not be raised here before."""
        ...

    def run(self, launch: Launch) -> Ended:
        """Run in the foreground: with this process's stdin, stdout and stderr, to its end.

        Signals are handed on. The container stays until ``remove``, also where this fails.

        Raises:
            CommandMissingError: There is no such program (127).
            CommandRefusedError: It cannot be executed (126).
            StartError: The engine did not start it (125).
        """
        ...

    def start(self, launch: Launch) -> RunState:
        """Start in the background; what does not start is removed.

        Raises:
            CommandMissingError, CommandRefusedError, StartError: As of ``run``.
        """
        ...

    def attach(self, run: str) -> Ended:
        """Connect this process's terminal or streams to a run, until it ends or is detached from.

        Raises:
            NotFoundError: No such run is running.
        """
        ...

    def state(self, run: str) -> RunState | None:
        """Return how a run stands; None where nothing is left of it."""
        ...

    def list_runs(self) -> tuple[RunState, ...]:
        """Return how each run stands that is there, ended ones too, the newest first."""
        ...

    def logs(self, run: str, *, follow: bool, tail: int | None) -> Iterator[Frame]:
        """Yield what a run has printed, whole or its last lines, and go on as it comes.

        Raises:
            NotFoundError: There is no such run.
        """
        ...

    def signal(self, run: str, number: int) -> None:
        """Send a signal to a run; one that has ended needs none."""
        ...

    def wait(self, run: str, timeout_s: float | None = None) -> RunState | None:
        """Wait for the end of a run; return how it stands then, or after so many seconds."""
        ...

    def stop(self, run: str, grace_s: int) -> RunState | None:
        """Send the stop signal of the launch, and SIGKILL after so many seconds."""
        ...

    def execute(
        self,
        run: str,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        connected: bool = False,
    ) -> Completed:
        """Run one more program in a running run, as its user and in its folder.

        It is ``connected`` with this process's own stdin, stdout and stderr, or has no stdin, and
        what it prints is given back.

        Raises:
            NotFoundError: No such run is running.
        """
        ...

    def put(self, run: str, files: Mapping[str, bytes]) -> None:
        """Write files by absolute path, as of ``Launch.files``."""
        ...

    def remove(self, run: str) -> None:
        """End a run at once and take away what is left of it, but for its record."""
        ...


class Sensors(Protocol):
    """What the sampler reads of this machine, which runs know nothing of."""

    def now(self) -> Moment:
        """Return this moment."""
        ...

    def boot_id(self) -> str:
        """Return what the kernel calls the time since its start."""
        ...

    def start_ticks(self, pid: int) -> int | None:
        """Return when a process started, in clock ticks since the boot; None where it is gone."""
        ...

    def gpus(self, elapsed_ms: int) -> tuple[GpuReading, ...]:
        """Look at every GPU and MIG instance, with the utilisation of the last ``elapsed_ms``."""
        ...

    def load(self, pid: int, *, in_group: bool) -> Load | None:
        """Look at what a process, and all that it has started, takes; None where it is gone.

        ``in_group`` it has a control group of its own: it is the first of a container.
        """
        ...

    def wait(self, seconds: float, pids: Sequence[int]) -> None:
        """Wait until one of these processes has ended or a run begins or ends, or so long."""
        ...


class Advisories(Protocol):
    """A service that knows vulnerabilities and malicious releases."""

    def find(self, queries: Sequence[Query]) -> tuple[Advisory, ...]:
        """Return what is known of any of these packages, of other versions too, sorted by id.

        Raises:
            AdvisoryServiceError: It does not answer, refuses, or answers something else.
        """
        ...


class Services(Struct, frozen=True, kw_only=True):
    """The services that a workflow may use."""

    local: Callable[[str], Target]  # the target of an interpreter of this machine, by its path
    remote: Callable[[str, str], Target]  # of a host, and a Python over there
    engine: Engine
    registry: Registry
    venvs: Venvs
    containers: Runs
    processes: Runs
    progress: Progress
    wheels: Wheels
    advisories: Callable[[str], Advisories]  # by the address of a service
    uv: Callable[[], str]  # the path of the uv that came with snapenv
    gpus: Callable[[], tuple[Gpu, ...]] = tuple  # of this machine
    state: Path | None = None  # the user's folder of records of runs; None writes none
    cache: Path | None = None  # a folder of the user's for what is known already; None keeps none
    secrets: Callable[[], tuple[Secret, ...]] = tuple  # the credentials that this machine uses
    missing_helpers: Callable[[], tuple[str, ...]] = tuple  # docker-credential-…, named and absent
    kernel_log: Callable[[float], tuple[str, ...]] = lambda _: ()  # since seconds of the epoch
    # Once a run is in the ledger, and once it has ended: starts or wakes the sampler, fails never.
    start_sampler: Callable[[], None] = lambda: None
    # Starts snapenv itself with these words, as a process that outlives this one; fails never.
    start_aside: Callable[[Sequence[str]], None] = lambda _: None
    sensors: Sensors | None = None  # of this machine; None sees nothing
    warn: Callable[[str], None] = lambda _: None  # tells the user, who need not do anything
    warnings: Callable[[], tuple[str, ...]] = tuple  # what adapters have to say so far
    certificates: bytes | None = None  # PEM; of this network's own authority, given to a build

    def kept(self, what: str) -> Path | None:
        """Return the folder in which one kind of thing is kept, which may not be there yet."""
        return self.cache / what if self.cache else None

    def made(self) -> Kept:
        """Return what was made before, by the digest of what it is made of."""
        return Kept(self.kept("made"))
