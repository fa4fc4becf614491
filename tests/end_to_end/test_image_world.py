"""What an image of ours is like for those who pull it, run it, or build it without us."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from docker import DockerClient

from snapenv.model.snapshot import IMAGE_CHECK
from tests.command import Command, certificates
from tests.end_to_end.containers import Working, install, run_in
from tests.engines.newer_engine import NEWER as NEWER_ENGINE
from tests.engines.newer_engine import buildx, start_newer
from tests.engines.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container

pytestmark = pytest.mark.docker

OLDER, NEWER = "8.4.189", "8.4.190"
PINS = "numpy==2.3.5 six==1.17.0"
MOST_BYTES = 30_000_000
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Two:
    """Two environments that differ in their ultralytics alone, each captured and built."""

    client: DockerClient
    command: Command
    snapshots: Mapping[str, Path]  # by version
    images: Mapping[str, str]
    registry: str


@pytest.fixture(scope="module")
def two(
    engine_host: str, base_image: str, registry: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Two]:
    client = DockerClient(base_url=engine_host, timeout=600)
    command = Command({"DOCKER_HOST": engine_host})
    folder = tmp_path_factory.mktemp("image-world")
    with Working(client, base_image) as container:
        snapshots = {
            version: _capture(container, version, folder / version, command, base_image)
            for version in (OLDER, NEWER)
        }
    images = {
        version: _build(snapshot, f"{registry}/image-world", command)
        for version, snapshot in snapshots.items()
    }
    yield Two(client, command, snapshots, images, registry)
    for image in images.values():
        client.images.remove(image, force=True)
    client.close()


def test_a_new_ultralytics_costs_a_colleague_at_most_30_mb(two: Two) -> None:
    older, newer = (_layers(two.images[version]) for version in (OLDER, NEWER))

    pulled = sum(size for digest, size in newer.items() if digest not in older)

    assert 0 < pulled <= MOST_BYTES
    assert sum(newer.values()) > 10 * pulled


@pytest.mark.parametrize("user", ["", "0:0", "1000:1000", "12345:54321"])
def test_an_image_works_as_whoever_it_runs(two: Two, user: str) -> None:
    code = """
import getpass, json, os, pathlib, sys
home = pathlib.Path.home()
(home / ".cache" / "x").mkdir(parents=True)
pathlib.Path("runs").mkdir()
for name in ("YOLO_CONFIG_DIR", "MPLCONFIGDIR"):
    pathlib.Path(os.environ[name]).mkdir()
import numpy
print(json.dumps([os.getuid(), getpass.getuser(), str(home), sys.prefix]))
"""

    said = two.client.containers.run(
        two.images[NEWER], ["python", "-c", code], entrypoint=[], user=user or None, remove=True
    )

    uid = int((user or "1000").partition(":")[0])
    assert json.loads(said) == [uid, "snapenv", "/home/snapenv", "/opt/snapenv/venv"]


def test_whoever_it_runs_as_may_not_change_the_environment(two: Two) -> None:
    code = "import os, sys; print(os.access(sys.prefix, os.W_OK))"

    said = two.client.containers.run(
        two.images[NEWER], ["python", "-c", code], entrypoint=[], remove=True
    )

    assert said == b"False\n"


def test_nothing_of_the_base_s_settings_reaches_the_environment(two: Two) -> None:
    code = "import json, os; print(json.dumps(dict(os.environ)))"

    said = two.client.containers.run(
        two.images[NEWER], ["bash", "-c", f"python -c '{code}'"], entrypoint=[], remove=True
    )

    there = json.loads(said)
    assert there["PIP_CONSTRAINT"] == ""
    assert there["YOLO_AUTOINSTALL"] == "false"
    assert "torch" not in there["LD_LIBRARY_PATH"]
    assert "compat" not in there["LD_LIBRARY_PATH"]


def test_nothing_that_the_build_needed_is_left_in_the_image(two: Two) -> None:
    find = "ls -A /mnt /certificates /uv.whl /uv /root/.cache /usr/local/bin/uv 2>/dev/null"

    said = two.client.containers.run(
        two.images[NEWER], ["sh", "-c", f"{find}; true"], entrypoint=[], user="0", remove=True
    )

    assert said in (b"", b"/mnt:\n")


@pytest.mark.parametrize("user", ["1000:1000", "12345:54321"])
def test_an_image_tells_that_it_is_as_locked_as_whoever_it_runs(two: Two, user: str) -> None:
    document = _check(two.client, two.images[NEWER], user=user)

    assert (document["ok"], document["by"], document["packages"]) == (True, "record", 3)


def test_a_container_names_what_is_no_longer_as_locked(two: Two) -> None:
    edit = """
for file in /opt/snapenv/venv/lib/python3*/site-packages/six.py; do
    touch -r $file /tmp/time; sed -i s/Copyright/copyright/ $file; touch -r /tmp/time $file
