"""What a capture does not import where nothing has changed: users wait for imports too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.probe.environments import make_venv, write_files

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = (
    *(
        "concurrent.futures",
        "docker",
        "jinja2",
        "oras",
        "packaging",
        "requests",
        "rich",
        "statistics",
        "tomlkit",
        "zipfile",
    ),
    *("snapenv.base.choose", "snapenv.nvidia.catalogue", "snapenv.steps.locking"),
    *("snapenv.secrets.search", "snapenv.secrets.token_forms", "snapenv.lock.wheel"),
    *("snapenv.probe.collect", "snapenv.verify.smoke_train"),
)
# The index knows this uv; it is asked but once.
INDEX = """
import snapenv.lock.find_wheels as pins
from snapenv.model.wheels import IndexWheel
url = "https://example.com/uv-0.9.3-py3-none-any.whl"
wheel = IndexWheel(name="uv", version="0.9.3", url=url, sha256="0" * 64, size_bytes=1)
assert pins._ask_for_tool
pins._ask_for_tool = lambda *_: wheel
"""
CAPTURE = """
import json, sys
from snapenv.cli.main import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]))
"""


def captured(script: str, folder: Path, *, name: str) -> tuple[str, list[str]]:
    """Capture in a process of its own; give the digest, and the modules that it has imported."""
    words = ("--python", str(folder / "env/bin/python"), "-o", str(folder / name), "--json")
    done = subprocess.run(
        [sys.executable, "-c", script, "capture", "--no-smoke", *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "UV_OFFLINE": "1"},
    )
    document, last = done.stdout.rstrip().rsplit("\n", 1)
    code, modules = json.loads(last)
    assert code == 0, done.stderr
    return json.loads(document)["result"]["digest"], modules


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with a file of its own, captured once."""
    folder = tmp_path_factory.mktemp("warm")
    write_files(make_venv(folder / "env").site, {"ours.py": "ANSWER = 42\n"})
    captured(INDEX + CAPTURE, folder, name="first")
    return folder


def test_a_capture_of_the_same_again_imports_nothing_heavy(folder: Path) -> None:
    digest, modules = captured(CAPTURE, folder, name="again")

    assert [name for name in HEAVY if name in modules] == []
    assert digest == captured(CAPTURE, folder, name="once more")[0]


def test_a_file_that_changed_and_its_time_set_back_makes_another_lock(folder: Path) -> None:
    digest, _ = captured(CAPTURE, folder, name="before the change")
    (file,) = (folder / "env").rglob("ours.py")
    status = file.stat()

    file.write_text("ANSWER = 43\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    changed, modules = captured(CAPTURE, folder, name="changed")
    file.write_text("ANSWER = 42\n")

    assert "snapenv.steps.locking" in modules
    assert digest != changed
    assert digest == captured(CAPTURE, folder, name="as before")[0]


def test_another_index_is_asked_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captured(CAPTURE, folder, name="of one index")

    monkeypatch.setenv("UV_INDEX_URL", "https://index.example.com/simple")
    _, modules = captured(INDEX + CAPTURE, folder, name="of another")

    assert "snapenv.steps.locking" in modules


def test_what_was_kept_makes_the_very_snapshot_that_would_be_made_anew(folder: Path) -> None:
    (folder / "cache/snapenv/made").rename(folder / "cache/snapenv/before")

    anew, modules = captured(INDEX + CAPTURE, folder, name="anew")

    assert {"jinja2", "snapenv.secrets.search", "snapenv.probe.collect"} <= {*modules}
    assert anew == captured(CAPTURE, folder, name="kept")[0]
