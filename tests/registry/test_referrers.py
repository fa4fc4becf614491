"""Documents attached to images: in a real registry, which keeps no list, and in one that does."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import requests
from inline_snapshot import snapshot as wording

from snapenv.attest.keyless import KeylessSigner
from snapenv.attest.statement import make_verification
from snapenv.errors import RegistryError
from snapenv.model.attachment import (
    BUNDLE_CONTENT,
    BUNDLE_PREDICATE,
    BUNDLE_TYPE,
    SBOM_TYPE,
    STATEMENT_TYPE,
    VERIFICATION,
    Attachment,
    fallback_tag,
)
from snapenv.model.image import ImageRef
from snapenv.model.oci import OCI_INDEX, OCI_MANIFEST
from snapenv.network.session import Patience
from snapenv.registry.client import RegistryClient
from tests.attest.sigstore_instance import IDENTITY, ISSUER, running, token
from tests.attest.verifications import VERIFICATION as VERIFIED
from tests.engines import faulty as to
from tests.engines.clients import make_clients
from tests.engines.provide import provide
from tests.fakes import FakeTask
from tests.registry.pushed import Pushed, Shelf, behind
from tests.serving import serving
from tests.steady import steady

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.faulty import FaultyRegistry

QUICK = Patience(connect_s=60.0, read_s=60.0, retries=2, backoff_s=0.01, max_wait_s=0.1)
SBOM = Attachment(media_type=SBOM_TYPE, file="sbom.cdx.json", content=b'{"bomFormat": "x"}')
WRITERS, EACH = 4, 5


def statement(number: int) -> Attachment:
    return Attachment(
        media_type=STATEMENT_TYPE,
        file="statement.json",
        content=json.dumps({"number": number}).encode(),
        annotations={"number": str(number)},
    )


@pytest.fixture
def client() -> RegistryClient:
    return RegistryClient(patience=QUICK)


@pytest.fixture
def image(registry: str) -> Pushed:
    return Shelf.new(registry).push("env")


def pinned(image: Pushed) -> ImageRef:
    return ImageRef(repository=image.ref.repository, tag="env", digest=image.ref.digest)


def test_what_is_attached_is_listed_and_read(client: RegistryClient, image: Pushed) -> None:
    ref = pinned(image)
    assert client.attachments(ref) == ()

    attached = client.attach(ref, (SBOM, statement(1)), FakeTask())

    listed = client.attachments(ref)
    assert listed == attached
    assert [(each.artifact_type, each.annotations) for each in listed] == [
        (SBOM_TYPE, {}),
        (STATEMENT_TYPE, {"number": "1"}),
    ]
    assert client.read_attachment(ref, listed[0]) == SBOM.content
    assert client.tags(ref.repository) == ("env",)
    assert client.read(ref).ref == ref


def test_a_manifest_names_the_image_as_its_subject(client: RegistryClient, image: Pushed) -> None:
    (entry,) = client.attach(pinned(image), (SBOM,), FakeTask())

    path = image.ref.path
    answer = requests.get(
        f"http://{image.ref.registry}/v2/{path}/manifests/{entry.digest}",
        headers={"Accept": OCI_MANIFEST},
        timeout=60,
    )
    assert answer.json()["subject"] == {
        "digest": image.ref.digest,
        "mediaType": image.media_type,
        "size": len(image.manifest),
    }


def test_the_same_document_is_attached_once(client: RegistryClient, image: Pushed) -> None:
    ref = pinned(image)

    first = client.attach(ref, (SBOM,), FakeTask())
    again = client.attach(ref, (SBOM,), FakeTask())

    assert client.attachments(ref) == first == again


def test_writers_at_once_drop_nothing_of_one_another(image: Pushed) -> None:
    ref = pinned(image)

    def write(writer: int) -> None:
        client = RegistryClient(patience=QUICK)
        for number in range(EACH):
            client.attach(ref, (statement(writer * EACH + number),), FakeTask())

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))

    listed = RegistryClient(patience=QUICK).attachments(ref)
    numbers = sorted(int(each.annotations["number"]) for each in listed)
    # an earlier one may be dropped by a writer that had read the list before
    assert len(numbers) == len(set(numbers))
    assert {writer * EACH + EACH - 1 for writer in range(WRITERS)} <= set(numbers)


def test_another_client_finds_what_is_attached(
    client: RegistryClient, image: Pushed, tmp_path: Path
) -> None:
    ref = pinned(image)
    attached = client.attach(ref, (SBOM, statement(1)), FakeTask())
    clients = provide(make_clients)

    done = clients.run(
        tmp_path, *("oras", "discover", "--plain-http", "--format", "json", str(image.ref))
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["referrers"]
    assert [(each["digest"], each["artifactType"]) for each in found] == [
        (each.digest, each.artifact_type) for each in attached
    ]


def test_cosign_checks_who_has_signed_without_a_key(
    client: RegistryClient, image: Pushed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", token())
    ref = pinned(image)
    with running() as sigstore:
        bundle = KeylessSigner(sigstore.config).sign(make_verification(ref, VERIFIED))
        (tmp_path / "root.json").write_text(json.dumps(sigstore.trusted_root), encoding="utf-8")
    annotations = {BUNDLE_CONTENT: "dsse-envelope", BUNDLE_PREDICATE: VERIFICATION}
    attachment = Attachment(
        media_type=BUNDLE_TYPE, file="x.sigstore.json", content=bundle, annotations=annotations
    )
    client.attach(ref, (attachment,), FakeTask())

    def check(identity: str) -> int:
        words = ("cosign", "verify-attestation", "--trusted-root", str(tmp_path / "root.json"))
        who = ("--certificate-identity", identity, "--certificate-oidc-issuer", ISSUER)
        named = f"{ref.repository}@{ref.digest}"
        done = provide(make_clients).run(tmp_path, *words, *who, "--type", VERIFICATION, named)
        return done.returncode

    assert check(IDENTITY) == 0
    assert check("https://example.com/other") != 0


@pytest.fixture
def listing(registry: str) -> Iterator[str]:
    """Return the name of a registry that keeps the list itself; the real one is behind it."""

    class Listing(BaseHTTPRequestHandler):
        listed: dict[str, list[dict[str, object]]] = {}  # noqa: RUF012 - of this fixture

        def _forward(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(size)
            if "/referrers/" in self.path:
                entries = self.listed.get(self.path.rpartition("/")[2], [])
                index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
                return self._answer(200, {"Content-Type": OCI_INDEX}, json.dumps(index).encode())
            headers = {
                name: value for name, value in self.headers.items() if name.lower() != "host"
            }
            answer = requests.request(
                self.command,
                f"http://{registry}{self.path}",
                headers=headers,
                data=body,
                timeout=60,
            )
            kept = {name: value for name, value in answer.headers.items() if name in _KEPT}
            if self.command == "PUT" and b'"subject"' in body:
                manifest = json.loads(body)
                subject = manifest["subject"]["digest"]
                self.listed.setdefault(subject, []).append(
                    {
                        "digest": answer.headers["Docker-Content-Digest"],
                        "size": len(body),
                        "mediaType": OCI_MANIFEST,
                        "artifactType": manifest["artifactType"],
                    }
                )
                kept["OCI-Subject"] = subject
            return self._answer(answer.status_code, kept, answer.content)

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = _forward  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Listing)) as server:
        yield f"localhost:{server.server_address[1]}"


_KEPT = ("Content-Type", "Docker-Content-Digest", "Location")


def test_a_registry_that_keeps_the_list_gets_no_tag(
    client: RegistryClient, image: Pushed, listing: str
) -> None:
    ref = behind(pinned(image), listing)

    attached = client.attach(ref, (SBOM, statement(1)), FakeTask())

    assert [each.digest for each in client.attachments(ref)] == [each.digest for each in attached]
    answer = requests.get(
        f"http://{image.ref.registry}/v2/{image.ref.path}/manifests/"
        f"{fallback_tag(str(image.ref.digest))}",
        headers={"Accept": OCI_INDEX},
        timeout=60,
    )
    assert answer.status_code == 404


def test_a_registry_that_takes_no_artifacts_is_named(
    client: RegistryClient, image: Pushed, faulty: FaultyRegistry
) -> None:
    faulty.always(to.PUT_MANIFEST, status=400)

    with pytest.raises(RegistryError) as caught:
        client.attach(behind(pinned(image), faulty.name), (SBOM,), FakeTask())

    assert "takes no artifacts" in caught.value.message


def test_a_list_that_is_none_is_damage(client: RegistryClient, image: Pushed) -> None:
    shelf = Shelf(image.ref.repository)
    shelf.push(fallback_tag(str(image.ref.digest)))

    with pytest.raises(RegistryError) as caught:
        client.attachments(pinned(image))

    assert steady(caught.value.message) == wording(
        "localhost:PORT serves an image in the place of a list of referrers: localhost:PORT/transfers/NAME:env@sha256:DIGEST"
    )
