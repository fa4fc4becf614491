from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import subprocess
import tarfile
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import zstandard
from inline_snapshot import snapshot as wording

from snapenv.engine.layers import read_layers, read_leaving
from snapenv.engine.save_load import read_saved
from snapenv.errors import EngineError, NotFoundError
from tests.engines.place import install
from tests.engines.provide import provide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import docker

    from snapenv.secrets.model import Location

REMOVE = "#include <unistd.h>\nint main(int count, char **words) { return unlink(words[1]); }\n"
DOCKERFILE = """\
FROM {base}
LABEL canary=in-a-label
ENV CANARY=in-a-variable
ARG CANARY_ARG=in-history
COPY remove /remove
COPY kept /opt/kept
COPY deleted /opt/deleted
RUN ["/remove", "/opt/deleted"]
COPY covering /opt/kept
COPY kept /opt/again
"""


def tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A program that removes a file and needs nothing."""
    if shutil.which("cc") is None:
        pytest.skip("no compiler")
    folder = tmp_path_factory.mktemp("program")
    (folder / "remove.c").write_text(REMOVE)
    subprocess.run(["cc", "-static", "-o", "remove", "remove.c"], cwd=folder, check=True)
    return (folder / "remove").read_bytes()


@pytest.fixture
def names(witness: docker.DockerClient, program: bytes) -> Iterator[tuple[str, str]]:
    """The names of a small base, and of an image over it with a canary in each place."""
    base, image = (f"snapenv-test/{uuid.uuid4().hex}:{kind}" for kind in ("base", "image"))
    repository, _, tag = base.partition(":")
    api = witness.api
    api.import_image_from_data(tar({"base.txt": b"of the base"}), repository=repository, tag=tag)
    context = {
        "Dockerfile": DOCKERFILE.format(base=base).encode(),
        "remove": program,
        "kept": b"in-a-file-that-is-covered",
        "deleted": b"in-a-file-that-is-deleted",
        "covering": b"in-a-file",
    }
    answer = api.post(
        f"{api.base_url}/v{api.api_version}/build",
        params={"version": "2", "t": image},
        data=tar(context),
        headers={"Content-Type": "application/x-tar"},
    )
    assert "errorDetail" not in answer.text, answer.text
    yield base, image
    for name in (image, base):
        api.remove_image(name, force=True)


def diff_ids(witness: docker.DockerClient, name: str) -> list[str]:
    found: list[str] = witness.api.inspect_image(name)["RootFS"]["Layers"]  # type: ignore[no-untyped-call]
    return found


def read(leaving: Iterable[tuple[Location, Iterator[bytes]]]) -> dict[str, bytes]:
    return {str(location): b"".join(chunks) for location, chunks in leaving}


def digest(sign: str) -> str:
    return f"sha256:{sign * 64}"


def files(places: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the small files, by their places."""
    return {name: text for name, text in places.items() if name[:5] == "layer" and len(text) < 99}


FILES = {
    "layer 3: opt/kept": b"in-a-file-that-is-covered",
    "layer 4: opt/deleted": b"in-a-file-that-is-deleted",
    "layer 6: opt/kept": b"in-a-file",
    "layer 7: opt/again": b"in-a-file-that-is-covered",
}


@pytest.mark.docker
def test_all_that_an_image_brings_is_given_once_and_nothing_of_its_base(
    witness: docker.DockerClient, names: tuple[str, str], program: bytes
) -> None:
    base, image = names
    below = diff_ids(witness, base)

    leaving = list(read_leaving_whole(witness, image, below))
    places = dict(leaving)

    assert len(places) == len(leaving)
    assert "in-history" in places["history"].decode()
    assert places["history"].index(b"LABEL") < places["history"].index(b"/remove")
    assert places["label canary"] == b"canary=in-a-label"
    assert places["variable CANARY"] == b"CANARY=in-a-variable"
    assert json.loads(places["config"])["RepoTags"] == [image]
    assert places["layer 2: remove"] == program
    assert {name: text for name, text in files(places).items() if ".wh." not in name} == FILES


