"""Debian sid's apptainer, run as a user without rights in a root folder of its own.

As root it fails where root lacks CAP_SYS_RESOURCE, and users of clusters are not root.
Source: https://apptainer.org/docs/user/latest/
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from tests.engines.place import install
from tests.engines.sid import enter_words, make_sid

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.place import Place

UID = 1000
_PACKAGES = ("apptainer", "ca-certificates")  # squashfuse would need /dev/fuse
_USER = f"user:x:{UID}:{UID}::/home/user:/bin/sh\n"
_PROGRAM = """\
#!/bin/sh
# Registries on loopback speak plain HTTP, and what is cached ends with the tests.
export APPTAINER_NOHTTPS=1 APPTAINER_CACHEDIR={work}/.cache HOME=/home/user
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
chown -R {uid}:{uid} {work}  # what root made, too
exec {enter} setpriv --reuid={uid} --regid={uid} --clear-groups \\
    sh -euc 'cd "$0"; exec apptainer "$@"' "$PWD" "$@"
"""


def make_root(place: Place) -> Path:
    """Return a root folder of sid with apptainer and a user, made if it is not there.

    Raises:
        UnavailableError: It cannot be made here.
    """
    install({"util-linux": "unshare"})
    root = make_sid(place, "apptainer", _PACKAGES)
    passwd, home = root / "etc" / "passwd", root / "home" / "user"
    if _USER not in passwd.read_text():
        passwd.write_text(passwd.read_text() + _USER)
    home.mkdir(exist_ok=True)
    os.chown(home, UID, UID)
    return root


def make_apptainer(place: Place, work: Path) -> Path:
    """Return a program that runs apptainer, which sees ``work`` and the machine's network.

    All in ``work`` becomes its user's own; the program lies there too.

    Raises:
        UnavailableError: It cannot be made here.
    """
    root = make_root(place)
    program = work / "apptainer"
    enter = shlex.join(enter_words(root, (work,)))
    program.write_text(_PROGRAM.format(enter=enter, work=shlex.quote(str(work)), uid=UID))
    program.chmod(0o755)
    return program
