"""Images: building, moving, restoring and running them, beside the Dockerfiles that people write.

All start from the stand-in base, and install the same pins. The base is a new one each time, so that
no layer that the engine has kept fits; uv's cache in the engine is a new one too where a build is to
be cold.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from docker import DockerClient
from msgspec.structs import replace

from snapenv.content import Tar
from snapenv.engine.answers import Info, read_answer
from snapenv.engine.docker import DockerEngine
from snapenv.engine.layer_store import find_stored
from snapenv.lock.store import read_snapshot
from snapenv.model.image import BuildContext, ImageRef
from snapenv.model.snapshot import IMAGE_PYTHON, PYLOCK_FILE
from snapenv.render.dockerfile import render_dockerfile
from snapenv.render.layers import split_lock
from snapenv.travel.pack import pack
from tests.benchmarks.bench import SNAPENV, UV, Bench, forget, home_of
from tests.benchmarks.measure import Cost, Work, by_turns, run
from tests.benchmarks.results import Row, Table, make_row
from tests.end_to_end.containers import Working, install
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from snapenv.model.carried import Content
    from snapenv.model.snapshot import Snapshot

PINS = "numpy pillow pyyaml matplotlib requests psutil polars networkx"
OLDER, NEWER = "8.4.189", "8.4.190"
BY_PIP, BY_UV, OURS = "pip install -r", "uv, as its guide writes", "snapenv build"
ALONE = "snapenv's Dockerfile alone"
BY_UV_ALONE, IN_ONE = "uv pip install, of the pins", "snapenv's lock, in one layer"
BY_UV_TWICE = "uv pip install, ultralytics in a layer of its own"
IN_LAYERS = "snapenv's lock, ultralytics in a layer of its own"
LIBRARY = Work(
    name="Python, importing the docker library", argv=(sys.executable, "-c", "import docker")
)
_AFTER_PACKAGES = "\n# The environment is the active one."
SAVED_ALONE = "docker save, to nowhere"
AS_TARS = "the layers over the base as tars, zstd -3 -T0"
HASHED_TOO = "the same, each byte hashed too"
HASH_AND_PACK = """
import hashlib, sys, zstandard
packer = zstandard.ZstdCompressor(level=3, threads=-1)
with open(sys.argv[2], "rb", buffering=0) as tars, open(sys.argv[1], "wb") as file:
    with packer.stream_writer(file) as packed:
        digest = hashlib.sha256()
        while piece := tars.read(1 << 18):
            digest.update(piece)
            packed.write(piece)
"""
_CERTIFICATES = "COPY ca.pem /ca.pem\nENV PIP_CERT=/ca.pem SSL_CERT_FILE=/ca.pem\n"
DOCKERFILES = {
    BY_PIP: """
FROM {base}
{certificates}RUN python3 -m venv /env
COPY requirements.txt .
RUN PIP_CONSTRAINT= /env/bin/pip install --no-cache-dir --no-deps -r requirements.txt
""",
    BY_UV: """
FROM {base}
{certificates}COPY --chmod=755 uv /bin/uv
ENV UV_LINK_MODE=copy
RUN uv venv /env
COPY requirements.txt .
RUN --mount=type=cache,id={cache},target=/root/.cache/uv \\
    VIRTUAL_ENV=/env uv pip install --no-deps -r requirements.txt
