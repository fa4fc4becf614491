"""Capture, restore and verify an environment on this machine, without Docker and without a GPU.

Creates a small environment with torch and ultralytics from the index, or uses the Python in
DEMO_PYTHON, and ends with the verdict and the duration of each step.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from uv import find_uv_bin

from snapenv.index.wheels import IndexWheels

UV = find_uv_bin()
PLACE = Path("build", "demo")
SNAPENV = (sys.executable, "-m", "snapenv")
# The headless build needs no libGL from the system; ultralytics requires the other one.
OVERRIDE = "opencv-python ; sys_platform == 'never'\n"
PACKAGES = ("torch==2.11.0", "ultralytics==8.4.190", "opencv-python-headless")


def main() -> int:
    """Run the steps; return 0 only if the restored environment matches the captured one."""
    seconds: dict[str, float] = {}
    python = os.environ.get("DEMO_PYTHON") or make_environment(seconds)
    snapshot, restored = PLACE / "snapshot", PLACE / "restored"
    for old in (snapshot, restored):
        shutil.rmtree(old, ignore_errors=True)
    code = _step(seconds, "capture", *SNAPENV, "capture", "--python", python, "-o", str(snapshot))
    if code == 0:
        words = ("restore", str(snapshot), "--engine", "venv", "--into", str(restored))
        code = _step(seconds, "restore", *SNAPENV, *words)
    print("\n" + "\n".join(f"{name:<12} {took:6.1f} s" for name, took in seconds.items()))
    return code


def make_environment(seconds: dict[str, float]) -> str:
    """Create the environment to capture, once."""
    folder = PLACE / "environment"
    python, ready = folder / "bin" / "python", folder / ".ready"
    if ready.exists():
        return str(python)
    os.environ.update(IndexWheels(None).variables())
    PLACE.mkdir(parents=True, exist_ok=True)
    override = PLACE / "override.txt"
    override.write_text(OVERRIDE, encoding="utf-8")
    base = f"{sys.base_prefix}/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    _step(seconds, "venv", UV, "venv", "--quiet", "--clear", "--python", base, str(folder))
    install = (UV, "pip", "install", "--python", str(python), "--override", str(override))
    if _step(seconds, "packages", *install, *PACKAGES) != 0:
        sys.exit("the index did not give torch and ultralytics")
    ready.touch()
    return str(python)


def _step(seconds: dict[str, float], name: str, *command: str) -> int:
    shown = " ".join(command).replace(" ".join(SNAPENV), "snapenv").replace(UV, "uv")
    print(f"\n$ {shown}", flush=True)
    began = time.monotonic()
    code = subprocess.run(command, check=False).returncode
    seconds[name] = time.monotonic() - began
    return code


if __name__ == "__main__":
    sys.exit(main())
