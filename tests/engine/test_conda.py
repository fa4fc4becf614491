"""The venv engine makes a conda prefix of a lock: real packages, by py-rattler."""

from __future__ import annotations

import json
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from uv import find_uv_bin

from snapenv.engine.venv import UvVenvs
from snapenv.errors import InstallError
from snapenv.model.snapshot import INSTALL_CONDA as INSTALLER
from snapenv.model.snapshot import PYLOCK_FILE
from snapenv.ownership.new_folder import new_folder
from snapenv.targets.local import LocalTarget
from tests.certificates import make_certificates
from tests.conda.channel import make_environment, serve_channel
from tests.conda.locks import INSTALL_CONDA, files_of, lock_of
from tests.conda.packages import OTHER_SUBDIR, PLACEHOLDER, SITE
from tests.real_index import PYTHON, Silent, installed, locked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snapenv.model.carried import Content
    from snapenv.model.conda import CondaLock

EMPTY = b'lock-version = "1.0"\ncreated-by = "snapenv"\npackages = []\n'
NAMES = ("python", "zoocext", "zoopure", "zoohook")


@pytest.fixture(scope="module")
def original(
    conda_channel: Path, conda_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    prefix = tmp_path_factory.mktemp("original") / "env"
    return make_environment(prefix, [conda_channel.as_uri()], NAMES, cache=conda_cache / "pkgs")


@pytest.fixture(autouse=True)
def _cache(conda_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATTLER_CACHE_DIR", str(conda_cache))


def make(into: Path, lock: CondaLock, **more: Content) -> Path:
    venvs = UvVenvs(find_uv_bin(), LocalTarget)
    files = {PYLOCK_FILE: EMPTY, **files_of(lock), **more}
    with new_folder(into) as place:
        venvs.create(files, python=PYTHON, into=into, task=Silent())
        place.whole = True
    return into


def say(prefix: Path, *words: str) -> str:
    argv = (str(prefix / "bin" / words[0]), *words[1:])
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def texts(prefix: Path) -> dict[str, object]:
    """Return every file of a prefix but records, with its prefix taken out, and every link."""
    return {
        str(path.relative_to(prefix)): (
            str(path.readlink())
            if path.is_symlink()
            else path.read_bytes().replace(str(prefix).encode(), b"P").rstrip(b"\0")
        )
        for path in prefix.rglob("*")
        if path.suffix != ".pyc"
        and not path.is_dir()
        and "conda-meta" not in path.parts
        and path.suffix not in (".so", ".0")
    }


@pytest.mark.parametrize("name", ["back", "a longer name with spaces"])
def test_a_prefix_comes_back_at_another_path(name: str, original: Path, tmp_path: Path) -> None:
    lock = lock_of(original)
    lock = replace(
        lock, environment=replace(lock.environment, variables={"ZOO": "$CONDA_PREFIX/zoo:1"})
    )
    into = make(tmp_path / name, lock, **{PYLOCK_FILE: locked("click")})

    assert say(into, "python", "-c", "import zoocext; print(zoocext.PREFIX)") == f"{into}/lib"
    assert say(into, "zoo-config") == f"zoo-config of {into}"
    code = "import click, importlib.metadata as m; print(m.version('click'), click.__file__)"
    assert say(into, "python", "-c", code) == (
        f"{installed('click').version} {into}/{SITE}/click/__init__.py"
    )
    assert not (into / "share" / "zoo-hook.txt").exists()  # its link script was not run
    record = json.loads(next(into.glob("conda-meta/zoocext-*.json")).read_text())
    assert record["url"].startswith("file://")
    assert record["depends"] == [*json.loads(original_record(original))["depends"]]
    assert (into / "conda-meta" / "history").is_file()
    state = json.loads((into / "conda-meta" / "state").read_text())
    assert state["env_vars"] == {"ZOO": f"{into}/zoo:1"}
    assert all(path.stat().st_mode & 0o004 for path in into.rglob("*") if path.is_file())


def original_record(prefix: Path) -> str:
    return next(prefix.glob("conda-meta/zoocext-*.json")).read_text()


def test_every_file_is_the_same_but_for_the_prefix(original: Path, tmp_path: Path) -> None:
    into = make(tmp_path / "back", lock_of(original))

    assert texts(into) == texts(original)


def test_what_is_in_the_package_cache_is_not_fetched_again(original: Path, tmp_path: Path) -> None:
    make(tmp_path / "first", lock_of(original))

    into = make(tmp_path / "second", lock_of(original, address="http://127.0.0.1:9/gone"))

    assert say(into, "zoo-roar") == "roar 1.0"


def test_a_file_that_was_edited_through_its_link_into_the_cache_is_not_taken(
    original: Path, tmp_path: Path
) -> None:
    first = make(tmp_path / "first", lock_of(original))
    with (first / SITE / "zoopure" / "data.txt").open("a") as file:
        file.write("edited\n")

    into = make(tmp_path / "second", lock_of(original))

    assert (into / SITE / "zoopure" / "data.txt").read_text() == "data\n"


def wrong_hash(lock: CondaLock) -> CondaLock:
    archives = dict(lock.archives)
    archives["zoopure"] = replace(archives["zoopure"], sha256="0" * 64)
    return replace(lock, archives=archives)


def other_platform(lock: CondaLock) -> CondaLock:
    packages = tuple(
        replace(package, subdir=OTHER_SUBDIR) if package.name == "libzoo" else package
        for package in lock.environment.packages
    )
    return replace(lock, environment=replace(lock.environment, packages=packages))


BAD = {
    "a channel that is down": (
        lambda original: lock_of(original, address="http://127.0.0.1:9/gone"),
        r"conda's packages could not be installed: failed to fetch \S+: Connection refused",
    ),
    "another hash in a folder": (
        lambda original: wrong_hash(lock_of(original)),
        r"zoopure-1.0-pyh0_0.conda is not what its sha256 says",
    ),
    "another platform": (
        lambda original: other_platform(lock_of(original)),
        rf"libzoo is for {OTHER_SUBDIR}, and this is linux-",
    ),
}


@pytest.mark.parametrize(("change", "said"), BAD.values(), ids=BAD)
def test_what_cannot_be_installed_is_named_and_nothing_is_left(
    change: Callable[[Path], CondaLock],
    said: str,
    original: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RATTLER_CACHE_DIR", str(tmp_path / "cache"))

    with pytest.raises(InstallError, match=said):
        make(tmp_path / "back", change(original))

    assert not (tmp_path / "back").exists()


def test_a_hash_that_differs_over_http_is_named(
    original: Path, conda_channel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATTLER_CACHE_DIR", str(tmp_path / "cache"))

    with (
        serve_channel(conda_channel) as server,
        pytest.raises(InstallError, match=r"failed to fetch zoopure-.*: hash mismatch"),
    ):
        make(tmp_path / "back", wrong_hash(lock_of(original, address=server.address)))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_channel_that_cannot_answer_at_first_is_asked_again(
    status: int,
    original: Path,
    conda_channel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RATTLER_CACHE_DIR", str(tmp_path / "cache"))

    with serve_channel(conda_channel, refused_once=status) as server:
        into = make(tmp_path / "back", lock_of(original, address=server.address))

    assert say(into, "zoo-roar") == "roar 1.0"
    assert len(server.asked) == 2 * len(set(server.asked)) > 0


def test_a_channel_that_says_nothing_is_not_waited_for(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATTLER_CACHE_DIR", str(tmp_path / "cache"))
    patient = INSTALL_CONDA.read_bytes()
    hasty = patient.replace(b"SILENCE_S = 60", b"SILENCE_S = 2")

    assert hasty != patient

    with socket.create_server(("127.0.0.1", 0)) as silent:
        lock = lock_of(original, address=f"http://127.0.0.1:{silent.getsockname()[1]}/zoo")
        with pytest.raises(InstallError, match=r"\w+ does not come: its channel is too slow"):
            make(tmp_path / "back", lock, **{INSTALLER: hasty})


def test_the_authority_that_this_machine_trusts_is_trusted(
    original: Path, conda_channel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = make_certificates(tmp_path / "certificates")
    monkeypatch.setenv("RATTLER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CERT", str(certificates / "ca.crt"))

    with serve_channel(conda_channel, certificates=certificates) as server:
        into = make(tmp_path / "back", lock_of(original, address=server.address))

    assert say(into, "zoo-roar") == "roar 1.0"


def test_a_prefix_longer_than_the_packages_leave_room_for_is_named(
    original: Path, tmp_path: Path
) -> None:
    into = tmp_path.joinpath("x" * (len(PLACEHOLDER) - len(str(tmp_path))))

    with pytest.raises(InstallError, match=rf"is too long a path: .* its {len(str(into))} char"):
        make(into, lock_of(original))

    assert not into.exists()


def test_without_py_rattler_it_says_what_to_install(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(InstallError) as caught:
        make(tmp_path / "back", lock_of(original))

    assert "pip install 'snapenv[conda]'" in str(caught.value.hint)
