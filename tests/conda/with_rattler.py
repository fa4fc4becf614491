"""What the tests do with py-rattler, in a process of its own.

A Python in which threads of py-rattler still run may crash when it ends as usual.

    python -m tests.conda.with_rattler index CHANNEL
    python -m tests.conda.with_rattler solve PREFIX CACHE CHANNEL,CHANNEL SPEC…
    python -m tests.conda.with_rattler explicit PREFIX CACHE FILE
    python -m tests.conda.with_rattler archive PREFIX CACHE FILE
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from pathlib import Path

import rattler
import rattler.index
from rattler.explicit_environment import ExplicitEnvironmentSpec
from rattler.package_streaming import download_to_path
from rattler.platform import Subdir

from tests.conda.packages import SUBDIR

# ruff: noqa: ASYNC240 - nothing else runs meanwhile


async def index(folder: str) -> None:
    await rattler.index.index_fs(Path(folder), write_zst=False, write_shards=False, force=True)


async def solve(prefix: str, cache: str, channels: str, *specs: str) -> None:
    records = await rattler.solve(
        sources=channels.split(","),
        specs=list(specs),
        platforms=[Subdir(SUBDIR), Subdir("noarch")],
        virtual_packages=[],
        gateway=rattler.Gateway(cache_dir=Path(cache, "repodata"), show_progress=False),
    )
    await rattler.install(records, prefix, cache_dir=Path(cache), show_progress=False)
    Path(prefix, "conda-meta", "history").touch()


async def explicit(prefix: str, cache: str, file: str) -> None:
    """Install what an explicit file names by addresses, as ``micromamba create --file`` does."""
    records = []
    for package in ExplicitEnvironmentSpec.from_path(Path(file)).packages:
        url, _, digest = package.url.partition("#")
        path = Path(cache, url.rpartition("/")[2])
        path.parent.mkdir(exist_ok=True)
        await download_to_path(rattler.Client(), url, path)
        record = await rattler.RepoDataRecord.from_package_archive(path)
        assert (record.sha256 or b"").hex() == digest
        records.append(record)
    await rattler.install(records, prefix, cache_dir=Path(cache, "pkgs"), show_progress=False)


async def archive(prefix: str, cache: str, file: str) -> None:
    record = await rattler.RepoDataRecord.from_package_archive(file)
    await rattler.install([record], prefix, cache_dir=Path(cache), show_progress=False)


ACTS = {"index": index, "solve": solve, "explicit": explicit, "archive": archive}

if __name__ == "__main__":
    try:
        asyncio.run(ACTS[sys.argv[1]](*sys.argv[2:]))  # type: ignore[operator]
    except BaseException:  # noqa: BLE001 - whatever it is, it is told
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
