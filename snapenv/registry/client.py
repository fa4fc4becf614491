"""The real class for ``ports.Registry``: the distribution API, over requests.

oras-py was looked at and not taken: it checks no digest, knows
no Retry-After and no time limit, has no types, and takes three times as long to import.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec.structs import replace

from snapenv.content import write_all
from snapenv.errors import NotFoundError, RegistryError
from snapenv.model.artifact import RemoteSnapshot, artifact_layers, is_artifact
from snapenv.model.attachment import is_fallback_tag
from snapenv.model.hardware import image_architecture
from snapenv.model.image import ImageRef, Layer, RemoteImage
from snapenv.model.oci import (
    MANIFESTS,
    OCI_MANIFEST,
    Config,
    Descriptor,
    Index,
    Manifest,
    sha256_digest,
)
from snapenv.network.address import is_address
from snapenv.network.repeat import repeat
from snapenv.network.session import ABSENT, Patience, RequestError
from snapenv.registry.documents import (
    DocumentError,
    TagList,
    choose,
    machines,
    parse,
    parse_manifest,
)
from snapenv.registry.referrers import Referrers
from snapenv.registry.repository import find_login, find_repository
from snapenv.registry.session import RegistrySession
from snapenv.registry.upload import Uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping, Sequence
    from pathlib import Path

    from snapenv.model.artifact import Artifact
    from snapenv.model.attachment import Attachment
    from snapenv.ports import Task
    from snapenv.registry.repository import Login, Repository
    from snapenv.registry.session import Body

_ANY = "*/*"
_NO_ARTIFACTS = frozenset({400, 405, 415, 422})  # of a manifest that is PUT
_MAX_BYTES = 8 << 20  # of a manifest, a config, a page of tags
_MAX_PAGES = 100
_PAGE = 1000  # tags
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
_DIGEST_HEADER = "Docker-Content-Digest"
_USUAL = "Check that the registry can be reached from here, and try again."
_PUSH_AGAIN = "Somebody may be changing it; if it stays so, the registry is damaged."


class RegistryClient:
    """Asks registries, as ``ports.Registry`` says; many may ask at once."""

    def __init__(
        self,
        *,
        patience: Patience | None = None,
        login: Callable[[str], Login | None] = find_login,
        insecure: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """``insecure`` says of a host whether http will do; it is asked where https does not."""
        self._patience = patience or Patience(connect_s=10.0, read_s=30.0)
        self._login = login
        self._insecure = insecure
        self._sessions: dict[str, RegistrySession] = {}  # by host

    def tags(self, repository: str) -> tuple[str, ...]:
        """List the tags of a repository, sorted; those that list attachments are none."""
        ref = ImageRef.parse(repository)
        served = find_repository(ref)
        path, tags = f"{served.path}/tags/list?n={_PAGE}", set[str]()
        with _named(ref, served):
            for _ in range(_MAX_PAGES):
                body = self._get(served, path)
                tags.update(parse(body.content, TagList, what="list of tags").tags or ())
                following = _NEXT.search(body.headers.get("Link", ""))
                if following is None:
                    return tuple(sorted(tag for tag in tags if not is_fallback_tag(tag)))
                path = _below(following[1])
            raise RequestError(f"has more than {_MAX_PAGES} pages of tags")

    def read(self, ref: ImageRef, *, machine: str | None = None) -> RemoteImage:
        """Read the manifest and the config of an image."""
        described = self.describe(ref, machine=machine)
        if isinstance(described, RemoteSnapshot):
            raise NotFoundError(
                f"{ref} is a snapshot alone, and no image",
                hint=f"Make its environment without an image: snapenv restore {ref} --engine venv; "
                f"or build its image: snapenv build {ref}",
            )
        return described

    def describe(
        self,
        ref: ImageRef,
        *,
        machine: str | None = None,
        configs: MutableMapping[str, Config] | None = None,
    ) -> RemoteImage | RemoteSnapshot:
        """Read what a name is: an image, or a snapshot alone."""
        repository = find_repository(ref)
        with _named(ref, repository):
            manifest, digest = self._manifest(repository, ref.digest or ref.tag or "latest")
            if isinstance(manifest, Index):
                manifest, digest = self._chosen(repository, ref, manifest, machine)
            if is_artifact(manifest):
                return _snapshot(ref.at(digest), manifest)
            config = self._config(repository, manifest.config.digest, configs)
        if machine and config.architecture != machine.partition("/")[0]:
            raise _other_machine(ref, repository, machine, (config.architecture,))
        return _image(ref.at(digest), manifest, config)

    def _config(
        self, repository: Repository, digest: str, known: MutableMapping[str, Config] | None
    ) -> Config:
        if known is not None and digest in known:
            return known[digest]
        body = self._get(repository, f"{repository.path}/blobs/{digest}", digest=digest)
        config = parse(body.content, Config, what="config")
        if known is not None:
            known[digest] = config
        return config

    def find_snapshot(self, ref: ImageRef) -> RemoteSnapshot | None:
        """Read a snapshot that lies alone; None where the name is an image's."""
        repository = find_repository(ref)
        with _named(ref, repository):
            manifest, digest = self._manifest(repository, ref.digest or ref.tag or "latest")
            if isinstance(manifest, Index) or not is_artifact(manifest):
                return None
            return _snapshot(ref.at(digest), manifest)

    def fetch(self, ref: ImageRef, layer: Descriptor, into: Path, task: Task) -> None:
        """Download a layer to a new file, whole and with its digest checked, or not at all."""
        repository = find_repository(ref)
        with _named(ref, repository):
            repeat(lambda: self._fetch(repository, layer, into, task), self._patience.waits_s)

    def _fetch(self, repository: Repository, layer: Descriptor, into: Path, task: Task) -> None:
        digest, done = hashlib.sha256(), 0
        try:
            with into.open("xb", buffering=0) as file:

                def take(chunk: bytes) -> None:
                    nonlocal done
                    write_all(file, (chunk,))
                    digest.update(chunk)
                    done += len(chunk)
                    task.count(done, layer.size)

                self._session(repository).get(
                    f"{repository.path}/blobs/{layer.digest}",
                    repository=repository.path,
                    accept=_ANY,
                    max_bytes=layer.size,
                    take=take,
                )
            _refuse_other_bytes(f"sha256:{digest.hexdigest()}", layer.digest)
        except BaseException:
            into.unlink(missing_ok=True)
            raise

    def find_digest(self, ref: ImageRef) -> str | None:
        """Return the digest that a name has now; None where the registry has none such."""
        repository = find_repository(ref)
        try:
            with _named(ref, repository):
                return self._manifest_bytes(repository, ref.tag or "latest")[1]
        except NotFoundError:
            return None

    def retag(self, ref: ImageRef, tag: str) -> None:
        """Add one more tag to what a name is, in its repository."""
        repository = find_repository(ref)
        with _named(ref, repository):
            body, _ = self._manifest_bytes(repository, ref.digest or ref.tag or "latest")
            media_type = body.headers.get("Content-Type", OCI_MANIFEST)
            Uploads(self._session(repository), repository, self._patience).put_manifest(
                tag, body.content, media_type
            )

    def push(
        self, ref: ImageRef, artifact: Artifact, task: Task, *, mount: ImageRef | None = None
    ) -> str:
        """Send an artifact under a tag; return its digest, which the registry then serves."""
        repository, tag = find_repository(ref), ref.tag or "latest"
        other = find_repository(mount) if mount else None
        with _named(ref, repository):
            self._get(repository, "")  # where it is asked, and how
            uploads = Uploads(self._session(repository), repository, self._patience)
            uploads.put_blobs(
                artifact.blobs,
                task,
                mount=other.path if other and other.host == repository.host else None,
            )
            try:
                uploads.put_manifest(tag, artifact.manifest, OCI_MANIFEST)
            except RequestError as error:
                raise _refuses_artifacts(error) from error
            digest = self._manifest_bytes(repository, tag)[1]
            if digest != sha256_digest(artifact.manifest):
                raise RequestError(f"serves {digest} for what was pushed", hint=_PUSH_AGAIN)
            return digest

    def attach(
        self, ref: ImageRef, attachments: Sequence[Attachment], task: Task
    ) -> tuple[Descriptor, ...]:
        """Attach documents to an image by its digest; return their entries."""
        repository = find_repository(ref)
        with _named(ref, repository):
            body, digest = self._manifest_bytes(repository, str(ref.digest))
            subject = Descriptor(
                digest=digest,
                size=len(body.content),
                media_type=body.headers.get("Content-Type", OCI_MANIFEST).partition(";")[0],
            )
            try:
                return self._referrers(repository, digest).attach(attachments, subject, task)
            except RequestError as error:
                raise _refuses_artifacts(error) from error

    def attachments(self, ref: ImageRef) -> tuple[Descriptor, ...]:
        """Return the entries of what is attached to an image, by its digest."""
        repository = find_repository(ref)
        with _named(ref, repository):
            return self._referrers(repository, str(ref.digest)).list()

    def read_attachment(self, ref: ImageRef, entry: Descriptor) -> bytes:
        """Return the one document of an attachment."""
        repository = find_repository(ref)
        with _named(ref, repository):
            manifest, _ = self._manifest(repository, entry.digest)
            if isinstance(manifest, Index) or len(manifest.layers) != 1:
                raise DocumentError("an attachment that is not one document")
            digest = manifest.layers[0].digest
            return self._get(repository, f"{repository.path}/blobs/{digest}", digest=digest).content

    def _referrers(self, repository: Repository, digest: str) -> Referrers:
        def get(path: str, accept: str) -> Body:
            return self._get(repository, f"{repository.path}/{path}", accept=accept)

        self._get(repository, "")  # where it is asked, and how
        uploads = Uploads(self._session(repository), repository, self._patience)
        return Referrers(get, uploads, digest)

    def _chosen(
        self, repository: Repository, ref: ImageRef, index: Index, machine: str | None
    ) -> tuple[Manifest, str]:
        own, available = image_architecture(os.uname().machine), machines(index)
        wanted = choose(index, machine or own)
        if wanted is None and machine is None and available:
            wanted = choose(index, available[0])
        if wanted is None:
            raise _other_machine(ref, repository, machine or own, available)
        manifest, digest = self._manifest(repository, wanted)
        if isinstance(manifest, Index):
            raise DocumentError("an index within an index")
        return manifest, digest

    def _manifest(self, repository: Repository, name: str) -> tuple[Manifest | Index, str]:
        """Return a manifest by tag or digest, and its digest."""
        body, digest = self._manifest_bytes(repository, name)
        return parse_manifest(body.content, body.headers.get("Content-Type", "")), digest

    def _manifest_bytes(self, repository: Repository, name: str) -> tuple[Body, str]:
        body = self._get(
            repository,
            f"{repository.path}/manifests/{name}",
            accept=", ".join(MANIFESTS),
            digest=name if ":" in name else None,
        )
        return body, sha256_digest(body.content)

    def _get(
        self, repository: Repository, path: str, *, accept: str = _ANY, digest: str | None = None
    ) -> Body:
        """Ask, patiently; where a digest is known, or told, the bytes have it."""

        def ask() -> Body:
            body = self._session(repository).get(
                path, repository=repository.path, accept=accept, max_bytes=_MAX_BYTES
            )
            known = digest or body.headers.get(_DIGEST_HEADER) or ""
            if known.startswith("sha256:"):
                _refuse_other_bytes(sha256_digest(body.content), known)
            return body

        try:
            return repeat(ask, self._patience.waits_s)
        except RequestError as error:
            if (
                not error.is_unreachable
                or repository.may_speak_http
                or not self._insecure(repository.host)
            ):
                raise
        self._sessions[repository.host] = self._new_session(replace(repository, insecure=True))
        return repeat(ask, self._patience.waits_s)

    def _session(self, repository: Repository) -> RegistrySession:
        known = self._sessions.get(repository.host)
        return known or self._sessions.setdefault(repository.host, self._new_session(repository))

    def _new_session(self, repository: Repository) -> RegistrySession:
        return RegistrySession(repository, login=self._login, patience=self._patience)


