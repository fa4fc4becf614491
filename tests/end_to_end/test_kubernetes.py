"""A check of a cluster's nodes, as rendered from a pushed image, run by a real podman."""

from __future__ import annotations

import contextlib
import re
import uuid
from typing import TYPE_CHECKING

import pytest
from docker import DockerClient

from snapenv.engine.docker import DockerEngine
from snapenv.model.image import BuildContext, ImageRef
from tests.command import Command
from tests.end_to_end.containers import Working, install
from tests.engines.podman import make_podman
from tests.engines.provide import provide
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from pathlib import Path

CHANGED = """
FROM {image}
USER 0:0
RUN rm /opt/snapenv/venv/lib/python3*/site-packages/six.py
USER 1000:1000
"""


@pytest.mark.docker
@pytest.mark.full
def test_a_check_of_nodes_says_which_is_not_as_locked(
    engine_host: str, base_image: str, registry: str, tmp_path: Path
) -> None:
    command = Command({"DOCKER_HOST": engine_host})
    podman = provide(make_podman)
    with contextlib.closing(DockerClient(base_url=engine_host, timeout=600)) as client:
        image = _pushed(client, command, base_image, registry, tmp_path / "snapshot")
        command.result("render", image, "--as", "kubernetes", "-o", str(tmp_path))
        verify = (tmp_path / "kubernetes" / "verify.yaml").read_text()
        name = f"{image.rpartition(':')[2].replace('.', '-')}-verify-pod-verify"

        locked = podman.play(verify, container=name)
        differs = podman.play(_with_image(verify, _changed(image)), container=name)

        for each in (image, f"{image}-changed"):
            client.images.remove(each, force=True)
    assert locked.exit_code == 0
    assert ": as locked: " in locked.output.splitlines()[-1]
    assert differs.exit_code == 1
    verdict = differs.output.splitlines()[-1]
    assert ": not as locked: " in verdict
    assert "six" in verdict


def _pushed(
    client: DockerClient, command: Command, base: str, registry: str, snapshot: Path
) -> str:
    with Working(client, base) as work:
        install(work, "six==1.17.0")
        where = ("--container", str(work.name), "--python", "/env/bin/python")
        command.result("capture", *where, "--base", base, "-o", str(snapshot))
    words = ("build", str(snapshot), "--repository", f"{registry}/nodes/{uuid.uuid4()}", "--push")
    return str(command.result(*words)["image"])


def _changed(image: str) -> str:
    """Push an image in which one file of the environment is missing."""
    engine = DockerEngine()
    context = BuildContext(files={"Dockerfile": CHANGED.format(image=image).encode()}, labels={})
    name = ImageRef.parse(f"{image}-changed")
    engine.tag(engine.build(context, FakeTask()), name)
    engine.push(name, FakeTask())
    return str(name)


def _with_image(objects: str, image: str) -> str:
    return re.sub(r"( image: ).*", rf"\g<1>{image}", objects)
