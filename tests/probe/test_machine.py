"""The operating system, its limits, the container around it and the CUDA toolkit on it."""

from __future__ import annotations

import resource
import shutil
from typing import TYPE_CHECKING

import pytest

from snapenv.model.hardware import Limits
from tests.probe.environments import write_files
from tests.probe.places import look_with

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.hardware import System
    from tests.probe.environments import Venv

OF_THE_MACHINE = ("container", "KUBERNETES_SERVICE_HOST", "CUDA_HOME", "CUDA_PATH")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OF_THE_MACHINE:
        monkeypatch.delenv(name, raising=False)


def system(venv: Venv) -> System:
    return venv.look().hardware.system


def test_shared_memory_is_told_in_bytes(venv: Venv) -> None:
    assert system(venv).shm_bytes == shutil.disk_usage("/dev/shm").total


def test_soft_limits_are_told(venv: Venv) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        limits = system(venv).limits
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    memlock, stack = (
        None if soft == resource.RLIM_INFINITY else soft
        for soft, _ in map(resource.getrlimit, (resource.RLIMIT_MEMLOCK, resource.RLIMIT_STACK))
    )
    assert limits == Limits(nofile=512, memlock_bytes=memlock, stack_bytes=stack)


@pytest.mark.parametrize(
    ("variables", "cgroup", "expected"),
    [
        ({}, "0::/\n", None),
        ({"container": "lxc"}, "0::/\n", "lxc"),
        ({"container": "systemd-nspawn"}, "0::/\n", "container"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "0::/\n", "kubernetes"),
        ({}, "12:devices:/docker/0123456789ab\n", "docker"),
        ({}, "11:memory:/kubepods/burstable/pod1/2\n", "kubernetes"),
        ({}, "0::/machine.slice/libpod-0123.scope\n", "podman"),
    ],
)
def test_a_container_is_known_by_the_marks_it_leaves(
    venv: Venv,
    variables: dict[str, str],
    cgroup: str,
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    write_files(venv.folder, {"cgroup": cgroup})

    seen = look_with(venv, {"/proc/1/cgroup": venv.folder / "cgroup"})

    assert seen.hardware.system.container == expected


def test_docker_is_known_by_its_file(venv: Venv) -> None:
    write_files(venv.folder, {"cgroup": "0::/"})

    seen = look_with(venv, {"/proc/1/cgroup": venv.folder / "cgroup"}, marks=[".dockerenv"])

    assert seen.hardware.system.container == "docker"


def test_podman_is_known_by_its_file(venv: Venv) -> None:
    write_files(venv.folder, {"run/.containerenv": 'engine="podman-4.9.3"\n'})

    seen = look_with(venv, {"/run": venv.folder / "run"})

    assert seen.hardware.system.container == "podman"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.4.1"}}'}, "12.4.1"),
        ({"version.txt": "CUDA Version 10.2.89\n"}, "10.2.89"),
        ({"version.json": '{"cuda": 12}', "version.txt": "CUDA Version 11.0.3"}, "11.0.3"),
        ({"version.json": "[" * 100_000}, None),
        ({}, None),
    ],
)
def test_the_toolkit_is_told_from_its_own_file(
    venv: Venv, files: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(venv.folder / "toolkit", files)
    monkeypatch.setenv("CUDA_HOME", str(venv.folder / "toolkit"))

    assert system(venv).cuda_toolkit == expected


def test_a_toolkit_without_such_a_file_is_known_by_its_folder(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, {"cuda-12.6/README": ""})
    (tmp_path / "cuda").symlink_to("cuda-12.6")
    monkeypatch.setenv("CUDA_PATH", str(tmp_path / "cuda"))

    assert system(venv).cuda_toolkit == "12.6"
