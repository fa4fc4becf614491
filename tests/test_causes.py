"""Texts that trainings were seen to end with, elsewhere, and what each of them asks for."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording

from snapenv.causes import find_cause
from snapenv.ports import Completed
from snapenv.verify.smoke_train import explain_failure
from tests.steady import steady

COUNT = "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before? "
TEXTS = {  # what is said, to a word of what is behind it and a word of what mends it
    COUNT + "Error 802: system not yet initialized": ("fabric manager", "nvidia-fabricmanager"),
    COUNT + "Error 803: system has unsupported display driver / cuda driver combination": (
        "two versions",
        "Reboot",
    ),
    COUNT + "Error 804: forward compatibility was attempted on non supported HW": (
        "forward compatibility",
        "compat off LD_LIBRARY_PATH",
    ),
    COUNT + "Error 805: MPS client failed to connect to the MPS control daemon": ("MPS", "-mps-"),
    COUNT + "Error 304: OS call failed or operation not supported on this OS": ("init", "uvm"),
    COUNT + "Error 101: invalid device ordinal": ("no such GPU", "CUDA_VISIBLE_DEVICES"),
    COUNT + "Error 2: out of memory": ("GPU's memory", "nvidia-smi"),
    COUNT + "Error 3: initialization error": ("initialised", "modprobe"),
    "CUDA unknown error - this may be due to an incorrectly set up environment": ("init", "uvm"),
    "No CUDA GPUs are available": ("no such GPU", "CUDA_VISIBLE_DEVICES"),
    "Found no NVIDIA driver on your system. Please check that you have": ("libcuda", "compute"),
    "libcuda.so.1: cannot open shared object file: No such file": ("libcuda", "libnvidia-compute"),
    "The NVIDIA driver on your system is too old (found version 11040).": ("too old", "Update"),
    "Torch not compiled with CUDA enabled": ("without CUDA", "CUDA index"),
    "CUDA error: CUDA-capable device(s) is/are busy or unavailable": ("for itself", "COMPUTE"),
    "CUDA error: all CUDA-capable devices are busy or unavailable": ("for itself", "-c DEFAULT"),
    "CUDA error: uncorrectable ECC error encountered": ("cannot correct", "ROW_REMAPPER"),
    "CUDA error: an illegal memory access was encountered": ("GPU stopped", "xid"),
    "CUDA error: an illegal instruction was encountered": ("GPU stopped", "xid"),
    "CUDA error: unspecified launch failure": ("GPU stopped", "dmesg"),
    "CUDA error: no kernel image is available for execution on the device": ("kernels", "build"),
    "CUDA error: the provided PTX was compiled with an unsupported toolchain.": ("kernels", "use"),
    "CUDA out of memory. Tried to allocate 20.00 MiB.": ("GPU's memory", "nvidia-smi"),
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate`": ("GPU's", "Free"),
    "cuDNN version incompatibility: PyTorch was compiled against (9, 1, 0)": ("cuDNN", "Unset"),
    "DataLoader worker is killed by signal: Bus error. It is possible that dataloader's workers "
    "are out of shared memory": ("shared memory", "--shm-size"),
    "unable to mmap 64 bytes from file </torch_1>: shared memory is full": ("shared", "--shm-size"),
    "[enforce fail at inline_container.cc:664] . unexpected pos 384 vs 342": ("no room", "df -h"),
    "Failed to initialize NVML: Unknown Error": ("lost its GPUs", "nvidia-ctk cdi generate"),
    "[Errno 28] No space left on device: '/tmp/x'": ("no room", "df -h"),
    "[Errno 122] Disk quota exceeded": ("no room", "Free"),
    "RuntimeError: can't start new thread": ("threads", "--pids-limit"),
    "OpenBLAS blas_thread_init: pthread_create failed for thread 1 of 4: Resource temporarily "
    "unavailable": ("threads", "ulimit -u"),
    "libgomp: Thread creation failed: Operation not permitted": ("threads", "clone3"),
    "[Errno 11] Resource temporarily unavailable": ("threads", "ulimit -u"),
    "[Errno 24] Too many open files": ("files are open", "ulimit -n"),
    "libGL.so.1: cannot open shared object file: No such file": ("OpenCV", "libgl1"),
    "libgthread-2.0.so.0: cannot open shared object file": ("OpenCV", "headless"),
    "libxcb.so.1: cannot open shared object file": ("OpenCV", "libglib2.0-0"),
    "libcudnn.so.9: cannot open shared object file": ("does not load", "ldd"),
    "/lib/libc.so.6: version `GLIBC_2.38' not found (required by x.so)": ("builds", "Unset"),
    "libcusparse.so.12: undefined symbol: __nvJitLinkComplete_12_4": ("builds", "LD_LIBRARY_PATH"),
    "[Errno 13] Permission denied: '/data'": ("may not", "SELinux"),
    "[Errno 30] Read-only file system: '/runs'": ("may not", "who owns"),
    "[Errno 12] Cannot allocate memory": ("memory of the machine", "--memory"),
    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes": ("memory", "oom"),
    "[Errno 101] the smoke-train has no network": ("wants the network", "settings"),
}
KINDS = """
    fabric-manager driver-mismatch forward-compatibility mps cuda-init no-gpu gpu-memory no-driver
    driver-too-old no-cuda-build gpu-busy gpu-ecc gpu-stopped no-kernels cudnn shared-memory
    disk-full gpus-lost threads open-files opencv-libraries library-missing library-mismatch
    permission memory network
