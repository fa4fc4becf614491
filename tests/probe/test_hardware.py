"""Driver, GPUs and CUDA libraries, through real shared objects that cc makes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from snapenv.model.hardware import Driver, Gpu
from snapenv.model.python import Libraries, Torch
from tests.probe.environments import compile_library, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from tests.probe.environments import Venv

NVML = """
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static int number(const char *name) { const char *v = getenv(name); return v ? atoi(v) : 0; }
int nvmlInitWithFlags(unsigned flags) {
    if (write(1, "\\nsnapenv-facts: {}\\n", 19) < 0) return 1;
    if (number("STUB_CRASH")) abort();
    return number("STUB_ERROR");
}
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return "an error"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    return snprintf(text, size, "550.54.15") < 0;
}
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12040; return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = number("STUB_GPUS"); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(long)(index + 1);
    return 0;
}
int nvmlDeviceGetName(void *device, char *text, unsigned size) {
    return snprintf(text, size, device == (void *)1 ? "NVIDIA H200" : "NVIDIA L4") < 0;
}
int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *memory) {
    memory[0] = 24ULL << 30;
    return number("STUB_MEMORY_ERROR");
}
int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor) {
    *major = device == (void *)1 ? 9 : 8;
    *minor = device == (void *)1 ? 0 : 9;
    return 0;
}
"""
NOT_SUPPORTED, NOT_LOADED, MISMATCH = "3", "9", "18"  # nvmlReturn_t
CUDA_TORCH = "from typing import Optional\n__version__ = '2.8.0a0+1.nv25.05'\ncuda: str = '12.9'\n"


@pytest.fixture
def nvml(venv: Venv, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an NVML where the loader of this venv's programs finds it."""
    library = compile_library(venv.folder / "nvml" / "libnvidia-ml.so.1", NVML)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library.parent))


def test_without_nvml_there_is_no_driver(venv: Venv) -> None:
    hardware = venv.look().hardware

    assert hardware.gpus == ()
    assert hardware.driver is None


@pytest.mark.usefixtures("nvml")
@pytest.mark.parametrize("count", [0, 1, 2])
def test_driver_and_gpus_are_what_nvml_says(
    venv: Venv, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_GPUS", str(count))

    hardware = venv.look().hardware

    both = (
        Gpu(name="NVIDIA H200", memory_mib=24 * 1024, compute_capability=(9, 0)),
        Gpu(name="NVIDIA L4", memory_mib=24 * 1024, compute_capability=(8, 9)),
    )
    assert hardware.driver == Driver(version="550.54.15", cuda=(12, 4))
    assert hardware.gpus == both[:count]


@pytest.mark.usefixtures("nvml")
@pytest.mark.parametrize(
    "fault", [("STUB_ERROR", NOT_LOADED), ("STUB_ERROR", MISMATCH), ("STUB_CRASH", "1")]
)
def test_a_driver_that_does_not_answer_is_none(
    venv: Venv, fault: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_GPUS", "1")
    monkeypatch.setenv(*fault)

    hardware = venv.look().hardware

    assert (hardware.driver, hardware.gpus) == (None, ())


@pytest.mark.usefixtures("nvml")
def test_a_gpu_without_memory_of_its_own_has_the_machines(
    venv: Venv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_GPUS", "1")
    monkeypatch.setenv("STUB_MEMORY_ERROR", NOT_SUPPORTED)

    (gpu,) = venv.look().hardware.gpus

    assert gpu.memory_mib == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def cudnn(version: int) -> str:
    return f"unsigned long cudnnGetVersion(void) {{ return {version}; }}"


def nccl(version: int) -> str:
    return f"int ncclGetVersion(int *version) {{ *version = {version}; return 0; }}"


@pytest.mark.parametrize(
    ("cudnn_code", "nccl_code", "expected"),
    [
        (91900, 22809, Libraries(cudnn="9.19.0", nccl="2.28.9")),
        (90100, 22005, Libraries(cudnn="9.1.0", nccl="2.20.5")),
        (8907, 2804, Libraries(cudnn="8.9.7", nccl="2.8.4")),
    ],
)
def test_the_libraries_of_the_wheels_are_asked(
    venv: Venv, cudnn_code: int, nccl_code: int, expected: Libraries
) -> None:
    write_files(venv.site, {"torch/version.py": CUDA_TORCH})
    compile_library(venv.site / "nvidia/cudnn/lib/libcudnn.so.9", cudnn(cudnn_code))
    compile_library(venv.site / "nvidia/nccl/lib/libnccl.so.2", nccl(nccl_code))

    assert venv.look().environment.libraries == expected


def test_wheels_come_before_torchs_own_folder_and_that_before_the_loader(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(venv.site, {"torch/version.py": CUDA_TORCH})
    compile_library(venv.site / "nvidia/cudnn/lib/libcudnn.so.9", cudnn(90100))
    compile_library(venv.site / "torch/lib/libcudnn.so.8", cudnn(8907))
    compile_library(tmp_path / "loader/libcudnn.so.9", cudnn(91900))
    compile_library(tmp_path / "loader/libnccl.so.2", nccl(22707))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path / "loader"))

    assert venv.look().environment.libraries == Libraries(cudnn="9.1.0", nccl="2.27.7")

    (venv.site / "nvidia/cudnn/lib/libcudnn.so.9").unlink()
    assert venv.look().environment.libraries == Libraries(cudnn="8.9.7", nccl="2.27.7")


def test_a_library_that_crashes_or_does_not_load_is_none(venv: Venv) -> None:
    write_files(venv.site, {"torch/version.py": CUDA_TORCH})
    write_files(venv.site, {"nvidia/nccl/lib/libnccl.so.2": "no library"})
    crash = "#include <stdlib.h>\nlong cudnnGetVersion(void) { abort(); }"
    compile_library(venv.site / "nvidia/cudnn/lib/libcudnn.so.9", crash)

    assert venv.look().environment.libraries == Libraries()


def test_torch_for_the_cpu_loads_none_of_them(venv: Venv) -> None:
    write_files(venv.site, {"torch/version.py": "__version__ = '2.6.0+cpu'\ncuda = None\n"})
    compile_library(venv.site / "nvidia/cudnn/lib/libcudnn.so.9", cudnn(90100))

    environment = venv.look().environment

    assert environment.torch == Torch(version="2.6.0+cpu")
    assert environment.libraries == Libraries()


def test_torchs_version_is_read_and_never_run(venv: Venv, tmp_path: Path) -> None:
    trap = (
        f"open({str(tmp_path / 'trap')!r}, 'w')\n__version__ = '2.1.0'\ngit_version = 'ab' + 'c'\n"
    )
    write_files(venv.site, {"torch/version.py": trap, "torch/__init__.py": trap})

    assert venv.look().environment.torch == Torch(version="2.1.0")
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("source", ["def", "version = '1'", "__version__ = 2", "\0"])
def test_a_torch_that_names_no_version_is_none(venv: Venv, source: str) -> None:
    write_files(venv.site, {"torch/version.py": source})

    assert venv.look().environment.torch is None


def test_variables_that_change_training_are_told_and_no_other(
    venv: Venv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0\nRUN echo injected")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("WANDB_API_KEY", "secret")

    facts = venv.look()

    assert facts.variables == {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    assert facts.image == {}
