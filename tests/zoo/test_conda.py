"""Each odd environment of conda comes back, all files equal but for the prefix."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.command import Command, Program
from tests.conda.channel import move_away, remove_package, run_rattler, serve_channel
from tests.zoo.conda_cases import CASES, Prefix, gone, other_platform

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conda.channel import ChannelServer

OFTEN = ("pip over conda", "around site-packages", "spaces in the path")
TOKEN = "tk-canary-7f3a-0001"


@pytest.fixture(autouse=True)
def _cache(conda_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATTLER_CACHE_DIR", str(conda_cache))


@pytest.fixture
def prefix(conda_channel: Path, conda_cache: Path, tmp_path: Path) -> Prefix:
    return Prefix(tmp_path / "working", (conda_channel.as_uri(),), conda_cache / "pkgs")


def capture(prefix: Prefix, snapshot: Path, *more: str) -> None:
    words = ("--python", str(prefix.python), "--no-smoke", "-o", str(snapshot))
    Command().result("capture", *words, *more)


def restore(snapshot: Path, into: Path, **environment: str) -> Prefix:
    words = ("restore", str(snapshot), "--engine", "venv", "--into", str(into))
    Command(environment).result(*words)
    return Prefix(into)


@pytest.mark.parametrize(
    "name",
    [name if name in OFTEN else pytest.param(name, marks=pytest.mark.full) for name in CASES],
)
def test_an_odd_environment_comes_back(name: str, prefix: Prefix, tmp_path: Path) -> None:
    make, code, into = CASES[name]
    make(prefix)
    before, said = prefix.look(), prefix.say(code)
    capture(prefix, tmp_path / "snapshot")
    move_away(prefix.folder)

    back = restore(tmp_path / "snapshot", tmp_path / into)

    assert back.look() == before
    assert back.say(code) == said


def test_a_package_that_its_channel_has_no_more_travels(
    conda_channel: Path, conda_cache: Path, tmp_path: Path
) -> None:
    channel = tmp_path / "channel"
    shutil.copytree(conda_channel, channel)
    with serve_channel(channel) as server:
        prefix = Prefix(tmp_path / "working", (server.address,), conda_cache / "pkgs")
        gone(prefix)
        before = prefix.look()
        remove_package(channel, "libzoo-1.0-h0_0.tar.bz2")
        capture(prefix, tmp_path / "snapshot")
        move_away(prefix.folder)

        back = restore(
            tmp_path / "snapshot", tmp_path / "back", RATTLER_CACHE_DIR=str(tmp_path / "cache")
        )

    assert back.look() == before
    assert [path.name for path in (tmp_path / "snapshot" / "vendor").iterdir()] == [
        "libzoo-1.0-h0_0.conda"
    ]


def tell(home: Path, server: ChannelServer) -> dict[str, str]:
    home.mkdir()
    (home / ".condarc").write_text(f"channels:\n  - {server.address_as(token=TOKEN)}\n")
    return {"HOME": str(home), "CONDARC": str(home / ".condarc")}


def test_a_private_channel_s_token_is_used_and_written_nowhere(
    conda_channel: Path, conda_cache: Path, tmp_path: Path
) -> None:
    snapshot, into = tmp_path / "snapshot", tmp_path / "back"
    with serve_channel(conda_channel, token=TOKEN) as server:
        told = tell(tmp_path / "home", server)
        address = server.address_as(token=TOKEN)
        prefix = Prefix(tmp_path / "working", (address,), conda_cache / "pkgs").make("zoopure")
        before = prefix.look()
        words = ("--python", str(prefix.python), "--no-smoke", "-o", str(snapshot))
        Command(told).result("capture", *words)
        move_away(prefix.folder)

        back = restore(snapshot, into, **told, RATTLER_CACHE_DIR=str(tmp_path / "cache"))

    assert back.look() == before
    for folder in (snapshot, into / "conda-meta", tmp_path / "cache"):
        texts = (path.read_bytes() for path in folder.rglob("*") if path.is_file())
        assert not any(TOKEN.encode() in text for text in texts), folder


def test_a_package_of_another_platform_is_named(prefix: Prefix, tmp_path: Path) -> None:
    other_platform(prefix)
    snapshot = tmp_path / "snapshot"
    words = ("--python", str(prefix.python), "--no-smoke", "-o", str(snapshot))
    Command().result("capture", *words)

    restoring = ("restore", str(snapshot), "--engine", "venv", "--into", str(tmp_path / "back"))
    said = Command().error("install", *restoring)

    assert "libzoo is for linux-ppc64le, and this is linux-" in said
    assert not (tmp_path / "back").exists()


def test_scripts_that_conda_ran_are_named_and_a_python_is_refused(
    prefix: Prefix, tmp_path: Path
) -> None:
    snapshot, into = tmp_path / "snapshot", tmp_path / "back"
    words = ("--python", str(prefix.make("zoohook").python), "--no-smoke", "-o", str(snapshot))
    warnings = Command().document("capture", *words)["warnings"]
    assert [line for line in warnings if "bin/.zoohook-post-link.sh" in line]

    restoring = ("restore", str(snapshot), "--engine", "venv", "--into", str(into))
    said = Command().error("install", *restoring, "--python", "3.11")

    assert "Leave --python out" in said
    assert not into.exists()


def test_a_program_finds_a_prefix_activated(prefix: Prefix, tmp_path: Path) -> None:
    folder = prefix.make("libzoo").folder
    (folder / "conda-meta" / "state").write_text('{"env_vars": {"OWN": "1"}, "version": 1}')
    ask = "printenv OWN CONDA_PREFIX ZOO_HOME ZOO_GREETING"
    environment = {"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state")}

    done = Program(environment).run("run", str(folder), "--", *ask.split(), folder=tmp_path)

    said = ["1", str(folder), f"{folder}/share/zoo", "hello there"]
    assert (done.stdout.splitlines(), done.returncode) == (said, 0)


def test_the_explicit_file_installs_conda_s_packages_alone(
    conda_channel: Path, conda_cache: Path, tmp_path: Path
) -> None:
    snapshot, into = tmp_path / "snapshot", tmp_path / "alone"
    with serve_channel(conda_channel) as server:
        prefix = Prefix(tmp_path / "working", (server.address,), conda_cache / "pkgs")
        capture(prefix.make("zoocext", "zoopure"), snapshot)
        before = prefix.look()

        run_rattler("explicit", into, tmp_path / "cache", snapshot / "conda-explicit.txt")

    assert Prefix(into).look() == before
