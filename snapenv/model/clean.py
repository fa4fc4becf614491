"""What snapenv has made on a machine, and what would be gained without it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Kind = Literal["environment", "workspace", "tools", "build-cache", "run", "cache"]
"""An image with a snapshot; an image of ``snapenv up``, or its folder of tools beside a venv; what
uv has downloaded in builds; the record of a run, with the container that is left of it; a folder of
what can be made anew."""


class Freeable(Struct, frozen=True, kw_only=True):
    """One thing that snapenv has made. Times are RFC 3339, in UTC; None is unknown."""

    kind: Kind  # what it is
    id: str  # of an image or a build cache as its engine has it; of a run its id; a folder
    names: tuple[str, ...] = ()  # that people know it by
    size_bytes: int  # that removing it alone gives back: what other images share stays
    created: str | None = None  # when it was made
    last_used: str | None = None  # of an environment, by a run of this user
    in_use: bool = False  # by a container or another image, or it is a run that goes on

    @property
    def name(self) -> str:
        """What a person calls it."""
        digest = self.id.removeprefix("sha256:")
        return ", ".join(self.names) or (self.id if digest == self.id else digest[:12])
