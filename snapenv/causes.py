"""What is behind the words that a training ends with, and what mends it. Pure: a text in.

Sources: the words of CUDA's runtime (https://docs.nvidia.com/cuda/cuda-runtime-api/, cudaError),
of torch (c10/cuda, torch/cuda/__init__.py), of Python's errno, of glibc and of the kernel.
"""

from __future__ import annotations

import re

from msgspec import Struct

from snapenv.nvidia import advice


class Cause(Struct, frozen=True):
    """Why something fails, in a few words that follow "as", and an imperative sentence."""

    reason: str
    fix: str
    kind: str  # a word by which failures are counted; it stays when the sentences change


_CAUSES = (  # by their kind, with the words, in any case, by which each is known; the first counts
    (
        "fabric-manager",
        r"error 802\b|system not yet initialized",
        "the fabric manager of the NVSwitches does not run, or is of another version",
        "Start it: sudo systemctl start nvidia-fabricmanager; it must be of the driver's version.",
    ),
    (
        "driver-mismatch",
        r"error 803\b|unsupported display driver",
        "libcuda and the kernel module are of two versions",
        (
            "Reboot: the driver was updated since the last boot. In a container, see that no other "
            "libcuda.so.1 stands before the host's on LD_LIBRARY_PATH."
        ),
    ),
    (
        "forward-compatibility",
        r"error 804\b|forward compatibility",
        "this GPU or driver cannot use the forward compatibility package that was found",
        (
            "Take the folder compat off LD_LIBRARY_PATH, or update the driver: the package is for "
            "data-centre GPUs alone."
        ),
    ),
    (
        "mps",
        r"error 80[5-9]\b|\bmps (client|server|control|daemon)",
        "CUDA's Multi-Process Service does not serve this program",
        "Restart it: echo quit | nvidia-cuda-mps-control; nvidia-cuda-mps-control -d",
    ),
    (
        "driver-too-old",
        r"driver on your system is too old|driver version is insufficient|error 35\b",
        "the NVIDIA driver is too old for this torch",
        "Update the NVIDIA driver, or use a torch for an older CUDA: snapenv doctor says which.",
    ),
    (
        "no-driver",
        r"found no nvidia driver|libcuda\.so|stub library|error 34\b",
        "libcuda.so.1, the driver's library for CUDA, is not found or does not load",
        (
            "Install the driver's library for CUDA (libnvidia-compute, nvidia-driver-cuda); a "
            "container needs compute in NVIDIA_DRIVER_CAPABILITIES."
        ),
    ),
    (
        "no-gpu",
        (
            r"no cuda gpus are available|no cuda-capable device|invalid device ordinal"
            r"|error 10[01]\b"
        ),
        "CUDA is shown no such GPU",
        (
            "Unset CUDA_VISIBLE_DEVICES, or name GPUs in it that nvidia-smi -L lists; see that the "
            "container was given the GPUs, and who may open /dev/nvidia*."
        ),
    ),
    (
        "no-cuda-build",
        r"not compiled with cuda",
        "this torch is built without CUDA",
        advice.CUDA_TORCH,
    ),
    (
        "gpu-busy",
        r"busy or unavailable|error 46\b",
        "another program has the GPU for itself, or its compute mode prohibits it",
        f"See nvidia-smi -q -d COMPUTE; end the other program, or: {advice.share_gpu()}",
    ),
    (
        "gpu-ecc",
        r"uncorrectable|\becc error|error 214\b|hardware stack error|error 220\b",
        "the GPU's memory has an error that it cannot correct",
        (
            f"See nvidia-smi -q -d ECC,ROW_REMAPPER and {advice.KERNEL_LOG}; reset the GPU, or "
            "replace it."
        ),
    ),
    (
        "no-kernels",
        (
            r"no kernel image|not compatible with the current pytorch|invalid device function"
            r"|unsupported toolchain|device kernel image is invalid|error 2(09|18|22)\b"
        ),
        "this torch has no kernels for this GPU",
        "This torch has no kernels for this GPU: use a build that has; snapenv doctor says which.",
    ),
    (
        "gpu-stopped",
        (
            r"fallen off the bus|gpu is lost|unspecified launch failure|illegal memory access"
            r"|illegal instruction was encountered|misaligned address|device-side assert"
            r"|launch timed out|error 7(0[02]|1[0-9])\b"
        ),
        "the GPU stopped while it trained",
        f"See {advice.KERNEL_LOG} for why; reset the GPU or reboot, and train again.",
    ),
    (
        "gpu-memory",
        (
            r"cuda out of memory|cuda error: out of memory|(cublas|cudnn)_status_alloc_failed"
            r"|cublas_status_not_initialized|\berror 2: out of memory"
        ),
        "the GPU's memory is full",
        "Free the GPU's memory: see what nvidia-smi lists, and try again.",
    ),
    (
        "cudnn",
        r"cudnn_status_sublibrary\w*|cudnn_status_version_mismatch|cudnn version incompatibility",
        "a cuDNN other than torch's own was loaded",
        "Unset LD_LIBRARY_PATH and LD_PRELOAD, which put other folders first.",
    ),
    (
        "gpus-lost",
        r"failed to initialize nvml: unknown error",
        "the container has lost its GPUs, as happens when systemd reloads its units",
        (
            "Start it again. To keep it from happening, let containers get their GPUs by CDI: "
            f"{advice.write_cdi()}"
        ),
    ),
    (
        "cuda-init",
        (
            r"error 304\b|os call failed|error 999\b|cuda unknown error|error 3\b"
            r"|cuda(error: | .*)initialization error"
        ),
        "CUDA cannot be initialised on this machine",
        (
            f"See that /dev/nvidia-uvm is there: {advice.LOAD_UVM}; after a suspend, reboot. "
            f"{advice.KERNEL_LOG} tells more."
        ),
    ),
    (
        "shared-memory",
        (
            r"bus error|sigbus|insufficient shared memory|out of shared memory|/dev/shm"
            r"|unable to (open|mmap|resize) .*shared memory"
        ),
        "shared memory, or a file that is mapped, has no room",
        "Give the container more: --shm-size 1g; and see the room: df -h /dev/shm /tmp",
    ),
    (
        "disk-full",
        r"no space left|disk quota exceeded|errno (28|122)\b|unexpected pos \d+ vs \d+",
        "there is no room to write",
        "Free some space: df -h; in a container /dev/shm and /tmp too, or give it --shm-size 1g.",
    ),
    (
        "threads",
        (
            r"start new thread|pthread_create|thread creation failed|blas_thread_init"
            r"|resource temporarily unavailable|errno 11\b|cannot fork|fork: retry"
        ),
        "no more threads or processes may be started",
        (
            "Raise ulimit -u, or the container's --pids-limit; a Docker before 20.10.10 refuses "
            "clone3 to a newer system: update it."
        ),
    ),
    (
        "open-files",
        r"too many open files|errno 24\b",
        "too many files are open",
        "Raise the limit: ulimit -n 65536; of a container, --ulimit nofile=65536",
    ),
    (
        "opencv-libraries",
        r"lib(gl|egl|glx|glvnd|gthread-2|glib-2|sm|ice|x[\w-]+)\.[\w.]*so[\w.]*: cannot open",
        "OpenCV needs libraries of the operating system that are not here",
        (
            "Run apt-get install libgl1 libglib2.0-0 there, or use opencv-python-headless instead "
            "of opencv-python."
        ),
    ),
    (
        "library-missing",
        (
            r"cannot open shared object file|wrong elf class|failed to map segment"
            r"|invalid elf header|cannot enable executable stack"
        ),
        "a library does not load",
        "Run ldd on the file that is named; install what it lacks, or unset LD_LIBRARY_PATH.",
    ),
    (
        "library-mismatch",
        r"version .?(glibc|glibcxx|cxxabi)_|undefined symbol",
        "a compiled package and a library are of different builds",
        "Unset LD_LIBRARY_PATH and LD_PRELOAD; if it stays so, restore again.",
    ),
    (
        "permission",
        r"permission denied|operation not permitted|read-only file system|errno (1|13|30)\b",
        "something may not be read or written",
        "See who owns what is named, and what SELinux or AppArmor say; run as its owner.",
    ),
    (
        "processor",
        r"illegal instruction|sigill|avx2?( |\d|-)*.*not supported|unsupported instruction",
        "a package has code for another processor than this one",
        "Compare lscpu with the machine of the capture; let a virtual machine have its host's CPU.",
    ),
    (
        "memory",
        (
            r"cannot allocate memory|can't allocate memory|memoryerror|not enough memory|bad_alloc"
            r"|errno 12\b|\bkilled\b|sigkill|out of memory"
        ),
        "the memory of the machine or of the container is full",
        "Free memory, or raise the container's --memory; dmesg | grep -i oom tells who was ended.",
    ),
    (
        "crash",
        (
            r"segmentation fault|sigsegv|sigabrt|^aborted|double free|corrupted (size|double)"
            r"|floating point exception"
        ),
        "compiled code failed",
        "Run with PYTHONFAULTHANDLER=1, which names the package; then restore again.",
    ),
    (
        "network",
        r"no network|name resolution|network is unreachable|errno 101\b",
        "a package wants the network for training",
        "A package wants the network for training: see its settings.",
    ),
)


def find_cause(text: str) -> Cause | None:
    """Return what is behind a text that a training ended with; None where that is not known."""
    flags = re.IGNORECASE | re.MULTILINE
    known = (
        Cause(reason, fix, kind)
        for kind, words, reason, fix in _CAUSES
        if re.search(words, text, flags)
    )
    return next(known, None)
