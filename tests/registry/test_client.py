"""What a real registry is asked, with and without a password, through a network that fails."""

from __future__ import annotations

import base64
import json
import os
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import NotFoundError, RegistryError
from snapenv.model.hardware import image_architecture
from snapenv.model.image import ImageRef, Layer, RemoteImage
from snapenv.model.oci import DOCKER_MANIFEST, OCI_MANIFEST, Config, RunConfig
from snapenv.network.session import Patience
from snapenv.registry.client import RegistryClient
from tests.engines import faulty as to
from tests.engines.provide import provide_running
from tests.engines.registry import PASSWORD, USER, serve_private
from tests.registry.pushed import CREATED, INDEXES, Shelf, behind
from tests.serving import serving
from tests.steady import steady

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.engines.faulty import FaultyRegistry

QUICK = Patience(connect_s=60.0, read_s=60.0, retries=2, backoff_s=0.01, max_wait_s=0.1)
IMPATIENT = replace(QUICK, connect_s=4.0, read_s=2.0)  # for who is silent
LAYERS = {
    DOCKER_MANIFEST: "application/vnd.docker.image.rootfs.diff.tar.gzip",
    OCI_MANIFEST: "application/vnd.oci.image.layer.v1.tar+gzip",
}
FORMS = pytest.mark.parametrize("form", [DOCKER_MANIFEST, OCI_MANIFEST], ids=["docker", "oci"])
TAG = "train-yolov8.4.190-base-cu130"


@pytest.fixture
def client() -> RegistryClient:
    return RegistryClient(patience=QUICK)


def client_for(what: Mapping[str, object]) -> RegistryClient:
    """Return a client that waits long for each answer, but for one that never comes."""
    return RegistryClient(patience=IMPATIENT if "hangs" in what else QUICK)


@pytest.fixture
def shelf(registry: str) -> Shelf:
    return Shelf.new(registry)


@FORMS
def test_an_image_is_read_by_its_tag(client: RegistryClient, shelf: Shelf, form: str) -> None:
    there = shelf.push(media_type=form, labels={"a": "b"})

    read = client.read(ImageRef(repository=shelf.repository, tag="a"))

    sizes = zip(there.layer_digests, there.layer_sizes, strict=True)
    assert read == RemoteImage(
        ref=there.ref,
        config_digest=there.config_digest,
        layers=tuple(
            Layer(digest=digest, size_bytes=size, media_type=LAYERS[form]) for digest, size in sizes
        ),
        diff_ids=there.diff_ids,
        labels={"a": "b"},
        variables={"A": "b=c", "EMPTY": ""},
        machine="amd64",
        created=CREATED,
    )


@FORMS
def test_of_an_index_the_image_for_the_machine_is_read(
    client: RegistryClient, shelf: Shelf, form: str
) -> None:
    small, arm = shelf.push(media_type=form), shelf.push("b", machine="arm64", media_type=form)
    ref = shelf.push_index("i", ("arm64", arm), ("amd64", small), media_type=INDEXES[form])

    amd64, arm64 = (client.read(ref, machine=machine) for machine in ("amd64", "arm64"))

    assert (amd64.ref.digest, amd64.diff_ids) == (small.ref.digest, small.diff_ids)
    assert (arm64.ref.digest, arm64.diff_ids) == (arm.ref.digest, arm.diff_ids)
    with pytest.raises(NotFoundError) as caught:
        client.read(ref, machine="riscv64")

    assert steady(caught.value) == wording(
        "localhost:PORT has localhost:PORT/transfers/NAME:i@sha256:DIGEST for amd64, arm64, and not for riscv64"
    )


def test_an_image_for_another_machine_is_not_found(client: RegistryClient, shelf: Shelf) -> None:
    there = shelf.push(machine="arm64")

    with pytest.raises(NotFoundError) as caught:
        client.read(there.ref, machine="amd64")

    assert steady(caught.value) == wording(
        "localhost:PORT has localhost:PORT/transfers/NAME:a@sha256:DIGEST for arm64, and not for amd64"
    )


