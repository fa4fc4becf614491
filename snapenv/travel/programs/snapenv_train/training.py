"""Train YOLOv8 for a few steps, everything random left out, and listen to each step's loss.

Source of the callbacks: https://docs.ultralytics.com/usage/callbacks/
"""

from __future__ import annotations

import importlib
import json
import math
import re
import traceback
from typing import TYPE_CHECKING, Any, Callable, Protocol

from snapenv_train import failures
from snapenv_train.gpu import watch_gpu
from snapenv_train.images import SIDE
from snapenv_train.speed import Stopwatch, describe_place
from snapenv_train.surroundings import describe_conditions, settle_arithmetic

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path
    from types import ModuleType

MODEL = "yolov8n.yaml"  # the architecture alone: no weights, no download
STEPS = 10
BATCH = 4
IMAGES = STEPS * BATCH  # one epoch

_AUGMENTATION = {
    "augment": False,
    "auto_augment": None,
    "bgr": 0.0,
    "close_mosaic": 0,
    "copy_paste": 0.0,
    "cutmix": 0.0,
    "degrees": 0.0,
    "dropout": 0.0,
    "erasing": 0.0,
    "fliplr": 0.0,
    "flipud": 0.0,
    "hsv_h": 0.0,
    "hsv_s": 0.0,
    "hsv_v": 0.0,
    "mixup": 0.0,
    "mosaic": 0.0,
    "multi_scale": False,  # a switch before it became a number, and False is both
    "perspective": 0.0,
    "scale": 0.0,
    "shear": 0.0,
    "translate": 0.0,
}
_ARGUMENTS = {
    "amp": False,  # True looks for weights on the network first
    "batch": BATCH,
    "box": 7.5,
    "cache": False,
    "channels_last": False,
    "cls": 0.5,
    "compile": False,
    "cos_lr": False,
    "deterministic": True,
    "dfl": 1.5,
    "epochs": 1,
    "exist_ok": True,
    "fraction": 1.0,
    "imgsz": SIDE,
    "lr0": 0.001,  # at 0.01, rounding alone grows tenfold a step
    "lrf": 0.01,
    "momentum": 0.9,
    "nbs": BATCH,  # so that every batch is a step
    "optimizer": "SGD",
    "plots": False,
    "pretrained": False,
    "profile": False,
    "rect": False,
    "save": False,
    "seed": 0,
    "single_cls": False,
    "val": False,
    "verbose": False,
    "warmup_epochs": 0.0,
    "weight_decay": 0.0005,
    "workers": 0,
}
_LONGEST = 300  # characters of a reason
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def choose_arguments(known: Container[str]) -> dict[str, object]:
    """Return those arguments that this ultralytics knows, by name; it refuses all others."""
    arguments = {**_ARGUMENTS, **_AUGMENTATION}
    return {name: arguments[name] for name in sorted(arguments) if name in known}


class Trainer(Protocol):
    """What is read of ultralytics' trainer; these two are the same in every version."""

    loss: Any  # a torch.Tensor of one number
    batch_size: int


class Listener:
    """Notes the loss and the time of each step, and the conditions at the last."""

    def __init__(self, device: str, say: Callable[[str], None]) -> None:
        self.losses: list[float] = []
        self.conditions: dict[str, object] = {}
        self.speed: dict[str, object] = {}
        self._device = device
        self._say = say
        self._stopwatch = Stopwatch()
        self._watch = None if device == "cpu" else watch_gpu()

    def start(self, _trainer: Trainer) -> None:
        """Undo what ultralytics did to threads and precision."""
        settle_arithmetic()

    def begin(self, _trainer: Trainer) -> None:
        """Note that a batch is there."""
        self._stopwatch.begin()

    def step(self, trainer: Trainer) -> None:
        """Take the loss of the step just done.

        Raises:
            PlanError: ultralytics made the batch smaller, as it does when memory runs out.
            NotFiniteError: The loss is no number.
        """
        loss = float(trainer.loss.detach())  # waits for the GPU
        self._stopwatch.end()
        self.losses.append(loss)
        self._say(f"step {len(self.losses)}/{STEPS}")
        if trainer.batch_size != BATCH:
            raise failures.PlanError(f"the batch became {trainer.batch_size}, not {BATCH}")
        if not math.isfinite(loss):
            raise failures.NotFiniteError(f"the loss of step {len(self.losses)} is {loss}")
        if len(self.losses) == 1 and self._watch:
            self._watch.start()
        if len(self.losses) == STEPS:
            self._sum_up()

    def _sum_up(self) -> None:
        """Look around now: to validate, ultralytics sets threads and memory as it likes."""
        images, seconds = BATCH * (STEPS - 1), self._stopwatch.seconds
        self.conditions = describe_conditions(self._device)
        self.speed = {
            **self._stopwatch.measure(BATCH),
            **(self._watch.stop(images=images, seconds=seconds) if self._watch else {}),
            **describe_place(),
            "peak_gpu_memory_mib": _peak_memory_mib(),
        }
        self._say("validate and save")


def train(
    device: str, data: Path, *, say: Callable[[str], None]
) -> tuple[Listener, dict[str, str], str | None]:
    """Train on ``cpu`` or ``cuda`` to the end, which is validation and checkpoints.

    Returns:
        What was heard; the arguments, each as JSON; and in one line why ultralytics failed after
        the last step, where it did.

    Raises:
        PlanError: Other than the planned steps were done, or the batch was made smaller.
        NotFiniteError: A loss is no number.
    """
    from ultralytics import YOLO

    utils = ultralytics_utils()
    utils.callbacks.add_integration_callbacks = lambda _trainer: None  # loggers of other packages
    arguments = choose_arguments(utils.DEFAULT_CFG_DICT)
    listener = Listener(device, say)
    model = YOLO(MODEL)
    model.add_callback("on_train_start", listener.start)
    model.add_callback("on_train_batch_start", listener.begin)
    model.add_callback("on_train_batch_end", listener.step)
    afterwards = None
    try:
        model.train(data=str(data), device=_device(device), project=str(data.parent), **arguments)
    except Exception as error:
        if isinstance(error, failures.SmokeError) or len(listener.losses) < STEPS:
            raise
        afterwards = tell(error)
    if len(listener.losses) != STEPS:
        raise failures.PlanError(f"{len(listener.losses)} steps were done, not {STEPS}")
    return listener, {name: json.dumps(value) for name, value in arguments.items()}, afterwards


def tell(error: Exception) -> str:
    """Return the first line of an error, without colours: a CUDA error's last one says nothing."""
    summary = "".join(traceback.format_exception_only(type(error), error))
    lines = _COLOUR.sub("", summary).splitlines()
    return next(line for line in lines if line).strip()[:_LONGEST]


def ultralytics_utils() -> ModuleType:
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
