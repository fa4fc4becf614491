from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.steps.proved_venv import ProvedVenv, keep_proved_venv, proved_venv, venv_state
from tests.workflows.services import services

if TYPE_CHECKING:
    from pathlib import Path

PROVED = ProvedVenv(tag="train-py3.11-base-cpu", snapshot="sha256:ab")


def test_what_a_venv_was_proved_to_be_is_known_until_its_packages_change(tmp_path: Path) -> None:
    given = replace(services(), cache=tmp_path / "cache")
    packages = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    os.utime(packages, (1, 1))
    venv, other = tmp_path / "venv", tmp_path / "other"

    keep_proved_venv(venv, PROVED, given)

    assert proved_venv(venv_state(venv), given) == PROVED
    assert proved_venv(venv_state(other), given) is None
    (packages / "new").mkdir()
    assert proved_venv(venv_state(venv), given) is None
