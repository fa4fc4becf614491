"""Where templates come from, how they are rendered, and how values are quoted in them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

_PACKAGE = Path(__file__).parent
# What stands for itself in YAML, in a flow list too.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+-]*(?::[A-Za-z0-9_./@+-]+)*", re.ASCII)
_UNREADABLE = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # YAML wants them escaped
_NOT_TEXT = re.compile(r"y|n|yes|no|on|off|true|false|null", re.IGNORECASE)  # of YAML 1.1 too


def template_environment() -> Environment:
    """Make an environment in which an unknown name is an error and nothing outside is reached.

    A wheel has its templates inside the package; a checkout has them beside it.
    """
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader([_PACKAGE / "templates", _PACKAGE.parent / "templates"]),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    environment.filters.update(yaml=yaml_value, json=json_value, sh=shell_words)
    return environment


def render_template(name: str, view: object) -> str:
    """Fill a template, which reads ``view`` as ``v``.

    A line that holds nothing but a tag leaves no line behind.
    """
    environment = template_environment().overlay(trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(name).render(v=view)


def yaml_value(value: object) -> str:
    """Return a value as YAML on one line: text without quotes where it needs none."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(yaml_value, value))}]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and not _NOT_TEXT.fullmatch(value):
        return value
    return json_value(value)


def json_value(value: object) -> str:
    """Return a value as JSON on one line, which YAML reads alike."""
    text = json.dumps(value, ensure_ascii=False)
    return _UNREADABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def shell_words(value: str | Sequence[str]) -> str:
    """Return a word, or several, quoted for a shell."""
    return shlex.quote(value) if isinstance(value, str) else shlex.join(value)
