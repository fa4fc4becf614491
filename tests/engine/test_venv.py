from __future__ import annotations

import hashlib
import os
import re
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from uv import find_uv_bin

from snapenv.engine.venv import UvVenvs, _indexes, _split
from snapenv.errors import InstallError, PlaceTakenError, SnapshotDamagedError, WriteError
from snapenv.model.snapshot import PYLOCK_FILE
from snapenv.model.wheels import IndexWheel
from snapenv.ownership.new_folder import new_folder
from snapenv.pylock import parse_pylock
from snapenv.targets.local import LocalTarget
from tests.engines.index_server import build_wheel, serve_index
from tests.real_index import PYTHON, Silent, installed, locked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.carried import Content
    from snapenv.ports import Target, Task

EMPTY = b'lock-version = "1.0"\ncreated-by = "snapenv"\npackages = []\n'


class Held(UvVenvs, frozen=True):
    """Makes a venv in a folder that is held meanwhile, as a restore does."""

    def create(
        self, files: Mapping[str, Content], *, python: str, into: Path, task: Task
    ) -> Target:
        with new_folder(into) as place:
            target = super().create(files, python=python, into=into, task=task)
            place.whole = True
        return target


@pytest.fixture
def venvs() -> UvVenvs:
    return Held(find_uv_bin(), LocalTarget)


def test_a_lock_becomes_a_venv_with_what_it_names_and_nothing_else(
    venvs: UvVenvs, tmp_path: Path
) -> None:
    into = tmp_path / "below" / "a venv"
    code = (
        "import click, importlib.metadata as m, sys\n"
        "print(sys.prefix, *(f'{d.name}={d.version}' for d in m.distributions()))"
    )

    target = venvs.create({PYLOCK_FILE: locked("click")}, python=PYTHON, into=into, task=Silent())

    assert target.python == str(into / "bin" / "python")
    done = target.run((target.python, "-c", code))
    assert done.stdout == f"{into} click={installed('click').version}\n", done.stderr


def test_a_second_venv_in_the_same_place_is_refused_and_the_first_stays(
    venvs: UvVenvs, tmp_path: Path
) -> None:
    target = venvs.create(
        {PYLOCK_FILE: EMPTY}, python=PYTHON, into=tmp_path / "venv", task=Silent()
    )

    with pytest.raises(PlaceTakenError) as caught:
        venvs.create({PYLOCK_FILE: EMPTY}, python=PYTHON, into=tmp_path / "venv", task=Silent())

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "TMP/venv exists and is no empty folder"
    )
    assert target.run((target.python, "-c", "")).exit_code == 0


def test_an_empty_folder_is_a_free_place(venvs: UvVenvs, tmp_path: Path) -> None:
    target = venvs.create({PYLOCK_FILE: EMPTY}, python=PYTHON, into=tmp_path, task=Silent())

    assert target.run((target.python, "-c", "")).exit_code == 0


def test_a_file_is_no_place_for_a_venv(venvs: UvVenvs, tmp_path: Path) -> None:
    (tmp_path / "venv").write_text("mine")

    with pytest.raises(PlaceTakenError) as caught:
        venvs.create({PYLOCK_FILE: EMPTY}, python=PYTHON, into=tmp_path / "venv", task=Silent())

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "TMP/venv exists and is no empty folder"
    )
    assert (tmp_path / "venv").read_text() == "mine"


def test_a_place_that_cannot_be_made_is_named(venvs: UvVenvs, tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="File name too long"):
        venvs.create(
            {PYLOCK_FILE: EMPTY}, python=PYTHON, into=tmp_path / ("n" * 300), task=Silent()
        )

    assert list(tmp_path.iterdir()) == []


def test_another_patch_is_taken_where_the_very_version_is_not_here(
    venvs: UvVenvs, tmp_path: Path
) -> None:
    target = venvs.create(
        {PYLOCK_FILE: EMPTY}, python=f"{PYTHON}.999", into=tmp_path / "venv", task=Silent()
    )

    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    assert target.run((target.python, "-c", code)).stdout == f"{PYTHON}\n"


