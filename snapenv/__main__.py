"""``python -m snapenv``, and the program ``snapenv``."""

from __future__ import annotations

import gc
import sys

_OBJECTS = 100_000  # imports alone make as many, and would set the collector off again and again


def main() -> None:
    """Run the command line and exit with its code."""
    gc.set_threshold(_OBJECTS)
    from snapenv.cli.main import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
