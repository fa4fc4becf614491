"""The podman of Debian sid, which plays objects of Kubernetes, in a root folder of its own.

Debian's crun knows no machine with cgroups of both versions; runc does. Podman's rules for
forwarding would dispute the engines' own, so pods have the machine's network.
"""

from __future__ import annotations

import fcntl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines.place import install
from tests.engines.sid import enter_words, make_sid

if TYPE_CHECKING:
    from tests.engines.place import Place

_PACKAGES = ("ca-certificates", "catatonit", "podman", "runc")
_PLAY = """\
folder=$1 container=$2 inside=$3
export PODMAN_IGNORE_CGROUPSV1_WARNING=1
podman() {
    command podman --runtime=runc --cgroup-manager=cgroupfs --root="$folder/root" \
        --runroot="$folder/run" --tmpdir="$folder/tmp" "$@"
}
trap 'podman kube down --force "$folder/objects.yaml" > "$folder/down" 2>&1' EXIT
podman kube play --quiet --replace --tls-verify=false --network=host "$folder/objects.yaml" \
    > "$folder/up"
if [ -n "$inside" ]; then
    podman exec --interactive "$container" sh -euc "$inside" > "$folder/output"
    podman stop --time=60 "$container" > "$folder/stopped"
    podman wait "$container"
    cat "$folder/output"
else
    podman wait "$container"
    podman logs "$container" 2>&1
fi
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """How a container has ended, and what it printed, or what was run in it."""

    exit_code: int
    output: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Podman:
    """A root folder with podman, and podman's own folder, in which it keeps images."""

    root: Path
    folder: Path

    def play(self, objects: str, *, container: str, inside: str = "", stdin: bytes = b"") -> Played:
        """Run the objects of a file until a container of theirs has ended, and remove them.

        Where a script is to run ``inside`` of it, it is stopped after that, by SIGTERM.
        """
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (self.folder / "objects.yaml").write_text(objects)
            words = enter_words(self.root, [self.folder])
            done = subprocess.run(
                (*words, "sh", "-euc", _PLAY, "sh", str(self.folder), container, inside),
                input=stdin,
                capture_output=True,
                check=False,
                timeout=300,
            )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        exit_code, _, output = done.stdout.decode().partition("\n")
        return Played(exit_code=int(exit_code), output=output)


def make_podman(place: Place) -> Podman:
    """Return podman, made ready if it is not there.

    Raises:
        UnavailableError: It cannot be had here.
    """
    install({"util-linux": "unshare"})
    root = make_sid(place, "podman", _PACKAGES)
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    folder = place.folder / "played"
    folder.mkdir(exist_ok=True)
    return Podman(root=root, folder=folder)
