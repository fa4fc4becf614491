"""Run the commands whose output the documentation shows, and keep what they print.

Makes the environment of the demo where it is not there yet, captures it, restores it as a venv,
edits a file of what was restored, and takes a picture of the report. Needs what the demo needs, and
Debian's chromium. What would name this machine is replaced: its folders, and the hosts that
packages come from.

    .venv/bin/python -m docs.record && make docs
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from examples.demo import make_environment
from tests.engines.browser import find_browser
from tests.engines.place import Place

RECORDED = Path(__file__).parent / "recorded"
PICTURE = Path(__file__).parent / "report.png"
PLACE = Path("build", "demo").resolve()
HOME = "/home/me/project"
EDITED = "restored/lib/python{0}.{1}/site-packages/ultralytics/utils/loss.py"
PUBLIC = {"github.com"}  # hosts that are everybody's
COMMANDS = {
    "capture": "capture --python environment/bin/python -o snapshot",
    "doctor": "doctor snapshot --engine venv --device cpu",
    "refused": "restore snapshot --engine venv --into restored --device 0",
    "restore": "restore snapshot --engine venv --into restored --device cpu --report report.html",
    "same": "diff snapshot restored",
    "show": "show snapshot",
    "edited": "diff snapshot restored",
    "verify": "verify snapshot --engine venv --into restored --device cpu --no-smoke",
}


def main() -> None:
    """Record every command, and the picture."""
    make_environment({})
    for old in ("snapshot", "restored"):
        shutil.rmtree(PLACE / old, ignore_errors=True)
    RECORDED.mkdir(exist_ok=True)
    for name, words in COMMANDS.items():
        if name == "edited":
            _edit(PLACE / EDITED.format(*sys.version_info))
        text = f"$ snapenv {words}\n{_run(words)}"
        (RECORDED / f"{name}.txt").write_text(text, encoding="utf-8")
    _take_picture()


def _edit(path: Path) -> None:
    """Put a changed file in the place of one that uv has linked from its cache."""
    text = path.read_text(encoding="utf-8")
    path.unlink()
    path.write_text(f"{text}# a change of ours\n", encoding="utf-8")


def _run(words: str) -> str:
    """Return all that a command prints, in the order in which it does, without this machine."""
    text = subprocess.run(
        [sys.executable, "-m", "snapenv", *words.split()],
        cwd=PLACE,
        env=_variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout.replace(str(PLACE), HOME)
    for host in _hosts():
        text = text.replace(host, "files.example.com")
    return text


def _variables() -> dict[str, str]:
    nowhere = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    return {name: os.environ[name] for name in os.environ if name != "VIRTUAL_ENV"} | nowhere


def _hosts() -> set[str]:
    """Return the hosts of this machine's package indexes, as the snapshot names them."""
    lock = PLACE / "snapshot" / "pylock.toml"
    text = lock.read_text(encoding="utf-8") if lock.exists() else ""
    return set(re.findall(r"https?://([^/\"]+)/", text)) - PUBLIC


def _take_picture() -> None:
    page = (PLACE / "report.html").read_text(encoding="utf-8").replace(str(PLACE), HOME)
    browser = find_browser(Place.default())
    browser.screenshot(page.encode(), PICTURE, width=900, height=780, dark=False)


if __name__ == "__main__":
    main()
