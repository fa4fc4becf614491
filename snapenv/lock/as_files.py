"""A distribution that can be no wheel, as files of the overlay: what an installer writes of it.

Sources: https://packaging.python.org/en/latest/specifications/recording-installed-packages/ and
https://packaging.python.org/en/latest/specifications/entry-points/
"""

from __future__ import annotations

import base64
import csv
import io
from posixpath import dirname
from typing import TYPE_CHECKING

from snapenv.content import sha256_of, size_bytes
from snapenv.lock.entry_points import scripts_of
from snapenv.model.carried import CarriedFile

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_ROOTS = {"site": "site", "scripts": "prefix/bin", "data": "prefix"}
_ABOVE = {"site/": "", "prefix/": "../../../"}  # from site-packages
_INSTALLER = b"snapenv\n"


def as_files(
    files: Mapping[str, CarriedFile], *, untracked: Collection[str] = ()
) -> Mapping[str, CarriedFile]:
    """Return the files of a distribution by their places: ``site/PATH`` and ``prefix/PATH``.

    ``files`` are named as for ``rebuild_wheel``. Beside them stand the scripts of its entry points,
    and in its .dist-info a RECORD of all. What is ``untracked``, by such places, belongs to no
    distribution and is brought back apart.
    """
    placed = {_place(path): file for path, file in files.items()}
    points = next(
        (file for path, file in files.items() if path.endswith(".dist-info/entry_points.txt")), None
    )
    for name, script in scripts_of(points.text if points else b"").items():
        if f"prefix/bin/{name}" not in untracked:
            placed.setdefault(f"prefix/bin/{name}", CarriedFile(content=script, executable=True))
    info = next((dirname(path) for path in placed if path.endswith(".dist-info/METADATA")), None)
    if info is None:
        return placed
    placed[f"{info}/INSTALLER"] = CarriedFile(content=_INSTALLER, executable=False)
    record = _record(placed, f"{info}/RECORD")
    return {**placed, f"{info}/RECORD": CarriedFile(content=record, executable=False)}


def _place(path: str) -> str:
    root, _, rest = path.partition("/")
    return f"{_ROOTS[root]}/{rest}"


def _record(placed: Mapping[str, CarriedFile], own: str) -> bytes:
    """List the files; of a script, whose first line will be another, without a hash."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for place, file in sorted(placed.items()):
        is_script = place.startswith("prefix/bin/")
        digest = base64.urlsafe_b64encode(sha256_of(file.content).digest()).rstrip(b"=")
        told = ("", "") if is_script else (f"sha256={digest.decode()}", size_bytes(file.content))
        rows.writerow((_from_site(place), *told))
    rows.writerow((_from_site(own), "", ""))
    return text.getvalue().encode()


def _from_site(place: str) -> str:
    root = place[: place.index("/") + 1]
    return _ABOVE[root] + place.removeprefix(root)
