"""The Docker engine, over docker-py. Nothing connects before the first question.

Source: https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, NotFound, create_api_error_from_http_exception
from requests import HTTPError

from snapenv.engine.archive import unpack_folder
from snapenv.engine.connection import connect, find_address
from snapenv.engine.containers import ContainerTarget, ImageTarget
from snapenv.engine.failures import (
    engine_errors,
    engine_failure,
    is_full,
    one_line,
    registry_failure,
    said,
)
from snapenv.engine.layers import read_leaving
from snapenv.engine.stream import Layers, StreamError, drain, parse_messages
from snapenv.errors import (
    BuildError,
    BuildKitMissingError,
    EngineError,
    EnvironmentMissingError,
    NotFoundError,
    RegistryError,
    SnapenvError,
)
from snapenv.model.carried import Tar
from snapenv.model.image import Image, ImageRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from docker import APIClient
    from requests import Response

    from snapenv.engine.buildkit import Steps
    from snapenv.model.image import BuildContext
    from snapenv.ports import Target, Task

_BUILDKIT = "2"
_BUILDKIT_SINCE = (1, 39)  # the version of the API of Docker 18.09
_HINT_LINES = 30
_STEP_LENGTH = 80
_EXIT_CODE = re.compile(r"exit code: ([0-9]+)")
_CHUNK_BYTES = 64 * 1024


def has_buildkit(ping: Mapping[str, str]) -> bool:
    """Tell from the headers of ``/_ping`` whether an engine builds with BuildKit.

    20.10 names a builder only where its configuration does, and has BuildKit also without.
    Podman answers in Docker's place and has none.
    """
    if "Libpod-API-Version" in ping or ping.get("Ostype") == "windows":
        return False
    version = tuple(int(part) for part in ping.get("Api-Version", "0").split("."))
    return version >= _BUILDKIT_SINCE and ping.get("Builder-Version", _BUILDKIT) == _BUILDKIT


class DockerEngine:
    """The engine that the docker command would use, as ``ports.Engine`` says."""

    @functools.cached_property
    def _client(self) -> APIClient:
        return connect(find_address())

    def check(self) -> str:
        """Name the engine, and see that it has BuildKit."""
        client = self._client
        with engine_errors():
            version = client.version()["Version"]
            headers = client.get(f"{client.base_url}/_ping", timeout=client.timeout).headers
        if not has_buildkit(headers):
            raise BuildKitMissingError(
                f"Docker {version} at {find_address().url} has no BuildKit",
                hint="Update Docker to 20.10 or newer, and enable its BuildKit.",
            )
        return f"Docker {version} at {find_address().url}"

    def find(self, ref: str) -> Image | None:
        """Give a local image; of a name with a digest, the digest alone counts."""
        with engine_errors():
            try:
                return _image(self._client.inspect_image(_without_tag(ref)))  # type: ignore[no-untyped-call]
            except NotFound:
                return None

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
        """Fetch an image and see that it is the one the registry named."""
        layers, told = Layers(task), None
        with _registry_errors(ref):
            for message in drain(
                self._client.pull(
                    ref.repository, tag=ref.digest or ref.tag or "latest", stream=True, decode=True
                )
            ):
                layers.hear(message)
                status = str(message.get("status", ""))
                told = status.removeprefix("Digest: ") if status.startswith("Digest: ") else told
        return self._pulled(ref, told)

    def push(self, ref: ImageRef, task: Task) -> ImageRef:
        """Send an image and see that the registry serves what was sent."""
        layers, sent = Layers(task), None
        with _registry_errors(ref):
            for message in drain(
                self._client.push(ref.repository, tag=ref.tag, stream=True, decode=True)
            ):
                layers.hear(message)
                sent = (message.get("aux") or {}).get("Digest", sent)
        served = self._served(ref)
        if served != sent:
            raise RegistryError(
                f"{ref.tagged} was sent as {sent} and is served as {served}",
                hint="Somebody else pushes this name, or the registry is damaged. Push again.",
            )
        return ref.at(served)

    def build(self, context: BuildContext, task: Task) -> Image:
        """Build and give the image, which has no name yet."""
        from snapenv.engine.buildkit import IMAGE_ID, TRACE, Steps, parse_trace

        steps, image = Steps(task), None
        try:
            for message in drain(self._build_messages(context, task)):
                if message.get("id") == TRACE:
                    steps.hear(parse_trace(message["aux"]))
                elif message.get("id") == IMAGE_ID:
                    image = message["aux"]["ID"]
        except StreamError as error:
            raise _build_failure(str(error), steps) from error
        found = self.find(image) if image else None
        if found is None:
            raise EngineError(
                "the build ended without an image and without an error", hint="Build again."
            )
        return found

    def tag(self, image: Image, ref: ImageRef) -> None:
        """Give a local image a name."""
        with engine_errors():
            self._client.tag(image.id, ref.repository, ref.tag)

    def remove(self, ref: str) -> None:
        """Take a local name or image away, if it is there."""
        with engine_errors(), contextlib.suppress(NotFound):
            self._client.remove_image(ref)

    def read_folder(self, image: Image, path: str) -> Mapping[str, bytes]:
        """Read the plain files directly in a folder, from a container that never starts."""
        client = self._client
        with engine_errors():
            made = client.create_container(image.id, command=["/none"], use_config_proxy=False)
            try:
                return self._read_archive(made["Id"], path)
            except NotFound as error:
                raise NotFoundError(
                    f"image {image.id[:19]} has no folder {path}",
                    hint="See that it is the right image.",
                ) from error
            finally:
                client.remove_container(made["Id"], v=True, force=True)

    def read_leaving(self, image: Image, *, base: Image) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Give what an image brings beside its base, as ``ports.Engine`` says."""
        return read_leaving(self._client, image.id, base_diff_ids=base.diff_ids)

    def image_target(self, image: Image, *, python: str, gpus: str | None) -> Target:
        """Make a target of an image."""
        return ImageTarget(client=self._client, image=image, python=python, gpus=gpus)

    def container_target(self, name: str, *, python: str) -> Target:
        """Make a target of a running container."""
        with engine_errors():
            try:
                found = self._client.inspect_container(name)
            except NotFound:
                found = None
        if found is None or not found["State"]["Running"]:
            raise EnvironmentMissingError(
                f"no container {name} is running at {find_address().url}",
                hint="See docker ps, and give one of its names.",
            )
        return ContainerTarget(client=self._client, id=found["Id"], name=name, python=python)

    def _served(self, ref: ImageRef) -> str:
        """Ask the registry, through the engine, for the digest of a name."""
        with _registry_errors(ref):
            answer = self._client.inspect_distribution(ref.tagged)  # type: ignore[no-untyped-call]
        return str(answer["Descriptor"]["digest"])

    def _resolve_here(self, ref: ImageRef, failure: SnapenvError) -> ImageRef:
        """Pin a name by the local image where the registry did not do it."""
        here = self.find(ref.tagged)
        known = (
            [name for name in here.digests if name.startswith(f"{ref.repository}@")] if here else []
        )
        if known and isinstance(failure, RegistryError):
            return ref.at(known[0].partition("@")[2])
        if known or here is None:
            raise failure
        raise NotFoundError(
            f"{ref} is on this machine alone, no registry gave it a digest: {failure.message}",
            hint="Push it to a registry first.",
        ) from failure

    def _pulled(self, ref: ImageRef, told: str | None) -> Image:
        """Give what a pull brought, by the digest that was asked for, or told in the stream."""
        digest = ref.digest or told
        image = self.find(f"{ref.repository}@{digest}") if digest else None
        if image is None or (told or digest) != digest:
            raise RegistryError(
                f"{ref} was pulled, and what came is not {digest or 'known by a digest'}",
                hint="Pull again; if it stays so, the registry is damaged.",
            )
        return image

    def _build_messages(self, context: BuildContext, task: Task) -> Iterator[Mapping[str, Any]]:
        """Ask for a build; closing the answer, on Ctrl-C too, ends the build."""
        client = self._client
        parameters = {
            "version": _BUILDKIT,
            "dockerfile": context.dockerfile,
            "labels": json.dumps(dict(sorted(context.labels.items()))),
            "rm": "1",
        }
        with client.post(
            self._url("build"),
            params=parameters,
            data=_counted(Tar(context.files), task),
            headers={"Content-Type": "application/x-tar"},
            timeout=client.timeout,
            stream=True,
        ) as response:
            _refuse_failed(response)
            yield from parse_messages(response.iter_lines())

    def _read_archive(self, container: str, path: str) -> Mapping[str, bytes]:
        """Read a folder of a container.

        docker-py's own get_archive cannot be left before its end, and until then the engine
        would not remove the container.

        Raises:
            docker.errors.NotFound: There is no such folder.
        """
        client = self._client
        with client.get(
            self._url(f"containers/{container}/archive"),
            params={"path": path},
            timeout=client.timeout,
            stream=True,
        ) as response:
            _refuse_failed(response)
            return unpack_folder(response.iter_content(_CHUNK_BYTES), where=path)

    def _url(self, path: str) -> str:
        return f"{self._client.base_url}/v{self._client.api_version}/{path}"


