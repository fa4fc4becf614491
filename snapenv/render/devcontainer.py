"""Development containers: one configuration with GPUs and one without, which a tool asks for.

Whether a machine has GPUs is not left to ``hostRequirements.gpu``: tools recognize them by the
name of a runtime, which misses CDI, and takes a toolkit for a GPU.
Sources: https://containers.dev/implementors/json_reference/ and
https://github.com/devcontainers/cli/issues/319
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.docker_options import docker_options, gpus_option, mount_option
from snapenv.errors import UsageError
from snapenv.model.launch import Launch
from snapenv.model.rendering import Rendered, RenderedFile, TargetOptions
from snapenv.model.snapshot import IMAGE_CHECK, IMAGE_PYTHON
from snapenv.render.head import head_lines
from snapenv.templating import render_template

if TYPE_CHECKING:
    from snapenv.model.launch import Mount
    from snapenv.model.rendering import Workload

_WARNING = "The environment is no longer as it was locked."
# An older image has no check.
_CHECK = f"[ ! -x {IMAGE_CHECK} ] || {IMAGE_CHECK} || echo '{_WARNING}' >&2"
_EXTENSIONS = (
    "ms-python.python",
    "ms-python.vscode-pylance",
    "ms-python.debugpy",
    "ms-toolsai.jupyter",
    "mechatroner.rainbow-csv",  # results.csv
    "redhat.vscode-yaml",  # data.yaml, args.yaml
)


class DevcontainerOptions(TargetOptions, frozen=True, kw_only=True):
    """What a user may ask of development containers: nothing more than of any launch."""


class _View(Struct, frozen=True, kw_only=True):
    """What the template reads; a value that tools would replace is refused before."""

    head: tuple[str, ...]
    name: str
    image: str
    launch: Launch
    project: str
    run_args: tuple[tuple[str, str], ...]
    variables: tuple[tuple[str, str], ...]
    mounts: tuple[str, ...]
    ports: tuple[int, ...]
    user: str | None
    extensions: tuple[str, ...] = _EXTENSIONS
    check: str = _CHECK
    python: str = IMAGE_PYTHON


def render_devcontainer(work: Workload, options: DevcontainerOptions) -> Rendered:
    """Return ``.devcontainer/cpu`` and, where GPUs are asked for, ``.devcontainer/gpu``.

    Raises:
        UsageError: A program is to run, or a value looks like a variable of the configuration.
    """
    del options
    if work.launch.argv:
        raise UsageError(
            f"a development container is for people, and runs no command: {work.launch.argv[0]}",
            hint="Leave the command out, and run it inside.",
        )
    kinds = ("gpu", "cpu") if work.launch.gpus else ("cpu",)
    files = (
        RenderedFile(
            name=_path(kind),
            content=render_template("devcontainer/devcontainer.json.j2", _view(work, kind)),
        )
        for kind in kinds
    )
    return Rendered(files=tuple(files), start=_start(kinds[0]))


def _path(kind: str) -> str:
    return f".devcontainer/{kind}/devcontainer.json"


def _start(kind: str) -> str:
    return f"devcontainer up --workspace-folder . --config {_path(kind)}"


def _view(work: Workload, kind: str) -> _View:
    launch = work.launch
    hidden = [] if kind == "gpu" else [("NVIDIA_VISIBLE_DEVICES", "void")]
    return _View(
        head=head_lines(
            work,
            how=(
                f"Start:  {_start(kind)}",
                "        or in an editor: Reopen in Container",
                f"Enter:  devcontainer exec --workspace-folder . --config {_path(kind)} bash",
            ),
        ),
        name=f"{work.image.tag} ({kind.upper()})",
        image=str(work.image),
        launch=launch,
        project=f"source={work.project_folder or '${localWorkspaceFolder}'},"
        f"target={launch.folder},type=bind",
        run_args=_run_args(launch, kind),
        variables=tuple(
            (name, _literal("--env", value)) for name, value in (*launch.set_variables, *hidden)
        ),
        mounts=tuple(map(_mount, launch.mounts)),
        ports=tuple(port.inside for port in launch.ports),
        user=f"{launch.user.uid}:{launch.user.gid}" if launch.user else None,
    )


def _run_args(launch: Launch, kind: str) -> tuple[tuple[str, str], ...]:
    """Return the options of ``docker run`` with their values."""
    gpus = (gpus_option(launch.gpus),) if kind == "gpu" and launch.gpus else ()
    # Of these values a user writes only the project's name, which is a label.
    others = ((name, _literal("--project", value)) for name, value in docker_options(launch))
    return (*gpus, *others)


def _mount(mount: Mount) -> str:
    """Return a mount as ``docker run --mount`` takes it.

    Raises:
        UsageError: A path has a comma, which parts the fields.
    """
    if "," in mount.source + mount.target:
        raise UsageError(
            f"a development container cannot mount {mount.source}: its path has a comma",
            hint="Rename the folder, or mount one above it.",
        )
    _, option = mount_option(mount)
    return _literal("--mount", option)


def _literal(option: str, value: str) -> str:
    """Return a value in which tools replace nothing.

    Raises:
        UsageError: It holds what they take for a variable, and there is no way to quote it.
    """
    if "${" in value:
        raise UsageError(
            f"{option} holds {value!r}, in which tools would replace a variable",
            hint="Leave out ${; a development container has no way to quote it.",
        )
    return value
