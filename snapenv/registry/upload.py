"""Sending blobs and manifests: what is there already is not sent.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push
"""

from __future__ import annotations

import io
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from msgspec import Struct

from snapenv.content import size_bytes
from snapenv.network.repeat import repeat
from snapenv.network.session import ABSENT, BUSY, RequestError
from snapenv.ports import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from typing_extensions import Self

    from snapenv.model.carried import Content
    from snapenv.network.session import Patience
    from snapenv.registry.repository import Repository
    from snapenv.registry.session import Body, RegistrySession

_CHUNK_BYTES = 256 << 10


class Uploads:
    """Sends to one repository, one thing after the other."""

    def __init__(
        self, session: RegistrySession, repository: Repository, patience: Patience
    ) -> None:
        self._session, self._path, self._patience = session, repository.path, patience

    def put_blobs(
        self, blobs: Mapping[str, Content], task: Task, *, mount: str | None = None
    ) -> None:
        """Send blobs, by their digests; ``mount`` is a repository that may have them.

        Raises:
            RequestError: The registry refuses one, or the transfer broke for good.
        """
        total, done = sum(map(size_bytes, blobs.values())), 0
        for digest, content in blobs.items():
            size = size_bytes(content)
            if not self._has(digest):
                self._put(digest, content, _Counting(task=task, before=done, total=total), mount)
            done += size
            task.count(done, total)

    def put_manifest(self, name: str, content: bytes, media_type: str) -> Body:
        """Send a manifest under a tag, or by its digest, all of whose blobs are there.

        Raises:
            RequestError: The registry refuses it, or the transfer broke for good.
        """

        def put() -> Body:
            try:
                body = self._session.send(
                    "PUT",
                    f"{self._path}/manifests/{name}",
                    repository=self._path,
                    headers={"Content-Type": media_type},
                    content=lambda: _Reader(content, None),
                )
                self._session.check_status(body, HTTPStatus.CREATED)
            except RequestError as error:
                error.passing = _may_pass(error)
                raise
            return body

        return repeat(put, self._patience.waits_s)

    def _has(self, digest: str) -> bool:
        body = self._session.send("HEAD", f"{self._path}/blobs/{digest}", repository=self._path)
        if body.status in ABSENT:
            return False
        self._session.check_status(body)
        return True

    def _put(self, digest: str, content: Content, counting: _Counting, mount: str | None) -> None:
        """Send a blob in one piece; after a break, again from its start.

        A registry may say how much it has, but Docker's own refuses to go on from there.
        """

        def put() -> None:
            try:
                place = self._begin(digest, mount)
                if place is not None:
                    self._finish(place, digest, content, counting)
            except RequestError as error:
                error.passing = _may_pass(error)
                raise

        repeat(put, self._patience.waits_s)

    def _begin(self, digest: str, mount: str | None = None) -> str | None:
        """Return where to send a blob to; None where it was mounted."""
        query = f"?mount={digest}&from={quote(mount, safe='')}" if mount else ""
        body = self._session.send(
            "POST", f"{self._path}/blobs/uploads/{query}", repository=self._path
        )
        self._session.check_status(body, HTTPStatus.ACCEPTED, HTTPStatus.CREATED)
        return None if body.status == HTTPStatus.CREATED else _location(body)

    def _finish(self, place: str, digest: str, content: Content, counting: _Counting) -> None:
        query = urlencode({"digest": digest})
        with _Reader(content, counting) as reader:
            body = self._session.send(
                "PUT",
                f"{place}{'&' if '?' in place else '?'}{query}",
                repository=self._path,
                headers={"Content-Type": "application/octet-stream"},
                content=reader.again,
            )
        self._session.check_status(body, HTTPStatus.CREATED)


class _Counting(Struct, frozen=True, kw_only=True):
    """Tells a task how many bytes of all are done."""

    task: Task
    before: int
    total: int

    def count(self, done: int) -> None:
        self.task.count(self.before + done, self.total)


class _Reader:
    """A body that is read as it is sent."""

    def __init__(self, content: Content, counting: _Counting | None) -> None:
        self._size, self._counting = size_bytes(content), counting
        self._file = content.open("rb") if isinstance(content, Path) else io.BytesIO(content)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def again(self) -> Self:
        """Begin once more, as where a login was wanted first."""
        self._file.seek(0)
        return self

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._file.read(size)
        if self._counting:
            self._counting.count(self._file.tell())
        return chunk

    def __len__(self) -> int:
        return self._size - self._file.tell()

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(_CHUNK_BYTES):
            yield chunk


def _may_pass(error: RequestError) -> bool:
    """Return whether another try may succeed: the registry is busy, or it broke off."""
    broke_off = error.status is None and not error.is_unreachable
    return error.passing or error.status in BUSY or broke_off


def _location(body: Body) -> str:
    place = body.headers.get("Location")
    if not place:
        raise RequestError("names no place to send a blob to")
    return place
