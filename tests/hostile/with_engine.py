"""What commands run in that ask a registry which lies, and so does their engine."""

from __future__ import annotations

import contextlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import docker
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from snapenv.attest.signing import read_signer
from snapenv.attest.statement import make_verification
from snapenv.engine.docker import DockerEngine
from snapenv.lock.store import read_snapshot
from snapenv.model.attachment import (
    BUNDLE_CONTENT,
    BUNDLE_PREDICATE,
    BUNDLE_TYPE,
    VERIFICATION,
    Attachment,
)
from snapenv.model.image import BuildContext, ImageRef
from snapenv.model.snapshot import (
    BASE_DIGEST_LABEL,
    BASE_NAME_LABEL,
    IMAGE_SNAPSHOT,
    SNAPSHOT_LABEL,
)
from snapenv.registry.client import RegistryClient
from tests.attest.keys import write_keys
from tests.attest.verifications import VERIFICATION as VERIFIED
from tests.end_to_end.containers import Working, install, run_in
from tests.engines.engine import start_engine
from tests.engines.place import Place
from tests.engines.registry import start_registry
from tests.engines.small_base import push_small_base
from tests.fakes import FakeTask
from tests.fire.own_engine import own_engine, own_registry
from tests.fire.room import Room
from tests.hostile.cases import LOCAL, OWN, REAL, SMALL
from tests.hostile.liar import serve_lies
from tests.hostile.making import Scene, commands, write_login

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snapenv.model.snapshot import Snapshot

_PYTHON = "/work/bin/python"
_WORKING = "hostile/working:1"
_BASE = "base/small:1"
_LAYER_BYTES = 300_000
_SETTINGS = {"max-download-attempts": 1}  # it would wait 5, 10, 15 and 20 s between them


@contextmanager
def stage_with_engine(folder: Path) -> Iterator[Scene]:
    """Set up an engine, a registry and images in both until the block ends."""
    default = Place.default()
    base = push_small_base(default, engine=start_engine(default), registry=start_registry(default))
    with contextlib.ExitStack() as held:
        registry = held.enter_context(own_registry(folder / "registry"))
        liar = held.enter_context(serve_lies(registry))
        engine = held.enter_context(own_engine(folder / "engine", settings=_SETTINGS))
        client = docker.DockerClient(base_url=engine.address, timeout=600)
        held.enter_context(contextlib.closing(client))
        room = Room(folder / "room", {"DOCKER_HOST": engine.address, "NO_COLOR": "1"})
        room.stand_for = {"REGISTRY": liar.name}
        room.make()
        write_keys(room.work / "keys", ec.generate_private_key(ec.SECP256R1()))
        process = held.enter_context(commands())
        scene = Scene(room, liar, registry, process, bound_s=150.0, limit_s=240.0)
        _make_real(scene, client, base)
        patch = held.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("DOCKER_HOST", engine.address)
        _make_small(scene)
        for name in (REAL, SMALL, f"example.com/{_BASE}", f"REGISTRY/mirror/{_BASE}"):
            client.images.remove(_said(scene, name), force=True)
        client.images.remove(_WORKING, force=True)
        client.api.prune_builds()  # what is removed is to be pulled anew
        write_login(room.folder / "home/.docker", liar.name)
        room.engine = engine
        room.keep()
        yield scene
        engine.renew(room.engine_kept)


def _said(scene: Scene, words: str) -> str:
    return words.replace("REGISTRY", scene.room.stand_for["REGISTRY"])


def _make_real(scene: Scene, client: docker.DockerClient, shared: str) -> None:
    """Give the registry a base and two images of real environments, one of them verified."""
    base = _said(scene, f"REGISTRY/{shared.partition('/')[2]}")
    client.images.pull(shared)
    client.images.get(shared).tag(base)
    client.images.push(base)
    client.images.remove(shared)
    with Working(client, base) as theirs:
        run_in(theirs, "python3 -m venv --system-site-packages --without-pip /work")
        install(theirs, "click==8.1.7 colorama==0.4.6", python=_PYTHON)
        theirs.commit(*_WORKING.split(":"))
        of_base = ("--python", _PYTHON, "--no-smoke", "--base", base)
        own, real = (name.rpartition(":")[0] for name in (OWN, REAL))
        for words in (
            ("capture", "--container", str(theirs.name), *of_base, "-o", "snapshot"),
            ("build", "snapshot", "--repository", own, "--push"),
            ("update", "snapshot", "--no-smoke", "--upgrade", "click==8.1.8", "-o", "after"),
            ("build", "after", "--repository", real, "--push", "--sign-key", "keys/key.pem"),
        ):
            done = scene.run(*(_said(scene, word) for word in words), patient=True)
            assert done.code == 0, (words, done)
    _attach_verification(
        ImageRef.parse(_said(scene, REAL)),
        read_snapshot(scene.room.work / "after"),
        scene.room.work / "keys" / "key.pem",
    )


def _attach_verification(ref: ImageRef, snapshot: Snapshot, key: Path) -> None:
    registry = RegistryClient()
    pinned = registry.read(ref).ref
    verified = replace(VERIFIED, snapshot=snapshot.digest, tag=snapshot.lock.tag)
    document = Attachment(
        media_type=BUNDLE_TYPE,
        file="verification.sigstore.json",
        content=read_signer(key, None).sign(make_verification(pinned, verified)),
        annotations={BUNDLE_CONTENT: "dsse-envelope", BUNDLE_PREDICATE: VERIFICATION},
    )
    registry.attach(pinned, (document,), FakeTask())


def _make_small(scene: Scene) -> None:
    """Give the registry a base without a program, and an image on it; keep that as a delta."""
    engine, snapshot = DockerEngine(), read_snapshot(scene.room.work / "snapshot")
    served = ImageRef.parse(_said(scene, f"REGISTRY/mirror/{_BASE}"))
    base = engine.build(_bytes_alone("one", "two"), FakeTask())
    engine.tag(base, served)
    engine.tag(base, ImageRef.parse(f"example.com/{_BASE}"))
    digest = str(engine.push(served, FakeTask()).digest)
    small = ImageRef.parse(_said(scene, SMALL))
    labels = {BASE_NAME_LABEL: f"example.com/{_BASE}", BASE_DIGEST_LABEL: digest}
    engine.tag(engine.build(_with_snapshot(str(served), snapshot, labels), FakeTask()), small)
    engine.push(small, FakeTask())
    done = scene.run("export", str(small), "--delta", "-o", "delta.zst", patient=True)
    assert done.code == 0, done
    local = _with_snapshot("scratch", read_snapshot(scene.room.work / "after"), {})
    engine.tag(engine.build(local, FakeTask()), ImageRef.parse(LOCAL))


def _bytes_alone(*names: str) -> BuildContext:
    lines = ("FROM scratch", *(f"COPY {name} /{name}" for name in names), 'CMD ["/none"]')
    files = {name: os.urandom(_LAYER_BYTES) for name in names}
    return BuildContext(files={"Dockerfile": "\n".join(lines).encode(), **files}, labels={})


def _with_snapshot(base: str, snapshot: Snapshot, labels: dict[str, str]) -> BuildContext:
    lines = (f"FROM {base}", f"COPY snapshot {IMAGE_SNAPSHOT}", 'CMD ["/none"]')
    files = {f"snapshot/{each}": content for each, content in snapshot.files.items()}
    return BuildContext(
        files={"Dockerfile": "\n".join(lines).encode(), **files},
        labels={SNAPSHOT_LABEL: snapshot.digest, **labels},
    )
