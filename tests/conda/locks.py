"""The lock of a conda environment, as its own records in conda-meta say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import snapenv.lock
from snapenv.conda_lock import write_conda_lock
from snapenv.model.conda import CondaArchive, CondaEnvironment, CondaLock, CondaPackage
from tests.samples import sample_files

if TYPE_CHECKING:
    from snapenv.model.carried import Content


INSTALL_CONDA = Path(snapenv.lock.__file__).with_name("in_snapshot") / "install_conda.py"


def lock_of(prefix: Path, *, address: str | None = None) -> CondaLock:
    """Return the lock of what is installed; with ``address``, of a channel that moved there."""
    packages = dict[str, CondaPackage]()
    archives = dict[str, CondaArchive]()
    for path in sorted(prefix.glob("conda-meta/*.json")):
        record = json.loads(path.read_text())
        name, subdir, filename = record["name"], record["subdir"], record["fn"]
        url = f"{address}/{subdir}/{filename}" if address else record["url"]
        packages[name] = CondaPackage(
            name=name,
            version=record["version"],
            build=record["build"],
            subdir=subdir,
            noarch=record.get("noarch"),
            channel=address or record["channel"],
            url=url,
            file_name=filename,
            depends=tuple(record["depends"]),
            timestamp_ms=record["timestamp"],
            files=sample_files(name),
        )
        archives[name] = CondaArchive(
            file_name=filename, url=url, sha256=record["sha256"], size_bytes=record["size"]
        )
    environment = CondaEnvironment(packages=tuple(packages.values()))
    return CondaLock(environment=environment, archives=archives)


def files_of(lock: CondaLock) -> dict[str, Content]:
    """Return the files of a snapshot that bring conda's packages back."""
    return {
        "conda-lock.json": write_conda_lock(lock),
        "conda-install.py": INSTALL_CONDA.read_bytes(),
    }
