"""The look at a machine: files as NVIDIA's programs write them, below a folder of the test's."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import InterpreterError, ProbeError
from snapenv.model.hardware import DriverFault
from snapenv.model.host import CdiSpec, GpuPlumbing
from snapenv.ports import Completed
from snapenv.probe.host import probe_host
from snapenv.targets.local import LocalTarget
from snapenv.travel import pack
from tests.fakes import FakeTarget
from tests.probe.environments import compile_library
from tests.probe.nvml import NVML

if TYPE_CHECKING:
    from pathlib import Path

HERE = LocalTarget(sys.executable)

# nvidia-ctk cdi generate, toolkit 1.17, shortened: it writes keys in alphabetic order.
BY_CTK = """\
---
cdiVersion: 0.5.0
containerEdits:
  deviceNodes:
  - path: /dev/nvidia-uvm
  env:
  - NVIDIA_VISIBLE_DEVICES=void
  mounts:
  - containerPath: /usr/lib/x86_64-linux-gnu/libnvidia-egl-gbm.so.1.1.2
    hostPath: /usr/lib/x86_64-linux-gnu/libnvidia-egl-gbm.so.1.1.2
    options:
    - ro
  - containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15
    hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15
devices:
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
      name: no-device
    - path: /dev/dri/card1
  name: "0"
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
  name: GPU-0d5e5b4c
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
  name: all
kind: nvidia.com/gpu
"""
BY_HAND = """\
cdiVersion: "0.6.0"
kind: 'nvidia.com/gpu'
# the one that counts
devices:
  -   name: '0'   # first
      containerEdits: {}

  -   name: all
containerEdits:
  mounts:
    - name: not-a-device
"""
BY_TOOLS = """{"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [
  {"name": "0", "containerEdits": {"mounts":
    [{"hostPath": "/usr/lib64/libnvidia-ml.so.535.183.01"}]}}, {"name": "all"}, 7, {"name": 8}]}"""


@pytest.fixture(autouse=True)
def _no_toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what this machine may have of NVIDIA's toolkit."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def plant(root: Path, **files: str) -> GpuPlumbing:
    """Write files, by path with ``__`` for a slash, and look."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_json", ".json").replace(
            "_yaml", ".yaml"
        ).replace("_yml", ".yml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return probe_host(HERE, root=str(root)).plumbing


def script(folder: Path, name: str, code: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{code}\n")
    file.chmod(0o755)


def test_a_machine_without_anything_of_nvidias(root: Path) -> None:
    assert plant(root) == GpuPlumbing()


def test_the_machine_itself_is_seen_as_by_a_look_at_an_environment() -> None:
    machine = probe_host(HERE)

    assert machine.hardware.system.machine == os.uname().machine
    assert machine.hardware.system.cpu_count == len(os.sched_getaffinity(0))


def test_the_program_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = tmp_path / "hashes"
    machine = probe_host(HERE, hashes=hashes)
    (compiled,) = hashes.iterdir()
    status = compiled.stat()
    monkeypatch.setattr(pack, "_compile", lambda *_: pytest.fail("it is compiled again"))

    again = probe_host(HERE, hashes=hashes)

    assert again.hardware.system == machine.hardware.system
    assert [*hashes.iterdir()] == [compiled]
    assert compiled.stat().st_mtime_ns == status.st_mtime_ns


@pytest.mark.parametrize(
    ("version", "wsl"),
    [
        ("Linux version 5.15.153.1-microsoft-standard-WSL2 (root@x) #1 SMP", True),
        ("Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com)", True),
        ("Linux version 6.1.0-40-amd64 (debian-kernel@lists.debian.org)", False),
    ],
)
def test_wsl_is_known_by_its_kernel(root: Path, version: str, *, wsl: bool) -> None:
    assert plant(root, proc__version=version).wsl is wsl


def test_a_jetson_is_known_by_its_release(root: Path) -> None:
    assert plant(root, etc__nv_tegra_release="# R36 (release), REVISION: 4.3").jetson


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[nvidia-container-cli]\n#no-cgroups = false\n", None),
        ("[nvidia-container-cli]\nno-cgroups = false\n", False),
        ("[nvidia-container-cli]\n  no-cgroups=true  # rootless\n", True),
    ],
)
def test_no_cgroups_is_read_where_it_is_no_comment(
    root: Path, text: str, *, expected: bool | None
) -> None:
    (root / "etc/nvidia-container-runtime").mkdir(parents=True)
    (root / "etc/nvidia-container-runtime/config.toml").write_text(text)

    assert plant(root).no_cgroups is expected


