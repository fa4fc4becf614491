"""A registry on loopback, without a password or with one.

Source: https://distribution.github.io/distribution/about/configuration/
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import requests

from tests.engines.place import Place, Service, install, kept_port, say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONFIG = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {storage}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""
_CONFIG_AUTH = """\
auth:
  htpasswd: {{realm: snapenv, path: {path}}}
"""

USER, PASSWORD = "somebody", "a long password of the tests"
# The line that `htpasswd -nbB -C 4` gives for them.
_HTPASSWD = "somebody:$2y$04$abcdefghijklmnopqrstuuKuRlcHRo5BMrVKswk1BVLVYrQPnuJUe\n"


def start_registry(place: Place, *, password: bool = False) -> str:
    """Return ``localhost:PORT`` of our registry, started if it does not run.

    With ``password`` it lets in USER with PASSWORD alone.

    Raises:
        UnavailableError: It cannot run here.
    """
    port = kept_port(place.folder / "registry.json")
    service = _service(place)
    if service.pid() is not None and _answers(port):
        return f"localhost:{port}"
    service.stop()
    install({"docker-registry": "docker-registry"})
    say(f"starting a registry at localhost:{port}")
    config = place.folder / "registry.yml"
    text = _CONFIG.format(storage=json.dumps(str(place.folder / "registry")), port=port)
    if password:
        users = place.folder / "registry.htpasswd"
        users.write_text(_HTPASSWD)
        text += _CONFIG_AUTH.format(path=json.dumps(str(users)))
    config.write_text(text)
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


def _answers(port: int) -> bool:
    try:
        answer = requests.get(f"http://127.0.0.1:{port}/v2/", timeout=5)
    except requests.RequestException:
        return False
    return answer.ok or answer.status_code == requests.codes.unauthorized


@contextmanager
def serve_private(folder: Path) -> Iterator[str]:
    """Yield ``localhost:PORT`` of a registry of its own, with a password, until the block ends.

    Raises:
        UnavailableError: It cannot run here.
    """
    place = Place(folder)
    with place.lock():
        name = start_registry(place, password=True)
    try:
        yield name
    finally:
        stop_registry(place)
        shutil.rmtree(place.run, ignore_errors=True)
