"""A lock as a Dockerfile. The same lock gives the same bytes.

Source: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import Version

from snapenv.errors import LockError
from snapenv.model.facts import NEUTRAL_VARIABLES
from snapenv.model.image import ImageRef, Tag
from snapenv.model.snapshot import LENT, VENDOR
from snapenv.render.environment import template_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.snapshot import Lock

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_URL = re.compile(r"(?:https?|file)://[A-Za-z0-9._~:/%+@=&?,-]+", re.ASCII)
_FILE = re.compile(rf"(?:{VENDOR}|{LENT})/uv-[A-Za-z0-9._+-]+\.whl", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class DockerfileView:
    """What the template reads; every text has been parsed by its grammar."""

    tag: str
    snapenv: str
    base: str
    reasons: tuple[str, ...]
    vendored: bool
    lent: bool
    overlay: bool
    system_site: bool
    sees: str
    python: str
    uv_url: str
    uv_file: str | None
    uv_sha256: str
    variables: tuple[tuple[str, str], ...]  # (name, quoted value), sorted


def render_dockerfile(lock: Lock, *, lent: bool = False) -> bytes:
    """Render the Dockerfile of a lock; ``lent`` says whether the context has a folder of this name.

    Raises:
        LockError: A value is not of its grammar and could break out of its line.
    """
    text = template_environment().get_template("Dockerfile.j2").render(v=_view(lock, lent=lent))
    return text.encode()


def _view(lock: Lock, *, lent: bool) -> DockerfileView:
    base_world = lock.base.world == "base"
    try:
        return DockerfileView(
            tag=str(Tag.parse(lock.tag)),
            snapenv=str(Version(lock.snapenv)),
            base=str(ImageRef.parse(lock.base.image)),
            reasons=tuple(_one_line(reason) for reason in lock.base.reasons),
            vendored="vendored" in lock.proofs.values() or _travels(lock),
            lent=lent,
            overlay=bool(lock.overlay),
            system_site=base_world,
            sees="those of the base image" if base_world else "nothing of the base image's",
            python=str(Version(lock.environment.interpreter.minor)),
            uv_url=_matched(_URL, lock.installer.url),
            uv_file=lock.installer.file and _matched(_FILE, lock.installer.file),
            uv_sha256=_matched(_SHA256, lock.installer.sha256),
            variables=_quoted({**NEUTRAL_VARIABLES, **lock.variables}),
        )
    except ValueError as error:
        raise LockError(
            f"the lock holds a value that no Dockerfile can: {error}",
            hint="Capture again; do not build this snapshot.",
        ) from error


def _travels(lock: Lock) -> bool:
    """Say whether the wheels of the index lie in the snapshot, that of uv among them."""
    return (lock.installer.file or "").startswith(f"{VENDOR}/")


def _quoted(variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (_matched(_VARIABLE, name), _quote(value)) for name, value in sorted(variables.items())
    )


def _quote(value: str) -> str:
    escaped = re.sub(r'(["\\$])', r"\\\1", _one_line(value))
    return f'"{escaped}"'


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{text!r} holds a control character")
    return text


def _matched(grammar: re.Pattern[str], text: str) -> str:
    if not grammar.fullmatch(text):
        raise ValueError(f"{text!r}")
    return text