""",
}


def measure(bench: Bench) -> Iterator[Table]:
    with _world(bench) as world:
        bench.versions["Docker"] = world.client.version()["Version"]
        steps = (builds, installs, new_ultralytics, archives, restores, runs)
        yield from bench.each(*(partial(step, world) for step in steps))


@contextmanager
def _world(bench: Bench) -> Iterator[World]:
    """Yield a world whose images go with the block."""
    client = DockerClient(base_url=bench.engine, timeout=600)
    try:
        yield World(bench, client)
    finally:
        names = (name for image in client.images.list() for name in image.tags)
        for name in [name for name in names if name.startswith(f"{bench.registry}/bench/")]:
            client.images.remove(name, force=True)
        client.close()


@dataclass
class World:
    """Two environments that differ in their ultralytics, captured from a container."""

    bench: Bench
    client: DockerClient

    @cached_property
    def snapshots(self) -> Mapping[str, Path]:
        return dict(self._captured())

    def _captured(self) -> Iterator[tuple[str, Path]]:
        with Working(self.client, self.bench.base) as container:
            install(container, PINS)
            for version in (OLDER, NEWER):
                install(container, f"--no-deps ultralytics=={version}")
                folder = self.bench.folder / f"captured-{version}"
                where = ("--container", str(container.name), "--python", "/env/bin/python")
                words = ("--no-smoke", "--base", self.bench.base, "-o", str(folder))
                self.run("capture", *where, *words)
                yield version, folder

    @property
    def home(self) -> Mapping[str, str]:
        return home_of(self.bench.folder / "home")

    def run(self, *words: str) -> Cost:
        return run(Work(name=words[0], argv=(*SNAPENV, *words), environment=self.home))

    def requirements(self, version: str) -> bytes:
        """Return the pins of a snapshot, as pip freeze would."""
        packages = read_snapshot(self.snapshots[version]).lock.environment.distributions
        pins = (f"{each.name}=={each.version}" for each in packages if each.name != "pip")
        return "\n".join(pins).encode()

    def new_base(self) -> str:
        """Return a base in the registry that no build has started from."""
        key = uuid.uuid4().hex[:12]
        name = f"{self.bench.registry}/bench/base:{key}"
        dockerfile = f"FROM {self.bench.base}\nRUN echo {key} > /etc/key\n"
        image = DockerEngine().build(_context({"Dockerfile": dockerfile.encode()}), FakeTask())
        self.push(image.id, name)
        return name

    def push(self, image: str, name: str) -> None:
        ref = ImageRef.parse(name)
        self.client.api.tag(image, ref.repository, ref.tag)
        for message in self.client.api.push(name, stream=True, decode=True):
            if "error" in message:
                raise RuntimeError(message["error"])

    def build(self, kind: str, version: str, base: str, cache: str = "kept") -> tuple[float, str]:
        """Build an image of a version; return the seconds, and what the image is known by.

        ``cache`` names what uv has kept in the engine, but for snapenv build, which has its own.
        """
        snapshot = self.snapshots[version]
        if kind == OURS:
            repository = f"{self.bench.registry}/bench/snapenv"
            words = ("--base", base, "--repository", repository, "--replace")
            cost = self.run("build", str(snapshot), *words)
            name = f"{repository}:{read_snapshot(snapshot).lock.tag}"
            return cost.seconds, name
        if kind == ALONE:
            context = _in_layers(read_snapshot(snapshot), base, cache)
        else:
            context = _by_hand(kind, base, cache, self.requirements(version))
        began = time.perf_counter()
        image = DockerEngine().build(context, FakeTask())
        return time.perf_counter() - began, image.id

    @cached_property
    def image(self) -> str:
        """An image of snapenv's, whose base is here and in the registry."""
        _, name = self.build(OURS, NEWER, self.bench.base)
        return name


def _in_layers(snapshot: Snapshot, base: str, cache: str) -> BuildContext:
    lock = replace(snapshot.lock, base=replace(snapshot.lock.base, image=base))
    layers = split_lock(lock)
    dockerfile = render_dockerfile(lock, layers, kept=[layer.file for layer in layers])
    text = dockerfile.decode().replace("type=cache,", f"type=cache,id={cache},")
    return _context({**snapshot.files, "Dockerfile": text.encode()})


def _by_hand(kind: str, base: str, cache: str, requirements: bytes) -> BuildContext:
    text = DOCKERFILES[kind].format(
        base=base, cache=cache, certificates=_CERTIFICATES if authority() else ""
    )
    files = {"Dockerfile": text.encode(), "requirements.txt": requirements}
    if kind == BY_UV:
        files["uv"] = Path(UV).read_bytes()
    return _context(files)


def _context(files: Mapping[str, Content]) -> BuildContext:
    return BuildContext(files={**files, **authority()}, labels={})


def authority() -> Mapping[str, bytes]:
    """Return the authorities that this machine trusts, if it has its own."""
    path = Path(os.environ.get("SSL_CERT_FILE", ""))
    return {"ca.pem": path.read_bytes()} if path.is_file() else {}


def builds(world: World) -> Iterator[Table]:
    """Build with nothing in the engine but the base, and again with the wheels kept."""
    kinds = {"cold": (BY_PIP, BY_UV, ALONE), "kept": (BY_UV, ALONE, OURS)}
    costs: dict[tuple[str, str], list[Cost]] = {}
    for _ in range(world.bench.rounds(2)):
        for cache, names in kinds.items():
            base = world.new_base()
            own = base.rpartition(":")[2] if cache == "cold" else cache
            for kind in names:
                seconds, image = world.build(kind, OLDER, base, own)
                costs.setdefault((cache, kind), []).append(Cost(seconds=seconds))
                world.client.images.remove(image, force=True)
    titles = {
        "cold": "A cold build of 9 packages and what they need",
        "kept": "The same on another base image, the wheels in the engine's cache",
    }
    for cache, names in kinds.items():
        rows = tuple(make_row(kind, costs[cache, kind]) for kind in names)
        yield Table(title=titles[cache], rows=rows, against=BY_UV, note=_BUILD_NOTES[cache])


_BUILD_NOTES = {
    "cold": "pip compiles what it installs; uv does not, by itself and for snapenv.",
    "kept": "snapenv build also compares the image with its lock, file by file, and tags it.",
}


