"""The operating system and the processor, from what they publish as text.

Source: https://www.freedesktop.org/software/systemd/man/latest/os-release.html
"""

from __future__ import annotations

import os
import re
from pathlib import Path


def system() -> dict[str, object]:
    """Describe the machine as snapenv's ``System``; no host name."""
    return {
        "os": _os(),
        "machine": os.uname().machine,
        "glibc": _glibc(),
        "cpu": _cpu(),
        "cpu_count": cpu_count(),
    }


def _os() -> str:
    text = _read("/etc/os-release") or _read("/usr/lib/os-release")
    words = (
        re.search(rf"^{key}=[\"']?([^\"'\n]*)", text, re.MULTILINE) for key in ("ID", "VERSION_ID")
    )
    return " ".join(word.group(1) for word in words if word) or os.uname().sysname.lower()


def _glibc() -> str | None:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").rpartition(" ")[2] or None
    except (ValueError, OSError):  # musl
        return None


def _cpu() -> str | None:
    found = re.search(r"^model name\s*:\s*(.*\S)", _read("/proc/cpuinfo"), re.MULTILINE)
    return found.group(1) if found else None


def cpu_count() -> int:
    """Give the number of processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
