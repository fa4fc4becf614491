"""A lock as a Dockerfile. The same lock gives the same bytes.

Source: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace
from packaging.version import Version

from snapenv.errors import LockError
from snapenv.model.facts import NEUTRAL_VARIABLES
from snapenv.model.image import ImageRef, Tag
from snapenv.model.snapshot import (
    CHECK_PROGRAM,
    CONDA_LOCK_FILE,
    EXPLICIT_FILE,
    IMAGE_PREFIX,
    INSTALL_CONDA,
    PYLOCK_FILE,
    STAGED,
    VENDOR,
)
from snapenv.model.wheels import Vendored
from snapenv.render.layers import whole_locks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from snapenv.model.facts import Native, NativeLibrary
    from snapenv.model.snapshot import Installer, Lock
    from snapenv.render.layers import PinLayer

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_URL = re.compile(r"(?:https?|file)://[A-Za-z0-9._~:/%+@=&?,-]+", re.ASCII)
_FILE = re.compile(rf"(?:{VENDOR}|{STAGED})/(?:uv|py_rattler)-[A-Za-z0-9._+-]+\.whl", re.ASCII)
_WHEEL = re.compile(r"[A-Za-z0-9._+-]+\.whl", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_IN_CONTEXT = re.compile(rf"(?:(?:{VENDOR}|{STAGED})/_?)?[A-Za-z0-9][A-Za-z0-9._+!-]*", re.ASCII)

_SONAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\.so[0-9.]*", re.ASCII)
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+", re.ASCII)
# The driver is given to a container by its host, and CUDA comes with the base or the packages.
_NEVER = re.compile(
    r"lib(?:cuda|cudnn|cublas|cufft|cufile|cupti|curand|cusolver|cusparse|nccl|npp|nvidia|nvinfer"
    r"|nvjitlink|nvjpeg|nvrtc|nvshmem|nvtx|xnvctrl).*|(?:cuda|nvidia|xserver-xorg-video-nvidia).*",
    re.IGNORECASE,
)

_WHY = {  # by the name of a layer
    "torch": "torch and its CUDA libraries: gigabytes, and the same for months.",
    "pins": "The other packages.",
    "ultralytics": "ultralytics, apart: it changes most often, and is small.",
    "vendored": "What no index gives back, as wheels that travel with this file.",
    "all": "Every pinned package.",
    "conda": "Conda's packages that were built in {year}.",
    "all conda": "Every package of conda.",
}


class LayerView(Struct, frozen=True, kw_only=True):
    """One layer of packages: its lock file, and what this names, by their places."""

    why: str
    file: str
    mounts: tuple[str, ...]
    of_conda: bool


class ToolView(Struct, frozen=True, kw_only=True):
    """A tool that installs, as its wheel: it lies in the context as ``file``, or at ``url``."""

    url: str
    file: str | None
    sha256: str
    filename: str


class DockerfileView(Struct, frozen=True, kw_only=True):
    """What the template reads; every text has been parsed by its grammar."""

    tag: str
    snapenv: str
    base: str
    reasons: tuple[str, ...]
    bare: bool  # the base has a distribution, and neither Python nor what https needs
    tools: str  # the stage that has both
    packages: tuple[str, ...]  # of apt, that are installed whatever the base has
    libraries: tuple[AptLibrary, ...]
    layers: tuple[LayerView, ...]
    kept: tuple[str, ...]  # files of the snapshot that the image keeps beside those of each
    overlay: bool
    system_site: bool
    sees: str
    pythons: tuple[str, ...]  # the first that uv has or can fetch is taken
    uv: ToolView
    rattler: ToolView | None  # where the environment is conda's
    active: tuple[tuple[str, str], ...]  # what activating it sets, as (name, quoted value), sorted
    variables: tuple[tuple[str, str], ...]  # likewise
    check: str | None = None  # the program of the snapshot that tells whether all is as locked
    resets_entrypoint: bool = False


def render_dockerfile(
    lock: Lock,
    layers: Sequence[PinLayer] | None = None,
    *,
    kept: Sequence[str] = (),
    resets_entrypoint: bool = False,
) -> bytes:
    """Render the Dockerfile of a lock, whose packages are installed in ``layers``.

    Without layers, all are installed at once from the snapshot's own lock file. ``kept`` are the
    files that lie in this snapshot and not in each; the image keeps them. ``resets_entrypoint`` is
    for a base whose ENTRYPOINT does not start the command that a container is given.

    Raises:
        LockError: A value is not of its grammar and could break out of its line.
    """
    view = _view(lock, _whole(lock) if layers is None else layers, kept)
    view = replace(view, resets_entrypoint=resets_entrypoint)
    from snapenv.templating import template_environment  # Jinja takes longer than all before it

    return template_environment().get_template("Dockerfile.j2").render(v=view).encode()


def _whole(lock: Lock) -> tuple[PinLayer, ...]:
    archives = lock.conda.archives.values() if lock.conda else ()
    vendored = (
        _travels(lock)
        or any(isinstance(each, Vendored) for each in lock.packages.values())
        or any(archive.file for archive in archives)
    )
    return whole_locks(lock, mounts=(VENDOR,) if vendored else ())


def _view(lock: Lock, layers: Sequence[PinLayer], kept: Sequence[str]) -> DockerfileView:
    inherits = lock.base.site_packages == "inherited"
    try:
        return DockerfileView(
            tag=str(Tag.parse(lock.tag)),
            snapenv=str(Version(lock.snapenv)),
            base=str(ImageRef.parse(lock.base.image)),
            reasons=tuple(_one_line(reason) for reason in lock.base.reasons),
            bare=lock.base.family != "pytorch",
            tools="base" if lock.base.family == "pytorch" else "tools",
            packages=tuple(_matched(_PACKAGE, name) for name in lock.base.packages),
            libraries=apt_libraries(lock.native),
            layers=tuple(_layer(layer) for layer in layers),
            kept=tuple(_matched(_IN_CONTEXT, name) for name in (*_texts(lock), *kept)),
            overlay=bool(lock.overlay),
            system_site=inherits,
            sees="those of the base image" if inherits else "nothing of the base image's",
            pythons=_pythons(lock),
            uv=_tool(lock.installer),
            rattler=_tool(lock.conda_installer) if lock.conda_installer else None,
            active=_quoted(_activation(lock)),
            variables=_quoted({**NEUTRAL_VARIABLES, **lock.variables}),
            check=CHECK_PROGRAM if CHECK_PROGRAM in kept else None,
        )
    except ValueError as error:
        raise LockError(
            f"the lock holds a value that no Dockerfile can: {error}",
            hint="Capture again; do not build this snapshot.",
        ) from error


def _pythons(lock: Lock) -> tuple[str, ...]:
    """Return the versions to ask uv for: the very one first, unless it must be the base's own."""
    interpreter = lock.environment.interpreter
    minor = str(Version(interpreter.minor))
    very = str(Version(interpreter.version))
    return (
        (minor,) if lock.base.site_packages == "inherited" else tuple(dict.fromkeys((very, minor)))
    )


