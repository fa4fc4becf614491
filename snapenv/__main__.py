"""``python -m snapenv``, and the program ``snapenv``."""

from __future__ import annotations

import gc
import sys

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
    gc.freeze()  # else all that was imported is looked through once more, which takes 20 ms
    sys.exit(code)


if __name__ == "__main__":
    main()
