"""``python -m snapenv``, and the program ``snapenv``."""

from __future__ import annotations

import sys

from snapenv.cli.main import main as run


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run())


if __name__ == "__main__":
    main()
