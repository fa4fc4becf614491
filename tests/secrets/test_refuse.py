from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.errors import LeakError
from snapenv.lock.store import write_snapshot
from snapenv.model.image import ImageRef
from snapenv.secrets.model import Location, Secret
from snapenv.workflows.build import Build, build
from tests.samples import sample_lock, sample_snapshot
from tests.workflows.services import REGISTRY, REPOSITORY, EngineWithBase, services

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.ports import Services

CANARY = "hunter2-canary-of-the-index"
TOKEN = "ghp_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"  # of the form of one, and of nobody
VENV = "opt/snapenv/venv/lib/python3.11/site-packages"
REQUEST = Build(repository=REPOSITORY, mirror=REGISTRY)


def file(name: str, *, layer: int = 3) -> Location:
    return Location(name=name, layer=layer)


def around(engine: EngineWithBase) -> Services:
    secret = Secret(value=CANARY, what="the password of index.example.com")
    return replace(services(engine), secrets=lambda: (secret,))


def names(engine: EngineWithBase) -> list[str]:
    return [name for name in engine.images if name.startswith(REPOSITORY)]


@pytest.mark.parametrize(
    ("location", "content"),
    [
        (file("root/.config/pip/pip.conf"), f"index-url = https://u:{CANARY}@example.com/"),
        (file(f"{VENV}/ours.py"), f"PASSWORD = '{CANARY}'"),
        (file("etc/environment", layer=4), f"GITHUB_TOKEN={TOKEN}"),
        (Location(name="history"), f"RUN TOKEN={TOKEN} make"),
    ],
)
def test_an_image_that_holds_a_secret_gets_no_name(
    tmp_path: Path, location: Location, content: str
) -> None:
    write_snapshot(sample_snapshot(), tmp_path / "s")
    engine = EngineWithBase(leaving={location: content.encode()})

    with pytest.raises(LeakError) as caught:
        build(tmp_path / "s", REQUEST, around(engine))

    assert caught.value.message.startswith(f"{location} line 1 holds ")
    assert CANARY not in caught.value.message
    assert TOKEN not in caught.value.message
    assert names(engine) == []


@pytest.mark.parametrize(
    ("location", "content"),
    [
        (file(f"{VENV}/requests/tests/certs.py"), f"TOKEN = '{TOKEN}'"),
        (file(f"{VENV}/allowed.py"), f"PASSWORD = '{CANARY}'"),
    ],
)
def test_a_public_package_and_what_was_allowed_may_leave(
    tmp_path: Path, location: Location, content: str
) -> None:
    lock = replace(sample_lock(), allowed=("site/allowed.py",))
    write_snapshot(sample_snapshot(lock), tmp_path / "s")
    engine = EngineWithBase(leaving={location: content.encode()})

    build(tmp_path / "s", REQUEST, around(engine))

    assert names(engine) == [ImageRef(repository=REPOSITORY, tag=lock.tag).tagged]