@FORMS
def test_where_no_machine_is_named_the_image_that_is_there_is_read(
    client: RegistryClient, shelf: Shelf, form: str
) -> None:
    own = image_architecture(os.uname().machine)
    ours, arm = shelf.push(machine=own), shelf.push("b", machine="riscv64", media_type=form)
    both = shelf.push_index("i", ("riscv64", arm), (own, ours), media_type=INDEXES[form])
    other = shelf.push_index("j", ("riscv64", arm), media_type=INDEXES[form])

    read = [client.read(ref) for ref in (arm.ref, both, other)]

    assert [one.machine for one in read] == ["riscv64", own, "riscv64"]


def test_a_config_that_is_known_is_not_read_again(client: RegistryClient, shelf: Shelf) -> None:
    there = shelf.push(labels={"a": "b"})
    configs = dict[str, Config]()

    first = client.describe(there.ref, configs=configs)
    changed = {
        digest: replace(config, config=RunConfig(labels={"a": "kept"}))
        for digest, config in configs.items()
    }
    second = client.describe(there.ref, configs=changed)

    assert isinstance(first, RemoteImage)
    assert isinstance(second, RemoteImage)
    assert [*configs] == [there.config_digest]
    assert (first.labels, second.labels) == ({"a": "b"}, {"a": "kept"})


def test_tags_are_listed_in_order(client: RegistryClient, shelf: Shelf) -> None:
    first = shelf.push("b")
    shelf.put_manifest("a", first.manifest, first.media_type)

    assert client.tags(shelf.repository) == ("a", "b")


def test_every_page_of_tags_is_read(
    client: RegistryClient, shelf: Shelf, faulty: FaultyRegistry
) -> None:
    path = shelf.repository.partition("/")[2]
    there = shelf.push("c")
    for tag in ("a", "b"):
        shelf.put_manifest(tag, there.manifest, there.media_type)
    following = {"Link": f'</v2/{path}/tags/list?n=1000&last=a>; rel="next"'}
    page = b'{"tags": ["first"]}'
    faulty.fault(r"GET /v2/\S+/tags/list", instead=page, status=200, headers=following)

    assert client.tags(f"{faulty.name}/{path}") == ("a", "b", "c", "first")
    assert faulty.count(r"/tags/list\?n=1000&last=a 200") == 1


def test_what_is_not_there_is_not_found(client: RegistryClient, shelf: Shelf) -> None:
    shelf.push()

    for ask in (
        lambda: client.read(ImageRef(repository=shelf.repository, tag="none")),
        lambda: client.read(ImageRef(repository=f"{shelf.repository}/none", tag="a")),
        lambda: client.tags(f"{shelf.repository}/none"),
    ):
        with pytest.raises(NotFoundError, match=f"has no {shelf.repository}"):
            ask()


def test_a_registry_that_is_not_there_is_named(client: RegistryClient) -> None:
    with pytest.raises(RegistryError) as caught:
        client.read(ImageRef.parse("localhost:1/x:a"))

    assert str(caught.value) == wording(
        "localhost:1 does not answer: the connection is refused: localhost:1/x:a"
    )


PASSING = [{"status": status} for status in (429, 500, 502, 503, 504)] + [
    {"cut_after": 0},
    {"cut_after": 100},
    {"flip": 50},
]


@pytest.mark.parametrize(
    ("where", "what"),
    [(where, what) for where in (to.MANIFEST, to.BLOB) for what in PASSING]
    + [(to.BLOB, {"hangs": True})],
    ids=str,
)
def test_a_failure_that_passes_is_tried_again(
    shelf: Shelf, faulty: FaultyRegistry, where: str, what: dict[str, object]
) -> None:
    there = shelf.push()
    fault = faulty.fault(where, times=1, **what)

    read = client_for(what).read(behind(there.ref, faulty.name))

    assert fault.times == 0
    assert read.diff_ids == there.diff_ids


