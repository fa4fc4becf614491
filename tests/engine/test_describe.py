"""What engines say of themselves: real ones, and what others were seen to say."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from snapenv.engine.answers import Version
from snapenv.engine.describe import describe
from snapenv.engine.docker import DockerEngine
from snapenv.errors import EngineMissingError
from tests.engines.engine import connect
from tests.engines.newer_engine import CONTAINERD, NEWER, Newer, start_newer
from tests.engines.provide import provide
from tests.fakes import FakeEngine

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.host import HostEngine
    from snapenv.ports import Engine

NAME = os.uname().nodename
SOCKET = "unix:///var/run/docker.sock"
VERSION = Version(version="28.5.2", api_version="1.51", min_api_version="1.24", arch="arm64")


def said(**info: object) -> HostEngine:
    """Describe an engine of this machine that says this."""
    return describe({"Name": NAME, **info}, VERSION, address=SOCKET, buildkit=True)


@pytest.mark.parametrize("kind", ["fake", pytest.param("docker", marks=pytest.mark.docker)])
def test_an_engine_is_described_as_it_is_named(kind: str) -> None:
    engine: Engine = FakeEngine() if kind == "fake" else DockerEngine()

    found = engine.describe()

    assert engine.check() == f"Docker {found.version} at {found.address}"
    assert "runc" in found.runtimes


@pytest.mark.docker
def test_the_oldest_engine_is_described(engine_host: str) -> None:
    with connect(engine_host, timeout_s=60) as client:
        told = client.version()

    found = DockerEngine().describe()

    assert found.address == engine_host
    assert found.version == told["Version"]
    assert "{}.{}".format(*found.api) == told["ApiVersion"]
    assert "{}.{}".format(*found.oldest_api) == told["MinAPIVersion"]
    assert (found.local, found.buildkit, found.architecture) == (True, True, "amd64")
    assert (found.cdi, found.cdi_devices, found.rootless) == (False, (), False)
    assert not found.containerd_store
    assert "runc" in found.runtimes


@pytest.mark.docker
def test_the_free_bytes_are_those_of_the_file_system_of_its_data() -> None:
    found = DockerEngine().describe()

    here = os.statvfs(found.root)
    assert found.free_bytes is not None
    assert abs(found.free_bytes - here.f_bavail * here.f_frsize) < 1 << 30


@pytest.mark.docker
@pytest.mark.parametrize("newer", [NEWER, CONTAINERD], ids=lambda newer: newer.name)
def test_a_newer_engine_takes_cdi_and_tells_its_store(
    newer: Newer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", provide(lambda place: start_newer(place, newer)))

    found = DockerEngine().describe()

    assert found.version.startswith("28.")
    assert (found.api, found.oldest_api, found.cdi) == ((1, 51), (1, 24), True)
    assert found.containerd_store is (newer is CONTAINERD)
    assert found.free_bytes


def test_an_engine_that_does_not_answer_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")

    with pytest.raises(EngineMissingError):
        DockerEngine().describe()


def test_runtimes_devices_and_rootlessness_are_told() -> None:
    found = said(
        Runtimes={"runc": {}, "nvidia": {"path": "nvidia-container-runtime"}},
        CDISpecDirs=["/etc/cdi"],
        DiscoveredDevices=[
            {"Source": "cdi", "ID": "nvidia.com/gpu=0"},
            {"Source": "other", "ID": "x"},
        ],
        SecurityOptions=["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"],
        CgroupDriver="systemd",
        MemoryLimit=True,
        CpuCfsQuota=False,
    )

    assert (found.limits_memory, found.limits_cpus, found.userns_remap) == (True, False, False)
    assert found.runtimes == ("nvidia", "runc")
    assert (found.cdi, found.cdi_devices) == (True, ("nvidia.com/gpu=0",))
    assert (found.rootless, found.cgroup_driver, found.architecture) == (True, "systemd", "arm64")


def test_what_an_engine_does_not_say_it_cannot_do() -> None:
    found = describe({}, Version(), address=SOCKET, buildkit=False)

    assert (found.runtimes, found.cdi, found.rootless, found.buildkit) == ((), False, False, False)
    assert (found.version, found.api) == ("unknown", (0, 0))


@pytest.mark.parametrize(
    ("address", "info", "here"),
    [
        (SOCKET, {"Name": NAME}, True),
        ("tcp://127.0.0.1:2375", {"Name": NAME}, True),
        ("tcp://10.0.0.7:2376", {"Name": NAME}, False),
        ("ssh://me@there", {"Name": "there"}, False),
        (SOCKET, {"Name": "forwarded-by-ssh"}, False),
        (SOCKET, {"Name": NAME, "OperatingSystem": "Docker Desktop"}, False),
    ],
)
def test_an_engine_is_here_by_its_address_and_its_name(
    address: str, info: dict[str, str], *, here: bool
) -> None:
    found = describe({"DockerRootDir": "/", **info}, VERSION, address=address, buildkit=True)

    assert found.local is here
    assert (found.free_bytes is not None) is here


def test_a_folder_that_is_not_here_leaves_the_free_bytes_unknown() -> None:
    assert said(DockerRootDir="/nonexistent/docker").free_bytes is None


@pytest.mark.parametrize(
    ("options", "filtered"),
    [
        (["name=apparmor", "name=seccomp,profile=default"], True),
        (["name=seccomp,profile=unconfined"], False),
        (["name=apparmor"], False),
        (None, True),
    ],
)
def test_the_filter_of_system_calls_is_read(options: list[str] | None, *, filtered: bool) -> None:
    assert said(SecurityOptions=options).seccomp is filtered


def test_free_inodes_are_those_of_the_file_system_of_its_data(tmp_path: Path) -> None:
    here = os.statvfs(tmp_path)

    found = said(DockerRootDir=str(tmp_path)).free_inodes

    if here.f_files:
        assert found is not None
        assert abs(found - here.f_favail) < 10_000
    else:
        assert found is None
