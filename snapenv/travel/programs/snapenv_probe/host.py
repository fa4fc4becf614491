"""The machine below an environment, and how its GPUs get into containers, as its files show it.

Sources: https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/ and
https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
"""

# Paths are plain strings: pathlib takes longer to import than all that is read here.
# ruff: noqa: PTH118, PTH123, PTH208, PTH110, PTH112, PTH116

from __future__ import annotations

import json
import os
import re
import stat
from typing import Any

from snapenv_probe import machine, nvidia_driver

MARK = "snapenv-host: "

_CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")
_MOST_BYTES = 4 << 20  # of a file; a CDI specification of 8 GPUs has 40 kB
_TIMEOUT_S = 3.0
# What a program prints, and which one it is: the first that is there counts.
_TOOLKIT = (
    ("nvidia-container-cli", re.compile(r"^cli-version:\s*(\d[\w.~+-]*)", re.MULTILINE)),
    ("nvidia-ctk", re.compile(r"\bversion\s+(\d[\w.~+-]*)")),
    ("nvidia-container-runtime-hook", re.compile(r"\bversion\s+(\d[\w.~+-]*)")),
)
_UNKNOWN = "unknown"
_GPU_NODE = re.compile(r"nvidia(\d+|ctl)")
_NO_CGROUPS = re.compile(r"^[ \t]*no-cgroups[ \t]*=[ \t]*(true|false)\b", re.MULTILINE)
_NO_REQUIRE = re.compile(r"^[ \t]*disable-require[ \t]*=[ \t]*(true|false)\b", re.MULTILINE)
_KIND = re.compile(r"^kind:[ \t]*(\S+)", re.MULTILINE)
_ITEM = re.compile(r"( *)-( +)(.*)")
_NAME = re.compile(r"( *)name:[ \t]*(.*?)[ \t]*(?:[ \t]#.*)?")


def document(root: str) -> str:
    """Look at the machine and return ``hardware``, ``gpu_states`` and ``plumbing`` as JSON.

    Files of the plumbing are looked for below ``root``, which is ``/`` but in tests.
    """
    driver = nvidia_driver.Driver(states=True)
    facts: dict[str, Any] = {
        "plumbing": plumbing(root),
        "hardware": {"system": machine.system(), **driver.answer()},
    }
    facts["gpu_states"] = facts["hardware"].pop("gpu_states")
    return json.dumps(facts, separators=(",", ":"), sort_keys=True)


def plumbing(root: str) -> dict[str, object]:
    """Return what snapenv's ``GpuPlumbing`` has."""
    nodes = _nodes(root)
    config = _read(root, "/etc/nvidia-container-runtime/config.toml")
    no_cgroups, no_require = _NO_CGROUPS.search(config), _NO_REQUIRE.search(config)
    return {
        "wsl": "microsoft" in _read(root, "/proc/version").lower(),
        "devices": ["/dev/" + name for name in nodes],
        "char_links": _has_char_links(root, nodes),
        "toolkit": _toolkit(),
        "no_cgroups": no_cgroups.group(1) == "true" if no_cgroups else None,
        "disable_require": bool(no_require and no_require.group(1) == "true"),
        "cdi": _cdi_specs(root),
        "jetson": os.path.exists(_below(root, "/etc/nv_tegra_release")),
    }


def _nodes(root: str) -> list[str]:
    """Name the device nodes of NVIDIA's driver, or WSL's of any, sorted; folders are left out."""
    names = (name for name in _list(root, "/dev") if name.startswith("nvidia") or name == "dxg")
    return [name for name in names if not os.path.isdir(_below(root, "/dev/" + name))]


def _has_char_links(root: str, nodes: list[str]) -> bool:
    """Return whether each GPU's node has a link by its numbers; systemd looks devices up there.

    Source: https://github.com/NVIDIA/nvidia-container-toolkit/issues/48
    """
    for name in nodes:
        if _GPU_NODE.fullmatch(name):
            try:
                device = os.stat(_below(root, "/dev/" + name)).st_rdev
            except OSError:
                continue
            link = f"/dev/char/{os.major(device)}:{os.minor(device)}"
            if not os.path.lexists(_below(root, link)):
                return False
    return True


