"""A Docker engine without root, of a user of its own, as Debian's script starts it.

Source: https://docs.docker.com/engine/security/rootless/
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines.engine import answers
from tests.engines.place import Service, UnavailableError, call, install, say

if TYPE_CHECKING:
    from tests.engines.place import Place

_USER = "snapenv-rootless"
_PACKAGES = {
    "docker.io": "dockerd",
    "rootlesskit": "rootlesskit",
    "slirp4netns": "slirp4netns",
    "uidmap": "newuidmap",
    "passwd": "useradd",
    "util-linux": "setpriv",
}
_SCRIPT = "/usr/share/docker.io/contrib/dockerd-rootless.sh"
_TUN = Path("/dev/net/tun")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rootless:
    """An engine, and the user who is root in its containers."""

    address: str
    uid: int
    home: Path  # the user's own folder


def start_rootless(place: Place) -> Rootless:
    """Return our engine without root, started if it does not run.

    Raises:
        UnavailableError: It cannot run here.
    """
    install(_PACKAGES)
    user = _user()
    home, uid = Path(user.pw_dir), user.pw_uid
    runtime = home / "run"
    rootless = Rootless(address=f"unix://{runtime}/docker.sock", uid=uid, home=home)
    service = _service(place)
    if service.pid() is not None and answers(rootless.address):
        return rootless
    service.stop()
    runtime.mkdir(mode=0o700, exist_ok=True)
    os.chown(runtime, uid, user.pw_gid)
    if not _TUN.exists():
        raise UnavailableError(f"no {_TUN}")
    _TUN.chmod(0o666)  # as udev makes it
    say(f"starting dockerd without root at {rootless.address}")
    variables = (f"HOME={home}", f"XDG_RUNTIME_DIR={runtime}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
    service.start(
        (
            *("setpriv", f"--reuid={uid}", f"--regid={user.pw_gid}", "--clear-groups"),
            *("env", "-i", f"--chdir={home}", *variables),
            *(_SCRIPT, f"--host={rootless.address}"),
        ),
        answers=lambda: answers(rootless.address),
    )
    return rootless


def stop_rootless(place: Place) -> bool:
    """End our engine without root; False where it did not run."""
    return _service(place).stop()


def _service(place: Place) -> Service:
    return Service(
        name="rootlesskit",
        pid_file=place.run / "rootless.pid",
        log=place.folder / "rootless.log",
    )


def _user() -> pwd.struct_passwd:
    """Return the user, made with numbers below it if it is not there."""
    try:
        return pwd.getpwnam(_USER)
    except KeyError:
        # Its folder lies where another user may go, which the cache need not be.
        call("useradd", "--create-home", "--home-dir", f"/var/tmp/{_USER}", _USER)
    return pwd.getpwnam(_USER)
