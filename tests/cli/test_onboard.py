"""onboard, as a user types it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.lock.store import write_snapshot
from tests.command import Command
from tests.samples import TAG, sample_fingerprint, sample_lock, sample_native, sample_snapshot

if TYPE_CHECKING:
    from pathlib import Path

FILES = ["ONBOARDING.html", "ONBOARDING.md"]
HOME = "home-of-marvin"
MACHINE = "## The machine that made this page"
LOCK = replace(
    sample_lock(baseline=sample_fingerprint()),
    native=sample_native(),
    variables={"OMP_NUM_THREADS": "a|b <script>`[x](y)"},
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of a user's home, with a snapshot in it."""
    folder = tmp_path / HOME / "project"
    folder.mkdir(parents=True)
    write_snapshot(sample_snapshot(LOCK), folder / "snapshot")
    return folder


def onboard(project: Path, *words: str) -> dict[str, str]:
    home = str(project.parent)
    user = {"HOME": home, "LOGNAME": "marvin", "DOCKER_HOST": f"unix://{home}/marvin/docker.sock"}
    command = Command(user)
    command.result("onboard", str(project / "snapshot"), "-o", str(project / "docs"), *words)
    return read(project / "docs")


def read(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}


def test_it_writes_what_this_very_snapshot_says(project: Path) -> None:
    files = onboard(project, "--no-preflight")

    text = files["ONBOARDING.md"]
    assert [*files] == FILES
    for line in (
        "| torch | 2.11.0+cu130 |",
        "| NVIDIA driver | 580 or newer |",
        "| GPU | compute capability 7.5, 8.0, 8.6, 9.0, 10.0, 12.0; the CPU trains too |",
        "    snapenv restore snapshot",
        f"    ✓ {TAG} is back in snapshot: tier identical",
        "    ✓ variables        the same",
    ):
        assert line in text.splitlines()
    assert "    ✓ fingerprint      identical: all 3 losses are the same" in text
    assert "3.437500, 2.906250, 2.500000" in text
    assert "- Captured at 2026-03-01T12:00:00+00:00 by snapenv 0.1.0, on debian 12." in text


def test_the_same_snapshot_gives_the_same_bytes(project: Path) -> None:
    first = onboard(project, "--no-preflight")

    assert onboard(project, "--no-preflight", "--force") == first


def test_what_this_machine_answers_stands_apart_at_the_end(project: Path) -> None:
    without = onboard(project, "--no-preflight")["ONBOARDING.md"]
    text = onboard(project, "--force")["ONBOARDING.md"]

    before, _, answers = text.partition(f"\n{MACHINE}\n")
    assert before == without
    assert "| engine |" in answers


def test_neither_users_nor_machines_are_named(project: Path) -> None:
    text = "".join(onboard(project).values())

    assert "unix://~/…/docker.sock" in text
    for name in (HOME, "marvin", str(project), socket.gethostname()):
        assert name not in text


def test_nothing_of_a_snapshot_is_markup(project: Path) -> None:
    files = onboard(project, "--no-preflight")

    assert r"| OMP\_NUM\_THREADS | a\|b \<script\>\`\[x\](y) |" in files["ONBOARDING.md"]
    assert "<script>" not in files["ONBOARDING.html"]
    assert "a|b &lt;script&gt;" in files["ONBOARDING.html"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("snapshot",), "snapshot"),
        (("snapshot", "--image", f"example.com/env:{TAG}"), f"example.com/env:{TAG}"),
    ],
)
def test_commands_name_what_colleagues_restore(
    project: Path, words: tuple[str, ...], name: str
) -> None:
    done = Command().run("onboard", *words, "--no-preflight", folder=project)

    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == f"next: snapenv restore {name}"
    text = (project / "ONBOARDING.md").read_text(encoding="utf-8")
    assert f"    snapenv doctor {name}\n" in text


def test_files_that_are_there_stay_unless_forced(project: Path) -> None:
    own = project / "ONBOARDING.html"
    own.write_text("my own")

    Command().error("place-taken", "onboard", "snapshot", "--no-preflight", folder=project)

    assert (own.read_text(), (project / "ONBOARDING.md").exists()) == ("my own", False)
    assert Command().run("onboard", "snapshot", "--force", folder=project).returncode == 0
    assert own.read_text() != "my own"
