"""A root folder with programs of Debian sid, beside the system's own, and how one enters it.

A plain chroot is not enough: BuildKit mounts / anew, and so does apptainer. So what runs in it gets
a mount namespace and changes its root. The folders of a place are seen there by the same names.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines.base import debootstrap
from tests.engines.place import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.engines.place import Place

_ENTER = """\
root=$1; shift
mount --bind "$root" "$root"
for folder in dev proc sys; do mount --rbind "/$folder" "$root/$folder"; done
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
while [ "$1" != -- ]; do
    mkdir -p "$root$1"
    mount --bind "$1" "$root$1"
    shift
done
shift
for file in hosts resolv.conf; do cat "/etc/$file" > "$root/etc/$file"; done
mkdir -p "$root/before"
cd "$root"
pivot_root . before
cd /
umount -l /before
exec "$@"
"""


def make_sid(place: Place, name: str, packages: Sequence[str]) -> Path:
    """Return a root folder of sid with these packages, made if it is not there.

    An older one of the same ``name`` is removed.

    Raises:
        UnavailableError: It cannot be made here.
    """
    key = hashlib.sha256(repr(packages).encode()).hexdigest()[:12]
    root = place.folder / f"{name}-{key}"
    if root.exists():
        return root
    say(f"making a root folder of sid with {', '.join(packages)}; about a minute")
    for old in place.folder.glob(f"{name}-*"):
        shutil.rmtree(old)
    with tempfile.TemporaryDirectory(prefix=f"making-{name}-", dir=place.folder) as folder:
        made = Path(folder, "root")
        debootstrap("sid", made, packages)
        made.rename(root)
    return root


def enter_words(root: Path, folders: Sequence[Path]) -> tuple[str, ...]:
    """Return the words before a command that run it in the root, with these folders in it."""
    enter = ("unshare", "--mount", "--propagation", "private", "sh", "-euc", _ENTER, "sh")
    return (*enter, str(root), *map(str, folders), "--")
