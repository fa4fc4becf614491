"""Independent clients of registries, of Debian sid: cosign, which checks signatures, and oras."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines.place import install
from tests.engines.sid import enter_words, make_sid

if TYPE_CHECKING:
    from tests.engines.place import Place

_PACKAGES = ("ca-certificates", "cosign", "oras")


@dataclass(frozen=True, kw_only=True, slots=True)
class Clients:
    """A root folder with the clients."""

    root: Path

    def run(self, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of them; it sees the folder by the same name."""
        done = (*enter_words(self.root, [folder]), "env", "HOME=/tmp", *words)
        return subprocess.run(done, capture_output=True, text=True, check=False, timeout=120)


def make_clients(place: Place) -> Clients:
    """Return the clients, made ready if they are not there.

    Raises:
        UnavailableError: They cannot be had here.
    """
    install({"util-linux": "unshare"})
    return Clients(root=make_sid(place, "clients", _PACKAGES))