def installs(world: World) -> Iterator[Table]:
    """Build nothing but the layers of packages, anew each time."""
    contexts = _installing(world, world.new_base())
    costs: dict[str, list[Cost]] = {name: [] for name in contexts}
    for _ in range(world.bench.rounds(3) + 1):
        for name, context in contexts.items():
            costs[name].append(_install(world, context))
    yield Table(
        title="The layers of packages alone, the wheels in the engine's cache",
        rows=tuple(make_row(name, found[1:]) for name, found in costs.items()),
        against=BY_UV_ALONE,
        note="All are snapenv's Dockerfile up to there. snapenv lets uv check each wheel's hash. A "
        "step more takes the engine's time for it, whoever installs.",
    )


def _installing(world: World, base: str) -> Mapping[str, BuildContext]:
    """Return builds that end with the packages, by what installs them."""
    snapshot = read_snapshot(world.snapshots[OLDER])
    lock = replace(snapshot.lock, base=replace(snapshot.lock.base, image=base))
    layers = split_lock(lock)
    in_one = render_dockerfile(lock).decode()
    in_layers = render_dockerfile(lock, layers).decode()
    pins = world.requirements(OLDER)
    own = next(line for line in pins.splitlines() if line.startswith(b"ultralytics=="))
    by_uv = in_one.replace(" --require-hashes", "").replace(PYLOCK_FILE, "requirements.txt")
    by_uv_twice = in_layers.replace(" --require-hashes", "")
    files = {
        **snapshot.files,
        **{layer.file: layer.content for layer in layers},
        "requirements.txt": pins,
    }
    for layer in layers:
        name = layer.file.replace("pylock.", "requirements.").replace(".toml", ".txt")
        by_uv_twice = by_uv_twice.replace(layer.file, name)
        files[name] = own if own.partition(b"==")[0] in name.encode() else pins.replace(own, b"")
    dockerfiles = {
        BY_UV_ALONE: by_uv,
        IN_ONE: in_one,
        BY_UV_TWICE: by_uv_twice,
        IN_LAYERS: in_layers,
    }
    return {
        name: _context({**files, "Dockerfile": text[: text.index(_AFTER_PACKAGES)].encode()})
        for name, text in dockerfiles.items()
    }


def _install(world: World, context: BuildContext) -> Cost:
    """Build with other words where packages are installed, so that only this is done again."""
    anew = f"UV_LINK_MODE=copy ANEW={uuid.uuid4().hex}"
    text = bytes(context.files["Dockerfile"]).decode().replace("UV_LINK_MODE=copy", anew)
    files = {**context.files, "Dockerfile": text.encode()}
    began = time.perf_counter()
    image = DockerEngine().build(replace(context, files=files), FakeTask())
    cost = Cost(seconds=time.perf_counter() - began)
    world.client.images.remove(image.id, force=True)
    return cost


def new_ultralytics(world: World) -> Iterator[Table]:
    """Build again with a newer ultralytics, and count what the older image's users have to pull."""
    base = world.new_base()
    yield Table(
        title="A new ultralytics: build again, and pull what is new",
        rows=tuple(_newer(world, kind, base) for kind in (BY_PIP, BY_UV, OURS)),
        against=BY_UV,
        note="MB is what the registry has to send to who has the image before.",
    )


def _newer(world: World, kind: str, base: str) -> Row:
    layers: list[Mapping[str, int]] = []
    seconds = 0.0
    for number, version in enumerate((OLDER, NEWER)):
        seconds, image = world.build(kind, version, base)
        name = f"{world.bench.registry}/bench/pulled:{kind.partition(' ')[0].strip(',')}{number}"
        world.push(image, name)
        layers.append(layers_of(name))
    older, newer = layers
    pulled = sum(size for digest, size in newer.items() if digest not in older)
    return Row(name=kind, seconds=(round(seconds, 3),), size_bytes=pulled)


def layers_of(name: str) -> Mapping[str, int]:
    """Return the packed layers of an image in the registry, with their sizes in bytes."""
    ref = ImageRef.parse(name)
    host, _, path = ref.repository.partition("/")
    accept = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    answer = requests.get(f"http://{host}/v2/{path}/manifests/{ref.tag}", headers=accept, timeout=9)
    answer.raise_for_status()
    return {layer["digest"]: layer["size"] for layer in answer.json()["layers"]}


