"""For whom and for what a run is: what its user, the environment and the project's files say.

The table ``[tool.snapenv.usage]`` of a pyproject.toml::

    [tool.snapenv.usage]
    project = "vision"
    purpose = "ablation"
    model = "yolov8n"
    require = ["project"]
    pseudonym = true               # or the path of a key that several machines share
    prices = "prices.toml"         # from the folder of this file

An option or a variable takes the place of what stands there.
"""

from __future__ import annotations

import hmac
import re
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from snapenv.errors import UsageError
from snapenv.model.usage import Declared
from snapenv.toml import one_line, parse_any_toml

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}", re.ASCII)
TABLE = "tool.snapenv.usage"
_PSEUDONYM_LENGTH = 12

Field = Literal["project", "purpose", "model"]


class UsageTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table as it is written."""

    project: str | None = None
    purpose: str | None = None
    model: str | None = None
    require: tuple[Field, ...] = ()
    pseudonym: bool | str = False  # the path of the key, from the folder of the file
    prices: str | None = None  # the path of the price list, from the same folder


def parse_table(text: str, place: str) -> UsageTable:
    """Read the table of a pyproject.toml, which may have none; ``place`` names it in errors.

    Raises:
        UsageError: It is no TOML, or the table has other keys or values.
    """
    try:
        tool = parse_any_toml(text).get("tool", {})
        snapenv = tool.get("snapenv", {}) if isinstance(tool, dict) else {}
        table = snapenv.get("usage", {}) if isinstance(snapenv, dict) else {}
        return msgspec.convert(table, UsageTable)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{place}: {TABLE}: {one_line(str(error))}", hint="See docs/usage.md for its keys."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{place} is no TOML: {one_line(str(error))}", hint="Correct it; nothing was started."
        ) from error


def declare(given: Declared, table: UsageTable, *, require_project: bool = False) -> Declared:
    """Return what holds of a run: what is given, and where nothing is, what the table says.

    Raises:
        UsageError: Something required is missing, or a name has other characters than names have.
    """
    declared = Declared(
        project=given.project or table.project,
        purpose=given.purpose or table.purpose,
        model=given.model or table.model,
    )
    for field, name in asdict(declared).items():
        if name is not None and not NAME.fullmatch(name):
            raise UsageError(
                f"the {field} {name!r} is not of letters, digits, spaces, dots, dashes and "
                "underscores, with a letter or digit first, and at most 63 of them",
                hint=f"Give another with --{field}.",
            )
        required = field in table.require or (require_project and field == "project")
        if name is None and required:
            raise UsageError(
                f"no {field} is named, and one is required",
                hint=f"Name it with --{field} NAME, or as {field} of [{TABLE}] in pyproject.toml.",
            )
    return declared


def pseudonym(user: str, key: bytes) -> str:
    """Return what stands in the place of a login name: the same for the same key."""
    return hmac.new(key, user.encode(), "sha256").hexdigest()[:_PSEUDONYM_LENGTH]