done
"""
    container = two.client.containers.run(
        two.images[NEWER],
        ["sleep", "600"],
        entrypoint=[],
        user="0",
        network_mode="none",
        detach=True,
        init=True,
    )
    try:
        before = _execute(container, IMAGE_CHECK, "--json")
        _execute(container, "sh", "-c", f"touch /dev/termination-log; {edit}")
        after = _execute(container, IMAGE_CHECK, "--json")
        _, message = _execute(container, "cat", "/dev/termination-log")
    finally:
        container.remove(force=True)

    document = json.loads(after[1])
    assert (before[0], json.loads(before[1])["by"]) == (0, "record")
    assert (after[0], document["by"]) == (1, "files")
    assert [each["package"] for each in document["findings"]] == ["six"]
    assert message == document["summary"]


def test_a_plain_docker_build_of_the_snapshot_gives_the_same_environment(two: Two) -> None:
    name = "snapenv-image-world:plain"

    _plain_build(two.client, _context(two.snapshots[NEWER]), name)
    plain, ours = (_installed(two.client, image) for image in (name, two.images[NEWER]))
    document = _check(two.client, name)

    two.client.images.remove(name, force=True)
    assert plain == ours
    assert (document["ok"], document["by"]) == (True, "record")
    assert ["ultralytics", NEWER] in ours


def test_docker_buildx_of_the_snapshot_gives_the_same_environment(two: Two) -> None:
    place, name = Place.default(), "snapenv-image-world:buildx"
    client = DockerClient(base_url=start_newer(place, NEWER_ENGINE), timeout=600)
    try:
        buildx(place, NEWER_ENGINE, _context(two.snapshots[NEWER]), name=name)

        built, ours = _installed(client, name), _installed(two.client, two.images[NEWER])
        client.images.remove(name, force=True)
    finally:
        client.close()

    assert built == ours


HARD = r"""
USER nobody
WORKDIR /nowhere
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN exit 0
ENV PYTHONPATH=/shadow PYTHONOPTIMIZE=2 LD_PRELOAD=/shadow/gone.so
ENTRYPOINT ["python3", "-c", "print('a server')"]
"""


def test_a_base_with_habits_of_its_own_gives_the_same_environment(two: Two) -> None:
    plain = _base_of(two.client, two.images[NEWER])
    hard, repository = f"{two.registry}/image-world:hard", f"{two.registry}/hard-world"
    shadow = "RUN mkdir /shadow && echo 'raise SystemExit(6)' > /shadow/six.py"
    _plain_build(two.client, _one_file(f"FROM {plain}\n{shadow}\n{HARD}"), hard)
    two.client.images.push(hard)

    words = ("build", str(two.snapshots[NEWER]), "--base", hard, "--repository", repository)
    document = two.command.document(*words)

    image = str(document["result"]["image"])
    said = two.client.containers.run(image, ["python", "-c", "import six; print(6)"], remove=True)
    for name in (image, hard):
        two.client.images.remove(name, force=True)
    assert said == b"6\n"
    assert "starts no command" in document["warnings"][-1]


def _base_of(client: DockerClient, image: str) -> str:
    labels = client.images.get(image).labels
    label = "org.opencontainers.image.base"
    return f"{labels[f'{label}.name']}@{labels[f'{label}.digest']}"


def _one_file(dockerfile: str) -> bytes:
    """Return the context of a build that needs nothing but its Dockerfile."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(dockerfile)
        archive.addfile(member, io.BytesIO(dockerfile.encode()))
    return stream.getvalue()


def _context(snapshot: Path) -> bytes:
    """Return a snapshot as a tar, with this machine's own authorities beside it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(snapshot, ".")
        if certificates():
            with tarfile.open(fileobj=io.BytesIO(certificates())) as authorities:
                archive.addfile(authorities.getmember("ca.pem"), authorities.extractfile("ca.pem"))
    return stream.getvalue()


def _installed(client: DockerClient, image: str) -> list[list[str]]:
    code = (
        "import importlib.metadata as m, json; "
        "print(json.dumps(sorted([d.name, d.version] for d in m.distributions())))"
    )
    said = client.containers.run(image, ["python", "-c", code], entrypoint=[], remove=True)
    installed: list[list[str]] = json.loads(said)
    return installed


def _check(client: DockerClient, image: str, *, user: str | None = None) -> dict[str, Any]:
    """Return what snapenv-check answers in a container that can neither write nor reach anyone."""
    said = client.containers.run(
        image,
        [IMAGE_CHECK, "--json"],
        entrypoint=[],
        user=user,
        network_mode="none",
        read_only=True,
        remove=True,
    )
    document: dict[str, Any] = json.loads(said)
    return document


def _execute(container: Container, *words: str) -> tuple[int | None, str]:
    done = container.exec_run([*words])
    assert isinstance(done.output, bytes)
    return done.exit_code, done.output.decode()


def _plain_build(client: DockerClient, context: bytes, name: str) -> None:
    """Build as ``docker build -t NAME -`` does."""
    api = client.api
    with api.post(
        f"{api.base_url}/v{api.api_version}/build",
        params={"version": "2", "t": name},
        data=context,
        headers={"Content-Type": "application/x-tar"},
        stream=True,
    ) as answer:
        lines = [json.loads(line) for line in answer.iter_lines() if line.strip()]
    assert [line for line in lines if "error" in line] == []


def _capture(
    container: Container, version: str, snapshot: Path, command: Command, base: str
) -> Path:
    run_in(container, "python3 -m venv --without-pip --clear /work")
    words = f"--no-deps {PINS} ultralytics=={version}"
    install(container, words, python="/work/bin/python")
    command.result(
        "capture",
        *("--container", str(container.name), "--python", "/work/bin/python"),
        *("--no-smoke", "--base", base, "-o", str(snapshot)),
    )
    return snapshot


def _build(snapshot: Path, repository: str, command: Command) -> str:
    words = ("build", str(snapshot), "--repository", repository, "--replace", "--push")
    return str(command.result(*words)["image"])


def _layers(image: str) -> Mapping[str, int]:
    """Ask the registry for the layers of an image by their digests, with their packed sizes."""
    host, _, rest = image.partition("/")
    path, _, tag = rest.partition(":")
    answer = requests.get(
        f"http://{host}/v2/{path}/manifests/{tag}", headers={"Accept": MANIFEST}, timeout=30
    )
    manifest: dict[str, Any] = answer.json()
    return {layer["digest"]: layer["size"] for layer in manifest["layers"]}
