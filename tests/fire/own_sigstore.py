"""Run snapenv where Sigstore is an instance of our own: what is trusted is in the file SIGSTORE_TRUST.

It is run by its path, and takes snapenv's words. All but the list of keys is Sigstore's own code, which
asks that instance over HTTP: Sigstore's keys are served by its own hosts alone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sigstore.models import ClientTrustConfig


def main() -> None:
    """Let the keys be those of the file, and do what the words say."""
    trusted = ClientTrustConfig.from_json(Path(os.environ["SIGSTORE_TRUST"]).read_text("utf-8"))
    ClientTrustConfig.production = lambda *_, **__: trusted  # type: ignore[method-assign]
    from snapenv.__main__ import main as run

    run()


if __name__ == "__main__":
    sys.path.pop(0)  # this folder
    main()
