"""Send this program with its bytecode: what is compiled already need not be compiled each time.

Beside each module lies what this very Python makes of it. Another Python, whose bytecode has
another number at its start, passes over that and reads the module.
Source: https://peps.python.org/pep-0552/, of which these are unchecked ones.
"""

# Paths are plain strings, as elsewhere in the probe.

from __future__ import annotations

import importlib.util
import io
import marshal
import sys
import zipfile

MARK = b"\nsnapenv-program:\n"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can hold
_UNCHECKED = (1).to_bytes(4, "little")


def send(program: str) -> None:
    """Write the zipapp ``program``, with bytecode in it, to stdout, after ``MARK``."""
    sys.stdout.buffer.write(MARK + compiled(program))


def compiled(program: str, *, with_sources: bool = True) -> bytes:
    """Return the zipapp ``program`` with bytecode in it.

    Without sources it is half as large, and no other Python can run it; docstrings are left out.
    """
    with zipfile.ZipFile(program) as archive:
        sources = {name: archive.read(name) for name in sorted(archive.namelist())}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, source in sources.items():
            if with_sources:
                archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), source)
            bytecode = _bytecode(name, source, optimize=-1 if with_sources else 2)
            archive.writestr(zipfile.ZipInfo(name + "c", _LONG_AGO), bytecode)
    return packed.getvalue()


def _bytecode(name: str, source: bytes, *, optimize: int) -> bytes:
    code = compile(source, name, "exec", dont_inherit=True, optimize=optimize)
    head = importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(source)
    return head + marshal.dumps(code)
