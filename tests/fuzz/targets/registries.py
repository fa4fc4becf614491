"""What registries and engines answer: documents, headers, streams; and what is attached there."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from requests import Response

from snapenv.attest.bundle import read_bundle, signed_bytes
from snapenv.attest.signing import read_signer, read_verifier
from snapenv.attest.statement import read_verification
from snapenv.base.metadata import read_metadata
from snapenv.engine import disk, layers, runs
from snapenv.engine import docker as docker_engine
from snapenv.engine.address import parse_url
from snapenv.engine.answers import (
    DiskUsage,
    InspectedContainer,
    ListedContainer,
    Version,
    decode_answer,
    read_answer,
)
from snapenv.engine.buildkit import Steps, parse_trace
from snapenv.engine.describe import describe
from snapenv.engine.failures import engine_failure, registry_failure, start_failure
from snapenv.engine.gpus import choose_gpus, choose_shm
from snapenv.engine.start_causes import find_cause as find_start_cause
from snapenv.engine.stream import Layers, StreamError, drain, parse_messages
from snapenv.errors import SnapenvError
from snapenv.index import range_reader
from snapenv.index.session import NoRangesError
from snapenv.model.artifact import is_artifact
from snapenv.model.image import ImageRef
from snapenv.model.needs_label import read_label, read_row
from snapenv.model.oci import Config, Index
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.network.cause import find_in_words
from snapenv.network.session import RequestError
from snapenv.preflight import needs
from snapenv.registry import client
from snapenv.registry.documents import (
    DocumentError,
    TagList,
    Token,
    choose,
    machines,
    parse,
    parse_manifest,
)
from snapenv.registry.repository import find_repository, parse_challenge
from snapenv.report.card import registry_card
from tests.fakes import FakeTask
from tests.fuzz.target import SECRET, BrokenRuleError, Target, scratch
from tests.fuzz.targets.snapshots import CATALOGUE, bundle

if TYPE_CHECKING:
    from snapenv.model.oci import Manifest

_REF = ImageRef.parse("registry.example.com/team/env:tag")
_DIGEST = "sha256:" + "a" * 64


def _manifest(content: bytes) -> None:
    """Read a manifest or an index, and choose in it."""
    manifest = parse_manifest(content, "application/json; charset=utf-8")
    if isinstance(manifest, Index):
        machines(manifest)
        for machine in ("amd64", "amd64/v3", "arm64", "odd"):
            choose(manifest, machine)
    elif is_artifact(manifest):
        client._snapshot(_REF.at(_DIGEST), manifest)


def _image(content: bytes) -> None:
    """Read an image's manifest and config together, its labels, and what it needs."""
    parts = bundle(content)
    config = parse(parts.get("config.json", b""), Config, what="config")
    manifest: Manifest | Index = parse_manifest(parts.get("manifest.json", b""), "")
    if isinstance(manifest, Index):
        return
    image = client._image(_REF.at(_DIGEST), manifest, config)
    read_metadata(config.variables, config.labels)
    label = read_label(config.labels)
    for row in label.kernels if label else ():
        read_row(row)
    needs.of_labels(image, _REF, CATALOGUE)
    if SNAPSHOT_LABEL in config.labels:
        registry_card(image)


def _token(content: bytes) -> None:
    """Read a token; no error tells it."""
    try:
        parse(content.replace(b"TOKEN", SECRET.encode()), Token, what="token")
    except DocumentError as error:
        if SECRET in error.what:
            raise BrokenRuleError("the error tells the token") from None


def _headers(content: bytes) -> None:
    """Read the headers of answers: challenges, links to the next page, ranges, times to wait."""
    text = content.decode("latin-1")
    parse_challenge(text)
    following = client._NEXT.search(text)
    if following:
        client._below(following[1])
    response = Response()
    response.status_code = 206
    response.headers["Content-Range"] = text
    range_reader._place(response, 10)


def _attachment(content: bytes) -> None:
    """Read what anybody may have attached to an image."""
    signed = read_bundle(content)
    if signed:
        signed_bytes(signed.statement)
        read_verification(signed.statement, digest=_DIGEST)


def _statement(content: bytes) -> None:
    """Read the statement of a verification."""
    text = base64.b64encode(content).decode()
    envelope = {"payload": text, "payloadType": "application/vnd.in-toto+json", "signatures": []}
    bundled = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "dsseEnvelope": envelope,
    }
    signed = read_bundle(json.dumps(bundled).encode())
    if signed is None or signed.statement != content:
        raise BrokenRuleError("the bundle comes back otherwise")
    read_verification(content, digest=_DIGEST)


def _keys(content: bytes) -> None:
    with scratch() as folder:
        (folder / "key").write_bytes(content)
        for read in (read_verifier, lambda path: read_signer(path, SECRET)):
            try:
                read(folder / "key")
            except SnapenvError as error:  # noqa: PERF203
                if SECRET in f"{error.message}{error.hint}":
                    raise BrokenRuleError("the error tells the password") from None


