"""Documents that are attached to images, in registries with a list of referrers and without.

Without one, whoever attaches keeps the list under a tag. Registries compare nothing before they
take a tag, so two writers may drop each other's entries: what is missing is added until it stays.
Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
"""

from __future__ import annotations

import random
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from snapenv.model.attachment import (
    attachment_artifact,
    describe_artifact,
    fallback_tag,
    with_referrers,
)
from snapenv.model.oci import MANIFESTS, OCI_INDEX, OCI_MANIFEST, Index
from snapenv.network.session import ABSENT, RequestError
from snapenv.registry.documents import DocumentError, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from snapenv.model.attachment import Attachment
    from snapenv.model.oci import Descriptor
    from snapenv.ports import Task
    from snapenv.registry.session import Body
    from snapenv.registry.upload import Uploads

_SUBJECT_HEADER = "OCI-Subject"  # of a registry that keeps the list
_ROUNDS = 20
_WAIT_S = 0.2  # between them, at most twice that
_NO_LIST = frozenset({*ABSENT, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.BAD_REQUEST})


class Referrers:
    """The attachments of one image: ``get`` reads below its repository, ``uploads`` sends there."""

    def __init__(self, get: Callable[[str, str], Body], uploads: Uploads, digest: str) -> None:
        self._get, self._uploads, self._digest = get, uploads, digest

    def list(self) -> tuple[Descriptor, ...]:
        """Return what is attached, in the registry's order.

        Raises:
            RequestError: The registry does not answer, or refuses.
            DocumentError: It serves no list.
        """
        try:
            body = self._get(f"referrers/{self._digest}", OCI_INDEX)
        except RequestError as error:
            if error.status not in _NO_LIST:
                raise
            listed = self._read_tag()
            return listed.manifests if listed else ()
        return _parse(body).manifests

    def attach(
        self, attachments: Sequence[Attachment], subject: Descriptor, task: Task
    ) -> tuple[Descriptor, ...]:
        """Attach documents, and return their entries; what is attached already is not sent.

        Raises:
            RequestError: The registry does not answer, refuses, or others keep changing the list.
            DocumentError: It serves no list.
        """
        attached, kept = [], True
        for attachment in attachments:
            artifact = attachment_artifact(attachment, subject)
            entry = describe_artifact(artifact.manifest, attachment)
            self._uploads.put_blobs(artifact.blobs, task)
            body = self._uploads.put_manifest(entry.digest, artifact.manifest, OCI_MANIFEST)
            kept = kept and body.headers.get(_SUBJECT_HEADER) is not None
            attached.append(entry)
        if not kept:
            self._keep_list(tuple(attached))
        return tuple(attached)

    def _keep_list(self, added: tuple[Descriptor, ...]) -> None:
        """Add entries to the list under a tag, until they are there still after a while."""
        tag, wrote = fallback_tag(self._digest), False
        for _ in range(_ROUNDS):
            listed = self._read_tag()
            present = {entry.digest for entry in (listed.manifests if listed else ())}
            if present.issuperset(entry.digest for entry in added):
                if not wrote:
                    return
                wrote = False
            else:
                self._uploads.put_manifest(tag, with_referrers(listed, added), OCI_INDEX)
                wrote = True
            time.sleep(_WAIT_S * (1 + random.random()))  # noqa: S311 - no secret
        raise RequestError(
            "keeps no list of what is attached: others change it all the time",
            hint="Try again in a while.",
        )

    def _read_tag(self) -> Index | None:
        try:
            body = self._get(f"manifests/{fallback_tag(self._digest)}", ", ".join(MANIFESTS))
        except RequestError as error:
            if error.status in ABSENT:
                return None
            raise
        return _parse(body)


def _parse(body: Body) -> Index:
    index = parse_manifest(body.content, body.headers.get("Content-Type", ""))
    if not isinstance(index, Index):
        raise DocumentError("an image in the place of a list of referrers")
    return index
