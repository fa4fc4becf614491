"""An everyday environment of 378 packages: 373 of the index, five wheels of its owner, ten edits.

``everyday.txt`` pins those of the index. They are the trees of wandb, mlflow, fiftyone, ray,
jupyterlab and their like, without torch. ``python -m tests.benchmarks.everyday`` makes it.
"""

from __future__ import annotations

import base64
import hashlib
import random
import shutil
import tempfile
import zipfile
from pathlib import Path

import uv

from snapenv.index.wheels import IndexWheels
from tests.engines.place import Place, call, say

PINS = Path(__file__).with_name("everyday.txt")
WHEELS = 5
_MODULES = 200  # of a wheel of its owner, of 10 kB each
_DATA_BYTES = 4 << 20  # of a wheel's one large file, which is no text
_EDITED = (
    *("click/core.py", "requests/sessions.py", "flask/app.py", "yaml/loader.py"),
    *("pandas/core/frame.py", "wandb/__init__.py"),
)
_LOOSE = ("ours/__init__.py", "ours/models.py", "ours/data.bin", "ours/config.yaml")


def make_everyday(place: Place) -> Path:
    """Return the interpreter of the environment, made if it is not there.

    Raises:
        UnavailableError: The index does not answer.
    """
    folder = place.folder / "everyday"
    python, ready = folder / "bin" / "python", folder / ".ready"
    made_of = hashlib.sha256(PINS.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    if ready.exists() and ready.read_text() == made_of:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    say("making an environment of 378 packages")
    call(uv.find_uv_bin(), "venv", "--quiet", "--python", "3.11", str(folder))
    with tempfile.TemporaryDirectory() as wheels:
        own = [str(make_wheel(Path(wheels), number)) for number in range(WHEELS)]
        call(
            *(uv.find_uv_bin(), "pip", "install", "--quiet", "--python", str(python)),
            *("--no-deps", "-r", str(PINS), *own),
            environment=IndexWheels(None).variables(),
        )
    edit(next(folder.glob("lib/python*/site-packages")))
    ready.write_text(made_of)
    return python


def make_wheel(folder: Path, number: int) -> Path:
    """Make a wheel that is on no index, of 200 modules and a file that is no text."""
    name = f"snapenv_everyday{number}"
    info, chance = f"{name}-1.0.dist-info", random.Random(number)
    files = {
        f"{name}/module{each}.py": "".join(
            f"NUMBER_{line} = {chance.getrandbits(160)}\n" for line in range(160)
        ).encode()
        for each in range(_MODULES)
    }
    files[f"{name}/data.bin"] = chance.randbytes(_DATA_BYTES)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    rows = "".join(
        f"{file},sha256={_sum(content)},{len(content)}\n" for file, content in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
        archive.writestr(f"{info}/RECORD", f"{rows}{info}/RECORD,,\n")
    return path


def _sum(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def edit(site: Path) -> None:
    """Change six files of packages, and put four beside them."""
    for name in _EDITED:
        path = site / name
        content = path.read_bytes()
        path.unlink()  # it may be linked to a cache
        path.write_bytes(content + b"\nEDITED = True\n")
    for name in _LOOSE:
        path = site / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"ANSWER = 42\n")


if __name__ == "__main__":
    print(make_everyday(Place.default()))
