"""The options of ``snapenv render``: of every target, and of one alone."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from snapenv.cli.help import Option, option
from snapenv.cli.launch_options import (
    MountType,
    SizeType,
    cpus_option,
    data_option,
    env_option,
    grace_option,
    ipc_option,
    memory_option,
    mount_option,
    port_option,
    shm_option,
    user_option,
)
from snapenv.cli.options import ImageRefType, check_address, check_device, declared_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from snapenv.model.launch import Mount

    F = TypeVar("F", bound=Callable[..., object])


class TargetOption(Option):
    """An option of one target, or of a few that are alike."""

    def __init__(self, *args: Any, targets: Sequence[str] = (), **attributes: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **attributes)
        self.targets = tuple(targets)


def target_option(*words: str, targets: Sequence[str], **attributes: Any) -> Callable[[F], F]:  # noqa: ANN401
    """Make an option of ``targets`` alone; its parameter is a field of the options of each."""
    long = next(word for word in words if word.startswith("--")).partition("/")[0]
    variable = f"SNAPENV_{targets[0]}_{long.lstrip('-')}".upper().replace("-", "_")
    return click.option(
        *words, cls=TargetOption, targets=targets, **{"envvar": variable, **attributes}
    )


class _ForeignMountType(MountType):
    """A mount whose source is on another machine."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Mount:
        """Return it, or end in a usage error."""
        source = str(value).partition(":")[0]
        if "/" in source and not os.path.isabs(source):  # noqa: PTH117 - another machine's
            self.fail(f"{source!r} is not an absolute path, and is on another machine", param, ctx)
        return super().convert(value, param, ctx)


_LAUNCH_OPTIONS = (
    data_option,
    option(
        "--runs",
        metavar="DIR",
        envvar="SNAPENV_RUNS",
        group="Folder",
        help="Let ultralytics write its results here.  [default: runs, in the project]",
    ),
    option(
        "--workdir",
        "folder",
        metavar="DIR",
        envvar="SNAPENV_WORKDIR",
        group="Folder",
        help="Start in this folder of that machine.  [default: as the target has it]",
    ),
    mount_option(_ForeignMountType()),
    env_option,
    user_option("as the target has it"),
    grace_option,
    declared_options,
    option(
        "--device",
        default="auto",
        show_default=True,
        metavar="[auto|cpu|all|0,1]",
        callback=check_device,
        envvar="SNAPENV_DEVICE",
        group="Resource",
        help="Ask for these GPUs; auto asks for all where torch is built for CUDA.",
    ),
    cpus_option,
    memory_option,
    shm_option,
    ipc_option,
    port_option,
)

_kubernetes_option = functools.partial(target_option, targets=("kubernetes",), group="Kubernetes")
_slurm_option = functools.partial(target_option, targets=("slurm",), group="Slurm")


def _ci_option(*words: str, **attributes: Any) -> Callable[[F], F]:  # noqa: ANN401
    variable = f"SNAPENV_CI_{words[0].lstrip('-')}".upper().replace("-", "_")
    return target_option(
        *words, targets=("github", "gitlab"), group="CI", envvar=variable, **attributes
    )


_CI_OPTIONS = (
    _ci_option(
        "--snapshot-folder",
        metavar="PATH",
        help="Build when this folder of the repository changes.  [default: snapshots/TAG]",
    ),
    _ci_option(
        "--watch",
        multiple=True,
        metavar="PATH",
        default=("train.yaml", "data.yaml", "data/"),
        show_default=True,
        help="Train when this file or folder of the repository changes. May be repeated.",
    ),
    _ci_option(
        "--branch",
        metavar="NAME",
        default="main",
        show_default=True,
        help="Build and train when this branch changes.",
    ),
    _ci_option(
        "--runner",
        multiple=True,
        metavar="LABEL",
        help="Use runners with this label or tag. May be repeated.  [default: gpu]",
    ),
    _ci_option(
        "--install",
        metavar="REQUIREMENT",
        help="Install snapenv from this requirement.  [default: this version]",
    ),
    _ci_option(
        "--max-drop",
        type=float,
        metavar="NUMBER",
        help="Fail where mAP50-95 falls by more than this, such as 0.01.",
    ),
    _ci_option(
        "--baseline",
        metavar="FILE",
        help="Compare with this results.csv of the repository.  [default: the last run]",
    ),
)

