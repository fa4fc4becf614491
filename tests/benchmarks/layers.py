"""Measure building an image in layers against uv alone, which installs the same pins in one step.

``python -m tests.benchmarks.layers [ROUNDS]``; every build is cold: BuildKit's cache is emptied
before each. Both start from the stand-in base and fetch uv in the same way.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from docker import DockerClient
from msgspec.structs import replace

from snapenv.engine.docker import DockerEngine
from snapenv.lock.store import read_snapshot
from snapenv.model.image import BuildContext
from snapenv.render.dockerfile import render_dockerfile
from snapenv.render.layers import split_lock
from tests.command import Command, certificates
from tests.engines.base import push_base
from tests.engines.engine import start_engine
from tests.engines.place import Place
from tests.engines.registry import start_registry
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from docker.models.containers import Container

    from snapenv.model.carried import Content
    from snapenv.model.snapshot import Snapshot

PINS = ("numpy", "pillow", "pyyaml", "matplotlib", "requests", "psutil", "polars", "networkx")
ALONE = """
RUN --mount=type=bind,from=uv,source=/uv/bin,target=/mnt/bin \\
    --mount=type=bind,from=certificates,source=/certificates,target=/certificates \\
    --mount=type=bind,source=pylock.toml,target=/lock/pylock.toml \\
    if [ -f /certificates/ca.pem ]; then export SSL_CERT_FILE=/certificates/ca.pem; fi; \\
    /mnt/bin/uv venv --quiet --no-cache --system-site-packages /env \\
    && /mnt/bin/uv pip sync --quiet --require-hashes --no-cache \\
       --python /env/bin/python /lock/pylock.toml
"""


def main(rounds: int) -> None:
    place = Place.default()
    os.environ["DOCKER_HOST"] = start_engine(place)
    registry = start_registry(place)
    base = push_base(place, engine=os.environ["DOCKER_HOST"], registry=registry)
    with tempfile.TemporaryDirectory() as folder:
        snapshot = capture(base, Path(folder, "snapshot"))
        contexts = {"in layers": in_layers(snapshot, base), "uv alone": uv_alone(snapshot, base)}
        seconds: dict[str, list[float]] = {name: [] for name in contexts}
        for _ in range(rounds):
            for name, context in contexts.items():
                seconds[name].append(build(context))
    alone = min(seconds["uv alone"])
    for name, each in seconds.items():
        print(f"{name:10} {min(each):6.1f} s {min(each) / alone:5.2f} x uv alone")


def capture(base: str, folder: Path) -> Snapshot:
    """Return the snapshot of a container's venv on the base, into which the pins were installed."""
    client = DockerClient.from_env(timeout=600)
    container = client.containers.run(
        base, ["sleep", "3600"], detach=True, network_mode="host", init=True
    )
    try:
        for words in (
            "python3 -m venv --system-site-packages /env",
            "/env/bin/pip install --quiet --upgrade pip",  # Debian's is no index's
            f"/env/bin/pip install --quiet --ignore-installed {' '.join(PINS)}",
        ):
            code, said = container.exec_run(words, environment=pip_environment(container))
            if code:
                raise RuntimeError(str(said))
        where = ("--container", str(container.name), "--python", "/env/bin/python")
        Command().result("capture", *where, "--no-smoke", "-o", str(folder))
    finally:
        container.remove(force=True)
        client.close()
    return read_snapshot(folder)


def pip_environment(container: Container) -> dict[str, str]:
    """Let pip in there trust whom this machine trusts, without the base's constraints."""
    authority = certificates()
    if authority:
        container.put_archive("/tmp", authority)
    return {"PIP_CONSTRAINT": "", **({"PIP_CERT": "/tmp/ca.pem"} if authority else {})}


def in_layers(snapshot: Snapshot, base: str) -> BuildContext:
    lock = replace(snapshot.lock, base=replace(snapshot.lock.base, image=base))
    layers = split_lock(lock)
    dockerfile = render_dockerfile(lock, layers, kept=[layer.file for layer in layers])
    return with_authority({**snapshot.files, "Dockerfile": dockerfile})


def uv_alone(snapshot: Snapshot, base: str) -> BuildContext:
    """Return a context whose stages before the image itself are the same."""
    layered = in_layers(snapshot, base).files["Dockerfile"]
    before, _, _ = bytes(layered).decode().partition("\nFROM base\n")
    dockerfile = f"{before}\nFROM base\n{ALONE}"
    pylock = snapshot.text("pylock.toml")
    return with_authority({"Dockerfile": dockerfile.encode(), "pylock.toml": pylock})


def with_authority(files: Mapping[str, Content]) -> BuildContext:
    authority = Path(os.environ.get("SSL_CERT_FILE", ""))
    authorities = {"ca.pem": authority.read_bytes()} if authority.is_file() else {}
    return BuildContext(files={**files, **authorities}, labels={})


def build(context: BuildContext) -> float:
    """Build with an empty cache, and give the seconds it took."""
    engine, client = DockerEngine(), DockerClient.from_env(timeout=600)
    client.api.prune_builds()
    began = time.perf_counter()
    image = engine.build(context, FakeTask())
    seconds = time.perf_counter() - began
    engine.remove(image.id)
    client.close()
    return seconds


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 3)