@contextlib.contextmanager
def _named(ref: ImageRef, repository: Repository) -> Iterator[None]:
    """Say of an image what its registry does.

    Raises:
        NotFoundError: The registry does not have it.
        RegistryError: The registry does not answer, refuses, or serves other bytes.
    """
    try:
        yield
    except RequestError as error:
        hint = error.hint or _USUAL
        if error.status in ABSENT:
            raise NotFoundError(f"{repository.host} has no {ref}", hint=hint) from error
        raise RegistryError(f"{repository.host} {error.what}: {ref}", hint=hint) from error
    except DocumentError as error:
        raise RegistryError(
            f"{repository.host} serves {error.what}: {ref}", hint=_PUSH_AGAIN
        ) from error


def _refuses_artifacts(error: RequestError) -> RequestError:
    """Say of the refusal of a manifest, whose blobs are all there, what it means."""
    if error.status not in _NO_ARTIFACTS:
        return error
    return RequestError(
        f"takes no artifacts: it answers with {error.status}",
        hint="Push the image instead: snapenv build SNAPSHOT --push; or hand on a file: "
        "snapenv export SNAPSHOT -o FILE",
        status=error.status,
    )


def _refuse_other_bytes(actual: str, expected: str) -> None:
    if actual != expected:
        raise RequestError(f"serves other bytes for {expected}", hint=_PUSH_AGAIN, passing=True)


