"""How fast a trained model predicts: its forward pass alone, on images of noise."""

from __future__ import annotations

import statistics
import time
from typing import Any

_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
_LATENCIES = 30
_ENOUGH_S = 4.0  # for one batch size
_REPEATS = 3
_LESS = 0.98  # a larger batch that gives less ends the search


def measure_inference(model: Any, *, imgsz: int, device: str) -> dict[str, object]:  # noqa: ANN401
    """Return latency and throughput, by the names of snapenv's ``Inference``."""
    import torch

    wait = torch.cuda.synchronize if device != "cpu" else lambda: None
    model = model.float().eval()
    with torch.no_grad():
        latencies = _times(model, torch.rand(1, 3, imgsz, imgsz, device=device), wait, _LATENCIES)
        best, best_batch = 1000 / statistics.median(latencies), 1
        for batch in _BATCHES[1:]:
            try:
                images = torch.rand(batch, 3, imgsz, imgsz, device=device)
                times = _times(model, images, wait, _REPEATS)
            except (RuntimeError, MemoryError):  # there is no room for it
                break
            rate = batch * 1000 / statistics.median(times)
            if rate > best:
                best, best_batch = rate, batch
            elif rate < best * _LESS or sum(times) > _ENOUGH_S * 1000:
                break
    return {
        "latency_ms": round(statistics.median(latencies), 3),
        "latency_p95_ms": round(sorted(latencies)[int(0.95 * (len(latencies) - 1))], 3),
        "images_per_s": round(best, 2),
        "batch": best_batch,
    }


def _times(model: Any, images: Any, wait: Any, count: int) -> list[float]:  # noqa: ANN401
    """Return milliseconds of as many passes, the first left out; fewer where they take long."""
    model(images)
    wait()
    times: list[float] = []
    until = time.perf_counter() + _ENOUGH_S
    while len(times) < count and (len(times) < _REPEATS or time.perf_counter() < until):
        begin = time.perf_counter()
        model(images)
        wait()
        times.append((time.perf_counter() - begin) * 1000)
    return times