def _toolkit() -> str | None:
    """Return the version of NVIDIA's container toolkit; None where no program of it is on PATH."""
    import shutil

    for program, version in _TOOLKIT:
        path = shutil.which(program)
        if path:
            match = version.search(_ask(path))
            return match.group(1) if match else _UNKNOWN
    return None


def _ask(path: str) -> str:
    """Return what a program prints as its version; empty where it fails or takes too long."""
    import subprocess  # noqa: TID251 - nothing of snapenv is here

    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")


def _cdi_specs(root: str) -> list[dict[str, object]]:
    """Describe the CDI specifications of NVIDIA, and those that cannot be read, in their order."""
    paths = (
        folder + "/" + name
        for folder in _CDI_FOLDERS
        for name in _list(root, folder)
        if name.endswith((".json", ".yaml"))  # others no engine reads
    )
    specs = ((path, _read(root, path)) for path in paths)
    return [
        {"path": path, "devices": devices, "driver": nvidia_driver.library_version(text)}
        for path, text in specs
        for devices in [cdi_devices(text)]
        if not devices or "nvidia.com/" in devices[0]
    ]


def cdi_devices(text: str) -> list[str]:
    """Name the devices of a CDI specification, in JSON or in YAML, in the file's order.

    Standard Python reads no YAML, and a library for it would have to travel, though four words are
    wanted of files that programs write, all in one form. What is written in another form gives no
    devices, and is seen as a specification without any.
    """
    try:
        kind, names = _of_json(json.loads(text))
    except (ValueError, RecursionError):
        match = _KIND.search(text)
        kind, names = _unquoted(match.group(1)) if match else "", _names_of_yaml(text)
    return [f"{kind}={name}" for name in names] if kind else []


def _of_json(document: Any) -> tuple[str, list[str]]:  # noqa: ANN401 - anything can stand there
    if not isinstance(document, dict):
        return "", []
    kind, devices = document.get("kind"), document.get("devices")
    if not isinstance(kind, str) or not isinstance(devices, list):
        return "", []
    names = (device.get("name") for device in devices if isinstance(device, dict))
    return kind, [name for name in names if isinstance(name, str)]


def _names_of_yaml(text: str) -> list[str]:
    """Return the ``name`` of each item of the list ``devices``, by the columns they stand in."""
    names: list[str] = []
    items, keys = -1, -1  # the columns of the items' dashes and of their keys
    for line in _lines_of_devices(text):
        item = _ITEM.fullmatch(line)
        if item and items in {-1, len(item.group(1))}:
            items = len(item.group(1))
            keys = items + 1 + len(item.group(2))
            line = " " * keys + item.group(3)  # noqa: PLW2901 - as if the dash were a space
        match = _NAME.fullmatch(line)
        if match and len(match.group(1)) == keys:
            names.append(_unquoted(match.group(2)))
    return names


def _lines_of_devices(text: str) -> list[str]:
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.rstrip() == "devices:"), len(lines))
    own = []
    for line in lines[start + 1 :]:
        if line[:1] not in {" ", "-", "#", ""}:
            break
        own.append(line)
    return own


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def _below(root: str, path: str) -> str:
    return os.path.join(root, path.lstrip("/"))


def _list(root: str, folder: str) -> list[str]:
    try:
        return sorted(os.listdir(_below(root, folder)))
    except OSError:
        return []


def _read(root: str, path: str) -> str:
    """Return the text of a plain file; empty where it is none, is too large, or may not be read."""
    try:
        with open(_below(root, path), encoding="utf-8", errors="replace") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return ""
            return file.read(_MOST_BYTES)
    except OSError:
        return ""
