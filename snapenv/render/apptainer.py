"""A definition of Apptainer: an image, or an archive of it, as one SIF file. Pure.

Source: https://apptainer.org/docs/user/latest/definition_files.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.errors import UsageError
from snapenv.model.rendering import Rendered, RenderedFile, TargetOptions
from snapenv.model.snapshot import IMAGE_CHECK
from snapenv.render.head import head_lines
from snapenv.render.refuse import (
    option_of_label,
    refuse_named_gpus,
    refuse_options,
    refuse_volumes,
)
from snapenv.templating import render_template

if TYPE_CHECKING:
    from snapenv.model.image import ImageRef
    from snapenv.model.launch import Launch, Mount
    from snapenv.model.rendering import Workload

IMAGE_LABEL = "io.snapenv.image"
# What stands for itself in every list of mounts, and in a definition.
_PATH = re.compile(r"[\w/.@%+-]+", re.ASCII)
# Where an archive is unpacked: Apptainer itself unpacks no tar that has no entries for folders.
_LAYOUT = "oci-image"
_OF_THE_CALLER = {"HOME"}  # Apptainer sets it itself


class ApptainerOptions(TargetOptions, frozen=True, kw_only=True):
    """What a user may ask of a definition; None takes the image from its registry."""

    archive: str | None = None  # a file of ``snapenv export``, where the definition is built


class _View(Struct, frozen=True, kw_only=True):
    head: tuple[str, ...]
    bootstrap: str
    origin: str
    labels: tuple[tuple[str, str], ...]
    variables: tuple[tuple[str, str], ...]
    command: tuple[str, ...]
    check: str
    help: tuple[str, ...]


def render_apptainer(work: Workload, options: ApptainerOptions) -> Rendered:
    """Return the definition, and how it is built.

    Raises:
        UsageError: Apptainer has no such thing, or a path is none that it takes.
    """
    refuse_for_apptainer(work.launch)
    file, sif = f"{work.image.tag}.def", file_of_image(work.image, "sif")
    archive = options.archive and check_path(options.archive, "--archive")
    unpack = archive and f"mkdir {_LAYOUT} && zstd -dc {archive} | tar -x -C {_LAYOUT}"
    run = " ".join(_run_words(work, sif))
    view = _View(
        head=head_lines(work, how=_how(file, sif, unpack=unpack, run=run)),
        bootstrap="oci" if archive else "docker",
        origin=_LAYOUT if archive else str(work.image),
        labels=_labels(work),
        variables=tuple(
            (name, one_line(value, "--env"))
            for name, value in work.launch.set_variables
            if name not in _OF_THE_CALLER
        ),
        command=tuple(one_line(word, "COMMAND") for word in work.launch.argv) or (IMAGE_CHECK,),
        check=IMAGE_CHECK,
        help=(f"{work.image}, as snapenv restores it.", f"Run a command in it: {run} COMMAND"),
    )
    text = render_template("apptainer/env.def.j2", view)
    build = f"apptainer build {sif} {file}"
    return Rendered(
        files=(RenderedFile(name=file, content=text),),
        start=f"{unpack} && {build}" if unpack else build,
    )


def refuse_for_apptainer(launch: Launch) -> None:
    """Refuse what runs of a user without rights do not have.

    Raises:
        UsageError: It is asked for.
    """
    refuse_options(
        {"--user": launch.user, "--port": launch.ports},
        why="is not for Apptainer: a program runs as its caller, in the network of its machine",
    )
    refuse_named_gpus(launch, hint="Choose them where it runs, by CUDA_VISIBLE_DEVICES.")
    refuse_volumes(launch, program="Apptainer")


def check_path(path: str, option: str) -> str:
    """Return a path that needs no quotes in a list of mounts or a definition.

    Raises:
        UsageError: It holds something else.
    """
    if not _PATH.fullmatch(path):
        raise UsageError(
            f"{option} {path!r} holds more than letters, digits and any of / . _ @ % + -",
            hint="Link to it by another name.",
        )
    return path


def one_line(text: str, option: str) -> str:
    """Return a text that ends no line of a file.

    Raises:
        UsageError: It has a control character.
    """
    if not text.isprintable():
        raise UsageError(
            f"{option} {text!r} has a control character", hint="Write it on one line, or in a file."
        )
    return text


def bind(mount: Mount) -> str:
    """Return a mount as --bind takes it.

    Raises:
        UsageError: A path needs quotes, which --bind does not know.
    """
    source, target = (check_path(path, "--mount") for path in (mount.source, mount.target))
    return f"{source}:{target}{':ro' if mount.read_only else ''}"


def file_of_image(image: ImageRef, suffix: str) -> str:
    """Return the name of a file that an image is converted into; another image has another."""
    short = str(image.digest).removeprefix("sha256:")[:12]
    return f"{image.tag}-{short}.{suffix}"


def _how(file: str, sif: str, *, unpack: str | None, run: str) -> tuple[str, ...]:
    return (
        "Build it, then run it in the folder of the project:",
        *((f"  {unpack}",) if unpack else ()),
        f"  apptainer build {sif} {file}",
        f"  {run} yolo train data=/data/coco.yaml model=yolov8n.pt epochs=100",
    )


def _run_words(work: Workload, sif: str) -> list[str]:
    """Return the words that run it; none needs quotes but those it has."""
    launch = work.launch
    folder = check_path(work.project_folder, "--workdir") if work.project_folder else '"$PWD"'
    binds = (word for mount in launch.mounts for word in ("--bind", bind(mount)))
    limits = {
        "--cpus": launch.cpus and f"{launch.cpus:g}",
        "--memory": launch.memory_bytes and str(launch.memory_bytes),
    }
    return [
        *("apptainer", "run", *(("--nv",) if launch.gpus else ())),
        *("--containall", "--workdir", '"$(mktemp -d)"'),  # else /tmp has 64 MiB
        *("--bind", folder, "--pwd", folder, *binds),
        *(word for pair in limits.items() if pair[1] for word in pair if word),
        sif,
    ]


def _labels(work: Workload) -> tuple[tuple[str, str], ...]:
    """Return what the image does not say of itself."""
    labels = {
        IMAGE_LABEL: str(work.image),
        **work.launch.labels,
    }
    return tuple(
        (name, one_line(value, option_of_label(name))) for name, value in sorted(labels.items())
    )
