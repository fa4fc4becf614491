"""Install the packages of a lock into a conda prefix, with py-rattler and without a solver.

Run it as ``python conda-install.py conda-lock.json PREFIX``. What the prefix has already stays as
it is. An archive that travels lies beside this script; any other is fetched from its address,
unless it is in the package cache, which is pixi's too. Scripts that packages have for when they
are linked are not run.

It stands alone in a snapshot: py-rattler, the standard library of Python 3.10, and nothing else.

Source: https://conda.github.io/rattler/py-rattler/
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import rattler
from rattler.exceptions import InstallerError
from rattler.package_cache import PackageCache, PackageCacheLayer, ValidationMode
from rattler.platform import Subdir

HERE = Path(__file__).absolute().parent
INDEX_FIELDS = (
    *("name", "version", "build", "build_number", "subdir", "noarch", "depends", "constrains"),
    *("license", "python_site_packages_path"),
)
PIECE_BYTES = 1 << 20
SILENCE_S = 60
LEAST_BYTES_A_SECOND = 1000


class Refused(Exception):  # noqa: N818 - it says what happened
    """An archive or this machine is not as it should be; nothing was installed."""


class Watch:
    """Ends this program where an archive does not come: py-rattler would wait for ever.

    It counts seconds itself, so that those in which this program stands still are none.
    """

    def __init__(self) -> None:
        self._names: list[str] = []  # of the packages, by their numbers
        self._coming: dict[int, tuple[int, int, int]] = {}  # begun, last heard of, and bytes
        self._second = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def on_populate_cache_start(self, _: int, package_name: str) -> int:
        self._names.append(package_name)
        return len(self._names) - 1

    def on_download_start(self, cache_entry: int) -> int:
        self._coming[cache_entry] = (self._second, self._second, 0)
        return cache_entry

    def on_download_progress(self, download_idx: int, progress: int, _: int | None) -> None:
        if download_idx in self._coming:
            begun, _, _ = self._coming[download_idx]
            self._coming[download_idx] = (begun, self._second, progress)

    def on_download_completed(self, download_idx: int) -> None:
        self._coming.pop(download_idx, None)

    def _watch(self) -> None:
        while True:
            time.sleep(1)
            self._second += 1
            for number, (begun, heard, count) in list(self._coming.items()):
                allowed = 2 * SILENCE_S + count / LEAST_BYTES_A_SECOND
                if self._second - heard > SILENCE_S or self._second - begun > allowed:
                    name = self._names[number]
                    sys.stderr.write(f"conda: {name} does not come: its channel is too slow\n")
                    sys.stderr.flush()
                    os._exit(1)


def main(lock_file: str, prefix: str) -> None:
    lock = json.loads(Path(lock_file).read_text(encoding="utf-8"))
    packages, archives = lock["environment"]["packages"], lock["archives"]
    meta = Path(prefix, "conda-meta")
    _refuse_other_platforms(packages)
    new = [_record(each, archives[each["name"]]) for each in packages]
    old = [rattler.PrefixRecord.from_path(path) for path in sorted(meta.glob("*.json"))]
    asyncio.run(
        rattler.install(
            [*old, *new],
            target_prefix=prefix,
            client=rattler.Client.default_client(),  # which asks again where a channel is busy
            package_cache=_package_cache(),
            execute_link_scripts=False,
            show_progress=False,
            reporter=Watch(),  # type: ignore[arg-type]  # it may have a part of the methods
        )
    )
    for package in packages:
        _name_origin(meta, package, archives[package["name"]])
    _set_variables(meta, lock["environment"].get("variables") or {}, prefix)
    (meta / "history").touch()  # conda takes a folder for an environment by this


def _refuse_other_platforms(packages: list[dict[str, Any]]) -> None:
    here = str(Subdir.current())
    for package in packages:
        if package["subdir"] not in (here, "noarch"):
            raise Refused(f"{package['name']} is for {package['subdir']}, and this is {here}")


def _record(package: dict[str, Any], archive: dict[str, Any]) -> rattler.RepoDataRecord:
    """Return what the index of a channel would say of a package, with the place of its archive."""
    url = archive.get("url") or ""
    if archive.get("file"):
        url = _checked(HERE / archive["file"], archive).as_uri()
    elif url.startswith("file:"):
        _checked(Path(unquote(urlsplit(url).path)), archive)
    index = {name: package[name] for name in INDEX_FIELDS if package.get(name) is not None}
    index["timestamp"] = package.get("timestamp_ms")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "index.json")
        path.write_text(json.dumps(index), encoding="utf-8")
        hashes = {name: archive.get(name) for name in ("sha256", "md5")}
        described = rattler.PackageRecord.from_index_json(
            path, size=archive.get("size_bytes"), **hashes
        )
    return rattler.RepoDataRecord(described, archive["file_name"], url, url)


def _checked(path: Path, archive: dict[str, Any]) -> Path:
    """Compare an archive with its hash: py-rattler does so only with what it downloads."""
    kind = "sha256" if archive.get("sha256") else "md5"
    digest = hashlib.new(kind, usedforsecurity=False)
    try:
        with path.open("rb") as file:
            for piece in iter(lambda: file.read(PIECE_BYTES), b""):
                digest.update(piece)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from error
    if digest.hexdigest() != archive[kind]:
        raise Refused(f"{path} is not what its {kind} says")
    return path


def _package_cache() -> PackageCache:
    """Return the cache of packages, in which each file is compared with its hash before its use.

    An environment shares its files with it, so that whoever edits one there edits it here too.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("RATTLER_CACHE_DIR") or Path(caches, "rattler", "cache"), "pkgs")
    layer = PackageCacheLayer(folder).with_validation_mode(ValidationMode.full())
    return PackageCache.from_layers([layer])


def _name_origin(meta: Path, package: dict[str, Any], archive: dict[str, Any]) -> None:
    """Let a record name the channel that a package came from, where its archive lay elsewhere."""
    stem = "{name}-{version}-{build}".format(**package)
    path = meta / f"{stem}.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record.update(
        url=package.get("url") or archive.get("url") or f"file:///{package['file_name']}",
        channel=package.get("channel") or "<unknown>",  # conda's own word
        fn=package["file_name"],
        requested_specs=package.get("requested", []),
    )
    path.write_text(json.dumps(record, indent=2), encoding="utf-8")
    path.chmod(0o644)  # py-rattler lets nobody else read it


def _set_variables(meta: Path, variables: dict[str, str], prefix: str) -> None:
    """Set variables as ``conda env config vars set`` does; their values name the prefix."""
    if variables:
        values = {name: value.replace("$CONDA_PREFIX", prefix) for name, value in variables.items()}
        state = json.dumps({"version": 1, "env_vars": values}, indent=2)
        (meta / "state").write_text(state, encoding="utf-8")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (Refused, OSError, InstallerError) as error:
        first, *causes = str(error).splitlines()
        last = [cause.removeprefix("Caused by: ") for cause in causes[-1:]]
        sys.stderr.write(f"conda: {': '.join([first, *last])}\n")
        os._exit(1)
    os._exit(0)  # threads of py-rattler may still run, and would crash a Python that ends as usual
