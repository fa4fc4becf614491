from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import tomlkit
from msgspec.structs import replace

from snapenv.lock.fetch import stage_private_wheels
from snapenv.lock.store import write_snapshot
from snapenv.model.snapshot import PYLOCK_FILE
from snapenv.model.wheels import Pinned
from snapenv.workflows.build import Build, build
from tests.samples import (
    sample_lock,
    sample_snapshot,
    sample_wheel,
)
from tests.workflows.services import REGISTRY, REPOSITORY, EngineWithBase, FakeWheels, services

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.snapshot import Snapshot

PUBLIC = sample_wheel("numpy", "2.4.6")
NUMPY = replace(PUBLIC, url=PUBLIC.url.replace("files.", "private."))


def snapshot() -> Snapshot:
    """Return a snapshot whose numpy and uv are of a host of their own."""
    lock = sample_lock()
    installer = replace(lock.installer, url=lock.installer.url.replace("files.", "private."))
    packages = {**lock.packages, "numpy": Pinned(wheel=NUMPY, proof="record")}
    return sample_snapshot(replace(lock, installer=installer, packages=packages))


def test_what_anyone_can_fetch_is_not_staged(tmp_path: Path) -> None:
    assert stage_private_wheels(snapshot(), tmp_path, services(wheels=FakeWheels())).files == {}


def test_what_a_credential_opens_is_fetched_here_and_named_by_its_path(tmp_path: Path) -> None:
    locked = snapshot()
    wheels = FakeWheels(
        contents={NUMPY.url: b"numpy", locked.lock.installer.url: b"uv"},
        private=frozenset({NUMPY.host}),
    )

    staged = stage_private_wheels(locked, tmp_path, services(wheels=wheels))

    uv = locked.lock.installer.url.rpartition("/")[2]
    assert set(staged.files) == {"staged/pylock.toml", f"staged/{NUMPY.filename}", f"staged/{uv}"}
    assert staged.lock.installer.file == f"staged/{uv}"
    pylock = tomlkit.parse(staged.files["staged/pylock.toml"].decode()).unwrap()  # type: ignore[union-attr]
    wheels_of = {package["name"]: package["wheels"][0] for package in pylock["packages"]}
    assert wheels_of["numpy"]["path"] == NUMPY.filename
    assert wheels_of["numpy"]["hashes"] == {"sha256": NUMPY.sha256}
    assert [name for name, wheel in wheels_of.items() if "path" in wheel] == ["numpy"]


def test_what_was_staged_once_is_not_downloaded_again(tmp_path: Path) -> None:
    locked, private = snapshot(), frozenset({NUMPY.host})
    uv = {locked.lock.installer.url: b"uv"}
    cached = replace(
        services(wheels=FakeWheels(contents={NUMPY.url: b"numpy", **uv}, private=private)),
        cache=tmp_path / "cache",
    )
    gone = replace(cached, wheels=FakeWheels(contents=uv, private=private))
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()

    first = stage_private_wheels(locked, folders[0], cached)
    second = stage_private_wheels(locked, folders[1], gone)

    assert first.files.keys() == second.files.keys()
    assert (folders[1] / NUMPY.filename).read_bytes() == b"numpy"


@pytest.mark.parametrize("private", [True, False])
def test_a_build_installs_from_what_is_staged_and_keeps_the_lock_as_captured(
    tmp_path: Path, *, private: bool
) -> None:
    locked, engine = snapshot(), EngineWithBase()
    hosts = frozenset({NUMPY.host} if private else ())
    wheels = FakeWheels(
        contents={NUMPY.url: b"numpy", locked.lock.installer.url: b"uv"}, private=hosts
    )
    folder = tmp_path / "s"
    write_snapshot(locked, folder)

    build(folder, Build(repository=REPOSITORY, mirror=REGISTRY), services(engine, wheels=wheels))

    (context,) = engine.built
    dockerfile = bytes(context.files[context.dockerfile]).decode()
    assert ("source=staged/" in dockerfile) == private
    assert ("/mnt/lock/staged/pylock." in dockerfile) == private
    assert ("COPY staged/uv-" in dockerfile) == private
    assert context.files[PYLOCK_FILE] == locked.text(PYLOCK_FILE)