def read_leaving_whole(
    witness: docker.DockerClient, image: str, below: list[str]
) -> Iterator[tuple[str, bytes]]:
    for location, chunks in read_leaving(witness.api, image, base_diff_ids=below):
        yield str(location), b"".join(chunks)


@pytest.mark.docker
def test_without_a_base_all_layers_are_given(
    witness: docker.DockerClient, names: tuple[str, str]
) -> None:
    places = read(read_leaving(witness.api, names[1], base_diff_ids=()))

    assert places["layer 1: base.txt"] == b"of the base"
    assert FILES.items() <= places.items()


@pytest.mark.docker
def test_bytes_that_nobody_reads_and_an_end_before_the_end_do_no_harm(
    witness: docker.DockerClient, names: tuple[str, str]
) -> None:
    unread = [str(place) for place, _ in read_leaving(witness.api, names[1], base_diff_ids=())]
    leaving = read_leaving(witness.api, names[1], base_diff_ids=())
    place = next(str(place) for place, _ in leaving if place.layer)
    leaving.close()  # type: ignore[attr-defined]  # it is a generator

    assert place in unread
    assert FILES.keys() <= set(unread)
    assert witness.ping()


@pytest.mark.docker
def test_an_image_that_is_not_there_is_named(witness: docker.DockerClient) -> None:
    with pytest.raises(NotFoundError, match="no local image snapenv-test/none"):
        list(read_leaving(witness.api, "snapenv-test/none", base_diff_ids=()))


def opener(path: Path) -> Callable[[], AbstractContextManager[Iterable[bytes]]]:
    @contextmanager
    def open_tar() -> Iterator[Iterable[bytes]]:
        with path.open("rb") as file:
            yield iter(lambda: file.read(7001), b"")

    return open_tar


@pytest.mark.docker
@pytest.mark.parametrize("layout", ["docker-archive", "oci-archive", "zstd"])
def test_what_another_program_saves_is_read_too(
    layout: str,
    witness: docker.DockerClient,
    engine_host: str,
    names: tuple[str, str],
    tmp_path: Path,
) -> None:
    provide(lambda _: install({"skopeo": "skopeo"}))
    saved = tmp_path / "saved.tar"
    kind = "docker-archive" if layout == "docker-archive" else "oci-archive"
    packed = ("--dest-compress", "--dest-compress-format=zstd") if layout == "zstd" else ()
    where = ("--insecure-policy", "copy", "--quiet", f"--src-daemon-host={engine_host}", *packed)
    source, copy = f"docker-daemon:{names[1]}", f"{kind}:{saved}:a:b"
    subprocess.run(["skopeo", *where, source, copy], check=True)
    below, ids = diff_ids(witness, names[0]), diff_ids(witness, names[1])

    layers = read_layers(opener(saved), ids, base_diff_ids=below)

    places = read(layers)
    assert FILES.items() <= places.items()
    assert "layer 1: base.txt" not in places


@pytest.mark.docker
def test_what_the_engine_saves_is_read_once(
    witness: docker.DockerClient, names: tuple[str, str], tmp_path: Path
) -> None:
    saved = tmp_path / "saved.tar"
    saved.write_bytes(b"".join(witness.api.get_image(names[1])))
    opened = []

    @contextmanager
    def open_tar() -> Iterator[Iterable[bytes]]:
        opened.append(saved)
        with opener(saved)() as chunks:
            yield chunks

    places = read(read_layers(open_tar, diff_ids(witness, names[1]), base_diff_ids=()))

    assert FILES.items() <= places.items()
    assert len(opened) == 1


@pytest.mark.docker
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_tar_that_breaks_off_is_no_whole_image(
    share: float, witness: docker.DockerClient, names: tuple[str, str], tmp_path: Path
) -> None:
    whole = b"".join(witness.api.get_image(names[1]))
    saved = tmp_path / "saved.tar"
    saved.write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(EngineError, match="as the engine saves it,"):
        read(read_layers(opener(saved), diff_ids(witness, names[1]), base_diff_ids=()))


def test_an_image_that_is_its_base_is_not_asked_for() -> None:
    def ask() -> AbstractContextManager[Iterable[bytes]]:
        raise AssertionError

    assert list(read_layers(ask, ["sha256:a"], base_diff_ids=["sha256:a"])) == []


