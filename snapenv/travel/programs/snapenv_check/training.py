"""Run the smoke-train that travels in this program, and compare its losses with the lock's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from snapenv_check import losses
from snapenv_check.expected import UnknownError
from snapenv_probe import start

if TYPE_CHECKING:
    from snapenv_check.compare import Finding
    from snapenv_check.expected import Facts

TRAIN = "--train"
"""The first word of a command line that trains and prints the losses, and nothing else."""

ENVIRONMENT = {  # as snapenv/verify/smoke_train.py sets it
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLOv5_AUTOINSTALL": "false",
    "WANDB_MODE": "disabled",
    "COMET_MODE": "disabled",
    "MPLBACKEND": "Agg",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "RANK": "-1",
    "LOCAL_RANK": "-1",
    "WORLD_SIZE": "1",
    "LOGNAME": "snapenv",
}
_MARK = "snapenv-smoke-train: "
_PACKAGES = ("python", "startup", "frameworks", "packages", "import-path", "files")


def compare_with_baseline(lock: Facts, device: str, findings: list[Finding]) -> losses.Trained:
    """Train on ``auto``, ``cpu`` or ``cuda``, and compare the losses.

    Raises:
        UnknownError: The lock has no baseline, or the environment cannot train.
    """
    if not lock["baseline"]:
        raise UnknownError("the lock has no losses to compare with: it was captured without any")
    actual = _train(device)
    is_other = any(each.counts and each.topic in _PACKAGES for each in findings)
    return losses.compare(lock["baseline"], actual, same_packages=not is_other)


def _train(device: str) -> Facts:
    """Train in a child process and an empty folder; what packages print is of no use."""
    try:
        with tempfile.TemporaryDirectory(prefix="snapenv-check-") as folder:
            done = subprocess.run(
                (sys.executable, "-B", start.PROGRAM, TRAIN, "--device", device),
                cwd=folder,
                env={**os.environ, **ENVIRONMENT},
                capture_output=True,
                check=False,
            )
    except OSError as error:
        raise UnknownError(f"there is no folder to train in: {error}") from error
    stdout, stderr = (out.decode(errors="backslashreplace") for out in (done.stdout, done.stderr))
    answers = [line[len(_MARK) :] for line in stdout.split("\n") if line.startswith(_MARK)]
    if done.returncode != 0 or len(answers) != 1:
        raise UnknownError(f"the smoke-train ended with {done.returncode}: {_last_words(stderr)}")
    fingerprint: Facts = json.loads(answers[0])
    return fingerprint


def _last_words(stderr: str) -> str:
    """Return the smoke-train's own last line where there is one, else the last of all."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    own = [line.rpartition(_MARK)[2] for line in lines if _MARK in line]
    return (own or lines or ["it printed nothing"])[-1]
