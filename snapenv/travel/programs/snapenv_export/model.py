"""The model to export, and the images to try it on: the same each time, without weights to fetch.

An untrained yolov8n hardly reacts to its input, and so hides most errors of an export: one weight
that is 0.01 off is not seen, and batch normalisation with another epsilon is below the noise. With
statistics that fit its input, and a head that is more sensitive, both are seen.
"""

from __future__ import annotations

import copy
from typing import Any

SIDE = 160  # pixels of an image

_MODEL = "yolov8n.yaml"
_SEED = 0
_PASSES = 4
_BATCH = 8
_IMAGES = 3
_COARSE = 8  # pixels a spot
_BOXES_BY = 2.0  # what weights of the head's last convolutions are multiplied with
_CLASSES_BY = 4.0


def make_model() -> Any:  # noqa: ANN401
    """Return ultralytics' model with calibrated batch normalisation, on the CPU, for inference."""
    import torch
    from ultralytics import YOLO

    torch.manual_seed(_SEED)
    model = YOLO(_MODEL)
    network = model.model.float()
    _calibrate(network)
    head = network.model[-1]
    with torch.no_grad():
        for branches, factor in ((head.cv2, _BOXES_BY), (head.cv3, _CLASSES_BY)):
            for branch in branches:
                branch[-1].weight *= factor
    network.eval()
    return model


def fixed_images() -> list[Any]:
    """Return arrays of shape (1, 3, side, side), float32 from 0 to 1: coarse and fine noise."""
    import numpy as np

    random = np.random.RandomState(_SEED)
    return [_image(random, 1).astype(np.float32) for _ in range(_IMAGES)]


def predict(model: Any, images: list[Any]) -> list[Any]:  # noqa: ANN401
    """Return torch's output of each image, of shape (1, 4 + classes, anchors).

    It is unfused and in double precision, so that what differs is the export's alone.
    """
    import torch

    network = copy.deepcopy(model.model).double().eval()
    with torch.no_grad():
        return [network(torch.from_numpy(image).double())[0].numpy() for image in images]


def _calibrate(network: Any) -> None:  # noqa: ANN401
    import numpy as np
    import torch

    random = np.random.RandomState(_SEED + 1)
    layers = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of all passes
    network.train()
    with torch.no_grad():
        for _ in range(_PASSES):
            network(torch.from_numpy(_image(random, _BATCH).astype(np.float32)))
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum


def _image(random: Any, count: int) -> Any:  # noqa: ANN401
    coarse = random.rand(count, 3, SIDE // _COARSE, SIDE // _COARSE)
    spots = coarse.repeat(_COARSE, axis=2).repeat(_COARSE, axis=3)
    return 0.8 * spots + 0.2 * random.rand(count, 3, SIDE, SIDE)