def test_what_is_no_tar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no tar at all" * 1000)

    with pytest.raises(EngineError, match="arrives incomplete"):
        list(read_layers(opener(tmp_path / "x"), ["sha256:a"], base_diff_ids=()))


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_a_layer_whose_bytes_are_damaged_is_refused(
    tmp_path: Path, pack: Callable[[bytes], bytes], share: float
) -> None:
    whole = tar({"file": random.Random(1).randbytes(3_000_000)})
    layer = bytearray(pack(whole))
    place = int(len(layer) * share)
    diff_ids = [digest("a")]
    config = {"architecture": "amd64", "rootfs": {"diff_ids": diff_ids}}
    manifest = {
        "config": {"digest": digest("c"), "size": 1},
        "layers": [{"digest": digest("1"), "size": 1}],
    }
    documents = {f"blobs/sha256/{'c' * 64}": config, "m": manifest}

    def write() -> Path:
        parts = {name: json.dumps(document).encode() for name, document in documents.items()}
        (tmp_path / "x").write_bytes(tar({**parts, f"blobs/sha256/{'1' * 64}": bytes(layer)}))
        return tmp_path / "x"

    assert len(read(read_layers(opener(write()), diff_ids, base_diff_ids=()))) == 1
    layer[place] ^= 0x10
    with pytest.raises(EngineError, match="as the engine saves it, arrives incomplete"):
        read(read_layers(opener(write()), diff_ids, base_diff_ids=()))
    with pytest.raises(EngineError, match="as the engine saves it, arrives incomplete"):
        [b"".join(part) for _, _, part in read_saved(opener(tmp_path / "x"), diff_ids)]


def test_a_layer_that_an_image_has_twice_is_read_once(tmp_path: Path) -> None:
    name = f"blobs/sha256/{'a' * 64}"
    (tmp_path / "x").write_bytes(tar({name: tar({"file": b"text"})}))

    places = read(read_layers(opener(tmp_path / "x"), [digest("a")] * 2, base_diff_ids=()))

    assert places == {"layer 1: file": b"text"}


CONFIG = b'{"architecture": "amd64", "rootfs": {"diff_ids": ["sha256:%b", "sha256:%b"]}}' % (
    b"a" * 64,
    b"b" * 64,
)


@pytest.mark.parametrize(
    "documents",
    [
        {"manifest.json": b"{"},
        {"manifest.json": b"[" * 100_000},
        {"manifest.json": b'{"Layers": 1}'},
        {"manifest.json": b'[1, null, {"Config": [], "Layers": {}}]'},
        {"manifest.json": b'[{"Config": "c", "Layers": 3}]', "c": CONFIG},
        {"manifest.json": b'[{"Config": "c", "Layers": ["x", "y", "c"]}]', "c": CONFIG},
        {"m": b'{"config": "text"}', "n": b'{"config": {"digest": 1}, "layers": "text"}'},
        {"m": b'{"config": {"digest": "c"}, "layers": [1, null]}', "blobs/c": CONFIG},
        {"m": b'{"config": {"digest": "c"}}', "blobs/c": b'{"rootfs": "text"}'},
    ],
)
def test_whatever_its_documents_say_a_tar_without_layers_is_refused(
    tmp_path: Path, documents: dict[str, bytes]
) -> None:
    (tmp_path / "x").write_bytes(tar(documents))
    diff_ids = [digest("a"), digest("b")]

    with pytest.raises(EngineError, match="as the engine saves it, lacks 2 of its layers"):
        list(read_layers(opener(tmp_path / "x"), diff_ids, base_diff_ids=()))
    with pytest.raises(EngineError, match="as the engine saves it, lacks . of its parts"):
        list(read_saved(opener(tmp_path / "x"), diff_ids))


def test_a_tar_without_some_of_the_layers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(tar({"manifest.json": b'[{"Layers": []}]'}))

    with pytest.raises(EngineError) as caught:
        list(read_layers(opener(tmp_path / "x"), ["sha256:a", "sha256:b"], base_diff_ids=()))

    assert str(caught.value) == wording("the image, as the engine saves it, lacks 2 of its layers")
