"""Environment variables, by allow-list: any other may hold a secret."""

from __future__ import annotations

import os

# Those that choose kernels, precision, threads or the order of devices. CUDA_VISIBLE_DEVICES
# and the like are the host's own, and say nothing about the environment.
_OF_TRAINING = (
    "ATEN_CPU_CAPABILITY",
    "CUBLASLT_WORKSPACE_SIZE",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "CUDA_DEVICE_ORDER",
    "CUDA_FORCE_PTX_JIT",
    "CUDA_LAUNCH_BLOCKING",
    "DISABLE_ADDMM_CUDA_LT",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "NCCL_ALGO",
    "NCCL_PROTO",
    "NUMEXPR_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_DYNAMIC",
    "OMP_NUM_THREADS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_JIT",
    "PYTORCH_NO_CUDA_MEMORY_CACHING",
    "TORCHDYNAMO_DISABLE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_BLAS_PREFER_CUBLASLT",
    "TORCH_COMPILE_DISABLE",
    "TORCH_CUDNN_USE_HEURISTIC_MODE_B",
    "TORCH_CUDNN_V8_API_DISABLED",
)
_OF_IMAGE = (
    "CUDA_VERSION",
    "CUDNN_VERSION",
    "NCCL_VERSION",
    "NVIDIA_BUILD_ID",
    "NVIDIA_PRODUCT_NAME",
    "NVIDIA_PYTORCH_VERSION",
    "PYTORCH_VERSION",
)


def of_training() -> dict[str, str]:
    """Give those that change training."""
    return _listed(_OF_TRAINING)


def of_image() -> dict[str, str]:
    """Give those by which an NVIDIA image names itself; empty outside of one."""
    return _listed(_OF_IMAGE)


def _listed(names: tuple[str, ...]) -> dict[str, str]:
    """Take what is set; a value that is no printable text is no setting."""
    values = {name: os.environ.get(name, "") for name in names}
    return {name: value for name, value in values.items() if value and value.isprintable()}
