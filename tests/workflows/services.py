"""An outside in memory, in which every image holds the environment that its test says."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from snapenv.content import read_chunks
from snapenv.errors import EngineMissingError, NotFoundError, RegistryError
from snapenv.model.artifact import RemoteSnapshot
from snapenv.model.attachment import Attachment, attachment_artifact, describe_artifact
from snapenv.model.carried import Content
from snapenv.model.host import GpuPlumbing
from snapenv.model.image import Image, ImageRef, Layer, RemoteImage
from snapenv.model.oci import Config, Descriptor, Manifest, RootFs, sha256_digest
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.model.uv import Call, UvSettings
from snapenv.model.wheels import WheelRecord
from snapenv.ports import Completed, Services, Target
from snapenv.probe.host import Machine
from tests.fakes import FakeEngine, FakeRuns, FakeTarget, SilentProgress, pushed_digest
from tests.samples import TAG, sample_facts, sample_lock, sample_native

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.artifact import Artifact
    from snapenv.model.clean import Freeable
    from snapenv.model.facts import Facts
    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.host import HostEngine
    from snapenv.model.osv import Advisory, Query
    from snapenv.model.wheels import IndexWheel
    from snapenv.ports import Task

REGISTRY = "localhost:5000"
REPOSITORY = f"{REGISTRY}/team/env"
BASE = Image(
    id="sha256:base", diff_ids=("sha256:0",), labels={}, variables={}, machine="amd64", size_bytes=9
)
NAME = f"{REPOSITORY}:{TAG}"
LOCK = replace(sample_lock(), native=sample_native())

TOOLKIT = GpuPlumbing(devices=("/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl"), toolkit="1.18")


def target(
    facts: Facts,
    fingerprint: Fingerprint | None = None,
    *,
    plumbing: GpuPlumbing = TOOLKIT,
) -> FakeTarget:
    """Return a target that a probe, and a smoke-train, see this on; its GPUs reach containers."""
    machine = Machine(hardware=facts.hardware, plumbing=plumbing)
    answers = {
        "snapenv_probe.pyz": _said("snapenv-facts: ", facts),
        "--host": _said("snapenv-host: ", machine),
        "--sboms": _said("snapenv-sboms: ", ()),
    }
    if fingerprint:
        answers["snapenv_train.pyz"] = _said("snapenv-smoke-train: ", fingerprint)
    return FakeTarget(answers=answers)


@dataclass(kw_only=True)
class EngineWithBase(FakeEngine):
    """Has NVIDIA's images in its registry; all images hold ``inside``."""

    inside: FakeTarget = field(default_factory=lambda: target(sample_facts()))
    gpus: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("25.10-py3", "26.03-py3"):
            ref = ImageRef(repository=f"{REGISTRY}/nvidia/pytorch", tag=name)
            self.images[ref.tagged] = BASE
            self.push(ref, SilentProgress().task("").__enter__())
            self.remove(ref.tagged)

    def image_target(self, image: Image, *, python: str, gpus: str | None) -> Target:
        del image, python
        self.gpus.append(gpus)
        return self.inside


class NoEngine(EngineWithBase):
    """No engine answers."""

    def check(self) -> str:
        raise _missing()

    def describe(self) -> HostEngine:
        raise _missing()

    def find(self, ref: str) -> Image | None:
        del ref
        raise _missing()

    def list_names(self, *, label: str) -> tuple[tuple[str, str], ...]:
        del label
        raise _missing()

    def list_made(self) -> tuple[Freeable, ...]:
        raise _missing()

    def __post_init__(self) -> None:
        pass


def _missing() -> EngineMissingError:
    return EngineMissingError("no Docker engine answers at x", hint="Start Docker.")


@dataclass
class FakeVenvs:
    """Makes nothing; every venv holds what ``made`` sees."""

    made: FakeTarget
    asked: list[tuple[Mapping[str, Content], str]] = field(default_factory=list)

    def create(
        self, files: Mapping[str, Content], *, python: str, into: Path, task: Task
    ) -> Target:
        del into, task
        self.asked.append((files, python))
        return self.made


