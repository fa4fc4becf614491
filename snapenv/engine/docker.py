"""The Docker engine, over docker-py. Nothing connects before the first question.

Source: https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import json
import os
import re
import uuid
from typing import TYPE_CHECKING, Any

from docker.errors import NotFound
from docker.utils.config import load_general_config

from snapenv.content import Tar
from snapenv.engine.address import find_address
from snapenv.engine.answers import (
    ImageConfig,
    Info,
    InspectedContainer,
    InspectedImage,
    ListedImage,
    read_answer,
)
from snapenv.engine.archive import unpack_folder, walk_folder
from snapenv.engine.connection import QUESTION_S, connect
from snapenv.engine.containers import ContainerTarget, ImageTarget
from snapenv.engine.describe import describe
from snapenv.engine.disk import list_made, remove_made
from snapenv.engine.entrypoint import RESET, starts_commands
from snapenv.engine.failures import (
    engine_errors,
    engine_failure,
    is_full,
    one_line,
    refuse_failed,
)
from snapenv.engine.full_disk import FullDiskError, with_inodes
from snapenv.engine.layer_store import find_stored
from snapenv.engine.layers import read_leaving
from snapenv.engine.leftovers import own_label
from snapenv.engine.proxies import choose_proxies
from snapenv.engine.save_load import load, save
from snapenv.engine.stream import (
    Layers,
    Patience,
    StreamError,
    ask_registry,
    drain,
    open_request,
    parse_messages,
    read_messages,
    text_of,
)
from snapenv.errors import (
    BuildError,
    BuildKitMissingError,
    EngineError,
    EngineMissingError,
    EnvironmentMissingError,
    NotFoundError,
    RegistryError,
    SnapenvError,
)
from snapenv.kept import Kept
from snapenv.model.image import Image, ImageRef
from snapenv.sizes import utc_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from snapenv.engine.buildkit import Steps, Trace
    from snapenv.engine.connection import Client
    from snapenv.engine.layer_store import StoredImage
    from snapenv.model.clean import Freeable
    from snapenv.model.host import HostEngine
    from snapenv.model.image import BuildContext
    from snapenv.ports import Registry, Target, Task
    from snapenv.secrets.model import Location

_BUILDKIT = "2"
# Source: https://docs.docker.com/build/exporters/image-registry/; an engine without containerd's
# store takes it and packs with gzip.
_ZSTD_LAYERS = json.dumps(
    [{"Type": "moby", "Attrs": {"compression": "zstd", "oci-mediatypes": "true"}}]
)
_BUILDKIT_SINCE = (1, 39)  # the version of the API of Docker 18.09
_API_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})")
_HINT_LINES = 30
_STEP_LENGTH = 80
_EXIT_CODE = re.compile(r"exit code: ([0-9]+)")
_UNNAMED = "<none>:<none>"
_CHUNK_BYTES = 256 * 1024
_UNPACKED = {"Accept-Encoding": "identity"}  # else an engine packs what it sends to this machine


def has_buildkit(ping: Mapping[str, str]) -> bool:
    """Tell from the headers of ``/_ping`` whether an engine builds with BuildKit.

    20.10 names a builder only where its configuration does, and has BuildKit also without.
    """
    if ping.get("Ostype") == "windows":
        return False
    numbers = _API_VERSION.match(ping.get("Api-Version", ""))
    version = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    return version >= _BUILDKIT_SINCE and ping.get("Builder-Version", _BUILDKIT) == _BUILDKIT


class DockerEngine:
    """The engine that the docker command would use, as ``ports.Engine`` says.

    Where a ``registry`` is given, what was moved is compared with what it serves.
    """

    def __init__(
        self,
        *,
        registry: Registry | None = None,
        patience: Patience | None = None,
        warn: Callable[[str], None] = lambda _: None,
        kept: Kept | None = None,
    ) -> None:
        """``warn`` is told what a person should look out for; ``kept`` holds what was tried."""
        self._registry = registry
        self._kept = kept or Kept(None)
        self._warn = warn
        self._patience = patience or Patience()
        self._starts: dict[str, bool] = {}  # whether they start commands, by the ids of images

    @property
    def client(self) -> Client:
        if isinstance(self._connection, EngineMissingError):
            raise self._connection
        return self._connection

    @functools.cached_property
    def _connection(self) -> Client | EngineMissingError:
        """The one connection; who has not answered once is not waited for again."""
        try:
            return connect(find_address())
        except EngineMissingError as error:
            return error

    def check(self) -> str:
        """Name the engine, and see that it has BuildKit."""
        client = self.client
        with engine_errors():
            version = client.engine_version.version
            headers = client.get(f"{client.base_url}/_ping", timeout=QUESTION_S).headers
        if not has_buildkit(headers):
            raise BuildKitMissingError(
                f"Docker {version} at {find_address().url} has no BuildKit",
                hint="Update Docker to 20.10 or newer, and enable its BuildKit.",
            )
        return f"Docker {version} at {find_address().url}"

    def describe(self) -> HostEngine:
        """Say what the engine is and can do, as ``ports.Engine`` says; it is asked once."""
        return self._description

    @functools.cached_property
    def _description(self) -> HostEngine:
        client, info = self.client, self._info
        with engine_errors():
            headers = client.get(f"{client.base_url}/_ping", timeout=QUESTION_S).headers
        return describe(
            info,
            client.engine_version,
            address=find_address().url,
            buildkit=has_buildkit(headers),
        )

    @functools.cached_property
    def _info(self) -> Mapping[str, Any]:
        """What the engine says of itself, which takes it a while; it is asked once."""
        client = self.client
        with engine_errors():
            info: Mapping[str, Any] = client.info()
        return info

    def find(self, ref: str) -> Image | None:
        """Return a local image; of a name with a digest, the digest alone counts."""
        with engine_errors():
            try:
                inspected = self.client.inspect_image(_without_tag(ref))  # type: ignore[no-untyped-call]
            except NotFound:
                return None
        return _image(inspected)

    def list_names(self, *, label: str) -> tuple[tuple[str, str], ...]:
        """List the names of the local images that have a label, with when each was made.

        Sorted by name; the time is RFC 3339. An image without a name is not in it.
        """
        with engine_errors():
            labelled = self.client.images(filters={"label": label})
        images = read_answer(labelled, tuple[ListedImage, ...])
        named = (
            (name, image.created)
            for image in images
            if (image.labels or {}).get(label)
            for name in image.repo_tags or ()
        )
        return tuple(sorted((name, utc_text(at)) for name, at in named if name != _UNNAMED))

    def is_insecure(self, host: str) -> bool:
        """Return whether the engine is configured to take http from a registry by this name."""
        known = read_answer(self._info, Info).registry_config
        registry = ((known and known.index_configs) or {}).get(host)
        networks = (known and known.insecure_registry_cidrs) or ()
        insecure = registry is not None and registry.secure is False
        return insecure or _is_within(host.partition(":")[0], networks)

    def resolve(self, ref: ImageRef, task: Task) -> ImageRef:
        """Pin a name by its registry, else by what the local image came with."""
        if ref.digest:
            return ref
        task.note(f"asking for the digest of {ref}")
        try:
            return ref.at(self._served(ref))
        except (NotFoundError, RegistryError) as error:
            return self._resolve_here(ref, error)

    def pull(self, ref: ImageRef, task: Task) -> Image:
        """Fetch an image by its digest, compare it with the registry's, and only then name it."""
        pinned = ref if ref.digest else ref.at(self._served(ref))
        was_here = self.find(str(pinned)) is not None
        with self._naming_full_disks():
            ask_registry(lambda: self._move("pull", pinned, task), ref, self._patience)
        image = self.find(str(pinned))
        try:
            if image is None:
                raise _not_what(ref, f"is not {pinned.digest}")
            self._compare(pinned, image)
        except SnapenvError:
            if not was_here:
                self.remove(f"{ref.repository}@{pinned.digest}")
            raise
        if not ref.digest:
            self.tag(image, ref)
        return image

    def push(self, ref: ImageRef, task: Task) -> ImageRef:
        """Send an image and see that the registry serves what was sent.

        Docker with containerd's store does not say what it sent: there the image's own id is
        the digest that a registry gives it.
        """
        sent = ask_registry(lambda: self._move("push", ref, task), ref, self._patience)
        image, served = self.find(ref.tagged), self._served(ref)
        if image is None:
            raise _not_what(ref, "is gone from here")
        if served != (sent or image.id):
            raise RegistryError(
                f"{ref.tagged} was sent as {sent or image.id} and is served as {served}",
                hint="Somebody else pushes this name, or the registry is damaged. Push again.",
            )
        self._compare(ref.at(served), image)
        return ref.at(served)

    def build(self, context: BuildContext, task: Task) -> Image:
        """Build and return the image, which has no name yet."""
        from snapenv.engine.buildkit import IMAGE_ID, TRACE, Steps

        steps, image = Steps(task), None
        with self._naming_full_disks():
            try:
                for message in drain(self._build_messages(context, task)):
                    if message.get("id") == TRACE:
                        steps.update(_trace(message.get("aux")))
                    elif message.get("id") == IMAGE_ID:
                        image = text_of(message, "ID")
            except StreamError as error:
                raise _build_failure(str(error), steps) from error
        built = self.find(image) if image else None
        if built is None:
            raise EngineError(
                "the build ended without an image and without an error", hint="Build again."
            )
        return built

    def tag(self, image: Image, ref: ImageRef) -> None:
        """Name a local image."""
        with engine_errors():
            self.client.tag(image.id, ref.repository, ref.tag)

    def remove(self, ref: str) -> None:
        """Take a local name or image away, if it is there."""
        with engine_errors(), contextlib.suppress(NotFound):
            self.client.remove_image(ref)

    def list_made(self) -> tuple[Freeable, ...]:
        """List what snapenv has made, as ``ports.Engine`` says."""
        return tuple(list_made(self.client))

    def remove_made(self, made: Freeable) -> None:
        """Remove what snapenv has made, as ``ports.Engine`` says."""
        remove_made(self.client, made)

    def read_folder(self, image: Image, path: str) -> Mapping[str, bytes]:
        """Read the plain files directly in a folder, from a container that never starts."""
        with self._archived(image, path) as chunks:
            return unpack_folder(chunks, where=path)

    def read_files(self, image: Image, path: str) -> Iterator[tuple[str, Iterator[bytes] | None]]:
        """Yield all that lies below a folder, as ``ports.Engine`` says."""
        with self._archived(image, path) as chunks:
            yield from walk_folder(chunks, where=path)

    @contextlib.contextmanager
    def _archived(self, image: Image, path: str) -> Iterator[Iterator[bytes]]:
        """Yield a folder of a container that never starts, as a tar.

        docker-py's own get_archive cannot be left before its end, and until then the engine
        would not remove the container.

        Raises:
            NotFoundError: There is no such folder.
        """
        client = self.client
        with engine_errors():
            name = f"snapenv-read-{uuid.uuid4().hex[:12]}"
            try:
                client.create_container(
                    image.id, ["/none"], name=name, labels=own_label(), use_config_proxy=False
                )
                with client.get(
                    self._url(f"containers/{name}/archive"),
                    params={"path": path},
                    headers=_UNPACKED,
                    timeout=client.timeout,
                    stream=True,
                ) as response:
                    refuse_failed(response)
                    yield response.iter_content(_CHUNK_BYTES)
            except NotFound as error:
                raise NotFoundError(
                    f"image {image.id[:19]} has no folder {path}",
                    hint="Check that it is the right image.",
                ) from error
            finally:
                with contextlib.suppress(NotFound):
                    client.remove_container(name, v=True, force=True)

    def read_leaving(
        self, image: Image, *, base: Image
    ) -> Iterator[tuple[Location, Iterator[bytes]]]:
        """Yield what an image brings beside its base, as ``ports.Engine`` says."""
        return read_leaving(
            self.client, image.id, base_diff_ids=base.diff_ids, stored=self._stored(image)
        )

    def save(self, image: Image) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        """Yield an image's config and its layers, as ``ports.Engine`` says."""
        stored = self._stored(image)
        return stored.parts() if stored else save(self.client, image)

    def _stored(self, image: Image) -> StoredImage | None:
        return find_stored(read_answer(self._info, Info), find_address().url, image)

    def load(self, tar: Iterable[bytes]) -> Image:
        """Take an image in from a tar, as ``ports.Engine`` says."""
        with self._naming_full_disks():
            return load(self.client, tar, self.find)

    def image_target(self, image: Image, *, python: str, gpus: str | None) -> Target:
        """Make a target of an image, as ``ports.Engine`` says."""
        starts = self.starts_commands(image)
        return ImageTarget(
            client=self.client,
            describe=self.describe,
            image=image,
            python=python,
            gpus=gpus,
            entrypoint=None if starts else RESET,
        )

    def starts_commands(self, image: Image) -> bool:
        """Return whether an image's entrypoint starts the command that it is given; asked once."""
        if image.id not in self._starts:
            self._starts[image.id] = starts_commands(self.client, image, self._kept)
        return self._starts[image.id]

    def container_target(self, name: str, *, python: str) -> Target:
        """Make a target of a running container."""
        with engine_errors():
            try:
                inspected = self.client.inspect_container(name)
                container = read_answer(inspected, InspectedContainer)
            except NotFound:
                container = None
        if container is None or not container.state.running:
            raise EnvironmentMissingError(
                f"no container {name} is running at {find_address().url}",
                hint="See docker ps, and give one of its names.",
            )
        return ContainerTarget(client=self.client, id=container.id, name=name, python=python)

    @contextlib.contextmanager
    def _naming_full_disks(self) -> Iterator[None]:
        """Say of a full disk what it is full of, where the engine's data can be seen from here."""
        try:
            yield
        except FullDiskError as error:
            try:
                engine = self.describe()
            except SnapenvError:
                engine = None
            raise with_inodes(error, engine) from error

    def _served(self, ref: ImageRef) -> str:
        """Ask the registry, through the engine, for the digest of a name."""
        path = f"distribution/{ref.tagged}/json"

        def ask() -> str:
            with open_request(
                self.client, "GET", path, ref, timeout_s=self._patience.answer_s
            ) as response:
                return str(response.json()["Descriptor"]["digest"])

        try:
            return ask_registry(ask, ref, self._patience)
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            raise EngineError(
                f"the Docker engine went away, or is another: it gives no digest of {ref}",
                hint="Check that it runs: docker version.",
            ) from error

    def _resolve_here(self, ref: ImageRef, failure: SnapenvError) -> ImageRef:
        """Pin a name by the local image where the registry did not do it."""
        local = self.find(ref.tagged)
        known = local.digest_in(ref.repository) if local else None
        if known and isinstance(failure, RegistryError):
            return ref.at(known)
        if known or local is None:
            raise failure
        raise NotFoundError(
            f"{ref} is on this machine alone, no registry gave it a digest: {failure.message}",
            hint="Push it to a registry first.",
        ) from failure

    def _move(self, direction: str, ref: ImageRef, task: Task) -> str | None:
        """Pull by digest or push by tag, and read the stream to its end.

        Gives the digest of what was pushed.
        """
        if direction == "pull":
            path, query = "images/create", {"fromImage": ref.repository, "tag": ref.digest or ""}
        else:
            path, query = f"images/{ref.repository}/push", {"tag": ref.tag or ""}
        layers, sent = Layers(task), None
        silence_s = self._patience.silence_s
        with open_request(self.client, "POST", path, ref, timeout_s=silence_s, **query) as response:
            for message in drain(read_messages(response)):
                layers.update(message)
                sent = text_of(message, "Digest") or sent
        return sent

    def _compare(self, ref: ImageRef, image: Image) -> None:
        """Check that the registry serves the image that is here, by config and by layers.

        The engine may reach a registry that this machine does not, or another one by this name:
        a mirror. It has checked every byte by the digest itself, so that is a warning.

        Raises:
            RegistryError: It serves another image.
        """
        if self._registry is None:
            return
        try:
            remote = self._registry.read(ref, machine=image.platform)
        except (NotFoundError, RegistryError) as error:
            self._warn(f"not compared with the registry: {error.message}")
            return
        if remote.diff_ids != image.diff_ids:
            raise _not_what(ref, "has other layers than the registry serves")
        if image.id not in {remote.config_digest, remote.ref.digest, ref.digest}:
            raise _not_what(ref, f"is {image.id}, and the registry serves {remote.config_digest}")

    def _build_messages(self, context: BuildContext, task: Task) -> Iterator[Mapping[str, Any]]:
        """Ask for a build; closing the answer, on Ctrl-C too, ends the build."""
        client = self.client
        configured = load_general_config().get("proxies")
        proxies = choose_proxies(configured, os.environ, address=find_address().url)
        parameters = {
            "version": _BUILDKIT,
            "dockerfile": context.dockerfile,
            "labels": json.dumps(dict(sorted(context.labels.items()))),
            "buildargs": json.dumps(proxies),
            "rm": "1",
        }
        if context.machine:
            parameters["platform"] = f"linux/{context.machine}"
        if context.compression == "zstd":
            parameters["outputs"] = _ZSTD_LAYERS
        with client.post(
            self._url("build"),
            params=parameters,
            data=_counted(Tar(context.files), task),
            headers={"Content-Type": "application/x-tar"},
            timeout=client.timeout,
            stream=True,
        ) as response:
            refuse_failed(response)
            yield from parse_messages(response.iter_lines())

    def _url(self, path: str) -> str:
        return f"{self.client.base_url}/v{self.client.api_version}/{path}"


