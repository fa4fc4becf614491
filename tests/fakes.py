"""Fakes of the ports, checked against their protocols by mypy and by the tests of promises."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import json
import shlex
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from msgspec.structs import replace

from snapenv.content import read_chunks, size_bytes
from snapenv.errors import (
    BuildError,
    EngineError,
    EnvironmentMissingError,
    InterpreterError,
    NotFoundError,
    RegistryError,
    SnapenvError,
)
from snapenv.model.carried import Content
from snapenv.model.clean import Freeable
from snapenv.model.host import HostEngine
from snapenv.model.image import BuildContext, Image, ImageRef
from snapenv.model.launch import Ended, Launch, RunState
from snapenv.model.sampling import GpuReading, Load, Moment
from snapenv.ports import Completed, Target
from snapenv.secrets.model import Location

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from snapenv.ports import Engine, Frame, Progress, Task


_SCRATCH = Image(id="", diff_ids=(), labels={}, variables={}, machine="amd64", size_bytes=0)
DESCRIBED = HostEngine(
    version="28.5.2",
    api=(1, 51),
    oldest_api=(1, 24),
    address="memory",
    local=True,
    runtimes=("nvidia", "runc"),
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One run of a fake target, as it was asked for."""

    argv: tuple[str, ...]
    files: Mapping[str, bytes]
    environment: Mapping[str, str]


@dataclass(kw_only=True)
class FakeTarget:
    """Answers by script.

    ``answers`` are found by an option, by the name of a file that a run is given, or by the
    program; what has no answer is a program that is not there. ``refusal`` is what an engine
    says that does not start its container.
    """

    python: str = "/env/bin/python"
    answers: dict[str, Completed] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    refusal: str | None = None

    def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, Content] | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        stdout: BinaryIO | None = None,
    ) -> Completed:
        if self.refusal:
            raise EngineError(self.refusal, hint="See it.")
        contents = {name: _read(content) for name, content in (files or {}).items()}
        call = Call(argv=tuple(argv), files=contents, environment=environment or {})
        self.calls.append(call)
        keys = (*(word for word in argv if word.startswith("--")), *call.files, argv[0])
        answer = next((self.answers[key] for key in keys if key in self.answers), None)
        if answer is None:
            raise InterpreterError(f"cannot run {argv[0]}: no answer", hint="Script one.")
        for line in answer.stderr.splitlines() if on_line else ():
            on_line(line)  # type: ignore[misc]
        if stdout is None:
            return answer
        stdout.write(answer.stdout.encode())
        return replace(answer, stdout="")


@dataclass
class FakeTask:
    """Remembers what it was told."""

    notes: list[str] = field(default_factory=list)
    counts: list[tuple[int, int | None]] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def count(self, done: int, total: int | None) -> None:
        self.counts.append((done, total))


@dataclass
class SilentProgress:
    """Shows nothing; remembers the titles and the tasks."""

    titles: list[str] = field(default_factory=list)
    tasks: list[FakeTask] = field(default_factory=list)

    @contextlib.contextmanager
    def task(self, title: str) -> Iterator[Task]:
        self.titles.append(title)
        self.tasks.append(FakeTask())
        yield self.tasks[-1]