"""
SIGNALS = {
    signal.SIGBUS: ("shared memory", "--shm-size"),
    signal.SIGILL: ("another processor", "lscpu"),
    signal.SIGKILL: ("memory of the machine", "oom"),
    signal.SIGSEGV: ("compiled code", "PYTHONFAULTHANDLER"),
    signal.SIGABRT: ("compiled code", "PYTHONFAULTHANDLER"),
    signal.SIGFPE: ("compiled code", "restore again"),
}


@pytest.mark.parametrize(("text", "told"), TEXTS.items())
def test_a_text_tells_its_cause_and_its_mend(text: str, told: tuple[str, str]) -> None:
    stderr = f"Traceback …\nsnapenv-smoke-train: RuntimeError: {text}\n"

    error = explain_failure(Completed(exit_code=1, stdout="", stderr=stderr), python="python3")

    reason, fix = told
    cause = find_cause(text)
    assert cause
    assert reason.lower() in cause.reason.lower() or reason.lower() in cause.fix.lower()
    assert fix in cause.fix
    assert error.message == f"the smoke-train failed, as {cause.reason}: RuntimeError: {text}"
    assert error.hint == cause.fix


def test_failures_are_counted_by_kinds_that_stay() -> None:
    kinds = {cause.kind for text in TEXTS if (cause := find_cause(text))}

    assert kinds == set(KINDS.split())


@pytest.mark.parametrize("text", ["", "KeyError: 'x'", "ValueError: unknown format code", "1 of 4"])
def test_other_texts_have_no_cause_that_is_known(text: str) -> None:
    assert find_cause(text) is None


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    find_cause(text)


@pytest.mark.parametrize(("number", "told"), SIGNALS.items())
@pytest.mark.parametrize("way", [lambda number: -number, lambda number: 128 + number])
def test_a_signal_tells_its_cause_and_its_mend(
    number: signal.Signals, told: tuple[str, str], way: type[int]
) -> None:
    done = Completed(exit_code=way(number), stdout="", stderr="snapenv-smoke-train: step 3/10\n")

    error = explain_failure(done, python="python3")

    assert steady(error.message, signal=number.name).partition(", as ")[0] == wording(
        "the smoke-train was killed by SIGNAL"
    )
    assert told[0] in error.message
    assert told[1] in error.hint


def test_what_a_package_says_before_a_signal_goes_before_the_signal() -> None:
    said = "OpenBLAS blas_thread_init: pthread_create failed for thread 3 of 64\n"
    done = Completed(exit_code=139, stdout="", stderr=f"snapenv-smoke-train: import\n{said}")

    error = explain_failure(done, python="python3")

    assert error.message == wording(
        "the smoke-train was killed by SIGSEGV, as no more threads or processes may be started"
    )


def test_a_gpu_that_was_asked_for_and_is_not_shown_has_the_mend_of_torchs_words() -> None:
    said = "snapenv-smoke-train: torch 2.11.0, CUDA 13.0: No CUDA GPUs are available\n"

    error = explain_failure(Completed(exit_code=6, stdout="", stderr=said), python="python3")

    assert error.message == wording(
        "a GPU was asked for and torch sees none: torch 2.11.0, CUDA 13.0: No CUDA GPUs are available"
    )
    assert "CUDA_VISIBLE_DEVICES" in error.hint
