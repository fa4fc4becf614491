from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from snapenv.launch.settings import ASK, MARK

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_asked_in_an_environment_needs_nothing_that_is_not_pythons(tmp_path: Path) -> None:
    words = (sys.executable, "-I", "-S", "-c", ASK)  # without site-packages
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, f"{MARK}null\n"), done.stderr
