"""This machine: programs run as child processes of snapenv."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from msgspec import Struct

from snapenv.content import write_content
from snapenv.errors import InterpreterError, WriteError
from snapenv.model.launch import Gpu
from snapenv.ownership.leftovers import scratch_folder
from snapenv.ports import Completed
from snapenv.targets.process import converse, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence

    from snapenv.model.carried import Content

# What belongs to the Python that snapenv itself runs on would mislead another one.
_OURS = ("__PYVENV_LAUNCHER__", "PYTHONHOME", "PYTHONEXECUTABLE")
_DRIVER = Path("/proc/driver/nvidia")
_MODEL = re.compile(r"^Model:\s*(\S.*?)\s*$", re.MULTILINE)
_UUID = re.compile(r"^GPU UUID:\s*(GPU-\S+)", re.MULTILINE)


class LocalTarget(Struct, frozen=True):
    """An environment of this machine, by its interpreter."""

    python: str

    def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, Content] | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        stdout: BinaryIO | None = None,
    ) -> Completed:
        """Run a program as ``ports.Target`` says; it ends with snapenv if that is interrupted."""
        with scratch_folder() as folder:
            for name, content in (files or {}).items():
                _write(folder / name, content)
            inherited = {name: value for name, value in os.environ.items() if name not in _OURS}
            process = _start(argv, str(folder), {**inherited, **(environment or {})})
            return _listen(process, on_line, stdout)


def list_gpus(driver: Path = _DRIVER) -> tuple[Gpu, ...]:
    """List the GPUs that the driver's files show, by their place on the bus, as nvidia-smi does.

    Empty without a driver, and in WSL, which has no such files.
    Source: https://download.nvidia.com/XFree86/Linux-x86_64/550.54.14/README/procinterface.html
    """
    texts = (path.read_text() for path in sorted(driver.glob("gpus/*/information")))
    known = ((match[1], _MODEL.search(text)) for text in texts if (match := _UUID.search(text)))
    return tuple(
        Gpu(number=number, uuid=uuid, name=model[1] if model else None)
        for number, (uuid, model) in enumerate(known)
    )


def _write(path: Path, content: Content) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_content(path, content)
    except OSError as error:
        raise WriteError(
            f"cannot write {path}: {error.strerror}", hint="Free some space, or set TMPDIR."
        ) from error


def _start(
    argv: Sequence[str], folder: str, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    try:
        return start(argv, folder=folder, environment=environment)
    except OSError as error:
        raise InterpreterError(
            f"cannot run {argv[0]}: {error.strerror}",
            hint="Give the path of a Python, such as --python ENV/bin/python.",
        ) from error


def _listen(
    process: subprocess.Popen[bytes],
    on_line: Callable[[str], None] | None,
    stdout: BinaryIO | None,
) -> Completed:
    kept, stderr = io.BytesIO(), list[str]()
    into = kept if stdout is None else stdout

    def hear(line: bytes) -> None:
        stderr.append(line.decode(errors="replace"))
        if on_line:
            on_line(stderr[-1].rstrip())

    exit_code = converse(process, on_bytes=into.write, on_line=hear)
    return Completed(
        exit_code=exit_code,
        stdout=kept.getvalue().decode(errors="replace"),
        stderr="".join(stderr),
    )
