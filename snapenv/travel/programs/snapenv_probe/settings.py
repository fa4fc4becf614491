"""Environment variables and ultralytics' own settings, by allow-list: any other may hold a secret.

Source of the settings: https://docs.ultralytics.com/quickstart/#ultralytics-settings, whose file
also holds API keys, a UUID and paths.
"""

# ruff: noqa: PTH111, PTH118, PTH123

from __future__ import annotations

import json
import os

# Those that choose kernels, precision, threads, the order of devices, or how Python runs code.
# CUDA_VISIBLE_DEVICES and the like are the host's own, and say nothing about the environment.
_OF_TRAINING = (
    "ATEN_CPU_CAPABILITY",
    "CUBLASLT_WORKSPACE_SIZE",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUBLAS_EMULATE_DOUBLE_PRECISION",
    "CUBLAS_EMULATE_SINGLE_PRECISION",
    "CUBLAS_EMULATION_STRATEGY",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "CUDA_DEVICE_ORDER",
    "CUDA_DISABLE_PTX_JIT",
    "CUDA_FORCE_PTX_JIT",
    "CUDA_LAUNCH_BLOCKING",
    "DISABLE_ADDMM_CUDA_LT",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "GLIBC_TUNABLES",
    "MKL_CBWR",
    "MKL_DISABLE_FAST_MM",
    "MKL_DOMAIN_NUM_THREADS",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "NCCL_ALGO",
    "NCCL_MAX_NCHANNELS",
    "NCCL_MIN_NCHANNELS",
    "NCCL_NVLS_ENABLE",
    "NCCL_PROTO",
    "NPY_DISABLE_CPU_FEATURES",
    "NUMEXPR_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_DYNAMIC",
    "OMP_NUM_THREADS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "OPENCV_CPU_DISABLE",
    "OPENCV_FOR_THREADS_NUM",
    "OPENCV_IPP",
    "OPENCV_OPENCL_DEVICE",
    "OPENCV_OPENCL_RUNTIME",
    "PYTHONHASHSEED",
    "PYTHONOPTIMIZE",
    "PYTHONSAFEPATH",
    "PYTHON_GIL",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_JIT",
    "PYTORCH_NO_CUDA_MEMORY_CACHING",
    "PYTORCH_TENSOREXPR",
    "PYTORCH_TUNABLEOP_ENABLED",
    "PYTORCH_TUNABLEOP_TUNING",
    "TORCHDYNAMO_DISABLE",
    "TORCHINDUCTOR_DETERMINISTIC",
    "TORCHINDUCTOR_MAX_AUTOTUNE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_BLAS_PREFER_CUBLASLT",
    "TORCH_COMPILE_DISABLE",
    "TORCH_CUDNN_SDPA_DEPRIORITIZED",
    "TORCH_CUDNN_USE_HEURISTIC_MODE_B",
    "TORCH_CUDNN_V8_API_DISABLED",
    "TORCH_LINALG_PREFER_CUSOLVER",
    "TORCH_LINEAR_FLATTEN_3D",
    "TORCH_MKLDNN_MATMUL_MIN_DIM",
    "TORCH_MKLDNN_MATMUL_MIN_SIZE",
    "TRITON_F32_DEFAULT",
    "TRITON_INTERPRET",
)
_OF_IMAGE = (
    "CUDA_DRIVER_VERSION",
    "CUDA_VERSION",
    "CUDNN_VERSION",
    "NCCL_VERSION",
    "NVIDIA_BUILD_ID",
    "NVIDIA_PRODUCT_NAME",
    "NVIDIA_PYTORCH_VERSION",
    "NVIDIA_REQUIRE_CUDA",
    "NV_CUDA_CUDART_VERSION",
    "PYTORCH_VERSION",
    "TRT_VERSION",
)
_INTEGRATIONS = (
    "clearml",
    "comet",
    "dvc",
    "hub",
    "mlflow",
    "neptune",
    "raytune",
    "tensorboard",
    "wandb",
)


def of_training() -> dict[str, str]:
    """Return those that change training."""
    return _listed(_OF_TRAINING)


def of_image() -> dict[str, str]:
    """Return those by which an NVIDIA image names itself; empty outside of one."""
    return _listed(_OF_IMAGE)


def of_ultralytics() -> dict[str, bool]:
    """Return the integrations that are switched; empty without a settings file that can be read."""
    own = os.environ.get("YOLO_CONFIG_DIR")
    config = os.path.expanduser(own or os.environ.get("XDG_CONFIG_HOME") or "~/.config")
    try:
        with open(os.path.join(config, "Ultralytics", "settings.json"), encoding="utf-8") as file:
            settings = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(settings, dict):
        return {}
    return {name: settings[name] for name in _INTEGRATIONS if isinstance(settings.get(name), bool)}


def _listed(names: tuple[str, ...]) -> dict[str, str]:
    """Take what is set; a value that is no printable text is no setting."""
    values = {name: os.environ.get(name, "") for name in names}
    return {name: value for name, value in values.items() if value and value.isprintable()}