@dataclass
class FakeWheels:
    """Wheels in memory: ``records`` by file name, ``contents`` by URL; ``private`` hosts."""

    records: dict[str, str] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    private: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)

    def uv_settings(self, call: Call) -> UvSettings:
        assert call
        return UvSettings()

    def record(self, wheel: IndexWheel) -> WheelRecord:
        self.asked.append(wheel.filename)
        return WheelRecord(text=self.records.get(wheel.filename, ""), size_bytes=len(wheel.url))

    def fetch(self, wheel: IndexWheel, into: Path, task: Task) -> None:
        content = self.contents[wheel.url]
        task.count(len(content), len(content))
        into.write_bytes(content)

    def is_offered(self, wheel: IndexWheel) -> bool:
        self.asked.append(wheel.filename)
        return wheel.url in self.contents

    def is_private(self, wheel: IndexWheel) -> bool:
        return wheel.host in self.private


@dataclass
class FakeRegistry:
    """A registry in memory: ``images`` by ``repository:tag``, each for its own machine.

    It has what was pushed to ``pushed`` too. Whatever is not below ``answers`` does not answer.
    """

    images: dict[str, RemoteImage] = field(default_factory=dict)
    answers: tuple[str, ...] = (REGISTRY,)
    asked: list[str] = field(default_factory=list)
    pushed: Mapping[str, Image] = field(default_factory=dict)
    snapshots: dict[str, RemoteSnapshot] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)  # of these, by digest
    kept: dict[str, str] = field(default_factory=dict)  # digests, by the tags that keep them
    attached: dict[str, list[tuple[Descriptor, Attachment]]] = field(default_factory=dict)
    takes_artifacts: bool = True

    def tags(self, repository: str) -> tuple[str, ...]:
        self._ask(repository)
        names = (name.rpartition(":") for name in self.images)
        found = sorted(tag for name, _, tag in names if name == repository)
        if not found:
            raise NotFoundError(f"there is no {repository}", hint="See that it is right.")
        return tuple(found)

    def read(self, ref: ImageRef, *, machine: str | None = None) -> RemoteImage:
        self._ask(ref.tagged)
        found = self.images.get(ref.tagged) or _remote(self.pushed.get(ref.tagged), ref)
        if found is None or (machine and found.machine != machine):
            raise NotFoundError(f"there is no {ref} for {machine}", hint="See that it is right.")
        return found

    def describe(
        self,
        ref: ImageRef,
        *,
        machine: str | None = None,
        configs: MutableMapping[str, Config] | None = None,
    ) -> RemoteImage | RemoteSnapshot:
        described = self.find_snapshot(ref) or self.read(ref, machine=machine)
        if configs is not None and isinstance(described, RemoteImage):
            configs.setdefault(described.config_digest, Config("amd64", RootFs(diff_ids=())))
        return described

    def find_snapshot(self, ref: ImageRef) -> RemoteSnapshot | None:
        self._ask(ref.tagged)
        return self.snapshots.get(ref.tagged)

    def find_digest(self, ref: ImageRef) -> str | None:
        self._ask(ref.tagged)
        snapshot, image = self.snapshots.get(ref.tagged), self.images.get(ref.tagged)
        return snapshot.ref.digest if snapshot else image.ref.digest if image else None

    def fetch(self, ref: ImageRef, layer: Descriptor, into: Path, task: Task) -> None:
        self._ask(ref.tagged)
        into.write_bytes(self.blobs[layer.digest])
        task.count(layer.size, layer.size)

    def push(
        self, ref: ImageRef, artifact: Artifact, task: Task, *, mount: ImageRef | None = None
    ) -> str:
        del task, mount
        self._ask(ref.tagged)
        self.blobs |= {name: b"".join(read_chunks(one)) for name, one in artifact.blobs.items()}
        manifest = msgspec.json.decode(artifact.manifest, type=Manifest)
        digest = sha256_digest(artifact.manifest)
        self.snapshots[ref.tagged] = RemoteSnapshot(
            ref=ref.at(digest), layers=manifest.layers, annotations=manifest.annotations
        )
        return digest

    def attach(
        self, ref: ImageRef, attachments: Sequence[Attachment], task: Task
    ) -> tuple[Descriptor, ...]:
        del task
        self._ask(ref.tagged)
        if not self.takes_artifacts:
            raise RegistryError("takes no artifacts", hint="Use another.")
        subject = Descriptor(digest=str(ref.digest), size=1)
        entries = tuple(
            describe_artifact(attachment_artifact(each, subject).manifest, each)
            for each in attachments
        )
        there = self.attached.setdefault(str(ref.digest), [])
        there += zip(entries, attachments, strict=True)
        return entries

    def attachments(self, ref: ImageRef) -> tuple[Descriptor, ...]:
        self._ask(ref.tagged)
        return tuple(entry for entry, _ in self.attached.get(str(ref.digest), ()))

    def read_attachment(self, ref: ImageRef, entry: Descriptor) -> bytes:
        there = self.attached[str(ref.digest)]
        return next(each.content for known, each in there if known.digest == entry.digest)

    def retag(self, ref: ImageRef, tag: str) -> None:
        self.kept[tag] = str(ref.digest)

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        if not name.startswith(self.answers):
            host = name.partition("/")[0]
            raise RegistryError(f"{host} does not answer", hint="See that it is up.")