@dataclass(kw_only=True)
class FakeEngine:
    """An engine in memory, with one registry; every other registry does not answer.

    ``images`` are local, by name and by id; ``served`` is what the registry has, by ``name:tag``
    and ``name@digest``; ``folders`` holds the files of folders, by image id and path. A build
    understands FROM, COPY and ENTRYPOINT, and an entrypoint starts a command whose last word
    holds ``exec``; ``targets`` are what images, by id, and containers, by name, run.
    """

    registry: str = "localhost:5000"
    images: dict[str, Image] = field(default_factory=dict)
    served: dict[str, Image] = field(default_factory=dict)
    folders: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    built: list[BuildContext] = field(default_factory=list)
    leaving: dict[Location, bytes] = field(default_factory=dict)  # of every image
    layers: dict[str, bytes] = field(default_factory=dict)  # of built and loaded images, by diff id
    described: HostEngine = DESCRIBED
    freeable: list[Freeable] = field(default_factory=list)

    def check(self) -> str:
        return f"Docker {self.described.version} at {self.described.address}"

    def describe(self) -> HostEngine:
        return self.described

    def find(self, ref: str) -> Image | None:
        with contextlib.suppress(ValueError):
            parsed = ImageRef.parse(ref)
            if parsed.digest:
                ref = f"{parsed.repository}@{parsed.digest}"
        return self.images.get(ref)

    def list_names(self, *, label: str) -> tuple[tuple[str, str], ...]:
        made = "2026-03-01T12:00:00+00:00"
        names = (name for name, image in self.images.items() if label in image.labels)
        return tuple(sorted((name, made) for name in names if not name.startswith("sha256:")))

    def list_made(self) -> tuple[Freeable, ...]:
        return tuple(self.freeable)

    def remove_made(self, made: Freeable) -> None:
        self.freeable[:] = [one for one in self.freeable if one.id != made.id]

    def is_insecure(self, host: str) -> bool:
        return host == self.registry

    def resolve(self, ref: ImageRef, task: Task) -> ImageRef:
        del task
        if ref.digest:
            return ref
        here = self.images.get(ref.tagged)
        try:
            return ref.at(pushed_digest(self._ask(ref)))
        except (NotFoundError, RegistryError) as error:
            known = [name for name in here.digests if _of(ref, name)] if here else []
            if known and isinstance(error, RegistryError):
                return ref.at(known[0].partition("@")[2])
            if known or here is None:
                raise
            raise NotFoundError(f"{ref} is on this machine alone", hint="Push it.") from error

    def pull(self, ref: ImageRef, task: Task) -> Image:
        image = self._ask(ref)
        task.count(image.size_bytes, image.size_bytes)
        return self._keep(image, ref)

    def push(self, ref: ImageRef, task: Task) -> ImageRef:
        image = self.images.get(ref.tagged)
        if image is None:
            raise NotFoundError(f"there is no local image {ref.tagged}", hint="Build it first.")
        self._refuse_silent(ref)
        task.count(image.size_bytes, image.size_bytes)
        pinned = ref.at(pushed_digest(image))
        self.served[ref.tagged] = self.served[f"{ref.repository}@{pinned.digest}"] = image
        self._keep(image, pinned)
        return pinned

    def build(self, context: BuildContext, task: Task) -> Image:
        self.built.append(context)
        below, copied, stages = _SCRATCH, dict[str, dict[str, bytes]](), {"scratch": _SCRATCH}
        for line in _read(context.files[context.dockerfile]).decode().splitlines():
            word, _, rest = line.partition(" ")
            if word in {"FROM", "COPY", "RUN"}:
                task.note(line)
            if word == "FROM":
                name, _, stage = rest.partition(" AS ")
                below = stages[stage] = stages.get(name) or self._base(name)
            if word == "ENTRYPOINT":
                below = replace(below, entrypoint=tuple(json.loads(rest)))
            if word == "COPY" and not rest.startswith("--"):
                *names, folder = shlex.split(rest)
                files = {
                    name: _read(context.files[name]) for name in names if name in context.files
                }
                copied.setdefault(folder.rstrip("/"), {}).update(files)
        return self._make(context, below, copied)

    def tag(self, image: Image, ref: ImageRef) -> None:
        self.images[ref.tagged] = image

    def remove(self, ref: str) -> None:
        image = self.find(ref)
        if image is None:
            return
        names = {name for name, each in self.images.items() if each.id == image.id}
        tagged = {name for name in names if "@" not in name and name != image.id}
        for name in names if tagged <= {ref} else {ref}:
            del self.images[name]

    def read_folder(self, image: Image, path: str) -> Mapping[str, bytes]:
        found = self.folders.get((image.id, path))
        if found is None:
            raise NotFoundError(f"image {image.id[:19]} has no folder {path}", hint="Look.")
        return found

    def read_files(
        self, image: Image, path: str
    ) -> Iterator[tuple[str, Iterator[bytes] | None]] | None:
        files = self.folders.get((image.id, path))
        return ((name, iter([content])) for name, content in files.items()) if files else None

    def read_leaving(
        self, image: Image, *, base: Image
    ) -> Iterator[tuple[Location, Iterator[bytes]]]:
        del base
        for name, value in image.labels.items():
            yield Location(name=f"label {name}"), iter([value.encode()])
        for location, content in self.leaving.items():
            yield location, iter([content])

    def save(self, image: Image) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        config = json.dumps(
            {
                "architecture": image.machine,
                "os": "linux",
                "config": {
                    "Labels": dict(image.labels),
                    "Env": [f"{name}={value}" for name, value in image.variables.items()],
                },
                "rootfs": {"type": "layers", "diff_ids": list(image.diff_ids)},
            }
        ).encode()
        yield _sha256(config), len(config), iter([config])
        for diff_id in dict.fromkeys(image.diff_ids[::-1]):
            layer = self.layers[diff_id]
            yield diff_id, len(layer), iter([layer[:100], layer[100:]])

    def load(self, tar: Iterable[bytes]) -> Image:
        with tarfile.open(fileobj=io.BytesIO(b"".join(tar))) as archive:
            files = {one.name: _member(archive, one) for one in archive}
        (named,) = json.loads(files["manifest.json"])
        config = json.loads(files[named["Config"]])
        diff_ids = tuple(config["rootfs"]["diff_ids"])
        for diff_id, name in zip(diff_ids, named["Layers"], strict=True):
            if name not in files and diff_id not in self.layers:
                raise EngineError(f"the Docker engine failed: open {name}", hint="See its log.")
            if name in files and _sha256(files[name]) != diff_id:
                raise EngineError(f"the Docker engine failed: invalid {diff_id}", hint="See it.")
            self.layers.setdefault(diff_id, files.get(name, b""))
        return self._loaded(_sha256(files[named["Config"]]), config, diff_ids)

    def image_target(self, image: Image, *, python: str, gpus: str | None) -> Target:
        del gpus
        return self.targets.get(image.id) or FakeTarget(python=python)

    def starts_commands(self, image: Image) -> bool:
        return not image.entrypoint or "exec" in image.entrypoint[-1]

    def container_target(self, name: str, *, python: str) -> Target:
        del python
        if name not in self.targets:
            raise EnvironmentMissingError(f"no container {name} is running", hint="Start it.")
        return self.targets[name]

    def _ask(self, ref: ImageRef) -> Image:
        self._refuse_silent(ref)
        name = f"{ref.repository}@{ref.digest}" if ref.digest else ref.tagged
        if name not in self.served:
            raise NotFoundError(f"{ref.registry} has no {ref}", hint="See that it is right.")
        return self.served[name]

    def _refuse_silent(self, ref: ImageRef) -> None:
        if ref.registry != self.registry:
            raise RegistryError(f"{ref.registry} does not answer", hint="See that it is up.")

    def _base(self, name: str) -> Image:
        found = self.find(name)
        if found is None:
            raise BuildError(f"step FROM {name} failed: not found", hint="Pull it first.")
        return found

    def _make(
        self, context: BuildContext, below: Image, copied: dict[str, dict[str, bytes]]
    ) -> Image:
        content = repr((below.diff_ids, copied)).encode()
        layer = hashlib.sha256(content).hexdigest()
        self.layers[f"sha256:{layer}"] = content
        labels = {**below.labels, **context.labels}
        image = Image(
            id=f"sha256:{hashlib.sha256(repr((layer, labels)).encode()).hexdigest()}",
            diff_ids=(*below.diff_ids, f"sha256:{layer}"),
            labels=labels,
            variables=below.variables,
            machine="amd64",
            size_bytes=below.size_bytes + sum(map(size_bytes, context.files.values())),
            entrypoint=below.entrypoint,
        )
        self.images[image.id] = image
        for folder, files in copied.items():
            self.folders[image.id, folder] = files
        return image

    def _loaded(self, image_id: str, config: dict[str, Any], diff_ids: tuple[str, ...]) -> Image:
        """Return the image of a config, which is the one that is here already if it is the same."""
        variables = (line.partition("=") for line in config["config"]["Env"])
        image = Image(
            id=image_id,
            diff_ids=diff_ids,
            labels=config["config"]["Labels"],
            variables={name: value for name, _, value in variables},
            machine=config["architecture"],
            size_bytes=sum(len(self.layers[one]) for one in diff_ids),
        )
        for one in self.images.values():
            if (one.diff_ids, one.labels) == (image.diff_ids, image.labels):
                return one
        self.images[image_id] = image
        _, copied = ast.literal_eval(self.layers[diff_ids[-1]].decode())
        for folder, files in copied.items():
            self.folders[image_id, folder] = files
        return image

    def _keep(self, image: Image, ref: ImageRef) -> Image:
        """Hold an image under a name of the registry; all its names give the same value."""
        known = f"{ref.repository}@{pushed_digest(image)}"
        image = replace(image, digests=tuple(sorted({*image.digests, known})))
        same = {name for name, each in self.images.items() if each.id == image.id}
        fetched = set() if ref.digest else {ref.tagged}
        self.images |= dict.fromkeys({*same, *fetched, known, image.id}, image)
        return image


