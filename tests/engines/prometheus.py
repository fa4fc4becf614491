"""Debian's Prometheus and its promtool, unpacked beside the system: nothing is installed."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines.place import UnavailableError, call, free_port, install, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.engines.place import Place

_PACKAGES = ("^prom(etheus|tool)$",)  # promtool is one of its own from Debian 13 on
_WITHIN_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Prometheus:
    """The folder of the programs."""

    programs: Path

    def promtool(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run promtool to its end."""
        return subprocess.run(
            (str(self.programs / "promtool"), *map(str, words)),
            capture_output=True,
            text=True,
            check=False,
        )

    @contextlib.contextmanager
    def serve(self, config: str, folder: Path) -> Iterator[str]:
        """Yield the address of a server with this configuration, until the block ends."""
        port = free_port()
        (folder / "prometheus.yml").write_text(config)
        argv = (
            str(self.programs / "prometheus"),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        )
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(argv, stdout=log, stderr=log) as process,
        ):
            try:
                _wait_until_ready(process, f"http://127.0.0.1:{port}/-/ready", folder / "log")
                yield f"http://127.0.0.1:{port}"
            finally:
                process.send_signal(signal.SIGTERM)


def make_prometheus(place: Place) -> Prometheus:
    """Return the programs, unpacked if they are not there.

    Raises:
        UnavailableError: They cannot be had here.
    """
    return Prometheus(programs=unpack(place, "prometheus", _PACKAGES) / "usr/bin")


def make_node_exporter(place: Place) -> Path:
    """Return the program, unpacked if it is not there.

    Raises:
        UnavailableError: It cannot be had here.
    """
    unpacked = unpack(place, "node-exporter", ("prometheus-node-exporter",))
    return unpacked / "usr/bin/prometheus-node-exporter"


def unpack(place: Place, name: str, packages: Sequence[str]) -> Path:
    """Return a folder with the files of Debian packages alone, without what they depend on.

    A name between ``^`` and ``$`` is an expression: each package that matches is taken.

    Raises:
        UnavailableError: They cannot be had here.
    """
    folder = place.folder / f"{name}-unpacked"
    if folder.exists():
        return folder
    install({"dpkg": "dpkg-deb", "apt": "apt-get"})
    say(f"unpacking {', '.join(packages)}")
    call("apt-get", "update", "--quiet")
    with tempfile.TemporaryDirectory(prefix=f"making-{name}-", dir=place.folder) as making:
        made = Path(making, "root")
        script = 'cd "$1"; shift; apt-get download --quiet "$@"'
        call("sh", "-euc", script, "sh", making, *packages)
        for archive in sorted(Path(making).glob("*.deb")):
            call("dpkg-deb", "-x", str(archive), str(made))
        shutil.move(made, folder)
    return folder


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + _WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url):
            return
        time.sleep(0.05)
    raise UnavailableError(f"prometheus does not start here: {log.read_text()[-500:]}")
