"""What a venv was proved to be, kept until its packages change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.ports import Services


class ProvedVenv(Struct, frozen=True, kw_only=True):
    """What a venv was proved to be."""

    tag: str
    snapshot: str  # the digest


def venv_state(folder: Path) -> str:
    """Return a text that is another one once packages of a venv were installed or removed."""
    places = sorted(folder.glob("lib/python*/site-packages"))
    return f"{folder} {[str(place.stat().st_mtime_ns) for place in places]}"


def keep_proved_venv(folder: Path, proved: ProvedVenv, services: Services) -> None:
    """Remember what a venv was proved to be, until its packages change."""
    services.made().keep_value(_venv_name(venv_state(folder), services), proved)


def proved_venv(state: str, services: Services) -> ProvedVenv | None:
    """Return what a venv in a state was proved to be, if it was."""
    return services.made().find_value(_venv_name(state, services), ProvedVenv)


def _venv_name(state: str, services: Services) -> str:
    return services.made().namer()("a proved venv", state)
