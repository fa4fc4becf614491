"""A Docker engine and a registry that belong to the fire alone, and may die in it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import docker
from docker.errors import APIError

from snapenv.engine.docker import DockerEngine
from snapenv.engine.leftovers import LABEL
from snapenv.model.image import BuildContext, ImageRef
from snapenv.model.launch import RUN_LABEL
from snapenv.model.snapshot import IMAGE_SNAPSHOT, SNAPSHOT_LABEL
from snapenv.ownership.lock_file import HeldError, LockFile
from tests.engines.busybox import small_context
from tests.engines.engine import (
    Bridge,
    containerd_pid_file,
    end_shims,
    start_engine,
    stop_engine,
)
from tests.engines.place import Place, UnavailableError, call
from tests.engines.registry import start_registry, stop_registry
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snapenv.model.snapshot import Snapshot

RUNS = "containers of runs"
_FREE = re.compile(r"/[0-9a-f]{32}:")
_UNNAMED = "<none>:<none>"
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_NO_SETTINGS: Mapping[str, object] = {}
_BRIDGES = tuple(Bridge(f"snapenvtest{n}", f"192.168.{n + 210}.1/24") for n in range(7, 12))
_STARTS = 3  # where it ends by itself
_WAIT_S = 20.0


@dataclass(frozen=True)
class Engine:
    """It runs in ``place``; its containers and images are what commands may change."""

    place: Place
    bridge: Bridge
    address: str

    def look(self) -> Mapping[str, str]:
        """Return the id of each image by its name, or by itself, and containers and volumes.

        Containers of runs are one entry, which tells whether any of them was never started, and so
        are volumes without a name. A name that is another each time is FREE.
        """
        with contextlib.closing(docker.DockerClient(base_url=self.address)) as client:
            images = {_FREE.sub("/FREE:", name): image for name, image in _images(client)}
            containers = dict[str, str]()
            for each in client.containers.list(all=True, ignore_removed=True):
                status = "started" if each.status in {"running", "exited"} else each.status
                name = RUNS if RUN_LABEL in each.labels else f"container {each.name}"
                if name != RUNS or containers.get(RUNS, "started") == "started":
                    containers[name] = status
            names = [str(each.name) for each in client.volumes.list()]
            volumes = {f"volume {name}": "" for name in names if not _ANONYMOUS.fullmatch(name)}
            nameless = sum(map(bool, map(_ANONYMOUS.fullmatch, names)))
            networks = {f"network {each.name}": "" for each in client.networks.list()}
            counted = {"nameless volumes": str(nameless)}
            return {**images, **containers, **volumes, **networks, **counted}

    def runs(self) -> Mapping[str, str]:
        """Return how the container of each run stands."""
        with contextlib.closing(docker.DockerClient(base_url=self.address)) as client:
            of_runs = client.containers.list(all=True, filters={"label": RUN_LABEL})
            return {each.labels[RUN_LABEL]: each.status for each in of_runs}

    def renew(self, kept: Mapping[str, str]) -> None:
        """Let it hold what it held, and no more."""
        with contextlib.closing(docker.DockerClient(base_url=self.address)) as client:
            for container in client.containers.list(all=True):
                container.remove(v=True, force=True)
            end_shims(self.place)  # which outlived its containerd
            for name, _ in _images(client):
                if name not in kept:
                    with contextlib.suppress(APIError):
                        client.images.remove(name.removeprefix("untagged "), force=True)
            for name, image in kept.items():
                if image.startswith("sha256:") and not name.startswith("untagged "):
                    client.images.get(image).tag(name)

    def kill(self) -> None:
        """Kill it with its containerd, as the kernel does where memory ends; containers go on."""
        for file in (self.place.run / "dockerd.pid", containerd_pid_file(self.place)):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                pid = int(file.read_text())
                os.kill(pid, signal.SIGKILL)
                _wait_for(pid)
            file.unlink(missing_ok=True)
        (self.place.run / "dockerd.own.pid").unlink(missing_ok=True)

    def restart_others(self) -> None:
        """Start somebody's containers again that ended with the engine."""
        with contextlib.closing(docker.DockerClient(base_url=self.address)) as client:
            for container in client.containers.list(all=True, filters={"status": "exited"}):
                if RUN_LABEL not in container.labels and LABEL not in container.labels:
                    container.start()

    def lose_power(self) -> None:
        """End what runs in it, and it, and start it again."""
        with contextlib.closing(docker.DockerClient(base_url=self.address)) as client:
            for container in client.containers.list():
                with contextlib.suppress(APIError):
                    container.kill()
        self.kill()
        self.start()

    def start(self) -> None:
        """Start it again, as systemd does also where it ends while it starts."""
        for _ in range(_STARTS - 1):
            with contextlib.suppress(UnavailableError):
                start_engine(self.place, bridge=self.bridge)
                return
        start_engine(self.place, bridge=self.bridge)


