"""The room that every attempt begins with."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tarfile
import tempfile
import zipfile
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from snapenv.lock.store import read_snapshot
from snapenv.model.image import ImageRef
from tests.advisories.records import record
from tests.attest.keys import write_keys
from tests.attest.sigstore_instance import running
from tests.end_to_end.containers import Working, install, run_in
from tests.engines.engine import start_engine
from tests.engines.index_server import build_wheel, serve_index
from tests.engines.place import Place
from tests.engines.postgres import run_postgres
from tests.engines.prometheus import make_prometheus
from tests.engines.registry import start_registry
from tests.engines.run_image import run_image
from tests.engines.small_base import push_small_base
from tests.fire.cases import IMAGE, LOCAL, NAME, WITH_PYTHON, WORKSPACE
from tests.fire.image_cases import OTHER, PYTHON, REAL, UP, WORKING
from tests.fire.own_engine import make_image, own_engine, own_registry
from tests.fire.room import Room
from tests.render.stand_ins import put_program
from tests.usage.prometheus_history import serve_history
from tests.usage.team import KEEPER, new_team
from tests.zoo.environment import Venv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from docker.models.containers import Container

_TRAINING = Path(__file__).parents[1] / "workflows" / "stand_in_training.py"
_TRAINS = """
import os, runpy, sys
os.environ.setdefault("STAND_IN", STEPS)
os.environ.setdefault("STARTED", os.devnull)
if sys.orig_argv[-2].endswith("snapenv_bench.pyz"):
    sys.argv = sys.orig_argv[-2:]
    runpy.run_path(__file__.replace("stand_in.py", "training.py"), run_name="__main__")
    sys.stdout.flush()
    os._exit(0)
