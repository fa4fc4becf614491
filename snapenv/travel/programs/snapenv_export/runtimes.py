"""The formats of an export, and how each is run; all in float32.

A runtime's own optimisations stay on, as users have them, but for OpenVINO's: on a CPU with
bfloat16 it takes that unless it is told otherwise, and is then 13 pixels off.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    Runner = Callable[[Path, list[Any]], list[Any]]


class Format(NamedTuple):
    """What is imported for it, what runs it, and whether it is made on a GPU."""

    modules: tuple[str, ...]
    runtime: str  # the module whose version is told
    run: Runner
    gpu: bool = False

    def describe(self) -> str:
        """Name the runtime with its version, such as ``onnxruntime 1.22.0``."""
        version = str(importlib.import_module(self.runtime).__version__)
        plain, _, _ = version.partition("-")  # OpenVINO's goes on with its commit
        return f"{self.runtime} {plain}"


def _run_onnx(path: Path, images: list[Any]) -> list[Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [session.run(None, {name: image})[0] for image in images]


def _run_openvino(path: Path, images: list[Any]) -> list[Any]:
    import openvino

    core = openvino.Core()
    network = core.read_model(next(path.glob("*.xml")))
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [compiled([image])[0] for image in images]


def _run_torchscript(path: Path, images: list[Any]) -> list[Any]:
    import torch

    network = torch.jit.load(str(path), map_location="cpu")
    with torch.no_grad():
        outputs = [network(torch.from_numpy(image)) for image in images]
    return [
        (output[0] if isinstance(output, (list, tuple)) else output).numpy() for output in outputs
    ]


def _run_engine(path: Path, images: list[Any]) -> list[Any]:
    import torch
    from ultralytics.nn.autobackend import AutoBackend

    device = torch.device("cuda:0")
    network = AutoBackend(str(path), device=device, fp16=False)
    outputs = [network(torch.from_numpy(image).to(device)) for image in images]
    return [
        (output[0] if isinstance(output, (list, tuple)) else output).cpu().numpy()
        for output in outputs
    ]


FORMATS = {
    "torchscript": Format((), "torch", _run_torchscript),
    "onnx": Format(("onnx", "onnxslim", "onnxruntime"), "onnxruntime", _run_onnx),
    "openvino": Format(("openvino",), "openvino", _run_openvino),
    "engine": Format(("onnx", "onnxslim", "tensorrt"), "tensorrt", _run_engine, gpu=True),
}
