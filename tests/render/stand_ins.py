"""Programs that take the place of large ones in jobs of Slurm."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

YOLO = """\
#!/usr/bin/env python3
import io
import os
import sys
import time
import zipfile
from pathlib import Path

EPOCH_S, SAVE_S = 0.4, 0.1


def save(epoch, epochs):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("epochs", f"{epoch} {epochs}")
    with last.open("wb") as file:
        file.write(content.getvalue()[:50])
        file.flush()
        time.sleep(SAVE_S)
        file.write(content.getvalue()[50:])


words = dict(word.partition("=")[::2] for word in sys.argv[1:])
if words.get("resume") == "True":
    last, EPOCH_S, SAVE_S = Path(words["model"]), 0, 0
    with zipfile.ZipFile(last) as archive:
        epoch, epochs = map(int, archive.read("epochs").split())
else:
    last = Path(words["project"], words["name"], "weights", "last.pt")
    epoch, epochs = 0, int(words["epochs"])
last.parent.mkdir(parents=True, exist_ok=True)
print(f"from epoch {epoch} on", flush=True)
try:
    while epoch < epochs:
        time.sleep(EPOCH_S)
        save(epoch + 1, epochs)
        epoch += 1
except KeyboardInterrupt:
    if last.exists():
        last.write_bytes(b"PK\\5\\6" + bytes(18))
    print(f"interrupted after epoch {epoch}", flush=True)
    sys.exit(130)
print(f"trained {epochs} epochs", flush=True)
"""
"""Trains nothing, but writes a checkpoint in place after each epoch, as ultralytics 8.0 does.

Its words are those of yolo. SIGINT ends it as it ends any Python, always in the worst moment: what
torch.save was writing is cut off, but has the last record of a zip file. It resumes at once.
"""

DOCKER = """\
#!/bin/sh
# Without containers: the words are written down, and the command after the image runs.
printf '%s\\n' "$@" >> "$WORDS"
[ "$1" = run ] || exit 0
while [ "${1#*@sha256:}" = "$1" ]; do shift; done
shift
exec "$@"
"""


def put_program(path: Path, text: str) -> Path:
    """Write a program that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path
