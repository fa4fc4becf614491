"""Our own Docker engine, apart from the system's.

Source: https://docs.docker.com/reference/cli/dockerd/
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import requests
from docker.errors import DockerException

from tests.engines.place import Service, UnavailableError, call, install, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.engines.place import Place

_NAMESPACE = "snapenv-tests"  # of containerd, where the system's serves ours too
_PACKAGES = {
    "docker.io": "dockerd",
    "iptables": "iptables",
    "iproute2": "ip",
    "ca-certificates": "/usr/sbin/update-ca-certificates",
}


@dataclass(frozen=True, slots=True)
class Bridge:
    """A network of one engine alone, so that two do not hand out the same addresses."""

    name: str
    address: str


BRIDGE = Bridge("snapenvtest0", "192.168.211.1/24")
SPARE_BRIDGE = Bridge("snapenvtest3", "192.168.214.1/24")  # of an engine that one test starts


def engine_address(place: Place) -> str:
    """Return where our engine listens, if it runs."""
    return f"unix://{place.run}/docker.sock"


def start_engine(
    place: Place, *, bridge: Bridge = BRIDGE, settings: Mapping[str, object] | None = None
) -> str:
    """Return the address of our engine, started if it does not run.

    Raises:
        UnavailableError: It cannot run here.
    """
    address = engine_address(place)
    service = _service(place)
    if service.pid() is not None and answers(address):
        return address
    service.stop()
    install(_PACKAGES)
    install({"docker-cli": "docker"})  # a package of its own from Debian 13 on
    make_bridge(bridge)
    data = place.folder / "docker"
    data.mkdir(parents=True, exist_ok=True)
    config = place.folder / "dockerd.json"
    config.write_text(json.dumps(settings or {}))  # else it reads the system's
    say(f"starting dockerd at {address}")
    namespace = f"{_NAMESPACE}-{bridge.name}"
    service.start(
        (
            "dockerd",
            f"--host={address}",
            f"--data-root={data}",
            f"--exec-root={place.run}/exec",
            f"--pidfile={place.run}/dockerd.own.pid",
            f"--bridge={bridge.name}",
            f"--containerd-namespace={namespace}",
            f"--containerd-plugins-namespace={namespace}-plugins",
            f"--storage-driver={storage_driver(data)}",
            f"--config-file={config}",
        ),
        answers=lambda: answers(address),
    )
    return address


def containerd_pid_file(place: Place) -> Path:
    """Return where the engine of a place notes the process of its containerd."""
    return place.run / "exec" / "containerd" / "containerd.pid"


def end_shims(place: Place) -> int:
    """End what the engine's own containerd has started, and what runs there; return how many.

    Some of it outlives its containers where containerd is killed.
    """
    words = f"-address\0{containerd_pid_file(place).with_name('containerd.sock')}\0".encode()
    shims = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if words in (line := _read(path)) and b"containerd-shim" in line.partition(b"\0")[0]
    ]
    for shim in shims:
        children = _read(Path(f"/proc/{shim}/task/{shim}/children")).split()
        for pid in (*map(int, children), shim):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return len(shims)


def _read(path: Path) -> bytes:
    """Return what is told of a process; nothing where it has ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def stop_engine(place: Place) -> bool:
    """End our engine; False where it did not run."""
    return _service(place).stop()


def _service(place: Place) -> Service:
    return Service(
        name="dockerd", pid_file=place.run / "dockerd.pid", log=place.folder / "dockerd.log"
    )


@contextlib.contextmanager
def connect(address: str, *, timeout_s: int) -> Iterator[docker.APIClient]:
    """Talk to the engine at an address."""
    client = docker.APIClient(base_url=address, timeout=timeout_s, version="auto")
    try:
        yield client
    finally:
        client.close()


def answers(address: str) -> bool:
    try:
        with connect(address, timeout_s=5) as client:
            return bool(client.ping())
    except (DockerException, requests.RequestException):
        return False


def make_bridge(bridge: Bridge) -> None:
    """Make a bridge, if it is not there.

    Raises:
        UnavailableError: iptables does not work, so containers would have no network.
    """
    call("iptables", "--table", "nat", "--list", "--numeric")
    there = subprocess.run(
        ("ip", "link", "show", "dev", bridge.name), capture_output=True, check=False
    )
    if there.returncode == 0:
        return
    # Without an address of its own a bridge takes that of a port, and a container that goes
    # changes it under the others.
    call("ip", "link", "add", "name", bridge.name, "address", _hardware(bridge), "type", "bridge")
    call("ip", "address", "add", bridge.address, "dev", bridge.name)
    call("ip", "link", "set", bridge.name, "up")


def _hardware(bridge: Bridge) -> str:
    """Return an address of its own to a bridge: a local one, with the four bytes of the other."""
    return "02:42:" + ipaddress.ip_interface(bridge.address).ip.packed.hex(":")


def storage_driver(data: Path) -> str:
    """Choose overlay2 where this file system carries it."""
    with tempfile.TemporaryDirectory(dir=data) as folder:
        parts = {name: Path(folder, name) for name in ("lower", "upper", "work", "merged")}
        for part in parts.values():
            part.mkdir()
        options = f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}"
        try:
            call("mount", "-t", "overlay", "overlay", "-o", options, str(parts["merged"]))
        except UnavailableError:
            return "fuse-overlayfs" if shutil.which("fuse-overlayfs") else "vfs"
        call("umount", str(parts["merged"]))
        return "overlay2"
