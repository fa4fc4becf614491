"""Whether a container engine answers, and can do what is asked of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snapenv.nvidia import advice
from snapenv.nvidia.catalogue import dotted, major_minor
from snapenv.preflight.case import Case, failed, passed, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.outcome import Check

OLDEST_API = (1, 24)  # that docker-py speaks
GPU_API = (1, 40)  # the first with device requests, of Docker 19.03
TRIED_API = ((1, 41), (1, 51))  # of Docker 20.10 and of 28.5

_UNTOLD = (0, 0)
_CALENDAR = (17, 3, 0)  # Docker's first version of this count; Podman's are lower
_KNOWS_CLONE3 = (20, 10, 10)
_KNOWS_ZSTD = (23, 0, 0)
_USES_CLONE3 = (2, 34)  # glibc
_DOTTED = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})", re.ASCII)
_LAYER = re.compile(
    r"application/vnd\.oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+gzip|\+zstd)?"
    r"|application/vnd\.docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd)?"
)
_TRIED = f"API {dotted(TRIED_API[0])} to {dotted(TRIED_API[1])}, which snapenv is tested with"
_UPDATE_DOCKER = "Update Docker to 20.10 or newer; docker version shows the current one."
_UPDATE_SNAPENV = "Update snapenv, or set min-api-version in the engine's daemon.json."


def check_answer(case: Case) -> Iterator[Check]:
    """Return whether an engine answers, and whether it is the one of this machine."""
    expected = "a Docker engine that responds"
    if case.needs.venv:
        return
    if case.engine is None:
        actual = case.host.engine_error or "none answers"
        hint = (
            case.host.engine_hint or "Start Docker, or use --engine venv, which does not need it."
        )
        yield failed("engine", expected, actual, hint)
        return
    yield passed("engine", expected, f"Docker {case.engine.version} at {case.engine.address}")
    if not case.engine.local:
        yield warning(
            "engine.elsewhere",
            "an engine on this machine, whose GPUs and disk can be checked",
            f"{case.engine.address} is on another machine: its GPUs and disk were not checked",
            "Run snapenv doctor on the engine's own machine.",
        )


def check_api(case: Case) -> Iterator[Check]:
    """Return whether snapenv and the engine speak one version of the Engine API (docker-py's)."""
    if case.engine is None or case.engine.api == _UNTOLD:
        return
    oldest = GPU_API if case.gpus else OLDEST_API
    expected = f"API {dotted(oldest)} or newer"
    actual = f"API {dotted(case.engine.oldest_api)} to {dotted(case.engine.api)}"
    if case.engine.api < oldest:
        yield failed("engine.api", expected, actual, _UPDATE_DOCKER)
    elif case.engine.api < TRIED_API[0]:
        yield warning("engine.api", _TRIED, actual, _UPDATE_DOCKER)
    elif case.engine.oldest_api > TRIED_API[1]:
        yield warning("engine.api", _TRIED, actual, _UPDATE_SNAPENV)
    else:
        yield passed("engine.api", expected, actual)


def check_buildkit(case: Case) -> Iterator[Check]:
    """Return whether the engine can build, where something is to be built."""
    if case.engine is None or not case.needs.builds:
        return
    expected = "BuildKit, which the image is built with"
    if case.engine.buildkit:
        yield passed("engine.buildkit", expected, "BuildKit")
    else:
        yield failed(
            "engine.buildkit",
            expected,
            f"Docker {case.engine.version} without BuildKit",
            "Enable BuildKit in the engine's daemon.json, and restart Docker: "
            '{"features": {"buildkit": true}}',
        )


def check_threads(case: Case) -> Iterator[Check]:
    """Warn of an engine whose filter forbids clone3, which glibc 2.34 makes threads with.

    A distribution may have mended an older version. Of an image whose C library is not known, that
    of the captured system stands for it.
    Source: https://github.com/moby/moby/pull/42681
    """
    engine, glibc = case.engine, case.needs.image_glibc or case.needs.glibc
    if engine is None or not engine.seccomp or glibc is None:
        return
    version = _version(engine.version)
    if version is None or not _CALENDAR <= version < _KNOWS_CLONE3:
        return
    if (major_minor(glibc) or _UNTOLD) >= _USES_CLONE3:
        yield warning(
            "engine.clone3",
            f"Docker 20.10.10 or newer, for an image with glibc {glibc}",
            f"Docker {engine.version}: programs may fail to start threads",
            "Update Docker to 20.10.10 or newer, with libseccomp 2.5.2 or newer.",
        )


def check_layers(case: Case) -> Iterator[Check]:
    """Return whether the engine can unpack the layers that are to be pulled.

    Source: https://github.com/moby/moby/releases/tag/v23.0.0 (zstd)
    """
    engine, types = case.engine, {layer.media_type or "" for layer in case.needs.missing}
    version = _version(engine.version) if engine else None
    if engine is None or version is None or engine.containerd_store:
        return
    if _CALENDAR <= version < _KNOWS_ZSTD and any(kind.endswith("zstd") for kind in types):
        yield failed(
            "engine.layers",
            "Docker 23.0 or newer, as layers of the image are packed with zstd",
            f"Docker {engine.version}, which does not unpack it",
            "Update Docker to 23.0 or newer, or push the image with layers packed by gzip.",
        )
    odd = sorted(kind for kind in types if kind and not _LAYER.fullmatch(kind))
    if odd:
        yield warning(
            "engine.layers-unknown",
            "layers of a form that Docker unpacks",
            f"{odd[0]}, which it may not know",
            "Push the image again with Docker or buildx.",
        )


def _version(text: str) -> tuple[int, int, int] | None:
    parts = _DOTTED.match(text)
    return (int(parts[1]), int(parts[2]), int(parts[3])) if parts else None


def check_snap(case: Case) -> Iterator[Check]:
    """Warn of a Docker that came as a snap, which does not see the driver (nvidia-docker#1642)."""
    wanted = case.gpus or (case.needs.gpu and case.hardware is None)
    if case.engine is None or not (wanted and case.snap):
        return
    say = warning if case.injection != "none" else failed
    yield say(
        "engine.snap",
        "a Docker that sees the NVIDIA driver",
        f"Docker from snap, its data in {case.engine.root}",
        "Replace the snap with Docker's own package: sudo snap remove docker, then see "
        "https://docs.docker.com/engine/install/",
    )


def check_rootless(case: Case) -> Iterator[Check]:
    """Return whether an engine without root may hand on a GPU (libnvidia-container#154)."""
    engine = case.gpu_engine
    if engine is None or not engine.rootless or case.injection == "none":
        return
    expected = "CDI, or no-cgroups = true, since a rootless engine may not change device rules"
    if case.injection == "cdi":
        yield passed("engine.rootless", expected, "rootless, with CDI")
    elif case.plumbing.no_cgroups:
        yield passed("engine.rootless", expected, "rootless, with no-cgroups = true")
    else:
        unknown = case.plumbing.no_cgroups is None
        actual = "rootless, without CDI, no-cgroups" + (" unknown" if unknown else " = false")
        yield (warning if unknown else failed)("engine.rootless", expected, actual, _ROOTLESS_FIX)


_ROOTLESS_FIX = (
    f"{advice.write_cdi()}, with "
    '{"features": {"cdi": true}} in ~/.config/docker/daemon.json, then: '
    "systemctl --user restart docker"
)
