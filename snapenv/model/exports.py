"""How far a model that was exported is from torch's, as values."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

ExportFormat = Literal["torchscript", "onnx", "openvino", "engine"]
"""As ultralytics calls them; engine is TensorRT's."""


class Export(Struct, frozen=True, kw_only=True):
    """One export, and its outputs on images that are the same each time, compared with torch's.

    What was compared is None where it was not, as ``missing`` or ``error`` say.
    """

    format: ExportFormat  # that it was exported to
    runtime: str | None = None  # what ran it: "onnxruntime 1.22.0"
    device: str | None = None  # that it ran on: "cpu", or the GPU's name
    size_bytes: int | None = None  # of what was exported
    box_difference: float | None = None  # the largest, as a share of the image's side
    score_difference: float | None = None  # the largest of a class, of 0 to 1
    boxes: int | None = None  # the best of all images, which were looked for
    matched: int | None = None  # of these, how many overlap by more than 99 %
    tolerance: float | None = None  # that neither difference may exceed
    missing: tuple[str, ...] = ()  # modules that could not be found
    error: str | None = None  # why there is nothing to compare

    @property
    def is_apart(self) -> bool:
        """Whether it is farther from torch than its tolerance, or was not compared."""
        box, score, limit = self.box_difference, self.score_difference, self.tolerance
        if box is None or score is None or limit is None:
            return True
        return not (box <= limit and score <= limit and self.matched == self.boxes)

    @property
    def words(self) -> str:
        """What came out of it, for people."""
        if self.missing:
            return f"{', '.join(self.missing)} cannot be imported"
        if self.error is not None:
            return f"it failed: {self.error}"
        box, score = self.box_difference or 0.0, self.score_difference or 0.0
        return (
            f"{self.runtime}: boxes {box:.1e} of the image's side, scores {score:.1e}, "
            f"{self.matched} of {self.boxes} boxes matched"
        )
