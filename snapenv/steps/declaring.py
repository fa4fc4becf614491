"""Find out for whom and for what a run is, and under which name its user is counted."""

from __future__ import annotations

import os
import pwd
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.errors import UsageError, WriteError
from snapenv.ownership.staging import replace_file
from snapenv.places import exists, expanded
from snapenv.usage.declared import UsageTable, declare, parse_table, pseudonym

if TYPE_CHECKING:
    from snapenv.model.usage import Declared, DeclaredOptions
    from snapenv.ports import Services

_FILE = "pyproject.toml"
_KEY_BYTES = 32


def declared_in(folder: Path, options: DeclaredOptions) -> Declared:
    """Return what a user declares of what runs in a folder, by options or in the project's file.

    Raises:
        UsageError: A name is none, one that is required is missing, or the file is damaged.
    """
    table, _ = find_table(folder)
    return declare(options, table, require_project=options.require_project)


def login_name() -> str:
    """Return the login name of who runs snapenv."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container that names nobody
        return f"user{os.getuid()}"


def counted_user(login: str, folder: Path, services: Services) -> str:
    """Return the name under which a user is counted: a pseudonym where the project wants one.

    Raises:
        UsageError: Its key cannot be read.
        WriteError: It cannot be made.
    """
    table, place = find_table(folder)
    if not table.pseudonym:
        return login
    if isinstance(table.pseudonym, str):
        return pseudonym(login, _read_key(place / expanded(table.pseudonym)))
    return pseudonym(login, site_key(services))


def site_key(services: Services) -> bytes:
    """Return the key of this machine's pseudonyms, which never leaves it; made at its first use.

    Raises:
        UsageError: It cannot be read.
        WriteError: It cannot be made.
    """
    key = (services.state or Path()) / "usage.key"
    if not exists(key):
        _make_key(key)
    return _read_key(key)


def find_table(folder: Path) -> tuple[UsageTable, Path]:
    """Return the table of the nearest pyproject.toml, and its folder; an empty one without any.

    Raises:
        UsageError: The file is damaged.
    """
    for place in (folder, *folder.parents):
        file = place / _FILE
        try:
            content = file.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UsageError(
                f"cannot read {file}: {error.strerror}", hint="See who may read it."
            ) from error
        if b"snapenv" not in content:  # most have no such table, and reading TOML takes long
            break
        return parse_table(content.decode(errors="replace"), str(file)), place
    return UsageTable(), folder


def _read_key(path: Path) -> bytes:
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise UsageError(
            f"the key of pseudonyms {path} cannot be read: {error.strerror}",
            hint="Name a file that its users may read as pseudonym of [tool.snapenv.usage].",
        ) from error
    if not key:
        raise UsageError(
            f"the key of pseudonyms {path} is empty",
            hint="Write a secret into it, such as: openssl rand -hex 32",
        )
    return key


def _make_key(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, secrets.token_hex(_KEY_BYTES).encode())
    except OSError as error:
        raise WriteError(
            f"cannot write {path}: {error.strerror}",
            hint="Free some space, or name another state folder: XDG_STATE_HOME.",
        ) from error