def _read(content: Content) -> bytes:
    return b"".join(read_chunks(content))


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    return stream.read() if stream else b""


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def pushed_digest(image: Image) -> str:
    """Return what a registry would call an image: another hash than its id."""
    return f"sha256:{hashlib.sha256(image.id.encode()).hexdigest()}"


def _of(ref: ImageRef, name: str) -> bool:
    return name.startswith(f"{ref.repository}@")


if TYPE_CHECKING:
    _target: Target = FakeTarget()
    _engine: Engine = FakeEngine()
    _progress: Progress = SilentProgress()
    _task: Task = FakeTask()


@dataclass(frozen=True)
class ChangedFiles:
    """A target to which other files are sent than it is given."""

    target: Target
    change: Callable[[Mapping[str, Content]], Mapping[str, Content]]

    @property
    def python(self) -> str:
        return self.target.python

    def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, Content] | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        stdout: BinaryIO | None = None,
    ) -> Completed:
        sent = self.change(files or {})
        return self.target.run(
            argv, files=sent, environment=environment, on_line=on_line, stdout=stdout
        )


@dataclass
class FakeRuns:
    """Runs in memory: each goes on until it is stopped, or ends at once with ``exit_code``."""

    exit_code: int = 0
    refusal: SnapenvError | None = None
    launches: list[Launch] = field(default_factory=list)
    states: dict[str, RunState] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    answer: Callable[[Sequence[str]], Completed] = lambda _: Completed(
        exit_code=0, stdout="", stderr=""
    )
    """What programs print that are executed in them."""

    def refused_limits(self) -> tuple[str, ...]:
        return ()

    def run(self, launch: Launch) -> Ended:
        self._begin(launch)
        return self._end(launch.run)

    def start(self, launch: Launch) -> RunState:
        self._begin(launch)
        return self.states[launch.run]

    def attach(self, run: str) -> Ended:
        if run not in self.states or not self.states[run].running:
            raise NotFoundError(f"no run {run} is running", hint="See snapenv ps.")
        return self._end(run)

    def state(self, run: str) -> RunState | None:
        return self.states.get(run)

    def list_runs(self) -> tuple[RunState, ...]:
        return tuple(reversed(self.states.values()))

    def logs(self, run: str, *, follow: bool, tail: int | None) -> Iterator[Frame]:
        assert follow is not None
        assert tail is None or tail >= 0
        if run not in self.states:
            raise NotFoundError(f"there is no run {run}", hint="See snapenv ps --all.")
        yield b"out\n", None

    def signal(self, run: str, number: int) -> None:
        if run in self.states:
            self.states[run] = replace(self.states[run], status="exited", exit_code=128 + number)

    def wait(self, run: str, timeout_s: float | None = None) -> RunState | None:
        assert timeout_s is None or timeout_s >= 0
        return self._end(run).state if run in self.states else None

    def stop(self, run: str, grace_s: int) -> RunState | None:
        assert grace_s >= 0
        self.signal(run, 2)
        return self.state(run)

    def execute(
        self,
        run: str,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        connected: bool = False,
    ) -> Completed:
        assert environment is None or argv
        assert connected in {False, True}
        if run not in self.states:
            raise NotFoundError(f"no run {run} is running", hint="See snapenv ps.")
        return self.answer(argv)

    def put(self, run: str, files: Mapping[str, bytes]) -> None:
        assert run in self.states or not files

    def remove(self, run: str) -> None:
        self.states.pop(run, None)
        self.removed.append(run)

    def _begin(self, launch: Launch) -> None:
        if self.refusal:
            raise self.refusal
        self.launches.append(launch)
        self.states[launch.run] = RunState(
            run=launch.run, status="running", labels=launch.labels, ports=launch.ports
        )

    def _end(self, run: str) -> Ended:
        state = replace(self.states[run], status="exited", exit_code=self.exit_code)
        self.states[run] = state
        return Ended(state=state, output=b"")


