"""``snapenv-check`` as files of a snapshot: the program, and a lock as JSON to compare with.

Python reads TOML from 3.11 on, and an environment may be of 3.8.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from snapenv.model.facts import NEUTRAL_VARIABLES
from snapenv.model.snapshot import CHECK_FILE, CHECK_PROGRAM
from snapenv.program import program_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.kept import Kept
    from snapenv.model.snapshot import Lock

_SCHEMA = 1
_ASKED = ("environment", "conda", "native", "variables", "startup")  # of the facts
_BASELINE = ("losses", "conditions")


def check_files(lock: Lock, made: Kept) -> Mapping[str, bytes]:
    """Return the files by their names; ``made`` keeps the program as it was packed before."""
    return {CHECK_PROGRAM: _packed(made), CHECK_FILE: write_expected(lock)}


def write_expected(lock: Lock) -> bytes:
    """Return what is compared with, as JSON; the same lock gives the same bytes."""
    facts = msgspec.to_builtins(lock.facts)
    baseline = msgspec.to_builtins(lock.baseline) if lock.baseline else None
    document = {
        "schema": _SCHEMA,
        "snapenv": lock.snapenv,
        "tag": lock.tag,
        "facts": {name: facts[name] for name in _ASKED},
        "neutral": NEUTRAL_VARIABLES,
        "baseline": baseline and {name: baseline[name] for name in _BASELINE},
    }
    return msgspec.json.encode(document, order="sorted") + b"\n"


def _packed(made: Kept) -> bytes:
    name = hashlib.sha256(f"{CHECK_PROGRAM} {program_digest()}".encode()).hexdigest()
    packed = made.find(name)
    if packed is None:
        from snapenv.travel.pack import pack  # with zipfile, which takes long to import

        packed = pack("snapenv_check")
        made.keep(name, packed)
    return packed
