from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.probe.environments import make_venv

if TYPE_CHECKING:
    from pathlib import Path

    from tests.probe.environments import Venv

OF_THE_MACHINE = ("PYTHONPATH", "LD_LIBRARY_PATH", "NVIDIA_PYTORCH_VERSION", "OMP_NUM_THREADS")


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Venv:
    """Return an empty virtual environment, away from what this machine has set."""
    for name in OF_THE_MACHINE:
        monkeypatch.delenv(name, raising=False)
    return make_venv(tmp_path / "venv")
