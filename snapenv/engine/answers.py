"""What an engine answers, as values of a known form: whatever it says, it is one, or is refused.

Go writes what is empty as null. Source: https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from snapenv.errors import EngineError
from snapenv.json_text import read_json

T = TypeVar("T")
Number = Annotated[str, Meta(pattern=r"\A[0-9]{1,5}\Z")]
InsidePort = Annotated[str, Meta(pattern=r"\A[0-9]{1,5}(/[a-z]+)?\Z")]
Seconds = Annotated[int, Meta(ge=-62_135_596_800, le=1 << 37)]  # since 1970; from year 1 on
Texts = tuple[str, ...]
_LENGTH = 300  # of what is wrong
Count = Annotated[int, Meta(ge=0)]


class _Answer(Struct, frozen=True, kw_only=True, rename="pascal"):
    """An object of which other fields are passed over."""


class Version(_Answer, frozen=True, kw_only=True):
    """Of ``/version``."""

    version: str | None = None
    api_version: str | None = None
    min_api_version: str | None = field(name="MinAPIVersion", default=None)
    arch: str | None = None


class _Device(_Answer, frozen=True, kw_only=True):
    source: str | None = None
    id: str | None = field(name="ID", default=None)


class _Containerd(_Answer, frozen=True, kw_only=True):
    address: str | None = None


class _Registry(_Answer, frozen=True, kw_only=True):
    secure: bool | None = None


class _Registries(_Answer, frozen=True, kw_only=True):
    index_configs: dict[str, _Registry] | None = None
    insecure_registry_cidrs: Texts | None = field(name="InsecureRegistryCIDRs", default=None)


class Info(_Answer, frozen=True, kw_only=True):
    """Of ``/info``."""

    name: str | None = None
    operating_system: str | None = None
    server_version: str | None = None
    docker_root_dir: str | None = None
    driver: str | None = None
    runtimes: dict[str, Any] | None = None
    cdi_spec_dirs: Texts | None = field(name="CDISpecDirs", default=None)
    discovered_devices: tuple[_Device, ...] | None = None
    cgroup_driver: str | None = None
    security_options: Texts | None = None
    driver_status: tuple[Texts, ...] | None = None
    containerd: _Containerd | None = None
    mem_total: Count | None = None
    ncpu: Count | None = field(name="NCPU", default=None)
    memory_limit: bool | None = None
    cpu_cfs_quota: bool | None = None
    registry_config: _Registries | None = None


class _Layers(_Answer, frozen=True, kw_only=True):
    layers: Texts | None = None


class ImageConfig(_Answer, frozen=True, kw_only=True):
    """What containers of an image begin with."""

    env: Texts | None = None
    labels: dict[str, str] | None = None
    entrypoint: Texts | None = None
    on_build: Texts | None = None


class InspectedImage(_Answer, frozen=True, kw_only=True):
    """Of ``/images/NAME/json``."""

    id: str
    architecture: str
    size: Count
    variant: str | None = None
    root_fs: _Layers | None = field(name="RootFS", default=None)
    repo_digests: Texts | None = None
    config: ImageConfig | None = None


class HistoryStep(_Answer, frozen=True, kw_only=True):
    """Of ``/images/NAME/history``."""

    created_by: str | None = None
    comment: str | None = None


class ListedImage(_Answer, frozen=True, kw_only=True):
    """Of ``/images/json``, and of ``/system/df``, which alone counts what is shared."""

    id: str
    created: Seconds
    size: Count = 0
    shared_size: int = 0
    containers: int = 0
    parent_id: str | None = None
    labels: dict[str, str] | None = None
    repo_tags: Texts | None = None


class BuildRecord(_Answer, frozen=True, kw_only=True):
    """What a build keeps."""

    id: str = field(name="ID")
    type: str
    description: str
    size: int
    in_use: bool
    created_at: str | None = None
    last_used_at: str | None = None


class DiskUsage(_Answer, frozen=True, kw_only=True):
    """Of ``/system/df``."""

    images: tuple[ListedImage, ...] | None = None
    build_cache: tuple[BuildRecord, ...] | None = None


class ContainerState(_Answer, frozen=True, kw_only=True):
    """How a container stands."""

    status: str
    running: bool
    pid: int
    exit_code: int
    oom_killed: bool | None = field(name="OOMKilled", default=None)
    error: str | None = None
    started_at: str | None = None
    finished_at: str | None = None


class ContainerConfig(_Answer, frozen=True, kw_only=True):
    """What a container was made with."""

    tty: bool
    open_stdin: bool
    user: str | None = None
    labels: dict[str, str] | None = None


class _Bound(_Answer, frozen=True, kw_only=True):
    host_ip: str
    host_port: Number


class _Network(_Answer, frozen=True, kw_only=True):
    ports: dict[InsidePort, tuple[_Bound, ...] | None] | None = None


class InspectedContainer(_Answer, frozen=True, kw_only=True):
    """Of ``/containers/NAME/json``."""

    id: str
    name: str
    state: ContainerState
    config: ContainerConfig
    network_settings: _Network


class ListedContainer(_Answer, frozen=True, kw_only=True):
    """Of ``/containers/json``."""

    id: str
    labels: dict[str, str] | None = None


class Made(_Answer, frozen=True, kw_only=True):
    """What was made: a container, or a program in one."""

    id: str
    warnings: Texts | None = None


class Waited(_Answer, frozen=True, kw_only=True):
    """How a container ended."""

    status_code: int


class InspectedExec(_Answer, frozen=True, kw_only=True):
    """How a program in a container ended; null where it has not."""

    exit_code: int | None


def decode_answer(content: bytes, kind: type[T]) -> T:
    """Read the bytes of an answer.

    Raises:
        EngineError: It is no JSON, or of another form; the place is named.
    """
    try:
        return read_json(content, kind)
    except ValueError as error:
        raise _odd(error) from error


def read_answer(answer: object, kind: type[T]) -> T:
    """Read what docker-py has decoded.

    Raises:
        EngineError: It is of another form; the place is named.
    """
    try:
        return msgspec.convert(answer, kind)
    except (msgspec.ValidationError, UnicodeError, RecursionError) as error:  # half a letter, too
        raise _odd(error) from error


def _odd(error: Exception) -> EngineError:
    return EngineError(
        f"the Docker engine answers as no engine does: {str(error)[:_LENGTH]}",
        hint="Check what stands between: DOCKER_HOST, and proxies.",
    )
