"""An environment of the index's own wheels, brought back without Docker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snapenv.lock.store import read_snapshot
from tests.command import Command

pytestmark = pytest.mark.exact


@pytest.fixture(scope="module")
def snapshot(exact_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exact") / "snapshot"
    words = ("capture", "--python", str(exact_python), "--smoke", "--device", "cpu")
    captured = Command().result(*words, "-o", str(folder))
    assert captured["path"] == str(folder)
    assert captured["tag"] == "train-yolov8.4.190-base-cu130"
    return folder


def test_the_venv_engine_brings_it_back_identical(snapshot: Path, tmp_path: Path) -> None:
    into = tmp_path / "venv"

    restored = Command().result(
        "restore", str(snapshot), "--engine", "venv", "--into", str(into), "--device", "cpu"
    )

    assert restored["tier"] == "identical"
    assert restored["path"] == str(into)
    assert len(restored["losses"]) == 10
    assert restored["speed"]["images_per_s"] > 0


def test_the_lock_alone_is_enough_for_uv(snapshot: Path) -> None:
    lock = (snapshot / "pylock.toml").read_text()

    assert 'name = "nvidia-cudnn-cu13"' in lock
    assert lock.count("sha256") == lock.count("[[packages]]")


@pytest.mark.full
def test_a_second_capture_differs_only_in_when_it_was_and_how_fast(
    snapshot: Path, exact_python: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    words = ("capture", "--python", str(exact_python), "--smoke", "--device", "cpu")

    Command().result(*words, "-o", str(again))

    for name in ("snapenv.toml", "pylock.toml", "Dockerfile"):
        assert (again / name).read_bytes() == (snapshot / name).read_bytes()
    sums, sums_before = (
        [line for line in (place / "SHA256SUMS").read_text().splitlines() if "measured" not in line]
        for place in (again, snapshot)
    )
    assert sums[1:] == sums_before[1:]
    assert sums[0].startswith("# captured at ")
    assert read_snapshot(again).digest == read_snapshot(snapshot).digest


def test_the_demo_ends_with_the_verdict_and_the_seconds(exact_python: Path, tmp_path: Path) -> None:
    demo = Path("examples", "demo.py").absolute()

    done = subprocess.run(
        [sys.executable, str(demo)],
        env={**os.environ, "DEMO_PYTHON": str(exact_python)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "tier identical" in done.stdout
    assert "\nrestore " in done.stdout