@contextlib.contextmanager
def own_engine(folder: Path, *, settings: Mapping[str, object] = _NO_SETTINGS) -> Iterator[Engine]:
    """Run an engine in a folder until the block ends; ``settings`` are those of daemon.json."""
    place = Place(folder)
    with _free_bridge() as bridge:
        with place.lock():
            engine = Engine(place, bridge, start_engine(place, bridge=bridge, settings=settings))
        try:
            yield engine
        finally:
            _end(place)


@contextlib.contextmanager
def _free_bridge() -> Iterator[Bridge]:
    """Take a network that no other fire's engine has, until the block ends."""
    with contextlib.ExitStack() as held:
        for bridge in _BRIDGES:
            lock = Path(tempfile.gettempdir(), f"{bridge.name}.lock")
            with contextlib.suppress(HeldError):
                held.callback(LockFile.take(lock).release)
                yield bridge
                return
    raise UnavailableError("five engines of fires run already")


def _end(place: Place) -> None:
    stop_engine(place)
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(containerd_pid_file(place).read_text()), signal.SIGTERM)
    time.sleep(1)
    end_shims(place)
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed(mounts):
        if mount.startswith((f"{place.folder}/", f"{place.run}/")):
            call("umount", "--lazy", mount)
    shutil.rmtree(place.run, ignore_errors=True)


@contextlib.contextmanager
def own_registry(folder: Path) -> Iterator[str]:
    """Run a registry in a folder until the block ends; give ``localhost:PORT``."""
    place = Place(folder)
    with place.lock():
        address = start_registry(place)
    try:
        yield address
    finally:
        stop_registry(place)


def _images(client: docker.DockerClient) -> list[tuple[str, str]]:
    """Return the names and ids of images; one without a name is called by its id."""
    found = list[tuple[str, str]]()
    for image in client.api.images():
        names = [name for name in image["RepoTags"] or () if name != _UNNAMED]
        found += [(name, str(image["Id"])) for name in names or [f"untagged {image['Id']}"]]
    return found


def make_image(snapshot: Snapshot, name: ImageRef) -> None:
    """Make an image of a few MB that is to snapenv one of its own, in the engine of DOCKER_HOST."""
    context = small_context(f"COPY snapshot {IMAGE_SNAPSHOT}")
    files = {f"snapshot/{each}": content for each, content in snapshot.files.items()}
    labels = {SNAPSHOT_LABEL: snapshot.digest}
    docker = DockerEngine()
    made = docker.build(BuildContext(files={**context.files, **files}, labels=labels), FakeTask())
    docker.tag(made, name)


def _wait_for(pid: int) -> None:
    until = time.monotonic() + _WAIT_S
    while Path(f"/proc/{pid}/cmdline").exists() and time.monotonic() < until:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        try:
            if not Path(f"/proc/{pid}/cmdline").read_bytes():
                return
        except OSError:
            return
        time.sleep(0.05)