def _below(link: str) -> str:
    """Return what a link to the next page asks for, of this registry and no other."""
    parts = urlsplit(link if is_address(link) else "")
    _, separator, path = parts.path.partition("/v2/")
    if not separator:
        raise RequestError("links to an invalid next page")
    return f"{path}?{parts.query}"


def _other_machine(
    ref: ImageRef, repository: Repository, machine: str, available: tuple[str, ...]
) -> NotFoundError:
    return NotFoundError(
        f"{repository.host} has {ref} for {', '.join(available) or 'no machine'}, "
        f"and not for {machine}",
        hint="Build it on a machine of this kind.",
    )


def _snapshot(ref: ImageRef, manifest: Manifest) -> RemoteSnapshot:
    try:
        layers = artifact_layers(manifest)
    except ValueError as error:
        raise DocumentError(str(error)) from error
    return RemoteSnapshot(ref=ref, layers=layers, annotations=manifest.annotations)


def _image(ref: ImageRef, manifest: Manifest, config: Config) -> RemoteImage:
    if len(manifest.layers) != len(config.rootfs.diff_ids):
        host = find_repository(ref).host
        raise RegistryError(
            f"{host} serves a config of other layers than the manifest: {ref}", hint=_PUSH_AGAIN
        )
    return RemoteImage(
        ref=ref,
        config_digest=manifest.config.digest,
        layers=tuple(
            Layer(digest=layer.digest, size_bytes=layer.size, media_type=layer.media_type)
            for layer in manifest.layers
        ),
        diff_ids=config.rootfs.diff_ids,
        labels=config.labels,
        variables=config.variables,
        machine=config.architecture,
        created=config.created,
    )
