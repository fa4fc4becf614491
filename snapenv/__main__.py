"""``python -m snapenv``, and the program ``snapenv``."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from typing import NoReturn

_OBJECTS = 100_000  # imports alone make as many, and would set the collector off again and again


def main() -> None:
    """Run the command line and exit with its code.

    Ctrl-C before the command has begun is no traceback, and none after it has ended is heard.
    """
    gc.set_threshold(_OBJECTS)
    try:
        import signal

        from snapenv.cli.main import main as run

        code = run()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        code = 130
    end(code)


def end(code: int) -> NoReturn:
    """End this process without taking its modules apart one by one, which takes 30 ms."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed, and said so before
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
