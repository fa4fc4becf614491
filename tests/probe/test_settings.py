"""ultralytics' own settings: the switches of integrations, and nothing else of that file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.probe.environments import make_venv, write_files, write_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.probe.environments import Venv

WRITTEN_BY_8_4 = {
    "settings_version": "0.0.8",
    "datasets_dir": "/home/someone/datasets",
    "uuid": "0123456789abcdef",
    "sync": True,
    "api_key": "secret",
    "openai_api_key": "secret",
    "clearml": True,
    "mlflow": False,
    "raytune": True,
    "wandb": "secret in the wrong place",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home folder."""
    for name in ("YOLO_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def venv(venv: Venv, tmp_path: Path) -> Venv:
    """Return an environment that has something by the name of ultralytics."""
    venv.install(write_wheel(tmp_path, "ultralytics", {"ultralytics.py": ""}))
    return venv


def test_what_a_user_has_set_is_no_part_of_an_environment_without_ultralytics(
    tmp_path: Path, home: Path
) -> None:
    write_files(home, {".config/Ultralytics/settings.json": json.dumps(WRITTEN_BY_8_4)})

    assert make_venv(tmp_path / "other").look().settings == {}


def test_only_switches_of_integrations_are_told(venv: Venv, home: Path) -> None:
    write_files(home, {".config/Ultralytics/settings.json": json.dumps(WRITTEN_BY_8_4)})

    assert venv.look().settings == {"clearml": True, "mlflow": False, "raytune": True}


@pytest.mark.parametrize("variable", ["YOLO_CONFIG_DIR", "XDG_CONFIG_HOME"])
def test_the_folder_is_the_one_that_ultralytics_takes(
    venv: Venv, home: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(home, {".config/Ultralytics/settings.json": '{"wandb": false}'})
    write_files(home, {"own/Ultralytics/settings.json": '{"wandb": true}'})
    monkeypatch.setenv(variable, str(home / "own"))

    assert venv.look().settings == {"wandb": True}


@pytest.mark.parametrize("content", [None, "", "[]", "{", "[" * 100_000, '{"wandb": 1}', "\udcff"])
def test_a_file_that_says_nothing_known_gives_nothing(
    venv: Venv, home: Path, content: str | None
) -> None:
    file = home / ".config/Ultralytics/settings.json"
    if content is not None:
        file.parent.mkdir(parents=True)
        file.write_bytes(content.encode("utf-8", "surrogateescape"))

    assert venv.look().settings == {}