def _counted(tar: Tar, task: Task) -> Iterator[bytes]:
    """Yield a tar's bytes, and tell the task how many have gone."""
    total, done = tar.size_bytes, 0
    for chunk in tar:
        yield chunk
        done += len(chunk)
        task.count(done, total)


def _not_what(ref: ImageRef, what: str) -> RegistryError:
    return RegistryError(
        f"{ref} was moved, and what came {what}",
        hint="Try again; if it stays so, the registry is damaged.",
    )


def _build_failure(text: str, steps: Steps) -> SnapenvError:
    failed = steps.failed
    lines = steps.lines(failed, last=_HINT_LINES) if failed else ()
    words = "\n".join((text, *lines))
    if is_full(words):
        return engine_failure(words)
    if failed is None:
        return BuildError(f"the build failed: {one_line(text)}", hint="See the Dockerfile.")
    code = _EXIT_CODE.search(str(failed.error))
    why = f" with exit code {code[1]}" if code else f": {one_line(str(failed.error))}"
    return BuildError(
        f"step {one_line(failed.name, length=_STEP_LENGTH)} failed{why}",
        hint="\n".join(lines) or one_line(text),
    )


def _trace(aux: object) -> Trace:
    from snapenv.engine.buildkit import Trace, parse_trace

    try:
        return parse_trace(str(aux))
    except ValueError:  # what is not understood is not shown
        return Trace()


def _image(inspected: object) -> Image:
    image = read_answer(inspected, InspectedImage)
    config = image.config or ImageConfig()
    variables = (line.partition("=") for line in config.env or ())
    return Image(
        id=image.id,
        diff_ids=(image.root_fs and image.root_fs.layers) or (),
        digests=tuple(sorted(image.repo_digests or ())),
        labels=config.labels or {},
        variables={name: value for name, _, value in variables},
        machine=image.architecture,
        variant=image.variant or None,
        size_bytes=image.size,
        entrypoint=config.entrypoint or (),
        triggers=config.on_build or (),
    )


def _is_within(host: str, networks: Iterable[str]) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for network in networks:
        with contextlib.suppress(ValueError):
            if address in ipaddress.ip_network(network):
                return True
    return False


def _without_tag(text: str) -> str:
    """Return ``name@digest`` of ``name:tag@digest``; engines differ in what they make of both."""
    try:
        ref = ImageRef.parse(text)
    except ValueError:
        return text
    return f"{ref.repository}@{ref.digest}" if ref.digest else text
