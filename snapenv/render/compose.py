"""Files for Docker Compose: a workspace in the environment, with or without GPUs.

One file runs anywhere, a second one adds the GPUs, and ``.env`` says whether it counts: no number
in ``.env`` turns a reservation off. Sources: https://docs.docker.com/reference/compose-file/ and
https://docs.docker.com/compose/how-tos/environment-variables/envvars/
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from snapenv.docker_options import bracketed, published_port
from snapenv.errors import UsageError
from snapenv.model.launch import Launch
from snapenv.model.rendering import Rendered, RenderedFile, TargetOptions
from snapenv.model.snapshot import CHECK_IF_PRESENT, IMAGE_PYTHON, IMAGE_WORKSPACE
from snapenv.render.head import head_lines
from snapenv.sizes import exact_size
from snapenv.templating import render_template

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snapenv.model.image import ImageRef
    from snapenv.model.rendering import Workload

_INIT = {"TINI_KILL_PROCESS_GROUP": "1"}  # else its init signals shells and launchers alone
_UID = 1000  # of the first user of most machines
_TOOLS = f"{IMAGE_WORKSPACE}/work"
_OWN_TOOLS = "JupyterLab and TensorBoard are those of the environment, if it has them."
_OTHER_TOOLS = "JupyterLab and TensorBoard come from an image of their own."
_PLAIN = re.compile(r"[\w/.:@+-]+", re.ASCII)


class ComposeOptions(TargetOptions, frozen=True, kw_only=True):
    """What a user may ask of files for Docker Compose."""

    bind: str = "127.0.0.1"  # the address of the machine where JupyterLab and TensorBoard listen
    tools_image: ImageRef | None = None  # that serves them, instead of the environment's own


class _Mount(Struct, frozen=True, kw_only=True):
    kind: Literal["bind", "volume"]
    source: str
    target: str
    read_only: bool


class _View(Struct, frozen=True, kw_only=True):
    """What the templates read; a dollar that is meant stands doubled."""

    head: tuple[str, ...]
    gpu_head: tuple[str, ...]
    env_head: tuple[str, ...]
    image: str
    platform: str | None  # None is the usual one
    launch: Launch
    uid: int
    gid: int
    folder: str
    variables: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...]
    mounts: tuple[_Mount, ...]
    volumes: tuple[str, ...]
    shm_size: str | None
    memory: str | None  # and swap
    cpus: str | None
    ports: tuple[str, ...]
    address: str
    command: tuple[str, ...]
    tools_image: str | None
    jupyter: tuple[str, ...]
    jupyter_answers: tuple[str, ...]
    serve: tuple[str, ...]
    tensorboard: tuple[str, ...]
    tensorboard_answers: tuple[str, ...]
    device_ids: tuple[str, ...]
    with_gpus: tuple[str, ...]
    settings: tuple[tuple[str, str, str], ...]  # of .env: name, why, value
    check: str = CHECK_IF_PRESENT
    # Where an image of a workspace has JupyterLab and TensorBoard, and what serves results there.
    tools: str = _TOOLS
    program: str = f"{IMAGE_WORKSPACE}/workspace.pyz"
    python: str = IMAGE_PYTHON


def render_compose(work: Workload, options: ComposeOptions) -> Rendered:
    """Return ``compose.yaml``, ``.env``, and ``compose.gpu.yaml`` where GPUs are asked for."""
    view = _view(work, options)
    names = ("compose.yaml", *(("compose.gpu.yaml",) if work.launch.gpus else ()), ".env")
    return Rendered(
        files=tuple(
            RenderedFile(name=name, content=render_template(f"compose/{name}.j2", view))
            for name in names
        ),
        start="docker compose run --rm run" if view.command else "docker compose up -d --wait",
    )


def _view(work: Workload, options: ComposeOptions) -> _View:
    launch, machine = work.launch, work.label.machine
    user = launch.user
    mounts, settings = _mounts(work)
    runs = _literal(work.runs)
    named = launch.gpus not in {None, "all"}
    program = ("run",) if launch.argv else ()
    return _View(
        head=_head(work, options.tools_image),
        gpu_head=head_lines(work, how=("The GPUs; .env says whether this file counts.",)),
        env_head=head_lines(
            work, how=("Read by docker compose; a variable of the shell goes first.",)
        ),
        image=str(work.image),
        platform=f"linux/{machine}" if machine and machine != "amd64" else None,
        launch=launch,
        uid=user.uid if user else _UID,
        gid=user.gid if user else _UID,
        folder=_literal(str(launch.folder)),
        variables=_literals(_variables(work)),
        labels=_literals(sorted(launch.labels.items())),
        mounts=mounts,
        volumes=tuple(sorted(mount.source for mount in mounts if mount.kind == "volume")),
        shm_size=exact_size(launch.shm_bytes) if launch.shm_bytes else None,
        memory=exact_size(launch.memory_bytes) if launch.memory_bytes else None,
        cpus=f"{launch.cpus:g}" if launch.cpus else None,
        ports=tuple(map(published_port, launch.ports)),
        address=bracketed(options.bind),
        command=tuple(map(_literal, launch.argv)),
        tools_image=_tools_image(options.tools_image),
        jupyter=_jupyter(options.bind),
        jupyter_answers=_answers(8888, "/api"),
        serve=(
            *("--runs", runs, "--tensorboard", "6006", "--address", "0.0.0.0"),  # noqa: S104
            *("--state", f"{IMAGE_WORKSPACE}/state", "--work", _TOOLS, "--contained"),
        ),
        tensorboard=("--logdir", runs, "--bind_all", "--port", "6006"),
        tensorboard_answers=_answers(6006, "/"),
        device_ids=tuple(launch.gpus.split(",")) if named and launch.gpus else (),
        with_gpus=("workspace", *program, "jupyter"),
        settings=settings,
    )


def _head(work: Workload, tools_image: ImageRef | None) -> tuple[str, ...]:
    run = ("Run:         docker compose run --rm run",) if work.launch.argv else ()
    no_gpus = (
        ("No GPU:      write COMPOSE_FILE=compose.yaml into .env",) if work.launch.gpus else ()
    )
    return head_lines(
        work,
        how=(
            "",
            "Start:       docker compose up -d --wait",
            *no_gpus,
            "Enter:       docker compose exec workspace bash",
            *run,
            "JupyterLab:  docker compose --profile jupyter up -d --wait",
            "             its address: docker compose logs jupyter",
            "TensorBoard: docker compose --profile tensorboard up -d --wait",
            "End:         docker compose --profile '*' down",
            "",
            _OTHER_TOOLS if tools_image else _OWN_TOOLS,
        ),
    )


def _variables(work: Workload) -> Iterable[tuple[str, str]]:
    launch = work.launch
    hidden = {} if launch.gpus else {"NVIDIA_VISIBLE_DEVICES": "void"}
    return sorted({**_INIT, **hidden, **dict(launch.set_variables)}.items())


def _mounts(work: Workload) -> tuple[tuple[_Mount, ...], tuple[tuple[str, str, str], ...]]:
    """Return what is mounted, and the lines of ``.env`` that say from where."""
    launch = work.launch
    project = _Mount(
        kind="bind",
        source="${SNAPENV_WORKDIR:-.}",
        target=_literal(str(launch.folder)),
        read_only=False,
    )
    mounts, settings = [project], list[tuple[str, str, str]]()
    if work.project_folder:
        settings.append(("SNAPENV_WORKDIR", "The project", _word(work.project_folder)))
    for mount in launch.mounts:
        source = _literal(mount.source)
        if mount.read_only and mount.source == mount.target:
            count = sum(name.startswith("SNAPENV_DATA") for name, _, _ in settings)
            name = f"SNAPENV_DATA_{count + 1}" if count else "SNAPENV_DATA"
            settings.append((name, f"What programs read at {mount.target}", _word(mount.source)))
            source = f"${{{name}:?is set by .env}}"
        mounts.append(
            _Mount(
                kind=mount.kind,
                source=source,
                target=_literal(mount.target),
                read_only=mount.read_only,
            )
        )
    return tuple(mounts), tuple(settings)


def _literals(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _literal(value)) for name, value in pairs)


def _literal(text: str) -> str:
    """Return text in which a dollar stands for itself."""
    return text.replace("$", "$$")


def _word(text: str) -> str:
    """Return a value of ``.env``, in single quotes where it is more than a plain path."""
    return text if _PLAIN.fullmatch(text) else "'" + text.replace("'", "\\'") + "'"


def _jupyter(bind: str) -> tuple[str, ...]:
    """Return the options of JupyterLab; other machines may ask it only where it listens to them."""
    options = {
        "ip": "0.0.0.0",  # noqa: S104 - published at ``bind``
        "port": 8888,
        "port_retries": 0,
        "open_browser": False,
        "allow_remote_access": not ipaddress.ip_address(bind).is_loopback,
    }
    return (
        *(f"--ServerApp.{name}={value}" for name, value in options.items()),
        "--KernelSpecManager.ensure_native_kernel=False",
    )


def _tools_image(image: ImageRef | None) -> str | None:
    if image is not None and (image.tag is None or image.digest is None):
        raise UsageError(
            f"--tools-image {image} is not pinned",
            hint="Name its tag and digest: NAME:TAG@sha256:…",
        )
    return str(image) if image else None


def _answers(port: int, path: str) -> tuple[str, ...]:
    """Return a health check that goes through no proxy."""
    ask = f"c = HTTPConnection('127.0.0.1', {port}, timeout=5); c.request('GET', '{path}')"
    judge = "exit(c.getresponse().status != 200)"
    return ("CMD", "python", "-c", f"from http.client import HTTPConnection; {ask}; {judge}")