TARGET_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    target_option(
        "--bind",
        targets=("compose",),
        metavar="ADDRESS",
        default="127.0.0.1",
        show_default=True,
        callback=check_address,
        group="Compose",
        help="Let JupyterLab and TensorBoard listen at this address of the machine.",
    ),
    target_option(
        "--tools-image",
        targets=("compose",),
        type=ImageRefType(),
        metavar="NAME:TAG@sha256:…",
        group="Compose",
        help="Serve JupyterLab and TensorBoard from this image.  [default: the environment's own]",
    ),
    target_option(
        "--gpus",
        targets=("kubernetes", "slurm"),
        type=click.IntRange(0),
        metavar="N",
        default=1,
        show_default=True,
        envvar="SNAPENV_GPUS",
        group="Cluster",
        help="Request this many GPUs for each job or pod.",
    ),
    _kubernetes_option(
        "--name",
        metavar="NAME",
        help="Give the objects this name.  [default: made from the tag]",
    ),
    _kubernetes_option(
        "--namespace",
        metavar="NAME",
        help="Create the objects in this namespace.  [default: that of whoever applies the files]",
    ),
    _kubernetes_option(
        "--nodes",
        type=click.IntRange(1),
        metavar="N",
        default=1,
        show_default=True,
        help="Check the environment on this many GPU nodes.",
    ),
    _kubernetes_option(
        "--retries",
        type=click.IntRange(0),
        metavar="N",
        default=2,
        show_default=True,
        help="Retry a failed Job up to this many times.",
    ),
    _kubernetes_option(
        "--runtime-class",
        metavar="NAME",
        help="Run pods with this RuntimeClass, such as nvidia where that is not the default.",
    ),
    _kubernetes_option(
        "--device-class",
        metavar="NAME",
        help="Request GPUs by Dynamic Resource Allocation, such as gpu.nvidia.com.",
    ),
    _kubernetes_option(
        "--queue",
        metavar="NAME",
        help="Submit to this queue of Kueue.",
    ),
    _kubernetes_option(
        "--pull-secret",
        metavar="NAME",
        help="Pull the image with this Secret of the namespace.",
    ),
    _kubernetes_option(
        "--node-selector",
        metavar="KEY=VALUE",
        multiple=True,
        help="Run only on nodes with this label. May be repeated.",
    ),
    _kubernetes_option(
        "--storage-class",
        metavar="NAME",
        help="Keep the project in this StorageClass.  [default: the cluster's]",
    ),
    _kubernetes_option(
        "--storage-size",
        "storage_bytes",
        type=SizeType(),
        default="100g",
        show_default=True,
        help="Size of the project's storage.",
    ),
    _kubernetes_option(
        "--access-mode",
        type=click.Choice(("ReadWriteOnce", "ReadWriteMany")),
        default="ReadWriteOnce",
        show_default=True,
        help="Let pods on one node at a time, or on many, mount the storage.",
    ),
    _slurm_option(
        "--runtime",
        type=click.Choice(("apptainer", "docker", "pyxis")),
        default="apptainer",
        show_default=True,
        help="Start the container with this program, which the nodes must have.",
    ),
    _slurm_option(
        "--gpu-type",
        metavar="NAME",
        help="Request GPUs of this type, as the cluster names it, such as h100.",
    ),
    _slurm_option(
        "--job-name",
        metavar="NAME",
        help="Give the job this name.  [default: the tag]",
    ),
    _slurm_option(
        "--time",
        metavar="LIMIT",
        help="End the job after this time, such as 08:00:00 or 2-00.  [default: the partition's]",
    ),
    _slurm_option("--partition", metavar="NAME", help="Run in this partition."),
    _slurm_option("--account", metavar="NAME", help="Charge this account."),
    _slurm_option(
        "--qos",
        metavar="NAME",
        help="Request this quality of service.",
    ),
    _slurm_option(
        "--signal-before",
        type=click.IntRange(60, 65535),
        metavar="SECONDS",
        default=300,
        show_default=True,
        help="Interrupt the training this many seconds before the time limit.",
    ),
    _slurm_option(
        "--requeue/--no-requeue",
        default=True,
        show_default=True,
        help="Put an interrupted training back into the queue, where it resumes.",
    ),
    target_option(
        "--archive",
        targets=("apptainer",),
        metavar="FILE",
        group="Apptainer",
        help="Build from this file of snapenv export, instead of the registry.",
    ),
    *_CI_OPTIONS,
)


def render_options(command: F) -> F:
    """Add the options of a launch, then those of each target, in the order of help."""
    every = (*_LAUNCH_OPTIONS, *TARGET_OPTIONS)
    return functools.reduce(lambda decorated, add: add(decorated), reversed(every), command)


def options_of(target: str, values: dict[str, Any]) -> dict[str, Any]:
    """Take what belongs to a target, or to others, out of ``values``; return its own.

    Raises:
        UsageError: An option of another target is on the command line.
    """
    context = click.get_current_context()
    own = {}
    for param in context.command.params:
        if isinstance(param, TargetOption):
            name = str(param.name)
            value = values.pop(name)
            if target in param.targets:
                own[name] = value
            elif context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise click.UsageError(
                    f"{param.opts[-1]} is an option of --as {' and '.join(param.targets)}, "
                    f"not of {target}"
                )
    return own