SENSORS_START_MS = 1_795_000_000_000  # 2026-11-18T11:06:40Z


@dataclass
class FakeSensors:
    """A machine whose time goes on when the test says so."""

    at: Moment = field(default_factory=lambda: Moment(wall_ms=SENSORS_START_MS, boot_ms=500_000))
    boot: str = "boot-1"
    readings: tuple[GpuReading, ...] = ()
    loads: dict[int, Load] = field(default_factory=dict)
    ticks: dict[int, int] = field(default_factory=dict)
    asked_ms: list[int] = field(default_factory=list)

    def now(self) -> Moment:
        return self.at

    def boot_id(self) -> str:
        return self.boot

    def start_ticks(self, pid: int) -> int | None:
        return self.ticks.get(pid)

    def gpus(self, elapsed_ms: int) -> tuple[GpuReading, ...]:
        self.asked_ms.append(elapsed_ms)
        return self.readings

    def load(self, pid: int, *, in_group: bool) -> Load | None:
        assert in_group in {True, False}
        return self.loads.get(pid)

    def wait(self, seconds: float, pids: Sequence[int]) -> None:
        raise NotImplementedError

    def later(self, elapsed_ms: int, *, jump_ms: int = 0) -> None:
        self.at = Moment(
            wall_ms=self.at.wall_ms + elapsed_ms + jump_ms, boot_ms=self.at.boot_ms + elapsed_ms
        )
