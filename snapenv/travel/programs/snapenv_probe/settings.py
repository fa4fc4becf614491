"""ultralytics' own settings file, by allow-list: it also holds API keys, a UUID and paths.

Source: https://docs.ultralytics.com/quickstart/#ultralytics-settings
"""

# ruff: noqa: PTH111, PTH118, PTH123

from __future__ import annotations

import json
import os

_INTEGRATIONS = (
    "clearml",
    "comet",
    "dvc",
    "hub",
    "mlflow",
    "neptune",
    "raytune",
    "tensorboard",
    "wandb",
)


def of_ultralytics() -> dict[str, bool]:
    """Return the integrations that are switched; empty without a settings file that can be read."""
    try:
        with open(os.path.join(_folder(), "settings.json"), encoding="utf-8") as file:
            settings = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(settings, dict):
        return {}
    return {name: settings[name] for name in _INTEGRATIONS if isinstance(settings.get(name), bool)}


def _folder() -> str:
    own = os.environ.get("YOLO_CONFIG_DIR")
    config = own or os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return os.path.join(os.path.expanduser(config), "Ultralytics")