@pytest.mark.parametrize(
    ("text", "devices", "driver"),
    [
        (BY_CTK, ("0", "GPU-0d5e5b4c", "all"), "550.54.15"),
        (BY_HAND, ("0", "all"), None),
        (BY_TOOLS, ("0", "all"), "535.183.01"),
        ("kind: [nvidia.com/gpu", (), None),
        ("[" * 5_000, (), None),
        ('{"kind": 7, "devices": 8}', (), None),
    ],
    ids=["nvidia-ctk", "by hand", "json", "odd", "deep", "other types"],
)
def test_a_cdi_specification_is_read_whoever_wrote_it(
    root: Path, text: str, devices: tuple[str, ...], driver: str | None
) -> None:
    seen = plant(root, etc__cdi__nvidia_yaml=text)

    names = tuple(f"nvidia.com/gpu={name}" for name in devices)
    assert seen.cdi == (CdiSpec(path="/etc/cdi/nvidia.yaml", devices=names, driver=driver),)


def test_specifications_of_both_folders_are_read_and_those_of_others_left_out(root: Path) -> None:
    other = '{"kind": "intel.com/gpu", "devices": [{"name": "0"}]}'

    seen = plant(
        root,
        etc__cdi__nvidia_yaml=BY_CTK,
        etc__cdi__intel_json=other,
        etc__cdi__README=BY_CTK,
        etc__cdi__old_yml=BY_CTK,
        var__run__cdi__nvidia_json=BY_TOOLS,
    )

    assert [one.path for one in seen.cdi] == ["/etc/cdi/nvidia.yaml", "/var/run/cdi/nvidia.json"]


@pytest.mark.parametrize(
    ("program", "code", "expected"),
    [
        ("nvidia-container-cli", "echo cli-version: 1.17.8; echo lib-version: 1.17.8", "1.17.8"),
        ("nvidia-ctk", "echo NVIDIA Container Toolkit CLI version 1.18.1", "1.18.1"),
        (
            "nvidia-container-runtime-hook",
            "echo NVIDIA Container Runtime Hook version 1.14.0-rc.2",
            "1.14.0-rc.2",
        ),
        ("nvidia-container-cli", "exit 1", "unknown"),
        ("nvidia-container-cli", "kill -9 $$", "unknown"),
    ],
)
def test_the_toolkit_is_asked_for_its_version(
    root: Path, tmp_path: Path, program: str, code: str, expected: str
) -> None:
    script(tmp_path / "bin", program, code)

    assert plant(root).toolkit == expected


def test_a_toolkit_that_hangs_is_not_waited_for(root: Path, tmp_path: Path) -> None:
    script(tmp_path / "bin", "nvidia-container-cli", "exec /bin/sleep 60")

    assert plant(root).toolkit == "unknown"


@pytest.mark.skipif(os.getuid() != 0, reason="not root: cannot make device nodes")
def test_device_nodes_are_named_and_their_links_are_looked_for(root: Path) -> None:
    nodes = {"nvidia0": (195, 0), "nvidiactl": (195, 255), "nvidia-uvm": (510, 0)}
    (root / "dev/char").mkdir(parents=True)
    (root / "dev/nvidia-caps").mkdir()
    try:
        for name, numbers in nodes.items():
            os.mknod(root / "dev" / name, 0o20666, os.makedev(*numbers))
    except PermissionError:
        pytest.skip("this container may not make device nodes")

    before = plant(root)
    (root / "dev/char/195:0").symlink_to("../nvidia0")
    (root / "dev/char/195:255").symlink_to("../nvidiactl")

    assert before.devices == ("/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl")
    assert not before.char_links
    assert plant(root).char_links


def test_the_driver_is_asked_without_an_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    compile_library(tmp_path / "libnvidia-ml.so.1", NVML)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("STUB_GPUS", "2")
    monkeypatch.setenv("STUB_UUIDS", "1")

    machine = probe_host(HERE)

    hardware = machine.hardware
    assert [state.uuid for state in machine.gpu_states] == ["GPU-1", "GPU-2"]
    assert hardware.driver is not None
    assert (hardware.driver.version, hardware.driver.cuda) == ("550.54.15", (12, 4))
    assert [gpu.name for gpu in hardware.gpus] == ["NVIDIA H200", "NVIDIA L4"]


def test_a_driver_of_two_versions_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    compile_library(tmp_path / "libnvidia-ml.so.1", NVML)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("STUB_ERROR", "18")

    fault = probe_host(HERE).hardware.driver_fault

    assert isinstance(fault, DriverFault)
    assert fault.error == "Driver/library version mismatch"


def test_a_python_that_is_not_there_is_named() -> None:
    with pytest.raises(InterpreterError):
        probe_host(LocalTarget("/nowhere/python"))


@pytest.mark.parametrize(
    ("code", "stdout", "words"),
    [
        (1, "", wording("the probe of this machine exited with 1 on /env/bin/python: boom")),
        (
            0,
            "snapenv-host: {}\n",
            wording(
                "the answer of the probe of this machine cannot be read: Object missing required field `hardware`"
            ),
        ),
    ],
)
def test_an_answer_that_is_none_is_named(code: int, stdout: str, words: str) -> None:
    done = Completed(exit_code=code, stdout=stdout, stderr="boom\n")

    with pytest.raises(ProbeError) as caught:
        probe_host(FakeTarget(answers={"--host": done}))

    assert str(caught.value) == words
