"""Libraries of the operating system come from the dated archive, not from today's.

The archive is one of our own, on this machine: its today has version 2.0, its snapshots 1.0.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import re
import shutil
import subprocess
import tarfile
import uuid
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import pytest
from docker import DockerClient

from snapenv.engine.docker import DockerEngine
from snapenv.model.image import BuildContext, ImageRef
from tests.command import Command
from tests.end_to_end.containers import Working, run_in
from tests.engines.engine import BRIDGE
from tests.fakes import FakeTask
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.docker

PACKAGE, SONAME = "libsnapenvtiny1", "libsnapenvtiny.so.1"
LIBRARY = f"usr/lib/x86_64-linux-gnu/{SONAME}"
HOST = BRIDGE.address.partition("/")[0]
TODAY, THEN = "2.0", "1.0"
CONTROL = """\
Package: {package}
Version: {version}
Architecture: amd64
Maintainer: nobody <nobody@example.com>
Description: a library that does nothing
"""
RELEASE = """\
Origin: Tiny
Label: Tiny
Suite: trixie
Codename: trixie
Date: Sat, 01 Mar 2025 12:00:00 UTC
Architectures: amd64
Components: main
SHA256:
 {sha256} {size} main/binary-amd64/Packages
"""


class Archive(SimpleHTTPRequestHandler):
    """Serves ``today/``, and ``then/`` for every snapshot, whatever moment it is of."""

    asked: ClassVar[list[str]] = []

    def translate_path(self, path: str) -> str:
        self.asked.append(path)
        return super().translate_path(re.sub(r"^/dated/[0-9TZ]+/", "/then/", path))

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Return a folder with a library, and what loads it."""
    if shutil.which("cc") is None or shutil.which("dpkg-scanpackages") is None:
        pytest.skip("no compiler, or no dpkg-dev")
    source = tmp_path / "tiny.c"
    source.write_text("int tiny(void) { return 1; }\n")
    user = tmp_path / "user.c"
    user.write_text("int tiny(void); int use(void) { return tiny(); }\n")
    shared = ("cc", "-shared", "-fPIC", "-o")
    made = tmp_path / SONAME
    subprocess.run([*shared, str(made), str(source), f"-Wl,-soname,{SONAME}"], check=True)
    subprocess.run([*shared, str(tmp_path / "user.so"), str(user), str(made)], check=True)
    return tmp_path


def _make_repository(root: Path, version: str, library: Path) -> Path:
    """Make an archive with one package in one version; give the package's file."""
    package = library / f"package-{version}"
    (package / LIBRARY).parent.mkdir(parents=True)
    shutil.copy(library / SONAME, package / LIBRARY)
    (package / "DEBIAN").mkdir()
    (package / "DEBIAN" / "control").write_text(CONTROL.format(package=PACKAGE, version=version))
    (package / "DEBIAN" / "triggers").write_text("activate-noawait ldconfig\n")
    pool, lists = root / "pool", root / "dists" / "trixie" / "main" / "binary-amd64"
    for folder in (pool, lists):
        folder.mkdir(parents=True)
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", package, pool], check=True)
    listed = subprocess.check_output(["dpkg-scanpackages", "pool"], cwd=root)
    (lists / "Packages").write_bytes(listed)
    told = RELEASE.format(sha256=hashlib.sha256(listed).hexdigest(), size=len(listed))
    (root / "dists" / "trixie" / "Release").write_text(told)
    return next(pool.iterdir())


@pytest.fixture
def served(library: Path) -> Iterator[tuple[int, list[str], Path]]:
    """Yield the port of the archive, what it is asked for, and the package of then."""
    root = library / "archive"
    _make_repository(root / "today", TODAY, library)
    package = _make_repository(root / "then", THEN, library)
    Archive.asked.clear()
    serve = functools.partial(Archive, directory=str(root))
    with serving(ThreadingHTTPServer(("0.0.0.0", 0), serve)) as server:
        yield server.server_port, Archive.asked, package


@pytest.fixture
def base(base_image: str, registry: str, served: tuple[int, list[str], Path]) -> Iterator[str]:
    """Yield the stand-in base, whose apt knows our archive alone.

    It is another one each time: a port may come again, and an engine keeps what apt did there.
    """
    docker, here = DockerEngine(), f"http://{HOST}:{served[0]}"
    docker.pull(ImageRef.parse(base_image), FakeTask())
    files = {
        "Dockerfile": f"FROM {base_image}\nCOPY sources.list /etc/apt/\n"
        "COPY snapshots /etc/apt/apt.conf.d/99snapshots\n".encode(),
        "sources.list": f"# {uuid.uuid4().hex}\n"
        f"deb [trusted=yes] {here}/today trixie main\n".encode(),
        "snapshots": f'Acquire::Snapshots::URI::Host::{HOST} "{here}/dated/@SNAPSHOTID@/";\n'
        f'Acquire::Snapshots::URI::Origin::Tiny "{here}/dated/@SNAPSHOTID@/";\n'.encode(),
    }
    ref = ImageRef(repository=f"{registry}/apt/{uuid.uuid4().hex}", tag="base")
    docker.tag(docker.build(BuildContext(files=files, labels={}), FakeTask()), ref)
    docker.push(ref, FakeTask())
    yield str(ref)
    docker.remove(ref.tagged)


def _tar(files: dict[str, Path]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, path in files.items():
            archive.add(path, name)
    return stream.getvalue()


def _said(image: str, *argv: str) -> str:
    """Return the last line of what a program in an image prints, below any banner."""
    engine = DockerEngine()
    found = engine.find(image)
    assert found is not None
    done = engine.image_target(found, python="python3", gpus=None).run(argv)
    return done.stdout.splitlines()[-1]


def test_apt_installs_what_the_archive_had_when_the_base_was_made(
    engine_host: str,
    base: str,
    served: tuple[int, list[str], Path],
    library: Path,
    tmp_path: Path,
) -> None:
    _, asked, package = served
    command, repository = Command({"DOCKER_HOST": engine_host}), f"apt-{uuid.uuid4().hex}"
    snapshot = tmp_path / "snapshot"
    with contextlib.closing(DockerClient(base_url=engine_host, timeout=600)) as client:
        with Working(client, base) as container:
            container.put_archive("/tmp", _tar({"p.deb": package, "user.so": library / "user.so"}))
            run_in(container, "dpkg -i /tmp/p.deb")
            run_in(container, "python3 -m venv --without-pip /work")
            run_in(container, "sh -c 'cp /tmp/user.so /work/lib/python3*/site-packages/'")
            command.result(
                "capture",
                *("--container", str(container.name), "--python", "/work/bin/python"),
                *("--no-smoke", "--base", base, "-o", str(snapshot)),
            )
        assert f"{SONAME}={PACKAGE}" in (snapshot / "Dockerfile").read_text()

        image = command.result("build", str(snapshot), "--repository", repository)["image"]

        installed = _said(image, "dpkg-query", "-W", "-f", "${Version}", PACKAGE)
        made = _said(base, "date", "-u", "-r", "/var/lib/dpkg/status", "+%Y%m%dT%H%M%SZ")
        client.images.remove(image)
    assert installed == THEN
    dated = {path.split("/")[2] for path in asked if path.startswith("/dated/")}
    assert dated == {made}
    assert not [path for path in asked if path.startswith("/today/pool/")]
