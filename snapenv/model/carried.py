"""Files that travel: their bytes, or where these lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Content: TypeAlias = bytes | Path
"""What a file holds: its bytes, or a file of ours, read when and only when it is needed.

A Path stands for what may be large. Nobody changes it meanwhile, and nobody writes to it.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class CarriedFile:
    """What a file held, and whether it may be run; of a large one, where it lies meanwhile."""

    content: Content
    executable: bool

    @property
    def text(self) -> bytes:
        """Its bytes, of a file that is no larger than texts are; else nothing."""
        return self.content if isinstance(self.content, bytes) else b""
