"""The podman of Debian sid, which plays objects of Kubernetes, in a root folder of its own.

Debian's crun knows no machine with cgroups of both versions; runc does. Podman's rules for
forwarding would dispute the engines' own, so pods have the machine's network.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.engines.place import install
from tests.engines.sid import enter_words, make_sid

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.place import Place

_PACKAGES = ("ca-certificates", "podman", "runc")
_PLAY = """\
folder=$1 container=$2
export PODMAN_IGNORE_CGROUPSV1_WARNING=1
podman() {
    command podman --runtime=runc --cgroup-manager=cgroupfs --root="$folder/root" \
        --runroot="$folder/run" --tmpdir="$folder/tmp" "$@"
}
trap 'podman kube down --force "$folder/objects.yaml" > "$folder/down" 2>&1' EXIT
podman kube play --quiet --tls-verify=false --network=host "$folder/objects.yaml" > "$folder/up"
podman wait "$container"
podman logs "$container" 2>&1
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """How a container has ended, and what it printed."""

    exit_code: int
    output: str


def play(place: Place, folder: Path, objects: str, *, container: str) -> Played:
    """Let podman run the objects of a file until a container of theirs has ended.

    ``folder`` is podman's own. What was made in it is gone at the end, but for images.

    Raises:
        UnavailableError: There is no podman, and none can be had.
    """
    install({"util-linux": "unshare"})
    root = make_sid(place, "podman", _PACKAGES)
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (folder / "objects.yaml").write_text(objects)
    done = subprocess.run(
        (*enter_words(root, [folder]), "sh", "-euc", _PLAY, "sh", str(folder), container),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    exit_code, _, output = done.stdout.partition("\n")
    return Played(exit_code=int(exit_code), output=output)
