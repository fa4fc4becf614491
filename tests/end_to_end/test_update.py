"""An environment of the index, changed on purpose: resolved, installed, proved, compared."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snapenv.lock.store import read_snapshot
from tests.command import Command
from tests.engines.index_server import build_wheel, serve_index
from tests.zoo.environment import Venv

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "hunter2-canary-of-the-update"
OURS = {"ours.py": b"VALUE = 1\n"}
WHEELS = (
    build_wheel("tool", "1.0", requires=["part<2"], files={"tool.py": b"VERSION = 1\n"}),
    build_wheel("tool", "1.1", requires=["part<2"], files={"tool.py": b"VERSION = 11\n"}),
    build_wheel("tool", "2.0", requires=["part>=2"], files={"tool.py": b"VERSION = 2\n"}),
    build_wheel("part", "1.0"),
    build_wheel("part", "2.0"),
    build_wheel("gone", "1.0"),
)


@dataclass(frozen=True)
class Captured:
    """A snapshot of an environment of a private index, with edits and a package of our own."""

    environment: Venv
    snapshot: Path
    digest: str
    command: Command


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Captured]:
    folder = tmp_path_factory.mktemp("update")
    with serve_index(*WHEELS) as server:
        server.login = ("reader", PASSWORD)
        index = server.index_as(f"reader:{PASSWORD}")
        made = Venv(folder / "venv").make()
        made.install("--extra-index-url", index, "tool==1.0", "part==1.0", "gone==1.0")
        name, content = build_wheel("ours", "1.2+local", requires=["part<3"], files=OURS)
        (folder / name).write_bytes(content)
        made.install(str(folder / name))
        (made.site / "part.py").write_text("x = 'edited'\n")
        (made.site / "loose.py").write_text("LOOSE = 1\n")
        command = Command(
            {
                "PIP_EXTRA_INDEX_URL": index,
                "XDG_CACHE_HOME": str(folder / "cache"),
                "UV_CACHE_DIR": str(folder / "uv"),
            }
        )
        words = ("capture", "--no-smoke", "--python", str(made.python))
        result = command.result(*words, "-o", str(folder / "before"))
        yield Captured(made, folder / "before", result["digest"], command)


def update(captured: Captured, output: Path, *words: str) -> dict[str, Any]:
    return captured.command.result("update", str(captured.snapshot), *words, "-o", str(output))


def moves(result: dict[str, Any]) -> list[tuple[str, str | None, str | None]]:
    return [(move["name"], move["before"], move["after"]) for move in result["moves"]]


def test_one_package_moves_and_all_else_is_as_it_was(captured: Captured, tmp_path: Path) -> None:
    done = update(captured, tmp_path / "after", "--upgrade", "tool")

    assert moves(done) == [("tool", "1.0", "1.1")]
    assert [(each["subject"], each["left"], each["right"]) for each in done["differences"]] == [
        ("tool", "1.0", "1.1")
    ]
    before, after = (read_snapshot(place).lock for place in (captured.snapshot, tmp_path / "after"))
    assert (before.parent, after.parent, done["parent"]) == (None, *(captured.digest,) * 2)
    assert (after.overlay, after.base) == (before.overlay, before.base)
    assert {name: each for name, each in after.packages.items() if name != "tool"} == {
        name: each for name, each in before.packages.items() if name != "tool"
    }
    tool = after.packages["tool"]
    assert (tool.wheel.version, tool.proof) == ("1.1", "record")  # type: ignore[union-attr]


def test_what_was_updated_restores_with_edits_and_wheels_of_our_own(
    captured: Captured, tmp_path: Path
) -> None:
    update(captured, tmp_path / "after", "--upgrade", "tool")
    words = ("restore", str(tmp_path / "after"), "--engine", "venv")

    captured.command.result(*words, "--into", str(tmp_path / "back"))

    back, before = Venv(tmp_path / "back").look(), captured.environment.look()
    changed = {name for name in back["files"] if back["files"][name] != before["files"].get(name)}
    assert changed == {
        "tool.py",
        *(f"tool-1.1.dist-info/{name}" for name in ("METADATA", "WHEEL")),
    }
    assert ["ours", "1.2+local"] in back["dists"]


def test_two_updates_of_one_snapshot_are_one(captured: Captured, tmp_path: Path) -> None:
    digests = [
        update(captured, tmp_path / name, "--upgrade", "tool", "--remove", "gone")["digest"]
        for name in ("one", "two")
    ]

    assert digests[0] == digests[1] != captured.digest


def test_a_file_that_was_edited_is_decided_by_the_user(captured: Captured, tmp_path: Path) -> None:
    words = ("update", str(captured.snapshot), "--upgrade", "tool==2.0", "--allow-moves", "-o")

    told = captured.command.error("conflict", *words, str(tmp_path / "x"))
    kept = captured.command.result(*words, str(tmp_path / "kept"), "--edits", "keep")
    dropped = captured.command.result(*words, str(tmp_path / "dropped"), "--edits", "drop")

    assert "site/part.py" in told
    assert not (tmp_path / "x").exists()
    assert moves(kept) == moves(dropped) == [("tool", "1.0", "2.0"), ("part", "1.0", "2.0")]
    assert (kept["dropped"], dropped["dropped"]) == ([], ["site/part.py"])
    overlays = [read_snapshot(tmp_path / name).lock.overlay for name in ("kept", "dropped")]
    assert overlays == [("site/loose.py", "site/part.py"), ("site/loose.py",)]


def test_another_move_has_to_be_allowed(captured: Captured, tmp_path: Path) -> None:
    words = ("update", str(captured.snapshot), "--upgrade", "tool==2.0", "-o", str(tmp_path / "x"))

    told = captured.command.error("conflict", *words)

    assert "part 1.0 → 2.0" in told
    assert "--allow-moves" in told


@pytest.mark.parametrize(
    ("answer", "code"), [(b"n", 5), pytest.param(b"y", 0, marks=pytest.mark.full)]
)
def test_on_a_terminal_one_is_asked(
    captured: Captured, tmp_path: Path, answer: bytes, code: int
) -> None:
    leader, follower = pty.openpty()
    words = ("update", str(captured.snapshot), "--upgrade", "tool==2.0", "--edits", "drop")
    with subprocess.Popen(
        [sys.executable, "-m", "snapenv", *words, "-o", str(tmp_path / "after")],
        env={**os.environ, **captured.command.environment},
        stdin=follower,
        stdout=follower,
        stderr=follower,
    ) as program:
        os.close(follower)
        shown = b""
        while b"Let them move?" not in shown:
            shown += os.read(leader, 4096)
        os.write(leader, answer + b"\n")
        with contextlib.suppress(OSError):  # the other side has ended
            while os.read(leader, 4096):
                pass
    os.close(leader)

    assert b"part 1.0 \xe2\x86\x92 2.0" in shown
    assert program.returncode == code
    assert (tmp_path / "after").exists() == (code == 0)


def test_nothing_to_change_is_a_no_and_writes_nothing(captured: Captured, tmp_path: Path) -> None:
    words = ("update", str(captured.snapshot), "--upgrade", "tool==1.0", "-o", str(tmp_path / "x"))

    document = captured.command.document(*words)

    assert (document["exit_code"], document["result"]["path"]) == (1, None)
    assert [check["id"] for check in document["checks"] if not check["ok"]] == ["change"]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("not-found", ("--upgrade", "toll")),
        pytest.param("not-found", ("--remove", "absent"), marks=pytest.mark.full),
        ("not-found", ("--add", "no-such-package-anywhere-at-all")),
        pytest.param("not-found", ("--upgrade", "tool==77"), marks=pytest.mark.full),
        ("usage", ("--add", "tool")),
        pytest.param("usage", ("--upgrade", "tool", "--remove", "tool"), marks=pytest.mark.full),
        ("usage", ()),
        ("usage", ("--python", "three")),
        ("usage", ("--remove", "tool==1.0")),
        pytest.param(
            "usage", ("--add", "tool @ https://example.com/x.whl"), marks=pytest.mark.full
        ),
        ("conflict", ("--remove", "part")),
        ("place-taken", ("--upgrade", "tool", "-o", "taken")),
    ],
)
def test_what_cannot_be_is_refused(
    captured: Captured, tmp_path: Path, kind: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "taken").mkdir()

    captured.command.error(kind, "update", str(captured.snapshot), *words, folder=tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]


def test_the_password_of_the_index_is_nowhere(captured: Captured, tmp_path: Path) -> None:
    words = ("update", str(captured.snapshot), "--upgrade", "tool", "-o", str(tmp_path / "after"))

    done = captured.command.run(*words)

    written = [path.read_bytes() for path in (tmp_path / "after").rglob("*") if path.is_file()]
    assert done.returncode == 0
    assert PASSWORD not in done.stdout + done.stderr
    assert PASSWORD.encode() not in b"".join(written)
