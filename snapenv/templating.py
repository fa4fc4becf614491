"""Where templates come from, and how they are rendered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from jinja2 import Environment

_PACKAGE = Path(__file__).parent


def template_environment() -> Environment:
    """Make an environment in which an unknown name is an error and nothing outside is reached.

    A wheel has its templates inside the package; a checkout has them beside it.
    """
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader([_PACKAGE / "templates", _PACKAGE.parent / "templates"]),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
