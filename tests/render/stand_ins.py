"""Programs that take the place of large ones in jobs of Slurm."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

YOLO = """\
#!/usr/bin/env python3
import json
import os
import sys
import time
from pathlib import Path

words = dict(word.partition("=")[::2] for word in sys.argv[1:])
if words.get("resume") == "True":
    last = Path(words["model"])
    checkpoint = json.loads(last.read_text())
else:
    last = Path(words["project"], words["name"], "weights", "last.pt")
    checkpoint = {"epoch": 0, "epochs": int(words["epochs"]), "words": sys.argv[1:]}
last.parent.mkdir(parents=True, exist_ok=True)
print(f"from epoch {checkpoint['epoch']} on, uid {os.getuid()}", flush=True)
try:
    while checkpoint["epoch"] < checkpoint["epochs"]:
        time.sleep(0 if "resume" in words else 0.5)
        checkpoint["epoch"] += 1
        last.write_text(json.dumps(checkpoint))
except KeyboardInterrupt:
    print(f"interrupted after epoch {checkpoint['epoch']}", flush=True)
    sys.exit(130)
print(f"trained {checkpoint['epochs']} epochs", flush=True)
"""
"""Trains nothing, but writes a checkpoint for each epoch of half a second, as ultralytics does.

Its words are those of yolo. SIGINT ends it as it ends any Python. It resumes at once.
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
