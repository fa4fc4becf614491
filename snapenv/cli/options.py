"""Options that several commands share: the same word is the same option everywhere."""

from __future__ import annotations

import functools
import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from snapenv.cli.app import App
from snapenv.cli.help import option

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from snapenv.model.exports import ExportFormat
    from snapenv.model.image import ImageRef

    F = TypeVar("F", bound=Callable[..., object])


_FORMAT = click.Choice(("torchscript", "onnx", "openvino", "engine"))
_DEVICE = re.compile(r"[0-9]{1,4}|(?:GPU|MIG)-[0-9A-Za-z/-]{1,80}", re.ASCII)


class ImageRefType(click.ParamType["ImageRef"]):
    """A reference of an image, such as ``example.com/team/env:tag``."""

    name = "REF"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> ImageRef:
        """Parse, or end in a usage error."""
        from snapenv.model.image import ImageRef

        if isinstance(value, ImageRef):
            return value
        try:
            return ImageRef.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _FormatsType(click.ParamType["tuple[ExportFormat, ...]"]):
    """Formats of exports with commas between them, each once."""

    name = "FORMAT,…"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[ExportFormat, ...]:
        """Read the names, or end in a usage error."""
        names = [_FORMAT.convert(name, param, ctx) for name in value.split(",") if value]
        return cast("tuple[ExportFormat, ...]", tuple(dict.fromkeys(names)))


class RepositoryType(ImageRefType):
    """A repository: a reference without a tag and without a digest."""

    name = "REPOSITORY"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> ImageRef:
        """Parse, or end in a usage error."""
        ref = super().convert(value, param, ctx)
        if ref.tag or ref.digest:
            self.fail(f"{ref} is more than a repository: leave out the tag", param, ctx)
        return ref


class MirrorType(click.ParamType[str]):
    """The host of a registry, with or without a prefix."""

    name = "HOST/PREFIX"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Check that an image could be named below it, or end in a usage error."""
        from snapenv.model.image import ImageRef

        mirror = str(value).rstrip("/")
        try:
            ImageRef.parse(f"{mirror}/image")
        except ValueError:
            self.fail(f"{mirror!r} is not a registry such as example.com/mirror", param, ctx)
        return mirror


def _say_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(App).json = True


json_option = option(
    "--json",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_say_json,
    envvar="SNAPENV_JSON",
    group="Output",
    help="Print one JSON document on stdout.",
)

repository_option = option(
    "--repository",
    type=RepositoryType(),
    default="snapenv",
    show_default=True,
    envvar="SNAPENV_REPOSITORY",
    group="Image",
    help="Find and store images here, such as example.com/team/env.",
)

mirror_option = option(
    "--mirror",
    type=MirrorType(),
    envvar="SNAPENV_MIRROR",
    group="Image",
    help="Pull the base image from this mirror of its registry.",
)

base_option = option(
    "--base",
    type=ImageRefType(),
    envvar="SNAPENV_BASE",
    group="Image",
    help="Start from this image instead of the chosen one.",
)

base_family_option = option(
    "--base-family",
    type=click.Choice(["pytorch", "slim", "cuda", "jetpack"]),
    envvar="SNAPENV_BASE_FAMILY",
    group="Image",
    help="Start from NVIDIA's PyTorch, a plain Debian or Ubuntu, NVIDIA's CUDA runtime, or its "
    "image for a Jetson.",
)

smoke_option = option(
    "--smoke/--no-smoke",
    default=None,
    envvar="SNAPENV_SMOKE",
    group="Training",
    help="Train for ten steps, or skip it.  [default: where possible]",
)


exports_option = option(
    "--exports",
    type=_FormatsType(),
    metavar="FORMAT,…",
    default="",
    envvar="SNAPENV_EXPORTS",
    group="Training",
    help="Export a model to torchscript, onnx, openvino or engine, and compare it with torch.",
)

report_option = option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    envvar="SNAPENV_REPORT",
    group="Output",
    help="Write an HTML report, replacing an existing file.",
)

prices_option = option(
    "--prices",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.toml",
    envvar="SNAPENV_PRICES",
    group="Usage",
    help="Count costs by this price list.",
)

sign_key_option = option(
    "--sign-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    envvar="SNAPENV_SIGN_KEY",
    group="Attestation",
    help="Sign what is attached with this private key; its password is SNAPENV_SIGN_PASSWORD.",
)

sign_option = option(
    "--sign",
    is_flag=True,
    envvar="SNAPENV_SIGN",
    group="Attestation",
    help="Sign what is attached with the identity that a CI gives this machine, by Sigstore.",
)

rehash_option = option(
    "--rehash",
    is_flag=True,
    envvar="SNAPENV_REHASH",
    group="Check",
    help="Read all files and ask all indexes again, even if nothing has changed.",
)


snapshot_output_option = option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    envvar="SNAPENV_OUTPUT",
    group="Output",
    help="Write the snapshot to this new folder.  [default: snapshots/TAG]",
)

output_folder_option = option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    default=Path(),
    show_default="the current folder",
    envvar="SNAPENV_OUTPUT",
    group="Output",
    help="Write the files into this folder.",
)

vendor_option = option(
    "--vendor",
    type=click.Choice(("missing", "all")),
    default="missing",
    show_default=True,
    envvar="SNAPENV_VENDOR",
    group="Packages",
    help="Of a snapshot: add all wheels, so that a restore needs no package index.",
)

force_option = option(
    "--force",
    is_flag=True,
    envvar="SNAPENV_FORCE",
    group="Output",
    help="Replace files that are there.",
)


engine_option = option(
    "--engine",
    type=click.Choice(("docker", "venv")),
    default="docker",
    show_default=True,
    envvar="SNAPENV_ENGINE",
    group="Engine",
    help="Run as a container, or as a venv, which needs no Docker.",
)


def check_device(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Return words for GPUs, or end in a usage error."""
    if value in {"auto", "cpu", "all"} or all(map(_DEVICE.fullmatch, value.split(","))):
        return value
    words = f"{value!r} is not auto, cpu, all, numbers such as 0,1, or UUIDs of GPUs"
    raise click.BadParameter(words, ctx, param)


