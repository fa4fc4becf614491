"""A job of Slurm: one script for sbatch, which needs nothing of snapenv. Pure.

Sources: https://slurm.schedmd.com/sbatch.html, https://apptainer.org/docs/user/latest/,
https://github.com/NVIDIA/pyxis, https://github.com/NVIDIA/enroot/blob/master/src/docker.sh
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace
from packaging.version import InvalidVersion, Version

from snapenv.docker_options import docker_options, mount_option
from snapenv.errors import UsageError
from snapenv.model.rendering import Rendered, RenderedFile, TargetOptions
from snapenv.model.snapshot import IMAGE_CHECK, SNAPSHOT_LABEL
from snapenv.render.apptainer import IMAGE_LABEL, bind, check_path, file_of_image
from snapenv.render.head import head_lines
from snapenv.render.refuse import (
    Grammar,
    matched,
    option_of_label,
    refuse_named_gpus,
    refuse_options,
    refuse_volumes,
)
from snapenv.templating import render_template, shell_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.image import ImageRef
    from snapenv.model.launch import Launch
    from snapenv.model.rendering import Workload

Runtime = Literal["apptainer", "docker", "pyxis"]

_OF_THE_JOB = {"OMP_NUM_THREADS", "PYTHON_CPU_COUNT"}  # as many as it has CPUs
_CPUS = 8  # as many workers as ultralytics starts
_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}"
_NAME, _NAMES, _COMMENT = (
    Grammar(
        "name that Slurm takes in a script",
        re.compile(pattern, re.ASCII),
        "Use letters, digits and any of _ . + - after the first.",
    )
    for pattern in (_NAME_PATTERN, rf"{_NAME_PATTERN}(?:,{_NAME_PATTERN})*", r"[\w/.:@+ -]+")
)
_TIME = re.compile(r"(?:(\d{1,9})-)?(\d{1,9})(?::(\d{1,9}))?(?::(\d{1,9}))?", re.ASCII)
_EARLIER_S = 60  # that Slurm may send a signal before it is due
_LOADS_UNSAFELY = Version("8.3")  # older ultralytics cannot read its checkpoints on torch 2.6


class SlurmOptions(TargetOptions, frozen=True, kw_only=True):
    """What a user may ask of a job; None leaves it to the cluster."""

    runtime: Runtime = "apptainer"
    gpus: int = 1
    gpu_type: str | None = None
    job_name: str | None = None  # None is the image's tag
    time: str | None = None  # as Slurm writes it
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    signal_before: int = 300  # seconds before the time limit
    requeue: bool = True


class _View(Struct, frozen=True, kw_only=True):
    """What the templates read."""

    head: tuple[str, ...]
    file: str
    directives: tuple[str, ...]
    runtime: Runtime
    folder: str | None
    results: str | None
    command: tuple[str, ...]
    variables: tuple[str, ...]  # NAME=VALUE
    image: str
    local_image: str  # a file that is taken instead, where it is there
    options: tuple[tuple[str, str], ...]  # of the runtime, their values quoted
    requeue: bool
    loads_unsafely: bool
    gpu_type: str | None
    comment: str


def render_slurm(work: Workload, options: SlurmOptions) -> Rendered:
    """Return the script, and how it is submitted.

    Raises:
        UsageError: A name, a time or a path is none of Slurm's, or the runtime cannot do what is
            asked for.
    """
    _refuse(work.launch, options)
    file = f"{work.image.tag}.sbatch"
    view = _View(
        head=head_lines(work, how=_how(work, options, file)),
        file=file,
        directives=_directives(work, options),
        runtime=options.runtime,
        folder=work.project_folder and check_path(work.project_folder, "--workdir"),
        results=_results(work),
        command=work.launch.argv or (IMAGE_CHECK,),
        variables=tuple(
            f"{name}={value}"
            for name, value in work.launch.set_variables
            if name not in _OF_THE_JOB
        ),
        image=_image(work.image, options.runtime),
        local_image=_local_image(work.image, options.runtime),
        options=_runtime_options(work.launch, options.runtime),
        requeue=options.requeue,
        loads_unsafely=_loads_unsafely(work.label.ultralytics),
        gpu_type=options.gpu_type,
        comment=_comment(work),
    )
    script = render_template("slurm/job.sbatch.j2", view)
    return Rendered(
        files=(RenderedFile(name=file, content=script),),
        start=f"sbatch {file}",
    )


def _results(work: Workload) -> str | None:
    """Return the folder of the nodes for results; None is the default, below the project."""
    default = f"{work.launch.folder}/runs"
    return None if work.runs == default else check_path(work.runs, "--runs")


def _refuse(launch: Launch, options: SlurmOptions) -> None:
    """Refuse what no job has.

    Raises:
        UsageError: It is asked for.
    """
    refuse_options(
        {"--user": launch.user, "--port": launch.ports},
        why="is not for a Slurm job: it runs as whoever submits it, on a node of Slurm's choice",
    )
    refuse_named_gpus(launch, hint="Slurm chooses them. Say how many: --gpus 2")
    if options.runtime != "docker":
        refuse_volumes(launch, program=options.runtime)


def _how(work: Workload, options: SlurmOptions, file: str) -> tuple[str, ...]:
    local = _local_image(work.image, options.runtime)
    image = _image(work.image, options.runtime)
    once = {
        "apptainer": (
            "",
            "Once, to save each job the conversion:",
            f"  apptainer build {local} {image}",
        ),
        "pyxis": (
            "",
            "Once, to save each job the import:",
            f"  enroot import -o {local} 'docker://{image}'",
        ),
        "docker": (),
    }[options.runtime]
    return (
        "Submit it in the folder of the project, which the job sees by the same path:",
        f"  sbatch {file}",
        f"  sbatch {file} yolo train data=/data/coco.yaml model=yolov8n.pt epochs=100",
        "Options of sbatch overrule those below: sbatch --time=1-00:00:00 ...",
        *once,
    )


def _directives(work: Workload, options: SlurmOptions) -> tuple[str, ...]:
    """Return the options of sbatch, each of which has been parsed."""
    launch, lead_s = work.launch, _lead_s(options)
    gpus = options.gpus if launch.gpus else 0
    gpu_type = f"{matched('--gpu-type', options.gpu_type, _NAME)}:" if options.gpu_type else ""
    directives = {
        "job-name": matched("--job-name", options.job_name or str(work.image.tag), _NAME),
        "comment": _comment(work),
        "partition": options.partition and matched("--partition", options.partition, _NAMES),
        "account": options.account and matched("--account", options.account, _NAME),
        "qos": options.qos and matched("--qos", options.qos, _NAME),
        "nodes": "1",
        "ntasks": "1",
        "gres": f"gpu:{gpu_type}{gpus}" if gpus else None,
        "cpus-per-task": f"{math.ceil(launch.cpus or _CPUS)}",
        "mem": launch.memory_bytes and f"{math.ceil(launch.memory_bytes / 2**20)}M",
        "time": options.time,
        "signal": f"B:INT@{lead_s}",
        "output": "%x-%j.out",
        "open-mode": "append",
    }
    named = tuple(f"--{name}={value}" for name, value in directives.items() if value)
    return (*named, "--requeue" if options.requeue else "--no-requeue")


def _lead_s(options: SlurmOptions) -> int:
    """Return how long before the time limit the signal comes, which must leave time to train."""
    lead_s = options.signal_before
    if options.time and lead_s + _EARLIER_S >= parse_time(options.time):
        raise UsageError(
            f"--signal-before {lead_s} leaves no time of --time {options.time}",
            hint="Ask for more time, or let the signal come later.",
        )
    return lead_s


def parse_time(text: str) -> int:
    """Read a time limit as Slurm does: minutes, M:S, H:M:S, D-H, D-H:M or D-H:M:S; in seconds.

    Raises:
        UsageError: It is none of these.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--time {text!r} is not a time limit of Slurm",
            hint="Write minutes, HOURS:MINUTES:SECONDS or DAYS-HOURS, such as 08:00:00 or 1-12.",
        )
    days, first, second, third = (int(part) if part else None for part in match.groups())
    if days is not None:
        return ((days * 24 + (first or 0)) * 60 + (second or 0)) * 60 + (third or 0)
    if third is not None:
        return ((first or 0) * 60 + (second or 0)) * 60 + third
    return (first or 0) * 60 + (second or 0)