def test_the_python_that_a_person_names_is_taken(
    venvs: UvVenvs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_PYTHON_PREFERENCE", "only-managed")
    into = tmp_path / "venv"

    venvs.create({PYLOCK_FILE: EMPTY}, python=sys.executable, into=into, task=Silent())

    home = os.path.realpath(Path(sys.base_prefix, "bin"))
    text = (into / "pyvenv.cfg").read_text()
    assert os.path.realpath(re.search(r"home = (.+)", text)[1]) == home  # type: ignore[index]


def test_a_python_that_nobody_has_leaves_nothing_behind(venvs: UvVenvs, tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=r"3\.99") as caught:
        venvs.create({PYLOCK_FILE: EMPTY}, python="3.99", into=tmp_path / "venv", task=Silent())

    assert "--engine docker" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_package_of_another_hash_leaves_nothing_behind(venvs: UvVenvs, tmp_path: Path) -> None:
    lock = locked("click")
    begin = lock.index(b'sha256 = "') + len(b'sha256 = "')
    forged = lock[:begin] + b"0" * 64 + lock[begin + 64 :]

    with pytest.raises(InstallError, match="[Hh]ash mismatch"):
        venvs.create({PYLOCK_FILE: forged}, python=PYTHON, into=tmp_path / "venv", task=Silent())

    assert list(tmp_path.iterdir()) == []


def test_a_package_without_a_hash_is_refused(venvs: UvVenvs, tmp_path: Path) -> None:
    lock = re.sub(rb"hashes = \{[^}]*\}", b"hashes = {}", locked("click"))

    with pytest.raises(SnapshotDamagedError, match="hash"):
        venvs.create({PYLOCK_FILE: lock}, python=PYTHON, into=tmp_path / "venv", task=Silent())

    assert list(tmp_path.iterdir()) == []


def test_a_lock_for_another_python_leaves_nothing_behind(venvs: UvVenvs, tmp_path: Path) -> None:
    lock = locked("click").replace(f"=={PYTHON}.*".encode(), b"==3.99.*")

    with pytest.raises(InstallError, match="the lock could not be installed"):
        venvs.create({PYLOCK_FILE: lock}, python=PYTHON, into=tmp_path / "venv", task=Silent())

    assert list(tmp_path.iterdir()) == []


def make_wheel(path: Path, name: str) -> bytes:
    """Write a wheel of one module; give a lock of it, in the folder that the path names."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"NAME = {name!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(
            f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return (
        f'[[packages]]\nname = "{name}"\nversion = "1.0"\n'
        f'wheels = [{{ path = "vendor/{path.name}", hashes = {{ sha256 = "{sha256}" }} }}]\n'
    ).encode()


LOCK = b'lock-version = "1.0"\ncreated-by = "snapenv"\n'


def test_a_wheel_of_the_snapshot_is_read_where_it_lies_and_stays_as_it_was(
    venvs: UvVenvs, tmp_path: Path
) -> None:
    wheel = tmp_path / "ours-1.0-py3-none-any.whl"
    package = make_wheel(wheel, "ours")
    content = wheel.read_bytes()
    files: dict[str, Content] = {PYLOCK_FILE: LOCK + package, f"vendor/{wheel.name}": wheel}

    target = venvs.create(files, python=PYTHON, into=tmp_path / "venv", task=Silent())

    done = target.run((target.python, "-c", "import ours; print(ours.__file__)"))
    assert done.stdout.startswith(f"{tmp_path}/venv/"), done.stderr
    assert wheel.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == [wheel.name, "venv"]


def test_what_is_installed_from_the_snapshot_alone_leaves_nothing_in_the_cache_of_uv(
    venvs: UvVenvs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    wheel = tmp_path / "ours-1.0-py3-none-any.whl"
    package = make_wheel(wheel, "ours")
    files: dict[str, Content] = {PYLOCK_FILE: LOCK + package, f"vendor/{wheel.name}": wheel}

    target = venvs.create(files, python=PYTHON, into=tmp_path / "venv", task=Silent())

    assert target.run((target.python, "-c", "import ours")).exit_code == 0
    assert list((tmp_path / "cache").rglob("ours.py")) == []
    assert list((tmp_path / "venv").glob(".snapenv-*")) == []


def test_what_is_carried_beside_an_index_leaves_nothing_in_the_cache_of_uv(
    venvs: UvVenvs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    wheel = tmp_path / "ours-1.0-py3-none-any.whl"
    package = make_wheel(wheel, "ours")
    files: dict[str, Content] = {
        PYLOCK_FILE: locked("click") + package,
        f"vendor/{wheel.name}": wheel,
    }

    target = venvs.create(files, python=PYTHON, into=tmp_path / "venv", task=Silent())

    assert target.run((target.python, "-c", "import ours, click")).exit_code == 0
    assert list((tmp_path / "cache").rglob("ours.py")) == []
    assert list((tmp_path / "cache").rglob("click/core.py"))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache of uv"
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))
    return cache


def index_lock(wheel: IndexWheel, index: str, place: str = "") -> bytes:
    """Lock one wheel of an index, by its address or its path."""
    where = f'path = "{place}"' if place else f'url = "{wheel.url}"'
    return (
        LOCK
        + (
            f'[[packages]]\nname = "{wheel.name}"\nversion = "{wheel.version}"\nindex = "{index}"\n'
            f'wheels = [{{ {where}, hashes = {{ sha256 = "{wheel.sha256}" }} }}]\n'
        ).encode()
    )


@pytest.mark.parametrize(
    ("named", "told"),
    [
        (None, []),
        ("https://example.com/simple", ["--default-index", "https://example.com/simple"]),
        ("--help", []),
        ("file:///srv/wheels", []),
    ],
)
def test_an_index_is_told_to_uv_where_the_lock_names_one_by_its_address(
    named: str | None, told: list[str]
) -> None:
    index = f'index = "{named}"\n' if named else ""
    place = 'url = "https://example.com/x-1-py3-none-any.whl"'
    wheel = f'{{ {place}, hashes = {{ sha256 = "{"0" * 64}" }} }}'
    package = f'[[packages]]\nname = "x"\n{index}wheels = [{wheel}]\n'

    indexed, carried = _split(parse_pylock(LOCK + package.encode()))

    assert carried.packages == []
    assert list(_indexes(indexed)) == told


def test_a_second_restore_downloads_nothing_adds_nothing_and_asks_no_index(
    venvs: UvVenvs, tmp_path: Path, own_cache: Path
) -> None:
    gone = "http://127.0.0.1:9/simple"  # reached by nobody
    with serve_index(build_wheel("ours")) as server:
        files = {PYLOCK_FILE: index_lock(server.wheel("ours-1.0-py3-none-any.whl"), gone)}
        copies = []
        for name in ("first", "second"):
            target = venvs.create(files, python=PYTHON, into=tmp_path / name, task=Silent())
            assert target.run((target.python, "-c", "import ours")).exit_code == 0
            copies.append(len(list(own_cache.rglob("ours.py"))))

    assert [one.path.rpartition("/")[2] for one in server.asked] == ["ours-1.0-py3-none-any.whl"]
    assert copies == [1, 1]


def test_a_wheel_of_an_index_that_travels_is_unpacked_once(
    venvs: UvVenvs, tmp_path: Path, own_cache: Path
) -> None:
    name, content = build_wheel("ours")
    wheel = IndexWheel(
        name="ours",
        version="1.0",
        url=f"https://example.com/{name}",
        sha256=hashlib.sha256(content).hexdigest(),
    )
    lock = index_lock(wheel, "https://example.com/simple", f"vendor/{name}")
    files: dict[str, Content] = {PYLOCK_FILE: lock, f"vendor/{name}": content}

    inodes = set[int]()
    for into in (tmp_path / "first", tmp_path / "second"):
        venvs.create(files, python=PYTHON, into=into, task=Silent())
        inodes.update(path.stat().st_ino for path in into.glob("lib/*/site-packages/ours.py"))

    assert inodes == {path.stat().st_ino for path in own_cache.rglob("ours.py")}


def test_a_wheel_of_another_hash_in_the_cache_is_not_taken(
    venvs: UvVenvs, tmp_path: Path, own_cache: Path
) -> None:
    for name, code in (("first", b"NAME = 1\n"), ("second", b"NAME = 2\n")):
        with serve_index(build_wheel("ours", files={"ours.py": code})) as server:
            wheel = server.wheel("ours-1.0-py3-none-any.whl")
            files = {PYLOCK_FILE: index_lock(wheel, "https://example.com/simple")}
            target = venvs.create(files, python=PYTHON, into=tmp_path / name, task=Silent())

            code_there = next((tmp_path / name).glob("lib/*/site-packages/ours.py")).read_bytes()
            assert (code_there, target.python) == (code, str(tmp_path / name / "bin" / "python"))

    assert own_cache.is_dir()


def test_a_wheel_that_changed_after_the_snapshot_was_read_is_refused(
    venvs: UvVenvs, tmp_path: Path
) -> None:
    wheel = tmp_path / "ours-1.0-py3-none-any.whl"
    package = make_wheel(wheel, "ours")
    make_wheel(wheel, "theirs")
    files: dict[str, Content] = {PYLOCK_FILE: LOCK + package, f"vendor/{wheel.name}": wheel}

    with pytest.raises(InstallError, match="[Hh]ash mismatch"):
        venvs.create(files, python=PYTHON, into=tmp_path / "venv", task=Silent())


def test_what_is_lent_is_installed_beside_what_is_vendored(venvs: UvVenvs, tmp_path: Path) -> None:
    names = ("ours", "staged")
    ours, staged = (tmp_path / f"{name}-1.0-py3-none-any.whl" for name in names)
    packages = make_wheel(ours, "ours"), make_wheel(staged, "staged")
    there = packages[1].replace(b"vendor/", b"https://user.example.com/")
    files: dict[str, Content] = {
        PYLOCK_FILE: LOCK + packages[0] + there.replace(b"path =", b"url ="),
        f"vendor/{ours.name}": ours,
        f"staged/{PYLOCK_FILE}": LOCK
        + packages[0].replace(b"vendor/", b"../vendor/")
        + packages[1].replace(b"vendor/", b""),
        f"staged/{staged.name}": staged,
    }

    target = venvs.create(files, python=PYTHON, into=tmp_path / "venv", task=Silent())

    done = target.run((target.python, "-c", "import ours, staged; print(ours.NAME, staged.NAME)"))
    assert done.stdout == "ours staged\n", done.stderr


def test_a_place_for_temporary_files_that_is_full_is_named(venvs: UvVenvs, tmp_path: Path) -> None:
    files = {PYLOCK_FILE: EMPTY, f"vendor/{'n' * 300}": b""}

    with pytest.raises(WriteError, match="cannot write .*: File name too long"):
        venvs.create(files, python=PYTHON, into=tmp_path / "venv", task=Silent())

    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_nothing_behind(venvs: UvVenvs, tmp_path: Path) -> None:
    class Interrupted(Silent):
        def note(self, text: str) -> None:
            if text == "installing the packages":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        venvs.create(
            {PYLOCK_FILE: EMPTY}, python=PYTHON, into=tmp_path / "venv", task=Interrupted()
        )

    assert list(tmp_path.iterdir()) == []


def test_who_waits_hears_what_is_done(venvs: UvVenvs, tmp_path: Path) -> None:
    heard: list[str] = []

    class Listening(Silent):
        def note(self, text: str) -> None:
            heard.append(text)

    venvs.create({PYLOCK_FILE: EMPTY}, python=PYTHON, into=tmp_path / "venv", task=Listening())

    assert heard[:1] == [f"Python {PYTHON}"]
    assert "installing the packages" in heard
    assert all(len(text) <= 60 for text in heard)


@pytest.mark.parametrize(
    ("of", "cut"),
    [
        ("pyvenv.cfg", "write_bytes(b'')"),
        ("pyvenv.cfg", "unlink()"),
        ("lib/python*/site-packages/click-*.dist-info/RECORD", "write_bytes(b'')"),
        ("lib/python*/site-packages/click-*.dist-info/RECORD", "write_bytes(b'click/core.py,sha')"),
    ],
)
def test_what_uv_could_not_write_to_its_end_is_not_taken(tmp_path: Path, of: str, cut: str) -> None:
    uv, into = tmp_path / "uv", tmp_path / "venv"
    uv.write_text(
        f"#!{sys.executable}\nimport pathlib, subprocess, sys\n"
        f"subprocess.run([{find_uv_bin()!r}, *sys.argv[1:]], check=True)\n"
        f"for file in pathlib.Path({str(into)!r}).glob({of!r}):\n    file.{cut}\n"
    )
    uv.chmod(0o755)

    with pytest.raises(WriteError) as caught:
        Held(str(uv), LocalTarget).create(
            {PYLOCK_FILE: locked("click")}, python=PYTHON, into=into, task=Silent()
        )

    name = Path(of).name
    assert re.sub(r"TMP\S+/", "", str(caught.value).replace(str(tmp_path), "TMP")) == (
        f"{name} is cut off: the disk failed, or is full"
    )
    assert not into.exists()


def test_a_uv_that_says_the_disk_is_full_is_understood(tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text(f"#!{sys.executable}\nraise SystemExit('error: No space left on device (28)')\n")
    uv.chmod(0o755)

    with pytest.raises(WriteError) as caught:
        UvVenvs(str(uv), LocalTarget).create(
            {PYLOCK_FILE: EMPTY}, python=PYTHON, into=tmp_path / "venv", task=Silent()
        )

    assert str(caught.value) == wording("the disk is full: uv could not write the packages")