def _layer(layer: PinLayer) -> LayerView:
    return LayerView(
        why=_WHY[layer.name].format(year=layer.year or "years that nobody has written down"),
        file=_matched(_IN_CONTEXT, layer.file),
        mounts=tuple(_matched(_IN_CONTEXT, place) for place in layer.mounts),
        of_conda=layer.name in ("conda", "all conda"),
    )


def _tool(installer: Installer) -> ToolView:
    return ToolView(
        url=_matched(_URL, installer.url),
        file=installer.file and _matched(_FILE, installer.file),
        sha256=_matched(_SHA256, installer.sha256),
        filename=_matched(_WHEEL, posixpath.basename(urlsplit(installer.url).path)),
    )


def _texts(lock: Lock) -> tuple[str, ...]:
    """Name the texts that the image keeps of any such snapshot."""
    of_conda = (CONDA_LOCK_FILE, EXPLICIT_FILE, INSTALL_CONDA)
    return (PYLOCK_FILE, *(of_conda if lock.conda else ()))


def _activation(lock: Lock) -> Mapping[str, str]:
    """Return the variables that activating the environment sets, where they are constant."""
    if lock.conda is None:
        return {"VIRTUAL_ENV": IMAGE_PREFIX}
    environment = lock.conda.environment
    named = {**environment.activation, **environment.variables}
    return {
        **{name: value.replace("$CONDA_PREFIX", IMAGE_PREFIX) for name, value in named.items()},
        "CONDA_PREFIX": IMAGE_PREFIX,
        "CONDA_DEFAULT_ENV": IMAGE_PREFIX,
        "CONDA_SHLVL": "1",
    }


def _travels(lock: Lock) -> bool:
    """Return whether the wheels of the index lie in the snapshot, that of uv among them."""
    return (lock.installer.file or "").startswith(f"{VENDOR}/")


def _quoted(variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (_matched(_VARIABLE, name), _quote(value)) for name, value in sorted(variables.items())
    )


def _quote(value: str) -> str:
    escaped = re.sub(r'(["\\$])', r"\\\1", _one_line(value))
    return f'"{escaped}"'


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{text!r} holds a control character")
    return text


def _matched(grammar: re.Pattern[str], text: str) -> str:
    if not grammar.fullmatch(text):
        raise ValueError(f"{text!r}")
    return text


class AptLibrary(Struct, frozen=True, kw_only=True):
    """A library by the name that a loader looks for, and the package that held it at capture."""

    soname: str
    package: str


def apt_libraries(native: Native | None) -> tuple[AptLibrary, ...]:
    """Return the libraries that an import loads and that apt can give, sorted by soname.

    Of what belongs to the NVIDIA driver or to CUDA none is given, nor what was missing, or
    belonged to no package, where the environment worked.
    """
    libraries: Iterable[NativeLibrary] = native.libraries if native else ()
    return tuple(
        AptLibrary(soname=library.soname, package=library.package)
        for library in sorted(libraries, key=lambda library: library.soname)
        if library.package
        and library.found
        and library.required
        and _is_of_the_system(library.soname, library.package)
    )


def _is_of_the_system(soname: str, package: str) -> bool:
    of_grammar = _SONAME.fullmatch(soname) and _PACKAGE.fullmatch(package)
    of_nvidia = _NEVER.fullmatch(soname) or _NEVER.fullmatch(package)
    return bool(of_grammar) and not of_nvidia