def _comment(work: Workload) -> str:
    """Return the labels of the run, which sacct shows and a ledger reads; a blank is %20."""
    labels = {
        IMAGE_LABEL: str(work.image),
        SNAPSHOT_LABEL: work.snapshot,
        **work.launch.labels,
    }
    return ",".join(
        f"{name}={matched(option_of_label(name), value, _COMMENT).replace(' ', '%20')}"
        for name, value in sorted(labels.items())
        if value
    )


def _image(image: ImageRef, runtime: Runtime) -> str:
    """Return the image as a runtime names it.

    enroot takes a digest in the place of a tag, in all versions that take one at all.
    """
    if runtime == "docker":
        return str(image)
    if runtime == "apptainer":
        return f"docker://{image}"
    registry = f"{image.registry}#" if image.registry else ""
    return f"{registry}{image.path if image.registry else image.repository}:{image.digest}"


def _local_image(image: ImageRef, runtime: Runtime) -> str:
    return file_of_image(image, "sqsh" if runtime == "pyxis" else "sif")


def _runtime_options(launch: Launch, runtime: Runtime) -> tuple[tuple[str, str], ...]:
    """Return the options of a runtime with their values, quoted where it is needed."""
    if runtime == "docker":
        return tuple(_docker_options(launch))
    option = {"apptainer": "--bind", "pyxis": "--container-mounts"}[runtime]
    return tuple((option, bind(mount)) for mount in launch.mounts)


def _docker_options(launch: Launch) -> Iterator[tuple[str, str]]:
    """Yield options with their values, quoted; a job's CPUs and memory are known to Slurm."""
    for mount in launch.mounts:
        bind(mount)
        name, value = mount_option(mount)
        yield name, f'"{value}"'
    for name, value in docker_options(replace(launch, cpus=None, memory_bytes=None)):
        yield name, shell_words(value)


def _loads_unsafely(ultralytics: str | None) -> bool:
    try:
        return ultralytics is not None and Version(ultralytics) < _LOADS_UNSAFELY
    except InvalidVersion:
        return False
