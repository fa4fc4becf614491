"""One training of the real environment, with which the tests compare theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.targets.local import LocalTarget
from snapenv.verify.smoke_train import smoke_train
from tests.verify.told import Told

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.fingerprint import Fingerprint


@pytest.fixture(scope="session")
def trained(exact_python: Path) -> Fingerprint:
    """Return what the smoke-train says of the environment as it is."""
    return smoke_train(LocalTarget(str(exact_python)), device="cpu", task=Told())