def test_a_registry_that_has_never_answered_is_asked_once(
    shelf: Shelf, faulty: FaultyRegistry
) -> None:
    fault = faulty.fault(to.MANIFEST, times=9, hangs=True)
    ref = behind(shelf.push().ref, faulty.name)

    with pytest.raises(RegistryError) as caught:
        RegistryClient(patience=IMPATIENT).read(ref)

    assert steady(caught.value) == wording(
        "localhost:PORT does not answer in time: no answer within 2 s: localhost:PORT/transfers/NAME:a@sha256:DIGEST"
    )
    assert fault.times == 8


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"status": 401}, "refuses with 401"),
        ({"status": 403}, "refuses with 403"),
        ({"status": 429, "headers": {"Retry-After": "3600"}}, "answers with 429"),
        ({"status": 500}, "answers with 500"),
        ({"status": 418}, "answers with 418"),
        ({"hangs": True}, "does not answer in time"),
        ({"cut_after": 20}, "does not answer: it closes the connection"),
        ({"instead": b"{}"}, "serves other bytes for sha256:"),
        ({"flip": 7}, "serves other bytes for sha256:"),
        ({"instead": b"a" * (9 << 20)}, "sends more than 8192 KiB"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_failure_that_stays_names_the_image_and_its_registry(
    shelf: Shelf, faulty: FaultyRegistry, what: dict[str, object], said: str
) -> None:
    faulty.always(to.MANIFEST, **what)
    ref = behind(shelf.push().ref, faulty.name)

    with pytest.raises(RegistryError, match=f"^{faulty.name} {said}.*: {ref}$"):
        client_for(what).read(ref)


def test_a_manifest_by_tag_has_the_digest_that_comes_with_it(
    client: RegistryClient, shelf: Shelf, faulty: FaultyRegistry
) -> None:
    faulty.always(to.MANIFEST, flip=7)
    ref = behind(ImageRef(repository=shelf.push().ref.repository, tag="a"), faulty.name)

    with pytest.raises(RegistryError) as caught:
        client.read(ref)

    assert steady(caught.value) == wording(
        "localhost:PORT serves other bytes for sha256:DIGEST: localhost:PORT/transfers/NAME:a"
    )


@pytest.mark.parametrize("cut", range(0, 800, 97))
def test_a_connection_cut_at_any_byte_for_good_is_an_error(
    client: RegistryClient, shelf: Shelf, faulty: FaultyRegistry, cut: int
) -> None:
    there = shelf.push()
    faulty.always(to.MANIFEST, cut_after=min(cut, len(there.manifest) - 1))

    with pytest.raises(RegistryError, match="closes the connection"):
        client.read(behind(there.ref, faulty.name))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"{", "a damaged manifest"),
        (b"[" * 100_000, "a damaged manifest"),
        (b"\xff\xfe", "a damaged manifest"),
        (b'{"schemaVersion": 1}', "a manifest of a form that is not known"),
        (
            b'{"schemaVersion": 2, "config": {"digest": "sha256:../x", "size": 1}, "layers": []}',
            r"a damaged manifest: .*at `\$.config.digest`",
        ),
        (
            b'{"schemaVersion": 2, "config": {"digest": 1, "size": 1}, "layers": []}',
            r"Expected `str`, got `int` - at `\$.config.digest`",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_manifest_that_is_none_is_an_error(
    client: RegistryClient, faulty: FaultyRegistry, document: bytes, said: str
) -> None:
    faulty.always(to.MANIFEST, status=200, instead=document)

    with pytest.raises(RegistryError, match=f"{faulty.name} serves .*{said}"):
        client.read(ImageRef.parse(f"{faulty.name}/x:a"))


def test_http_is_spoken_where_docker_is_configured_to_and_nowhere_else(
    client: RegistryClient, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    there = shelf.push()
    port = shelf.repository.partition("/")[0].partition(":")[2]
    ref = behind(there.ref, f"0.0.0.0:{port}")  # reaches this machine, and is no loopback name
    asked: list[str] = []

    def allow(host: str) -> bool:
        asked.append(host)
        return True

    with pytest.raises(RegistryError, match="over plain HTTP") as caught:
        client.read(ref)
    read = RegistryClient(patience=QUICK, insecure=allow).read(ref)

    assert read.diff_ids == there.diff_ids
    assert asked == [f"0.0.0.0:{port}"]
    assert f'"insecure-registries": ["0.0.0.0:{port}"]' in caught.value.hint


@pytest.fixture
def private(tmp_path: Path) -> Iterator[str]:
    with provide_running(serve_private(tmp_path / "private")) as name:
        yield name


def write_configuration(folder: Path, monkeypatch: pytest.MonkeyPatch, **config: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write_helper(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    folder.mkdir(parents=True)
    program = folder / "docker-credential-snapenvtest"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_the_login_of_docker_s_configuration_opens_a_private_registry(
    client: RegistryClient, private: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Shelf.new(private, (USER, PASSWORD)).push(TAG)
    write_configuration(tmp_path, monkeypatch, auths={private: auth(USER, PASSWORD)})

    assert client.tags(there.ref.repository) == (TAG,)
    assert client.read(there.ref).diff_ids == there.diff_ids


@pytest.mark.parametrize("key", ["credHelpers", "credsStore"])
def test_a_credential_helper_opens_a_private_registry(
    client: RegistryClient,
    private: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
) -> None:
    there = Shelf.new(private, (USER, PASSWORD)).push()
    answer = json.dumps({"ServerURL": private, "Username": USER, "Secret": PASSWORD})
    write_helper(
        tmp_path / "bin", monkeypatch, f"read host; test $host = {private}; echo '{answer}'"
    )
    named = {private: "snapenvtest"} if key == "credHelpers" else "snapenvtest"
    write_configuration(tmp_path, monkeypatch, **{key: named})

    assert client.read(there.ref).diff_ids == there.diff_ids


@pytest.mark.parametrize("password", [None, "a wrong one"])
def test_without_the_right_login_a_private_registry_refuses(
    client: RegistryClient,
    private: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    password: str | None,
) -> None:
    auths = {private: auth(USER, password)} if password else {}
    write_configuration(tmp_path, monkeypatch, auths=auths)

    with pytest.raises(RegistryError, match=f"{private} refuses with 401: {private}/x:a") as caught:
        client.read(ImageRef.parse(f"{private}/x:a"))

    assert caught.value.hint == f"Log in: docker login {private}"


@pytest.mark.parametrize(
    "script", [f"echo {PASSWORD}; exit 1", f"echo '{PASSWORD}'", "kill -9 $$", "echo '{}'"]
)
def test_a_helper_that_fails_is_told_without_what_it_said(
    client: RegistryClient,
    private: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
) -> None:
    write_helper(tmp_path / "bin", monkeypatch, script)
    write_configuration(tmp_path, monkeypatch, credHelpers={private: "snapenvtest"})

    with pytest.raises(RegistryError) as caught:
        client.read(ImageRef.parse(f"{private}/x:a"))

    assert steady(caught.value, private=private) == wording(
        "docker's own configuration gives no login for PRIVATE: it, or its credential helper, does not work"
    )
    assert PASSWORD not in caught.value.message + caught.value.hint


def test_a_helper_that_is_not_there_is_an_error(
    client: RegistryClient, private: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_configuration(tmp_path, monkeypatch, credHelpers={private: "nobody-has-this"})

    with pytest.raises(RegistryError) as caught:
        client.read(ImageRef.parse(f"{private}/x:a"))

    assert steady(caught.value) == wording(
        "docker's own configuration gives no login for localhost:PORT: it, or its credential helper, does not work"
    )


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0"])
def test_no_login_is_sent_where_none_is_asked_for(
    shelf: Shelf,
    faulty: FaultyRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
) -> None:
    name = faulty.name.replace("localhost", host)
    (tmp_path / ".netrc").write_text(f"machine {host} login {USER} password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    write_configuration(tmp_path, monkeypatch, auths={name: auth(USER, PASSWORD)})
    client = RegistryClient(patience=QUICK, insecure=lambda _: True)

    client.read(behind(shelf.push().ref, name))

    assert set(faulty.heard) == {""}


class Authority(BaseHTTPRequestHandler):
    """Gives a token to those who know the login, and keeps what it was asked."""

    asked: list[tuple[str, dict[str, list[str]]]]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.asked.append((self.headers.get("Authorization", ""), parse_qs(parts.query)))
        self._give()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.asked.append(("", parse_qs(body)))
        self._give()

    def _give(self) -> None:
        content = b'{"access_token": "the token"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def serve_authority() -> Iterator[tuple[str, type[Authority]]]:
    handler = type("Handler", (Authority,), {"asked": []})
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://localhost:{server.server_port}/token", handler


def ask_for_a_token(faulty: FaultyRegistry, realm: str) -> None:
    wish = f'Bearer realm="{realm}",service="registry",scope="repository:x:pull"'
    faulty.fault(to.MANIFEST, status=401, headers={"WWW-Authenticate": wish})


@pytest.mark.parametrize(
    "case",
    [
        (None, "", {}),
        (auth(USER, PASSWORD), f"Basic {auth(USER, PASSWORD)['auth']}", {}),
        (
            {"identitytoken": "id"},
            "",
            {"grant_type": ["refresh_token"], "refresh_token": ["id"], "client_id": ["snapenv"]},
        ),
    ],
    ids=["nobody", "password", "identity"],
)
def test_a_token_is_had_where_the_registry_says(
    shelf: Shelf,
    faulty: FaultyRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[dict[str, str] | None, str, dict[str, list[str]]],
) -> None:
    entry, authorization, asked = case
    write_configuration(tmp_path, monkeypatch, auths={faulty.name: entry} if entry else {})
    there = shelf.push()

    with serve_authority() as (realm, authority):
        ask_for_a_token(faulty, realm)
        RegistryClient(patience=QUICK).read(behind(there.ref, faulty.name))

    wanted = {"service": ["registry"], "scope": ["repository:x:pull"], **asked}
    assert authority.asked == [(authorization, wanted)]
    assert faulty.heard[-1] == "Bearer the token"


@pytest.mark.parametrize("realm", ["http://example.com/token", "ftp://localhost/x", "file:///x"])
def test_no_login_goes_where_others_could_read_it(
    client: RegistryClient,
    faulty: FaultyRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    realm: str,
) -> None:
    write_configuration(tmp_path, monkeypatch, auths={faulty.name: auth(USER, PASSWORD)})
    ask_for_a_token(faulty, realm)

    with pytest.raises(RegistryError) as caught:
        client.read(ImageRef.parse(f"{faulty.name}/x:a"))

    assert steady(caught.value) == wording(
        "localhost:PORT asks for a login over an unencrypted connection: localhost:PORT/x:a"
    )


def test_a_blob_that_lies_elsewhere_is_fetched_without_the_login(
    registry: str,
    shelf: Shelf,
    faulty: FaultyRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = shelf.push()
    write_configuration(tmp_path, monkeypatch, auths={registry: auth(USER, PASSWORD)})
    path = there.ref.path
    with to.serve_faulty(registry) as first:
        write_configuration(tmp_path, monkeypatch, auths={first.name: auth(USER, PASSWORD)})
        wish = {"WWW-Authenticate": 'Basic realm="x"'}
        first.fault(to.MANIFEST, status=401, headers=wish)
        elsewhere = f"http://{faulty.name}/v2/{path}/blobs/{there.config_digest}"
        first.always(to.BLOB, status=307, headers={"Location": elsewhere})

        read = RegistryClient(patience=QUICK).read(behind(there.ref, first.name))

    assert read.diff_ids == there.diff_ids
    assert first.heard[-1].startswith("Basic ")
    assert faulty.heard == [""]
