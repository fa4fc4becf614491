"""How a saved image names its layers.

An engine gives all layers of an image in one tar, in no order, and only at its end says which is
which. But how it names a layer follows from the image's diff ids, so that one reading is enough.
Where an engine names them otherwise, as one with containerd's store does, its documents tell.

Sources: https://github.com/moby/docker-image-spec/blob/main/v1.2.md and
https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from snapenv.engine.saved import MOST_JSON_BYTES, begins, plain_files

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterable, Mapping, Sequence

    from snapenv.engine.saved import Content, OpenTar


class OtherNamesError(Exception):
    """A layer has a name that does not follow from a diff id."""


def expected_names(diff_ids: Sequence[str]) -> Mapping[str, int]:
    """Foretell the layers' names, in OCI's layout and the classic ones; not the classic top."""
    blobs = {f"blobs/{one.replace(':', '/')}": number for number, one in enumerate(diff_ids)}
    plain = {f"{one.partition(':')[2]}.tar": number for number, one in enumerate(diff_ids)}
    classic: dict[str, int] = {}
    chain, parent = "", ""
    for number, diff_id in enumerate(diff_ids[:-1]):
        chain = f"sha256:{_sha256(f'{chain} {diff_id}')}" if chain else diff_id
        parent = _classic_id(chain, parent)
        classic[f"{parent}/layer.tar"] = number
    return {**blobs, **plain, **classic}


def _classic_id(chain: str, parent: str) -> str:
    """Give the name that the classic layout has for a layer below the topmost.

    Source: CreateID of https://github.com/moby/moby/blob/v20.10.24/image/v1/imagev1.go
    """
    words = ("Hostname", "Domainname", "User")
    switches = ("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce")
    empty: dict[str, object] = {**dict.fromkeys(words, ""), **dict.fromkeys(switches, False)}
    empty |= {"Env": None, "Cmd": None, "Image": "", "Volumes": None, "WorkingDir": ""}
    empty |= dict.fromkeys(("Entrypoint", "OnBuild", "Labels"))
    config = {"container_config": empty, "created": "1970-01-01T00:00:00Z", "layer_id": chain}
    if parent:
        config["parent"] = f"sha256:{parent}"
    return _sha256(json.dumps(config, separators=(",", ":")))


def foretell(member: tarfile.TarInfo, stream: Content, about: bytes, top: int) -> int | None:
    """Give the number of the topmost layer, which alone comes with the image's own config.

    Raises:
        OtherNamesError: It is another layer.
    """
    if member.name.endswith("/layer.tar"):
        described = parse_json(about)
        if (
            isinstance(described, dict)
            and described.get("config")
            and member.name == f"{described.get('id')}/layer.tar"
        ):
            return top
        raise OtherNamesError
    if member.name.startswith("blobs/") and not begins(stream, b"{"):
        raise OtherNamesError
    return None


def told_names(open_tar: OpenTar, diff_ids: Sequence[str]) -> Mapping[str, int]:
    """Read how a tar names the layers of these diff ids, in OCI's layout or in docker's own.

    Nothing is believed of what else its documents hold.
    """
    documents: dict[str, Any] = {}
    with open_tar() as chunks:
        for member, stream in plain_files(chunks):
            if member.size <= MOST_JSON_BYTES and (begins(stream, b"{") or begins(stream, b"[")):
                documents[member.name] = parse_json(stream.read())
    return _find_names(documents, diff_ids)


def _find_names(documents: Mapping[str, Any], diff_ids: Sequence[str]) -> Mapping[str, int]:
    """Find the manifest of the image, in OCI's layout or in docker's own."""
    for image in _list(documents.get("manifest.json")):
        config = image.get("Config") if isinstance(image, dict) else None
        if diff_ids_of(documents.get(str(config))) == list(diff_ids):
            return _number(map(str, _list(image.get("Layers"))), diff_ids)
    for manifest in documents.values():
        config = manifest.get("config") if isinstance(manifest, dict) else None
        if diff_ids_of(documents.get(_blob(config))) == list(diff_ids):
            return _number(map(_blob, _list(manifest.get("layers"))), diff_ids)
    return {}


def _number(names: Iterable[str], diff_ids: Sequence[str]) -> Mapping[str, int]:
    return dict(zip(names, range(len(diff_ids)), strict=False))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def diff_ids_of(config: Any) -> list[str] | None:  # noqa: ANN401
    """Give the diff ids of an image's config; None where it is none."""
    rootfs = config.get("rootfs") if isinstance(config, dict) else None
    return rootfs.get("diff_ids") if isinstance(rootfs, dict) else None


def _blob(descriptor: object) -> str:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    return f"blobs/{str(digest).replace(':', '/')}"


def parse_json(text: bytes) -> Any:  # noqa: ANN401
    """Give what a document holds; None where it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