def _counted(tar: Tar, task: Task) -> Iterator[bytes]:
    """Give a tar's bytes, and tell the task how many have gone."""
    total, done = tar.size_bytes, 0
    for chunk in tar:
        yield chunk
        done += len(chunk)
        task.count(done, total)


def _refuse_failed(response: Response) -> None:
    try:
        response.raise_for_status()
    except HTTPError as error:
        create_api_error_from_http_exception(error)


@contextlib.contextmanager
def _registry_errors(ref: ImageRef) -> Iterator[None]:
    """Make what a registry refuses an error of ours."""
    with engine_errors():
        try:
            yield
        except APIError as error:
            raise registry_failure(said(error), ref) from error
        except StreamError as error:
            raise registry_failure(str(error), ref) from error


def _build_failure(text: str, steps: Steps) -> SnapenvError:
    failed = steps.failed
    lines = steps.lines(failed, last=_HINT_LINES) if failed else ()
    if is_full("\n".join((text, *lines))):
        return engine_failure("no space left on device")
    if failed is None:
        return BuildError(f"the build failed: {one_line(text)}", hint="See the Dockerfile.")
    code = _EXIT_CODE.search(str(failed.error))
    why = f" with exit code {code[1]}" if code else f": {one_line(str(failed.error))}"
    return BuildError(
        f"step {one_line(failed.name, length=_STEP_LENGTH)} failed{why}",
        hint="\n".join(lines) or one_line(text),
    )


def _image(found: Mapping[str, Any]) -> Image:
    config = found.get("Config") or {}
    variables = (line.partition("=") for line in config.get("Env") or ())
    return Image(
        id=found["Id"],
        diff_ids=tuple((found.get("RootFS") or {}).get("Layers") or ()),
        digests=tuple(sorted(found.get("RepoDigests") or ())),
        labels=config.get("Labels") or {},
        variables={name: value for name, _, value in variables},
        machine=found["Architecture"],
        size_bytes=found["Size"],
    )


def _without_tag(text: str) -> str:
    """Give ``name@digest`` of ``name:tag@digest``; engines differ in what they make of both."""
    try:
        ref = ImageRef.parse(text)
    except ValueError:
        return text
    return f"{ref.repository}@{ref.digest}" if ref.digest else text
