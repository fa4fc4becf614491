"""Train YOLOv8 for a few steps and listen to each step's loss.

Source of the callbacks: https://docs.ultralytics.com/usage/callbacks/
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import importlib
import json
import math
import statistics
import time
from typing import TYPE_CHECKING, Any, Callable, Protocol

import smoke_failures
from smoke_plan import BATCH, MODEL, STEPS, choose_arguments
from smoke_surroundings import settle_arithmetic

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


class Trainer(Protocol):
    """What is read of ultralytics' trainer; these two are the same in every version."""

    loss: Any  # a torch.Tensor of one number
    batch_size: int


class _FinishedError(Exception):
    """The last step is done; validation and checkpoints would follow."""


class Listener:
    """Notes the loss and the time of each step, and ends the training after the last."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.losses: list[float] = []
        self._say = say
        self._ended: list[float] = []

    def start(self, _trainer: Trainer) -> None:
        """Undo what ultralytics did to threads and precision."""
        settle_arithmetic()

    def step(self, trainer: Trainer) -> None:
        """Take the loss of the step just done.

        Raises:
            PlanError: ultralytics made the batch smaller, as it does when memory runs out.
            NotFiniteError: The loss is no number.
        """
        loss = float(trainer.loss.detach())  # waits for the GPU
        self._ended.append(time.perf_counter())
        self.losses.append(loss)
        self._say(f"step {len(self.losses)}/{STEPS}")
        if trainer.batch_size != BATCH:
            raise smoke_failures.PlanError(f"the batch became {trainer.batch_size}, not {BATCH}")
        if not math.isfinite(loss):
            raise smoke_failures.NotFiniteError(f"the loss of step {len(self.losses)} is {loss}")
        if len(self.losses) == STEPS:
            raise _FinishedError

    def measure_speed(self) -> dict[str, object]:
        """Say how fast the steps after the first were, from the end of one to that of the next."""
        seconds = sorted(end - start for start, end in zip(self._ended, self._ended[1:]))
        return {
            "images_per_s": round(BATCH * len(seconds) / sum(seconds), 3),
            "step_ms_median": round(statistics.median(seconds) * 1000, 3),
            "step_ms_p95": round(seconds[math.ceil(0.95 * len(seconds)) - 1] * 1000, 3),
            "peak_gpu_memory_mib": _peak_memory_mib(),
        }


def train(
    device: str, data: Path, *, say: Callable[[str], None]
) -> tuple[Listener, dict[str, str]]:
    """Train on ``cpu`` or ``cuda``; give what was heard, and the arguments, each as JSON.

    Raises:
        PlanError: Fewer steps were done than planned, or the batch was made smaller.
        NotFiniteError: A loss is no number.
    """
    from ultralytics import YOLO

    utils = _ultralytics_utils()
    utils.callbacks.add_integration_callbacks = lambda _trainer: None  # loggers of other packages
    arguments = choose_arguments(utils.DEFAULT_CFG_DICT)
    listener = Listener(say)
    model = YOLO(MODEL)
    model.add_callback("on_train_start", listener.start)
    model.add_callback("on_train_batch_end", listener.step)
    try:
        model.train(data=str(data), device=_device(device), project=str(data.parent), **arguments)
    except _FinishedError:
        return listener, {name: json.dumps(value) for name, value in arguments.items()}
    raise smoke_failures.PlanError(f"{len(listener.losses)} steps were done, not {STEPS}")


def _ultralytics_utils() -> ModuleType:
    """Import ultralytics' own helpers, which lived below ``yolo`` before 8.0.136."""
    for name in ("ultralytics.utils", "ultralytics.yolo.utils"):
        try:
            utils = importlib.import_module(name)
            importlib.import_module(f"{name}.callbacks")
        except ModuleNotFoundError:
            continue
        return utils
    raise ModuleNotFoundError("ultralytics has neither utils nor yolo.utils")


def _device(device: str) -> str:
    return "cpu" if device == "cpu" else "0"


def _peak_memory_mib() -> int | None:
    import torch

    if not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.max_memory_allocated() // 2**20)
