"""What runs take of processors and memory: of real processes, a real container, written groups."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import docker
import pytest

from snapenv.engine.docker import DockerEngine
from snapenv.targets.loads import find_groups, load_of_group, load_of_tree
from tests.engines.busybox import small_context
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from snapenv.model.sampling import Load

_WORK = "held = bytearray(40 << 20); print(sum(i for i in range(3_000_000)), flush=True); input()"


def write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


V2 = {
    "cpu.stat": "usage_usec 1500999\nuser_usec 1\n",
    "memory.current": "1000\n",
    "memory.stat": "anon 600\ninactive_file 300\n",
    "cgroup.procs": "7\n8\n",
}


def load_of(tmp_path: Path, cgroup: str) -> Load | None:
    write(tmp_path / "proc/7", {"cgroup": cgroup})
    return load_of_group(find_groups(7, proc=tmp_path / "proc", groups=tmp_path / "cgroup"))


def test_version_2_tells_by_whatever_driver(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/system.slice/docker-abc.scope", V2)
    write(tmp_path / "cgroup/system.slice/docker-abc.scope/inner", {"cgroup.procs": "9\n"})

    load = load_of(tmp_path, "0::/system.slice/docker-abc.scope\n")

    assert load is not None
    assert (load.cpu_ms, load.memory_bytes, load.pids) == (1500, 700, frozenset({7, 8, 9}))


def test_version_1_tells_by_its_controllers(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/cpuacct/docker/abc", {"cpuacct.usage": "2000000999\n"})
    write(
        tmp_path / "cgroup/memory/docker/abc",
        {
            "memory.usage_in_bytes": "5000\n",
            "memory.stat": "inactive_file 1\ntotal_inactive_file 1000\n",
            "cgroup.procs": "7\n",
        },
    )

    load = load_of(tmp_path, "4:memory:/docker/abc\n2:cpuacct,cpu:/docker/abc\n")

    assert load is not None
    assert (load.cpu_ms, load.memory_bytes, load.pids) == (2000, 4000, frozenset({7}))


def test_what_a_mixed_system_has_not_in_version_2_is_read_of_version_1(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/unified/docker/abc", {"cpu.stat": "usage_usec 9000\n"})
    write(
        tmp_path / "cgroup/memory/docker/abc",
        {"memory.usage_in_bytes": "50\n", "memory.stat": "total_inactive_file 0\n"},
    )

    load = load_of(tmp_path, "4:memory:/docker/abc\n0::/docker/abc\n")

    assert load is not None
    assert (load.cpu_ms, load.memory_bytes) == (9, 50)


@pytest.mark.parametrize("cgroup", ["0::/\n", "0::/../../elsewhere\n", "4:memory:/\n", ""])
def test_the_group_of_all_is_no_runs_group(tmp_path: Path, cgroup: str) -> None:
    write(tmp_path / "cgroup", V2)

    assert load_of(tmp_path, cgroup) is None


@pytest.mark.docker
def test_a_containers_group_is_found_by_its_first_process(engine_host: str) -> None:
    image = DockerEngine().build(small_context(), FakeTask())
    client = docker.DockerClient(base_url=engine_host)
    script = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; /bin/sleep 60 & /bin/sleep 60; true"
    container = client.containers.run(image.id, ["sh", "-c", script], detach=True)
    try:
        pid = client.api.inspect_container(str(container.id))["State"]["Pid"]
        load = until(lambda: load_of_group(find_groups(pid)), lambda one: len(one.pids) == 3)
        assert pid in load.pids
        assert load.cpu_ms > 5
        assert 0 < load.memory_bytes < 100 << 20
    finally:
        container.remove(force=True)
        client.close()


def test_a_tree_of_processes_has_the_work_and_the_memory_of_each() -> None:
    words = ["sh", "-c", f"{sys.executable} -c '{_WORK}'; true"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    try:
        before = load_of_tree(process.pid)
        process.stdout.readline()
        after = load_of_tree(process.pid)
    finally:
        process.communicate(b"\n")
    assert before
    assert after
    assert len(after.pids) == 2
    assert after.cpu_ms - before.cpu_ms >= 50
    assert 40 << 20 < after.memory_bytes < 80 << 20
    assert load_of_tree(process.pid) is None


def test_a_tree_is_no_other_processes() -> None:
    load = load_of_tree(os.getpid())

    assert load
    assert os.getpid() in load.pids
    assert os.getppid() not in load.pids


def until(ask: Callable[[], Load | None], good: Callable[[Load], bool]) -> Load:
    for _ in range(100):
        load = ask()
        if load and good(load):
            return load
        time.sleep(0.1)
    pytest.fail(f"still {ask()}")
