"""What a training leaves in its folder."""

from __future__ import annotations

import pickle
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

ARGUMENTS = """\
task: detect
mode: train
model: yolov8n.yaml
data: data/data.yaml
epochs: 12
batch: 16
imgsz: 64
amp: false
workers: 0
close_mosaic: 10
warmup_epochs: 2.5
"""


def checkpoint(path: Path, content: Any, *, protocol: int = 2) -> Path:  # noqa: ANN401
    """Write a file as torch.save does: a zip archive with a pickle in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("last/data.pkl", pickle.dumps(content, protocol=protocol))
    return path
