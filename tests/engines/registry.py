"""A registry on loopback, without a password.

Source: https://distribution.github.io/distribution/about/configuration/
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import requests

from tests.engines.place import Service, install, say

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.place import Place

_CONFIG = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {storage}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def start_registry(place: Place) -> str:
    """Give ``localhost:PORT`` of our registry, started if it does not run.

    Raises:
        UnavailableError: It cannot run here.
    """
    port = _port(place.folder / "registry.json")
    service = _service(place)
    if service.pid() is not None and _answers(port):
        return f"localhost:{port}"
    service.stop()
    install({"docker-registry": "docker-registry"})
    say(f"starting a registry at localhost:{port}")
    config = place.folder / "registry.yml"
    config.write_text(_CONFIG.format(storage=json.dumps(str(place.folder / "registry")), port=port))
    service.start(("docker-registry", "serve", str(config)), answers=lambda: _answers(port))
    return f"localhost:{port}"


def stop_registry(place: Place) -> bool:
    """End our registry; False where it did not run."""
    return _service(place).stop()


def _service(place: Place) -> Service:
    return Service(
        name="docker-registry",
        pid_file=place.run / "registry.pid",
        log=place.folder / "registry.log",
    )


def _port(kept: Path) -> int:
    """Give the port of last time, which is in the names of the images, or a free one."""
    if kept.exists():
        return int(json.loads(kept.read_text())["port"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    kept.write_text(json.dumps({"port": port}))
    return port


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/v2/", timeout=5).ok
    except requests.RequestException:
        return False
