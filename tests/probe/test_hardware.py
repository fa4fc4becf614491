"""Driver, GPUs and CUDA libraries, through real shared objects that cc makes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.model.hardware import Driver, DriverFault, Gpu
from snapenv.model.python import Libraries, Torch
from tests.probe.environments import compile_library, write_files
from tests.probe.nvml import NVML
from tests.probe.places import look_with

if TYPE_CHECKING:
    from pathlib import Path

    from tests.probe.environments import Venv

NOT_SUPPORTED, NOT_LOADED, MISMATCH = "3", "9", "18"  # nvmlReturn_t
KERNEL_MODULE = """\
NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024
GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)
"""
OPEN_KERNEL_MODULE = """\
NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build
"""
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


H200 = Gpu(
    name="NVIDIA H200",
    memory_mib=24 * 1024,
    compute_capability=(9, 0),
    sm_count=132,
    ecc=True,
    mig=False,
    power_limit_w=700,
)
L4 = Gpu(
    name="NVIDIA L4",
    memory_mib=24 * 1024,
    compute_capability=(8, 9),
    sm_count=58,
    ecc=False,
    mig=False,
    power_limit_w=72,
)


@pytest.mark.usefixtures("nvml")
@pytest.mark.parametrize("count", [0, 1, 8])
def test_driver_and_gpus_are_what_nvml_says(
    venv: Venv, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_GPUS", str(count))

    hardware = venv.look().hardware

    assert hardware.driver == Driver(version="550.54.15", cuda=(12, 4))
    assert hardware.driver_fault is None
    assert hardware.gpus == (H200, *[L4] * 7)[:count]


@pytest.mark.usefixtures("nvml")
def test_each_pair_of_gpus_is_told_with_the_way_between_them(
    venv: Venv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_GPUS", "5")

    topology = venv.look().hardware.topology

    assert topology == {
        "nvlink": ("0-1",),
        "pcie switches": ("0-2", "0-3", "1-2", "1-3", "2-3"),
        "system": ("0-4", "1-4", "2-4", "3-4"),
    }


@pytest.mark.usefixtures("nvml")
def test_a_gpu_that_mig_divides_tells_the_profiles(
    venv: Venv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_GPUS", "2")
    monkeypatch.setenv("STUB_MIG", "1")

    gpus = venv.look().hardware.gpus

    assert gpus == (replace(H200, mig=True, mig_devices=("1g.18gb", "3g.18gb")), L4)


@pytest.mark.usefixtures("nvml")
@pytest.mark.parametrize("error", ["3", "13", "999"])  # NOT_SUPPORTED, FUNCTION_NOT_FOUND, UNKNOWN
def test_what_a_gpu_does_not_tell_is_none(
    venv: Venv, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_GPUS", "2")
    monkeypatch.setenv("STUB_DETAILS_ERROR", error)

    hardware = venv.look().hardware

    assert hardware.gpus == tuple(
        replace(gpu, sm_count=None, ecc=None, mig=None, power_limit_w=None) for gpu in (H200, L4)
    )
    assert hardware.topology == {}


@pytest.mark.usefixtures("nvml")
def test_cores_that_do_not_divide_into_multiprocessors_give_no_count(
    venv: Venv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_GPUS", "2")
    monkeypatch.setenv("STUB_ODD_CORES", "1")

    assert [gpu.sm_count for gpu in venv.look().hardware.gpus] == [132, None]


@pytest.mark.usefixtures("nvml")
def test_a_driver_that_crashes_is_told(venv: Venv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_CRASH", "1")

    hardware = venv.look().hardware

    fault = DriverFault(kind="crash", error="NVML crashed with SIGABRT")
    assert (hardware.driver, hardware.driver_fault, hardware.gpus) == (None, fault, ())


def test_a_driver_and_library_of_two_versions_are_told_with_both(
    venv: Venv, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = compile_library(venv.folder / "nvml" / "libnvidia-ml.so.580.95.05", NVML)
    (library.parent / "libnvidia-ml.so.1").symlink_to(library.name)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library.parent))
    monkeypatch.setenv("STUB_ERROR", MISMATCH)
    write_files(venv.folder, {"driver/nvidia/version": KERNEL_MODULE})

    hardware = look_with(venv, {"/proc/driver": venv.folder / "driver"}).hardware

    assert (hardware.driver, hardware.gpus) == (None, ())
    assert hardware.driver_fault == DriverFault(
        error="Driver/library version mismatch", kernel_module="550.54.15", library="580.95.05"
    )


@pytest.mark.usefixtures("nvml")
def test_the_kernel_module_is_told_beside_the_driver(venv: Venv) -> None:
    write_files(venv.folder, {"driver/nvidia/version": OPEN_KERNEL_MODULE})

    hardware = look_with(venv, {"/proc/driver": venv.folder / "driver"}).hardware

    assert hardware.driver == Driver(version="550.54.15", cuda=(12, 4), kernel_module="570.124.06")


@pytest.mark.usefixtures("nvml")
def test_a_driver_that_is_not_loaded_is_told_in_nvmls_words(
    venv: Venv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_ERROR", NOT_LOADED)

    assert venv.look().hardware.driver_fault == DriverFault(error="Driver Not Loaded")


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


@pytest.mark.parametrize(
    "code",
    [
        "__version__ = '\\ud800'\n",
        f"__version__ = {'(' * 5000}'2.1.0'{')' * 5000}\n",
        f"__version__ = '2.1.0'\nx = {'-' * 100_000}1\n",
        f"__version__ = '2.1.0'\nx = {'[' * 100}{']' * 100}.{'a.' * 20_000}a\n",
    ],
    ids=["lone surrogate", "parentheses", "signs", "attributes"],
)
def test_a_version_that_cannot_be_read_is_none(venv: Venv, code: str) -> None:
    write_files(venv.site, {"torch/version.py": code})

    assert venv.look().environment.torch in (None, Torch(version="2.1.0"))


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


CUBLAS_HEADER = """
#define CUBLAS_VER_MAJOR 13
#define CUBLAS_VER_MINOR 1
#define CUBLAS_VER_PATCH 0
#define CUBLAS_VER_BUILD 3
"""


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"lib/libcublas.so.13": "", "include/cublas_api.h": CUBLAS_HEADER}, "13.1.0"),
        ({"lib/libcublas.so.12.4.5.8": "", "include/cublas_api.h": CUBLAS_HEADER}, "12.4.5"),
        ({"lib/libcublas.so.13": "", "include/cublas_api.h": CUBLAS_HEADER[:40]}, None),
        ({"lib/libcublas.so.13": ""}, None),
        ({"include/cublas_api.h": CUBLAS_HEADER}, None),
    ],
)
def test_cublas_is_known_by_its_file_or_the_header_beside_it(
    venv: Venv, files: dict[str, str], expected: str | None
) -> None:
    write_files(venv.site, {"torch/version.py": CUDA_TORCH})
    write_files(venv.site / "nvidia/cu13", files)

    native = venv.look().native

    assert native
    assert native.cublas == expected


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
