"""The settings file of ultralytics: an environment's own, with folders and switches of ours.

Each version has another set of keys, and some reset a file that has not exactly theirs. So the
file is what the environment's ultralytics wrote itself, in which values are replaced.
Source: ultralytics/utils/__init__.py, ``SettingsManager``
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from snapenv.json_text import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MARK = "snapenv-settings "
"""What the line of the program's answer begins with; a banner may come before it."""

ASK = f"""
import json, os, sys, tempfile
folder = os.path.join(os.getcwd(), "config")
os.mkdir(folder)
os.environ["YOLO_CONFIG_DIR"] = os.environ["XDG_CONFIG_HOME"] = folder
os.environ["YOLO_OFFLINE"] = "true"
try:
    import ultralytics.utils
except ImportError:
    try:
        import ultralytics.yolo.utils
    except ImportError:
        pass
for place, _, names in os.walk(folder):
    for name in names:
        if name in ("settings.json", "settings.yaml"):
            path = os.path.join(place, name)
            with open(path, encoding="utf-8") as file:
                text = file.read()
            print({MARK!r} + json.dumps([os.path.relpath(path, folder), text]))
            sys.exit()
print({MARK!r} + "null")
"""
"""A program for the environment's Python, of 3.8 or newer, that tells of the file."""

_PATH = re.compile(r"(?:\w+/)*settings\.(?:json|yaml)", re.ASCII)
_YAML = re.compile(r"^(\w+):.*$", re.MULTILINE)


class Settings(Struct, frozen=True):
    """A settings file as an ultralytics wrote it: its path below YOLO_CONFIG_DIR, and its text."""

    path: str
    text: str


def parse_answer(stdout: str) -> Settings | None:
    """Read what the program told; None where the environment has no ultralytics.

    Raises:
        ValueError: It told nothing, or of a file that no ultralytics writes.
    """
    answers = (line for line in stdout.splitlines() if line.startswith(MARK))
    answer = read_json(next(answers, "").removeprefix(MARK), tuple[str, str] | None)
    if answer is None:
        return None
    path, text = answer
    if not _PATH.fullmatch(path):
        raise ValueError(f"a settings file at {path[:80]!r}")
    if path.endswith(".json"):
        read_json(text, dict[str, Any])
    return Settings(path, text)


def settings_file(settings: Settings, *, folder: Path, runs: Path) -> tuple[str, bytes]:
    """Return the path and content of the file for a run in ``folder``, with results in ``runs``."""
    values: dict[str, object] = {
        "datasets_dir": str(folder / "datasets"),
        "weights_dir": str(folder / "weights"),
        "runs_dir": str(runs),
        "sync": False,
        "tensorboard": True,
    }
    if settings.path.endswith(".json"):
        document = json.loads(settings.text)
        known = {key: value for key, value in values.items() if key in document}
        return settings.path, json.dumps({**document, **known}, indent=2).encode()
    return settings.path, _YAML.sub(lambda line: _replaced(line, values), settings.text).encode()


def _replaced(line: re.Match[str], values: Mapping[str, object]) -> str:
    """JSON's strings and truth values are YAML's too."""
    key = line[1]
    return f"{key}: {json.dumps(values[key])}" if key in values else line[0]
