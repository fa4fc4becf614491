"""What a command is connected to, and what it does not wait for."""

from __future__ import annotations

import subprocess
import sys


def test_a_command_that_asks_no_engine_imports_none() -> None:
    script = (
        "import sys; from snapenv.cli.main import main; "
        "code = main(['capture', '--python', '/bin/true', '--no-smoke']); "
        "print(code, 'snapenv.workflows.capture' in sys.modules, 'docker' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "3 True False"
