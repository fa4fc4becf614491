"""Values of the ledger for tests: a run with its training, and what its one GPU did."""

from __future__ import annotations

from typing import Any

from snapenv.model.usage import RunGpu, Sample, Training, UsageEvent, UsageRun, UsedGpu

KEY = "0b6f3a1e-6c1d-4c53-9a40-3f6f2f6a7c11"
OTHER_KEY = "77a2b0b4-12aa-4d0e-8d6c-0d8b54c0a5f2"
GPU_UUID = "GPU-5b1e6d3c-8a4f-4b7e-9a55-0c1d2e3f4a5b"
GPU_MODEL = "NVIDIA H200"
HOUR_MS = 3_600_000
STARTED_MS = 1_793_541_600_000  # 2026-11-01T14:00:00Z


def sample_training(**fields: Any) -> Training:  # noqa: ANN401
    given: dict[str, Any] = {
        "model": "yolov8n.pt",
        "task": "detect",
        "epochs": 100,
        "epochs_done": 100,
        "images": 5000,
        "imgsz": 640,
        "batch": 64,
        "amp": True,
        "workers": 8,
        "metric": "mAP50-95(B)",
        "best": 0.512,
        "best_epoch": 93,
        "epoch_ms": 70_000,
    }
    return Training(**given | fields)


def sample_usage_run(**fields: Any) -> UsageRun:  # noqa: ANN401
    given: dict[str, Any] = {
        "key": KEY,
        "run": "261101-140000-3d49",
        "kind": "run",
        "user": "ada",
        "project": "birds",
        "purpose": "baseline",
        "model": "yolov8n",
        "command": ("python", "train.py"),
        "tag": "train-yolov8.4.190-base-cu130",
        "image": f"sha256:{'ab' * 32}",
        "host": "gpu-1",
        "gpus": (UsedGpu(uuid=GPU_UUID, model=GPU_MODEL),),
        "gpus_asked": "all",
        "started_ms": STARTED_MS,
        "ended_ms": STARTED_MS + 2 * HOUR_MS,
        "duration_ms": 2 * HOUR_MS,
        "exit_code": 0,
        "training": sample_training(),
    }
    return UsageRun(**given | fields)


def sample_run_gpu(**fields: Any) -> RunGpu:  # noqa: ANN401
    given: dict[str, Any] = {
        "key": KEY,
        "gpu": GPU_UUID,
        "month": "2026-11",
        "model": GPU_MODEL,
        "allocated_ms": 2 * HOUR_MS,
        "covered_ms": HOUR_MS,
        "buckets": (0,) * 8 + (HOUR_MS // 2,) * 2,
        "util_source": "gpm_sm",
        "energy_mj": 1_400_000_000,
    }
    return RunGpu(**given | fields)


def sample_event(**fields: Any) -> UsageEvent:  # noqa: ANN401
    given: dict[str, Any] = {
        "id": OTHER_KEY,
        "key": KEY,
        "at_ms": STARTED_MS,
        "kind": "gap",
        "value": 15_000,
    }
    return UsageEvent(**given | fields)


def sample_sample(**fields: Any) -> Sample:  # noqa: ANN401
    given: dict[str, Any] = {"key": KEY, "gpu": GPU_UUID, "at_ms": STARTED_MS, "utilization": 91}
    return Sample(**given | fields)
