"""Trainings as a team might run them, with a time that follows from their options, and noise."""

from __future__ import annotations

import random
import uuid

from snapenv.model.usage import Training, UsageRun, UsedGpu

_GPUS = {"NVIDIA A100": 1.0, "NVIDIA H100": 0.55, "NVIDIA H200": 0.45, "NVIDIA L4": 3.1}
_MODELS = {"yolov8n.pt": 1.0, "yolov8s.pt": 1.9, "yolov8m.pt": 3.8, "yolov8x.pt": 9.5}
_SIZES = {320: 0.35, 640: 1.0, 1280: 3.7}
_IMAGES = (800, 5_000, 20_000, 118_000)
_IMAGE_MS = 0.9  # of the smallest model on the first GPU
_LOADER_MS = 4.0  # that a worker takes for an image
_BESIDE_MS = 55_000
_NOISE = 0.07


def simulated_runs(number: int, seed: int = 17) -> tuple[UsageRun, ...]:
    """Return runs in the order of their start; a quarter of them ended early."""
    chance = random.Random(seed)
    return tuple(_run(chance, at) for at in range(number))


def _run(chance: random.Random, number: int) -> UsageRun:
    gpu, model = chance.choice(list(_GPUS)), chance.choice(list(_MODELS))
    imgsz = chance.choice(list(_SIZES))
    batch, workers = chance.choice((8, 16, 64)), chance.choice((4, 8, 16))
    amp, images = chance.random() < 0.8, chance.choice(_IMAGES)
    epochs = chance.choice((50, 100, 300))
    done = epochs if chance.random() < 0.75 else chance.randint(2, epochs)
    compute_ms = _IMAGE_MS * _GPUS[gpu] * _MODELS[model] * _SIZES[imgsz] * (1.0 if amp else 1.8)
    image_ms = max(compute_ms * (1 + 4 / batch), _LOADER_MS * _SIZES[imgsz] / workers)
    epoch_ms = round(images * image_ms * chance.lognormvariate(0, _NOISE))
    duration_ms = round(epoch_ms * done + _BESIDE_MS * chance.lognormvariate(0, 0.3))
    return UsageRun(
        key=str(uuid.UUID(int=number)),
        run=f"run-{number}",
        kind="run",
        user="ann",
        host="node1",
        gpus=(UsedGpu(uuid=f"GPU-{number % 8}", model=gpu),),
        command=("yolo", "train", f"model={model}", f"data=images{images}.yaml"),
        started_ms=number * 3_600_000,
        ended_ms=number * 3_600_000 + duration_ms,
        duration_ms=duration_ms,
        exit_code=0 if done == epochs else 137,
        training=Training(
            model=model,
            task="detect",
            epochs=epochs,
            epochs_done=done,
            images=images,
            imgsz=imgsz,
            batch=batch,
            amp=amp,
            workers=workers,
            metric="mAP50-95(B)",
            best=round(0.3 + 0.02 * list(_MODELS).index(model) + chance.gauss(0, 0.004), 4),
            best_epoch=done,
            epoch_ms=epoch_ms,
        ),
    )