def archives(world: World) -> Iterator[Table]:
    """Export an image as a file, beside docker save packed by gzip and by zstd."""
    folder = world.bench.folder / "archives"
    folder.mkdir()
    layers = folder / "layers.tar"
    _write_layers(world, layers)
    works = [
        _saved("docker save, gzip", world.image, folder, "gzip"),
        _saved("docker save, zstd -3 -T0", world.image, folder, "zstd -q -3 -T0"),
        _exported("snapenv export", world, folder),
        _saved(SAVED_ALONE, world.image, folder, "wc -c"),
        _packed(AS_TARS, layers, folder, "zstd", "-q", "-3", "-T0", "-f", "-o"),
        _packed(HASHED_TOO, layers, folder, sys.executable, "-c", HASH_AND_PACK),
        _exported("snapenv export --delta", world, folder, "--delta"),
    ]
    costs = by_turns(works, rounds=world.bench.rounds(2), warm=False)
    rows = {name: make_row(name, found) for name, found in costs.items()}
    yield Table(
        title="An image as a file, and its size",
        rows=tuple(
            row if name == SAVED_ALONE else replace(row, size_bytes=(folder / name).stat().st_size)
            for name, row in rows.items()
        ),
        against=works[1].name,
        note="--delta leaves out the layers of the base image. Beside packing and hashing the others "
        "it starts Python and asks the engine. The engine's own work is not in CPU s.",
    )
    forget(folder)


def _write_layers(world: World, path: Path) -> None:
    """Write the layers over the base, as tars one behind the other."""
    engine = DockerEngine()
    image, base = engine.find(world.image), engine.find(world.bench.base)
    stored = image and find_stored(
        read_answer(world.client.info(), Info), world.bench.engine, image
    )
    if not (stored and base):
        raise RuntimeError("the engine's disk cannot be read here")
    with path.open("wb") as file:
        for layer in stored.layers[len(base.diff_ids) :]:
            file.writelines(layer.chunks())


def _packed(name: str, layers: Path, folder: Path, *program: str) -> Work:
    argv = (*program, str(folder / name), str(layers))
    return Work(name=name, argv=argv, before=lambda: forget(folder / name))


def _saved(name: str, image: str, folder: Path, packer: str) -> Work:
    words = f'docker save "$1" | {packer} > "$2"'
    return Work(
        name=name,
        argv=("sh", "-c", words, "sh", image, str(folder / name)),
        before=lambda: forget(folder / name),
    )


def _exported(name: str, world: World, folder: Path, *words: str) -> Work:
    argv = (*SNAPENV, "export", world.image, "-o", str(folder / name), *words)
    return Work(name=name, argv=argv, environment=world.home, before=lambda: forget(folder / name))


def restores(world: World) -> Iterator[Table]:
    """Restore an image that is here, beside one container's life, asked of the engine alone."""
    words = ("restore", world.image, "--no-smoke", "--device", "cpu")
    restore = Work(name="snapenv restore", argv=(*SNAPENV, *words), environment=world.home)
    programs: Mapping[str, Callable[[], Cost]] = {
        "a container, by the engine alone": lambda: container(world),
        LIBRARY.name: lambda: run(LIBRARY),
        restore.name: lambda: run(restore),
    }
    rounds = [
        {name: program() for name, program in programs.items()}
        for _ in range(world.bench.rounds(9) + 1)
    ][1:]
    yield Table(
        title="A restore of an image that is here, without training",
        rows=tuple(make_row(name, [each[name] for each in rounds]) for name in programs),
        against="a container, by the engine alone",
    )


def container(world: World) -> Cost:
    """Make a container, put the probe into it, start its Python, wait, and remove it."""
    client = world.client.api
    began = time.perf_counter()
    made = client.create_container(
        world.image,
        command=[IMAGE_PYTHON, "-c", "pass"],
        host_config=client.create_host_config(network_mode="none"),
    )
    try:
        probe = Tar({"probe.pyz": pack("snapenv_probe")}, ".")
        client.put_archive(made["Id"], "/tmp", iter(probe))
        client.start(made["Id"])
        client.wait(made["Id"])
    finally:
        client.remove_container(made["Id"], v=True, force=True)
    return Cost(seconds=time.perf_counter() - began)


def without(words: Sequence[str], *options: str) -> list[str]:
    """Leave options out of a command, each with its value."""
    kept, rest = list[str](), iter(words)
    for word in rest:
        if word.partition("=")[0] not in options:
            kept.append(word)
        elif "=" not in word:
            next(rest)
    return kept


def runs(world: World) -> Iterator[Table]:
    """Run ``true`` in a container, beside docker's own client with what ``--dry-run`` prints."""
    program = (*SNAPENV, "run", world.image)
    shown = subprocess.run(
        (*program, "--dry-run", "--", "true"), check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    # The name is another one each time; snapenv leaves a limit out where the engine refuses it.
    equal = without(shlex.split(shown), "--name", "--ulimit")
    works = [
        Work(name="docker run", argv=equal),
        LIBRARY,
        Work(name="snapenv run", argv=(*program, "--", "true"), environment=world.home),
    ]
    yield world.bench.table("Run `true` in a container", works, rounds=9, against="docker run")