def remote(
    *,
    labels: dict[str, str] | None = None,
    variables: dict[str, str] | None = None,
    diff_ids: tuple[str, ...] = ("sha256:0", "sha256:1", "sha256:2"),
    machine: str = "amd64",
    name: str = NAME,
) -> RemoteImage:
    return RemoteImage(
        ref=ImageRef.parse(name),
        config_digest="sha256:c",
        layers=tuple(Layer(digest=f"packed-{one}", size_bytes=100) for one in diff_ids),
        diff_ids=diff_ids,
        labels={SNAPSHOT_LABEL: "sha256:abc"} if labels is None else labels,
        variables=variables or {},
        machine=machine,
    )


class FakeAdvisories:
    """A service that knows nothing."""

    def __init__(self, service: str) -> None:
        self.service = service

    def find(self, queries: Sequence[Query]) -> tuple[Advisory, ...]:
        del queries
        return ()


def services(
    engine: EngineWithBase | None = None,
    *,
    here: FakeTarget | None = None,
    wheels: FakeWheels | None = None,
    certificates: bytes | None = None,
    registry: FakeRegistry | None = None,
) -> Services:
    """Return services; ``here`` is what this machine's interpreters and venvs hold."""
    made = here or target(sample_facts())
    return Services(
        local=lambda _: made,
        remote=lambda _host, _python: made,
        engine=engine or EngineWithBase(),
        registry=registry or FakeRegistry(pushed=engine.served if engine else {}),
        venvs=FakeVenvs(made),
        containers=FakeRuns(),
        processes=FakeRuns(),
        progress=SilentProgress(),
        wheels=wheels or FakeWheels(),
        advisories=FakeAdvisories,
        uv=lambda: "uv",
        certificates=certificates,
    )


def _remote(image: Image | None, ref: ImageRef) -> RemoteImage | None:
    """Return an image as a registry would that it was pushed to."""
    if image is None:
        return None
    return RemoteImage(
        ref=ref.at(pushed_digest(image)),
        config_digest=image.id,
        layers=tuple(Layer(digest=one, size_bytes=1_000) for one in image.diff_ids),
        diff_ids=image.diff_ids,
        labels=image.labels,
        variables=image.variables,
        machine=image.machine,
    )


def _said(mark: str, value: object) -> Completed:
    line = f"a banner\n{mark}{msgspec.json.encode(value).decode()}\n"
    return Completed(exit_code=0, stdout=line, stderr="")
