"""Export a model in an environment, run it, and judge how far it is from torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from snapenv.causes import find_cause
from snapenv.errors import ExportError
from snapenv.model.exports import Export
from snapenv.model.outcome import Check
from snapenv.travel.answer import last_line, progress_of, read_answer, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from snapenv.model.carried import Content
    from snapenv.model.exports import ExportFormat
    from snapenv.model.outcome import Severity
    from snapenv.ports import Completed, Target, Task

REQUIREMENTS: Mapping[ExportFormat, tuple[str, ...]] = {
    "torchscript": (),
    "onnx": ("onnx>=1.12,<2", "onnxslim>=0.1.82", "onnxruntime"),
    "openvino": ("openvino>=2024.0.0",),
    "engine": ("onnx>=1.12,<2", "onnxslim>=0.1.82", "tensorrt>7,!=10.1.0"),
}
"""What ultralytics asks for, to export and to run. Source: its engine/exporter.py of 8.4.190."""

ON_GPU: tuple[ExportFormat, ...] = ("engine",)

# In float32 onnxruntime is 4e-5 off at most, TorchScript 7e-5, OpenVINO 1.3e-4; of edits that were
# tried, the least one (0.001 in one weight of the last layer) is 2e-3.
_LIMIT = 2e-4
_LIMITS: Mapping[ExportFormat, float] = {"openvino": 5e-4}

# TensorRT takes TF32 where it is faster, and how far that is off has not been measured.
_UNMEASURED: tuple[ExportFormat, ...] = ("engine",)

_MARK = "snapenv-export: "
_ENVIRONMENT = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLOv5_AUTOINSTALL": "false",
    "MPLBACKEND": "Agg",
    "OMP_NUM_THREADS": "1",
    "RANK": "-1",
    "LOCAL_RANK": "-1",
    "WORLD_SIZE": "1",
    "LOGNAME": "snapenv",  # a container's user may have no name, and torch asks for it
}
_NOT_INSTALLED = {3: "ultralytics", 4: "torch"}  # by exit code
_FOLDER = "layer"


def try_exports(
    target: Target,
    formats: Sequence[ExportFormat],
    layer: Mapping[str, Content],
    *,
    device: str,
    task: Task,
) -> tuple[Export, ...]:
    """Export to each format, run each, and compare with torch.

    ``layer`` are the files of packages that the environment lacks, by their paths below
    site-packages. Nothing is fetched and nothing stays behind.

    Raises:
        ExportError: The environment cannot make a model.
        InterpreterError: The target's interpreter cannot be executed.
        EngineError: The container ended before the program did.
    """
    named = device not in {"auto", "cpu", "all"}
    wanted = device if device in {"auto", "cpu"} else "cuda"
    done = run(
        target,
        "snapenv_export",
        (json.dumps({"formats": list(formats), "device": wanted}),),
        files={f"{_FOLDER}/{name}": content for name, content in layer.items()},
        environment={**_ENVIRONMENT, **({"CUDA_VISIBLE_DEVICES": device} if named else {})},
        on_line=progress_of(_MARK, task),
    )
    if done.exit_code != 0:
        raise _failure(done, target.python)
    try:
        return read_answer(done.stdout, _MARK, tuple[Export, ...])
    except ValueError as error:
        raise ExportError(
            f"the answer of the exports cannot be read: {error}",
            hint="Report this as a bug, with the output of the command.",
        ) from error


def export_check(export: Export) -> Check:
    """Judge an export: whether it is torch's model within the limit of single precision."""
    ok = not _is_apart(export)
    severity: Severity = (
        "warning" if export.error is None and export.format in _UNMEASURED else "error"
    )
    return Check(
        id=f"export.{export.format}",
        ok=ok,
        expected=f"boxes and scores of torch within {_limit(export):.0e}",
        actual=_describe(export),
        fix=None if ok else _fix(export),
        part="workload",
        severity="error" if export.missing else severity,
    )


def _is_apart(export: Export) -> bool:
    box, score, limit = export.box_difference, export.score_difference, _limit(export)
    if box is None or score is None:
        return True
    return not (box <= limit and score <= limit and export.matched == export.boxes)


def _limit(export: Export) -> float:
    return _LIMITS.get(export.format, _LIMIT)


def _describe(export: Export) -> str:
    if export.missing:
        return f"{', '.join(export.missing)} cannot be imported"
    if export.error is not None:
        return f"it failed: {export.error}"
    box, score = export.box_difference or 0.0, export.score_difference or 0.0
    return (
        f"{export.runtime}: boxes {box:.1e} of the image's side, scores {score:.1e}, "
        f"{export.matched} of {export.boxes} boxes matched"
    )


def _fix(export: Export) -> str:
    if export.missing:
        return f"Install it for an export to {export.format}; the environment has none of its own."
    if export.error is not None:
        cause = find_cause(export.error)
        return cause.fix if cause else f"Export to {export.format} in the environment yourself."
    return f"Do not deploy an export to {export.format} from here: it is not the model of torch."


def _failure(done: Completed, python: str) -> ExportError:
    name = _NOT_INSTALLED.get(done.exit_code)
    if name:
        return ExportError(
            f"{name} is not installed in the environment of {python}: there is nothing to export",
            hint="Leave out --exports.",
        )
    detail = last_line(done.stderr).rpartition(_MARK)[2].strip()
    cause = find_cause(detail)
    return ExportError(
        f"no export could be tried, exit code {done.exit_code}: {detail}",
        hint=cause.fix if cause else "Leave out --exports, or export in the environment yourself.",
    )
