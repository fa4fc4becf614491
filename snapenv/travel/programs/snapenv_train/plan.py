"""What is trained: the arguments of ultralytics' ``model.train``, everything random left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv_train.images import SIDE

if TYPE_CHECKING:
    from collections.abc import Container

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


def choose_arguments(known: Container[str]) -> dict[str, object]:
    """Return those arguments that this ultralytics knows, by name; it refuses all others."""
    arguments = {**_ARGUMENTS, **_AUGMENTATION}
    return {name: arguments[name] for name in sorted(arguments) if name in known}
