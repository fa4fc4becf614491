"""Export a model in an environment, run it, and judge how far it is from torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.causes import find_cause
from snapenv.errors import ExportError
from snapenv.model.exports import Export
from snapenv.model.outcome import Check
from snapenv.travel.answer import (
    TRAINING_ENVIRONMENT,
    is_cpu,
    last_line,
    progress_of,
    read_answer,
    run,
    visible,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from snapenv.model.carried import Content
    from snapenv.model.exports import ExportFormat
    from snapenv.model.fingerprint import Fingerprint
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
    wanted = "cpu" if is_cpu(device) else device if device == "auto" else "cuda"
    done = run(
        target,
        "snapenv_export",
        (json.dumps({"formats": list(formats), "device": wanted}),),
        files={f"{_FOLDER}/{name}": content for name, content in layer.items()},
        environment={**TRAINING_ENVIRONMENT, "OMP_NUM_THREADS": "1", **visible(device)},
        on_line=progress_of(_MARK, task),
    )
    if done.exit_code != 0:
        raise _failure(done, target.python)
    try:
        tried = read_answer(done.stdout, _MARK, tuple[Export, ...])
    except ValueError as error:
        raise ExportError(
            f"the answer of the exports cannot be read: {error}",
            hint="Report this as a bug, with the output of the command.",
        ) from error
    return tuple(replace(each, tolerance=_tolerance(each.format)) for each in tried)


def export_checks(exports: Sequence[Export], baseline: Fingerprint | None) -> tuple[Check, ...]:
    """Judge exports beside those of the capture, where it has some of the same formats."""
    captured = {each.format: each for each in (baseline and baseline.exports) or ()}
    return tuple(export_check(each, captured.get(each.format)) for each in exports)


def export_check(export: Export, captured: Export | None = None) -> Check:
    """Judge an export: whether it is torch's model within the tolerance, as it was at capture.

    The tolerance is that of the capture, where there was one.
    """
    tolerance = (captured and captured.tolerance) or _tolerance(export.format)
    ok = not replace(export, tolerance=tolerance).is_apart
    expected = f"boxes and scores of torch within {tolerance:.0e}"
    return Check(
        id=f"export.{export.format}",
        ok=ok,
        expected=expected if captured is None else f"{expected}; at capture {captured.words}",
        actual=export.words,
        fix=None if ok else _fix(export, captured),
        part="workload",
        severity="warning" if _may_be_apart(export, captured) else "error",
    )


def _tolerance(name: ExportFormat) -> float:
    return _LIMITS.get(name, _LIMIT)


def _may_be_apart(export: Export, captured: Export | None) -> bool:
    """Return whether how far a format may be off is unknown, and no capture has been nearer."""
    compared = export.error is None and not export.missing
    was_near = captured and not captured.is_apart and captured.device == export.device
    return compared and export.format in _UNMEASURED and not was_near


def _fix(export: Export, captured: Export | None) -> str:
    if export.missing:
        return f"Install it for an export to {export.format}; the environment has none of its own."
    if export.error is not None:
        cause = find_cause(export.error)
        return cause.fix if cause else f"Export to {export.format} in the environment yourself."
    what = f"Do not deploy an export to {export.format} from here: it is not the model of torch."
    if captured and captured.runtime and captured.runtime != export.runtime:
        return f"{what} {captured.runtime} ran that of the capture: try it with that version."
    return what


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
