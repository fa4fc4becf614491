"""Environments with snapenv-check installed for them, as in an image."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from snapenv.lock.check_files import write_expected
from snapenv.model.snapshot import CHECK_FILE, CHECK_PROGRAM
from snapenv.travel.pack import pack
from tests.probe.environments import PLAIN, Venv, make_venv, write_wheel
from tests.samples import sample_lock

if TYPE_CHECKING:
    from snapenv.model.facts import Facts
    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.snapshot import Lock


@dataclass(frozen=True)
class Checked:
    """A venv, and beside it what an image has in /opt/snapenv."""

    venv: Venv
    root: Path
    temporary: Path  # TMPDIR

    @property
    def snapshot(self) -> Path:
        return self.root / "snapshot"

    @property
    def record(self) -> Path:
        return self.root / "check" / "record.json"

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / "bin" / "snapenv-check", *words],
            env={**os.environ, "TMPDIR": str(self.temporary), **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def check(self, *words: str, code: int, **variables: str) -> dict[str, Any]:
        """Check, and return the one document."""
        done = self.run("--json", *words, **variables)
        assert done.returncode == code, done
        document: dict[str, Any] = json.loads(done.stdout)
        assert document["summary"].startswith("snapenv-check: ")
        return document

    def subjects(self, *words: str, **variables: str) -> list[tuple[str, str]]:
        """Check what is not as locked, and return the topics and subjects of what counts."""
        document = self.check(*words, code=1, **variables)
        return [(each["topic"], each["subject"]) for each in document["findings"] if each["counts"]]


def make_checked(folder: Path) -> Checked:
    """Make a venv with two packages and a file of none, lock it, and install the check."""
    venv = make_venv(folder / "venv")
    other = {"other.py": "OTHER = 1\n"}
    venv.install(write_wheel(folder, "plain", PLAIN), write_wheel(folder, "other", other))
    (venv.site / "of_nobody.py").write_text("NOBODY = 1\n")
    temporary = folder / "tmp"
    temporary.mkdir(mode=0o700)
    checked = Checked(venv, folder / "snapenv", temporary)
    install(checked, lock_of(venv.look()))
    return checked


def lock_of(facts: Facts, *, baseline: Fingerprint | None = None) -> Lock:
    """Return a lock that says what was seen, all of it."""
    lock = sample_lock(facts=facts, baseline=baseline)
    return replace(lock, native=facts.native, startup=facts.startup)


def install(checked: Checked, lock: Lock) -> None:
    """Install the check for a lock, as the last step of an image does."""
    checked.snapshot.mkdir(parents=True, exist_ok=True)
    program = checked.snapshot / CHECK_PROGRAM
    program.write_bytes(pack("snapenv_check"))
    (checked.snapshot / CHECK_FILE).write_bytes(write_expected(lock))
    subprocess.run([checked.venv.python, "-B", program, "--install"], check=True)