device_option = option(
    "--device",
    default="auto",
    show_default=True,
    metavar="[auto|cpu|all|0,1]",
    callback=check_device,
    envvar="SNAPENV_DEVICE",
    group="Training",
    help="Train on this device; auto takes the GPU if there is one.",
)


_DECLARED_OPTIONS = (
    option(
        "--project",
        metavar="NAME",
        envvar="SNAPENV_PROJECT",
        group="Usage",
        help="Count what is used for this project.",
    ),
    option(
        "--purpose",
        metavar="NAME",
        envvar="SNAPENV_RUN_PURPOSE",
        group="Usage",
        help="Count it for this purpose, such as ablation.",
    ),
    option(
        "--model",
        metavar="NAME",
        envvar="SNAPENV_MODEL",
        group="Usage",
        help="Count it for this model.  [default: that of the training]",
    ),
    option(
        "--require-project",
        is_flag=True,
        envvar="SNAPENV_REQUIRE_PROJECT",
        group="Usage",
        help="Refuse what names no project.",
    ),
)


def declared_options(command: F) -> F:
    """Add the options that say for whom and for what something runs."""
    add_all = reversed(_DECLARED_OPTIONS)
    return functools.reduce(lambda decorated, add: add(decorated), add_all, command)


def check_address(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Return an IP address, or end in a usage error."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not an IP address", ctx, param) from error


def into_option(does: str) -> Callable[[F], F]:
    """Make the option for the folder of a venv; ``does`` is what is done there."""
    return option(
        "--into",
        type=click.Path(path_type=Path),
        default=Path(".venv"),
        show_default=True,
        envvar="SNAPENV_INTO",
        group="Engine",
        help=f"With --engine venv: {does}.",
    )


def tag_word(name: str, *, default: str, help: str) -> Callable[[F], F]:  # noqa: A002 - Click's word
    """Make the option for a part of a tag."""
    return option(
        f"--{name}",
        metavar="WORD",
        default=default,
        show_default=True,
        callback=_tag_word,
        envvar=f"SNAPENV_{name.upper()}",
        group="Output",
        help=help,
    )


def _tag_word(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value == param.default:
        return value
    from snapenv.model.image import Tag

    try:
        Tag(**{"framework": "py3", "compute": "cpu", str(param.name): value})
    except ValueError as error:
        raise click.BadParameter(f"{value!r} cannot be part of a tag", ctx, param) from error
    return value