def _messages(content: bytes) -> None:
    """Read the messages of a pull, a push, a load or a build."""
    layers, steps = Layers(FakeTask()), Steps(FakeTask())
    for message in drain(parse_messages(content.split(b"\n"))):
        layers.update(message)
        if isinstance(message.get("aux"), str):
            try:
                steps.update(parse_trace(message["aux"]))
            except ValueError:
                continue
    failed = steps.failed
    if failed:
        steps.lines(failed, last=5)


def _trace(content: bytes) -> None:
    steps = Steps(FakeTask())
    steps.update(parse_trace(base64.b64encode(content).decode()))
    if steps.failed:
        steps.lines(steps.failed, last=5)


def _words(content: bytes) -> None:
    """Read why an engine, or a registry through it, failed, from its own words."""
    text = content.decode(errors="replace")
    engine_failure(text)
    registry_failure(text, _REF)
    start_failure(text, "python", "the image")
    find_start_cause(text)
    find_in_words(text, host="example.com", machine="this machine")


class _NoJsonError(Exception):
    """What docker-py decodes before it is read here."""


def _decoded(content: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _NoJsonError from error


def _engine(content: bytes) -> None:
    """Read what an engine says of itself, and choose what containers of it are made with."""
    parts = bundle(content)
    info, version = (_decoded(parts.get(f"{name}.json", b"{}")) for name in ("info", "version"))
    engine = describe(
        info,
        read_answer(version, Version),
        address="unix:///run/docker.sock",
        buildkit=docker_engine.has_buildkit({"Api-Version": str(version)}),
    )
    choose_gpus("all", engine)
    choose_shm(engine)


def _inspected_image(content: bytes) -> None:
    """Read what an engine says of an image, and what of it leaves with the image."""
    parts = bundle(content)
    inspected = _decoded(parts.get("image.json", b"{}"))
    docker_engine._image(inspected)
    history = _decoded(parts.get("history.json", b"[]"))
    for _, pieces in layers._configuration(inspected, history):
        b"".join(pieces)


def _inspected_container(content: bytes) -> None:
    """Read how an engine says that a container stands."""
    state = runs._state(read_answer(_decoded(content), InspectedContainer))
    if not all(0 <= port.inside < 100_000 for port in state.ports):
        raise BrokenRuleError("a port has no number")


def _engine_lists(content: bytes) -> None:
    """Read which images, containers and parts of builds an engine says that it has."""
    parts = bundle(content)
    usage = decode_answer(parts.get("df.json", b"{}"), DiskUsage)
    for one in disk.of_usage(usage):
        if one.size_bytes < 0:
            raise BrokenRuleError(f"{one.id} has less than nothing")
    listed = _decoded(parts.get("containers.json", b"[]"))
    read_answer(listed, tuple[ListedContainer, ...])


def _docker_host(content: bytes) -> None:
    """Read DOCKER_HOST; a password in it is never told."""
    parse_url(content.decode(errors="replace").replace("PASSWORD", SECRET), tls=False)


def _reference(content: bytes) -> None:
    text = content.decode(errors="replace")
    ref = ImageRef.parse(text)
    if str(ref) != text or ImageRef.parse(str(ref)) != ref:
        raise BrokenRuleError(f"{text!r} comes back as {ref}")
    find_repository(ref)
    ref.mirrored("mirror.example.com/x")


TARGETS = (
    Target(name="manifest", read=_manifest, form="json", refuses=(DocumentError,)),
    Target(
        name="remote-image",
        read=_image,
        form="bundle",
        refuses=(DocumentError,),
        most_bytes=1 << 16,
    ),
    Target(
        name="tag-list",
        form="json",
        refuses=(DocumentError,),
        read=lambda content: parse(content, TagList, what="list"),
    ),
    Target(name="token", read=_token, form="json"),
    Target(name="headers", read=_headers, form="text", refuses=(RequestError, NoRangesError)),
    Target(name="attachment", read=_attachment, form="json"),
    Target(name="statement", read=_statement, form="json"),
    Target(name="keys", read=_keys, form="text"),
    Target(name="engine-stream", read=_messages, form="text", refuses=(StreamError,)),
    Target(name="build-progress", read=_trace, form="bytes", refuses=(ValueError,)),
    Target(name="engine-words", read=_words, form="text"),
    Target(name="engine", read=_engine, form="bundle", refuses=(_NoJsonError,)),
    Target(
        name="inspected-image",
        read=_inspected_image,
        form="bundle",
        refuses=(_NoJsonError,),
    ),
    Target(
        name="inspected-container",
        read=_inspected_container,
        form="json",
        refuses=(_NoJsonError,),
    ),
    Target(
        name="engine-lists",
        read=_engine_lists,
        form="bundle",
        refuses=(_NoJsonError,),
    ),
    Target(name="docker-host", read=_docker_host, form="text"),
    Target(name="image-reference", read=_reference, form="text", refuses=(ValueError,)),
)
