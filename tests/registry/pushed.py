"""Images that a registry is given without an engine: every form, and layers nobody has yet."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from snapenv.model.image import ImageRef
from snapenv.model.oci import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping

CREATED = "2026-03-01T12:00:00Z"
_LAYERS = {
    DOCKER_MANIFEST: "application/vnd.docker.image.rootfs.diff.tar.gzip",
    OCI_MANIFEST: "application/vnd.oci.image.layer.v1.tar+gzip",
}
_CONFIGS = {
    DOCKER_MANIFEST: "application/vnd.docker.container.image.v1+json",
    OCI_MANIFEST: "application/vnd.oci.image.config.v1+json",
}


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """An image as the registry has it."""

    ref: ImageRef  # with the digest of its manifest
    config_digest: str
    layer_digests: tuple[str, ...]
    layer_sizes: tuple[int, ...]
    diff_ids: tuple[str, ...]
    manifest: bytes
    media_type: str

    def entry(self, machine: str) -> dict[str, Any]:
        """Return its entry in an index."""
        return {
            "mediaType": self.media_type,
            "digest": self.ref.digest,
            "size": len(self.manifest),
            "platform": {"os": "linux", "architecture": machine},
        }


@dataclass(frozen=True)
class Shelf:
    """A repository of a registry that a test fills."""

    repository: str
    login: tuple[str, str] | None = None

    @classmethod
    def new(cls, registry: str, login: tuple[str, str] | None = None) -> Shelf:
        """Name a repository that nobody has used."""
        return cls(f"{registry}/transfers/{uuid.uuid4().hex}", login)

    def push(
        self,
        tag: str = "a",
        *,
        machine: str = "amd64",
        media_type: str = DOCKER_MANIFEST,
        labels: Mapping[str, str] | None = None,
        layer_bytes: int = 50_000,
    ) -> Pushed:
        """Return the registry an image with two layers of bytes that no zip makes smaller."""
        tars = [_tar(name, layer_bytes) for name in ("one", "two")]
        layers = [gzip.compress(tar, 1, mtime=0) for tar in tars]
        config = {
            "architecture": machine,
            "os": "linux",
            "created": CREATED,
            "config": {"Labels": dict(labels or {}), "Env": ["A=b=c", "EMPTY="]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
            "history": [{"created": CREATED}, {"created": CREATED}],
        }
        content = json.dumps(config).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": self.put_blob(content, _CONFIGS[media_type]),
            "layers": [self.put_blob(layer, _LAYERS[media_type]) for layer in layers],
        }
        sent = json.dumps(manifest).encode()
        return Pushed(
            ref=self.put_manifest(tag, sent, media_type),
            config_digest=_digest(content),
            layer_digests=tuple(map(_digest, layers)),
            layer_sizes=tuple(map(len, layers)),
            diff_ids=tuple(map(_digest, tars)),
            manifest=sent,
            media_type=media_type,
        )

    def push_index(self, tag: str, *images: tuple[str, Pushed], media_type: str) -> ImageRef:
        """Return the registry an index of images that it has, each for a kind of machine."""
        index = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": [image.entry(machine) for machine, image in images],
        }
        return self.put_manifest(tag, json.dumps(index).encode(), media_type)

    def put_blob(self, content: bytes, media_type: str) -> dict[str, Any]:
        """Send a blob; give its descriptor."""
        started = requests.post(f"{self._url}/blobs/uploads/", auth=self.login, timeout=60)
        started.raise_for_status()
        requests.put(
            started.headers["Location"],
            params={"digest": _digest(content)},
            data=content,
            headers={"Content-Type": "application/octet-stream"},
            auth=self.login,
            timeout=60,
        ).raise_for_status()
        return {"mediaType": media_type, "size": len(content), "digest": _digest(content)}

    def put_manifest(self, tag: str, content: bytes, media_type: str) -> ImageRef:
        """Send a manifest; give its name with its digest."""
        requests.put(
            f"{self._url}/manifests/{tag}",
            data=content,
            headers={"Content-Type": media_type},
            auth=self.login,
            timeout=60,
        ).raise_for_status()
        return ImageRef(repository=self.repository, tag=tag, digest=_digest(content))

    def has(self, tag: str) -> bool:
        """Return whether the registry serves a tag."""
        return requests.head(f"{self._url}/manifests/{tag}", auth=self.login, timeout=60).ok

    @property
    def _url(self) -> str:
        host, _, path = self.repository.partition("/")
        return f"http://{host}/v2/{path}"


def behind(ref: ImageRef, registry: str) -> ImageRef:
    """Name the same image at another address of its registry."""
    return ImageRef(repository=f"{registry}/{ref.path}", tag=ref.tag, digest=ref.digest)


INDEXES = {DOCKER_MANIFEST: DOCKER_LIST, OCI_MANIFEST: OCI_INDEX}


def _tar(name: str, size: int) -> bytes:
    content = b"".join(uuid.uuid4().bytes for _ in range(size // 16))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
