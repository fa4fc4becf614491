"""Look with other files in place of the machine's own, in a mount namespace of the probe's."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from snapenv.probe.probe import probe
from snapenv.targets.local import LocalTarget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from snapenv.model.facts import Facts
    from tests.probe.environments import Venv

_UNSHARE = ("unshare", "--mount", "--map-root-user")
# A root of its own, with the machine's folders and links and none of its plain files.
_MAKE_ROOT = """set -e
for entry in /*; do
    if [ -L "$entry" ]; then cp -P "$entry" "$root$entry"
    elif [ -d "$entry" ]; then mkdir -p "$root$entry"; mount --rbind "$entry" "$root$entry"
    fi
done
"""


def look_with(
    venv: Venv, places: Mapping[str, Path] | None = None, *, marks: Sequence[str] = ()
) -> Facts:
    """Look while each place shows what lies at a path, and the root holds these marks alone.

    The test is skipped where no namespace can be made.
    """
    if subprocess.run([*_UNSHARE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")
    root = venv.folder / "root"
    root.mkdir()
    for mark in marks:
        (root / mark).touch()
    script = venv.folder / "in-place.sh"
    mounts = "".join(
        f"mount --bind {shlex.quote(str(shown))} $root{place}\n"
        for place, shown in (places or {}).items()
    )
    go_back = 'cd "$1" && shift && exec "$@"'
    chroot = '"$(PATH=$PATH:/usr/sbin command -v chroot)"'  # not on the path of a user of Debian
    enter = f'exec {chroot} $root sh -c {shlex.quote(go_back)} sh "$PWD" {venv.python} "$@"'
    script.write_text(f"root={root}\n{_MAKE_ROOT}{mounts}{enter}\n")
    python = venv.folder / "python-in-place"
    python.write_text(f'#!/bin/sh\nexec {shlex.join([*_UNSHARE, "sh", str(script)])} "$@"\n')
    python.chmod(0o755)
    return probe(LocalTarget(str(python)))
