"""A copy of OSV's database of Python's packages: a zip with one JSON document an advisory.

Source: https://google.github.io/osv.dev/data/
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from snapenv.advisories.match import affects
from snapenv.errors import ArchiveError, NotFoundError
from snapenv.json_text import read_json
from snapenv.model.osv import Advisory, Query
from snapenv.zips import DAMAGED, is_readable, read_member

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


_HINT = "Download it again: https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip"
_MOST_BYTES = 16 << 20  # of one advisory


def find_in_database(
    path: Path, queries: Sequence[Query]
) -> tuple[tuple[tuple[Query, Advisory], ...], int]:
    """Return what a database knows of packages, sorted, and how many advisories it holds.

    Raises:
        ArchiveError: It is no such database, or is damaged.
        NotFoundError: There is no such file.
    """
    matches, count = list[tuple[Query, Advisory]](), 0
    try:
        with zipfile.ZipFile(path) as database:
            for member in database.infolist():
                if not (member.filename.endswith(".json") and is_readable(member, _MOST_BYTES)):
                    continue
                advisory, count = (
                    read_json(read_member(database, member, _MOST_BYTES), Advisory),
                    count + 1,
                )
                matches += [(query, advisory) for query in queries if affects(advisory, query)]
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no database {path}", hint=_HINT) from error
    except OSError as error:
        raise NotFoundError(f"cannot read {path}: {error.strerror}", hint=_HINT) from error
    except DAMAGED as error:
        raise ArchiveError(f"{path} is not a database of OSV: {error}", hint=_HINT) from error
    if not count:
        raise ArchiveError(f"{path} holds no advisory", hint=_HINT)
    return tuple(sorted(matches, key=lambda pair: (pair[0].name, pair[1].id))), count