""".replace("STEPS", repr(json.dumps({"4/0/none": [20], "8/0/none": [20]})))
_JOB = r"\037".join(
    (
        *("tests", "4711", "ada", "vision", "COMPLETED", "0:0", "1793491200", "1793494800"),
        *("billing=8,cpu=8,gres/gpu:h100=2,gres/gpu=2,mem=64G,node=1", "gpu-01", ""),
    )
)
_LONG_S = 600.0  # for what downloads
_FILES = 20  # of the package that is on no index
_SERVES = b"""
import http.server, sys
class Status(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
port = next(int(word.rpartition("=")[2]) for word in sys.argv if ".port=" in word)
http.server.HTTPServer(("127.0.0.1", port), Status).serve_forever()
"""
WHEELS = (
    build_wheel("tool", "1.0", requires=["part<2"], files={"tool.py": b"V = 1\n"}),
    build_wheel("tool", "1.1", requires=["part<2"], files={"tool.py": b"V = 11\n"}),
    build_wheel("part", "1.0"),
    build_wheel("jupyterlab", "4.0", files={"jupyterlab/__main__.py": _SERVES}),
    build_wheel("tensorboard", "2.0"),
    build_wheel("ipykernel", "6.9"),
    build_wheel("uv", version("uv")),  # a snapshot names it by its hash
)


@contextmanager
def furnished(folder: Path, *, registry: str = "") -> Iterator[Room]:
    """Make a room with an environment, its snapshots, a venv, an archive and runs of the past.

    An index on loopback has its packages; nothing else is asked of any other machine. With
    ``registry``, a ``localhost:PORT``, that has a snapshot too. Stand-ins train, serve as
    Jupyter, and tell of a job as Slurm.
    """
    with serve_index(*WHEELS) as server:
        room = Room(folder / "room", {"PIP_INDEX_URL": server.index})
        room.stand_for = {"REGISTRY": registry}
        room.make()
        programs = room.folder / "home/bin"
        programs.mkdir()
        put_program(programs / "sacct", f"#!/bin/sh\nprintf '{_JOB}\\n'\n")
        room.variables = {**room.variables, "PATH": f"{programs}:{os.environ['PATH']}"}
        _make_environment(room.work / "environment", folder, server.index)
        for words in (
            ("capture", "--no-smoke", "--python", "environment/bin/python", "-o", "snapshot"),
            ("update", "snapshot", "--no-smoke", "--upgrade", "tool", "-o", "after"),
            ("restore", "snapshot", "--engine", "venv", "--no-smoke", "--into", "venv"),
            ("export", "snapshot", "-o", "archive.zst"),
            ("render", "archive.zst", "--image", IMAGE, "--as", "slurm", "-o", "rendered"),
            ("run", "venv", "--engine", "venv", "--into", "venv", "--", "python", "-c", "print(1)"),
        ):
            done = room.run(*words)
            assert done.code == 0, (words, done)
        for path in (room.work / "rendered").iterdir():
            path.write_text("# another one\n")
        _make_database(room.work / "all.zip")
        if registry:
            done = room.run("push", "snapshot", f"{registry}/fire/pushed")
            assert done.code == 0, done
        room.keep()
        yield room


@contextmanager
def without_engine(folder: Path) -> Iterator[Room]:
    """Make such a room beside a registry of its own."""
    with (
        own_registry(folder / "registry") as registry,
        furnished(folder, registry=registry) as made,
        run_postgres() as postgres,
        tempfile.TemporaryDirectory(dir=folder) as history,
        serve_history(make_prometheus(Place.default()), Path(history)) as prometheus,
    ):
        first, last = prometheus.days(0, 9)
        told = {"PROMETHEUS": prometheus.address, "FIRST": first, "LAST": last}
        made.stand_for = {**made.stand_for, **told}
        made.new_database = lambda: new_team(postgres, None).url(KEEPER)
        init = next(case for case in LOCAL if case.name == "usage init")
        made.run(*init.said(init.before(made)))  # the server keeps the roles, and tells them once
        yield made


@contextmanager
def with_engine(folder: Path) -> Iterator[Room]:
    """Make such a room beside an engine and a registry of its own, with an image in both."""
    with (
        own_registry(folder / "registry") as registry,
        own_engine(folder / "engine") as engine,
        furnished(folder, registry=registry) as room,
        pytest.MonkeyPatch.context() as patch,
        contextlib.ExitStack() as held,
    ):
        patch.setenv("DOCKER_HOST", engine.address)
        room.variables = {**room.variables, "DOCKER_HOST": engine.address}
        snapshot = read_snapshot(room.work / "snapshot")
        make_image(snapshot, ImageRef.parse(NAME))
        place = Place.default()
        base = push_small_base(place, engine=start_engine(place), registry=start_registry(place))
        held.enter_context(run_image(WITH_PYTHON, engine=engine.address, base=base))
        for words in (
            ("export", NAME, "-o", "image.zst"),
            ("push", NAME, f"{registry}/fire/image"),
        ):
            done = room.run(*words)
            assert done.code == 0, (words, done)
        room.engine = engine
        room.keep()
        yield room
        engine.renew(room.engine_kept)  # no container keeps the images


@contextmanager
def with_image(folder: Path) -> Iterator[Room]:
    """Make a room beside an engine and a registry of its own, with real images in both.

    Their packages are of the index of this machine.
    """
    default = Place.default()
    base = push_small_base(default, engine=start_engine(default), registry=start_registry(default))
    with (
        own_registry(folder / "registry") as registry,
        own_engine(folder / "engine") as engine,
        running() as sigstore,
        contextlib.closing(docker.DockerClient(base_url=engine.address, timeout=600)) as client,
    ):
        trusted = folder / "sigstore.json"
        trusted.write_text(sigstore.config._inner.to_json())
        variables = {"DOCKER_HOST": engine.address, "SIGSTORE_TRUST": str(trusted)}
        room = Room(folder / "room", variables)
        room.stand_for = {"REGISTRY": registry, "BASE": base}
        room.make()
        write_keys(room.work / "keys", ec.generate_private_key(ec.SECP256R1()))
        _make_login(room.folder / "home/.ssh")
        client.images.pull(base)
        with Working(client, base) as theirs:
            run_in(theirs, "python3 -m venv --system-site-packages --without-pip /work")
            install(theirs, "click==8.1.7 colorama==0.4.6", python=PYTHON)
            _put_stand_in(theirs)
            theirs.commit(*WORKING.split(":"))
            for words in _of_images(str(theirs.name), base, registry):
                done = room.run(*words, wait_s=_LONG_S)
                assert done.code in {0, 1}, (words, done)
        room.engine = engine
        room.keep()
        yield room


def _of_images(container: str, base: str, registry: str) -> Iterator[tuple[str, ...]]:
    """Yield the commands that furnish a room with images; a diff of other versions ends with 1."""
    of_base = ("--python", PYTHON, "--no-smoke", "--base", base)
    served = f"{registry}/{REAL.partition(':')[0]}"
    yield ("capture", "--container", container, *of_base, "-o", "snapshot")
    yield ("build", "snapshot", "--repository", served, "--push", "--sign-key", "keys/key.pem")
    yield ("build", "snapshot", "--repository", REAL.partition(":")[0])
    yield ("update", "snapshot", "--no-smoke", "--upgrade", "click==8.1.8", "-o", "after")
    yield ("build", "after", "--repository", OTHER.partition(":")[0])
    yield UP
    yield ("down", WORKSPACE, "--stop-timeout", "1")


def _make_login(folder: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    form = serialization.PublicFormat.OpenSSH
    folder.mkdir(mode=0o700)
    (folder / "id_ed25519.pub").write_bytes(
        key.public_bytes(serialization.Encoding.OpenSSH, form) + b" fire\n"
    )


def _make_environment(place: Path, beside: Path, index: str) -> None:
    made = Venv(place).make()
    made.install("--default-index", index, "tool==1.0", "part==1.0")
    files = {f"ours/m{number}.py": b"x = 1\n" for number in range(_FILES)}
    name, content = build_wheel("ours", "1.2+local", requires=["part<3"], files=files)
    (beside / name).write_bytes(content)
    made.install("--no-deps", "--offline", str(beside / name))
    (made.site / "part.py").write_text("x = 'edited'\n")
    (made.site / "loose.py").write_text("LOOSE = 1\n")
    for name, content in _stand_in().items():
        (made.site / name).write_bytes(content)


def _stand_in() -> Mapping[str, bytes]:
    """Return what trains in an environment, by its names in site-packages."""
    return {
        "stand_in.py": _TRAINS.encode(),
        "stand_in.pth": b"import stand_in\n",
        "training.py": _TRAINING.read_bytes(),
    }


def _put_stand_in(container: Container) -> None:
    tell = [PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    code, site = container.exec_run(tell)
    assert code == 0, site
    assert isinstance(site, bytes)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in _stand_in().items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    container.put_archive(site.decode().strip(), packed.getvalue())


def _make_database(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("GHSA-1.json", json.dumps(record("part", versions=["1.0"])))
