"""Every command that builds, proves or runs a real image, with a small real case of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import docker
from docker.errors import ImageNotFound

from tests.attest.sigstore_instance import IDENTITY, ISSUER, token
from tests.fire import own_sigstore
from tests.fire.cases import (
    BENCH_OPTIONS,
    SMALL_SEARCH,
    TAG_OF_DEBIAN,
    WORKSPACE,
    Case,
    free_repository,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.fire.room import Room

REAL = f"fire/real:{TAG_OF_DEBIAN}"
OTHER = f"fire/other:{TAG_OF_DEBIAN}"
WORKING = "fire/working:1"  # somebody works in its containers
PYTHON = "/work/bin/python"  # with which
SERVED = f"REGISTRY/{REAL}"
UP = ("up", REAL, "--ssh", "--name", WORKSPACE, "--user", "4242:4242", "--yes")
_SIGNED = ("--sign-key", "keys/key.pem")
WITH_SIGSTORE = own_sigstore.__file__


def _container(room: Room, image: str) -> Mapping[str, str]:
    """Let somebody's container run; THEIRS is its name."""
    with contextlib.closing(_client(room)) as client:
        client.containers.run(image, ["sleep", "600"], name="theirs", detach=True, init=True)
    return {"THEIRS": "theirs"}


def _somebody_works(room: Room) -> Mapping[str, str]:
    return _container(room, WORKING)


def _somebody_runs(room: Room) -> Mapping[str, str]:
    return _container(room, REAL)


def _not_here(room: Room) -> Mapping[str, str]:
    """Let the engine not know what the registry has."""
    with contextlib.closing(_client(room)) as client, contextlib.suppress(ImageNotFound):
        client.images.remove(room.stand_for["REGISTRY"] + SERVED.removeprefix("REGISTRY"))
    return {}


def _up(room: Room) -> Mapping[str, str]:
    done = room.run(*UP)
    assert done.code == 0, done
    return {}


def _in_ci(room: Room) -> Mapping[str, str]:
    """Give an identity as GitLab does, for five minutes."""
    room.variables = {**room.variables, "GITLAB_CI": "true", "SIGSTORE_ID_TOKEN": token()}
    return {}


def _signed_by_key(room: Room) -> Sequence[str]:
    return _not_signed(room, "--verify-key", "keys/key.pub")


def _signed_by_identity(room: Room) -> Sequence[str]:
    by = ("--verify-identity", IDENTITY, "--verify-issuer", ISSUER)
    return _not_signed(room, *by, program=(WITH_SIGSTORE,))


def _not_signed(room: Room, *by: str, program: tuple[str, ...] = ()) -> Sequence[str]:
    """Look for a verification of a signer: none has passed, as none has trained, but it is there."""
    image = SERVED.replace("REGISTRY", room.stand_for["REGISTRY"])
    done = room.run(*program, "restore", image, "--no-smoke", "--require-verified", *by)
    return () if " did not\n" in done.stderr else (f"it is not signed: {done.stderr[-400:]}",)


def _client(room: Room) -> docker.DockerClient:
    assert room.engine
    return docker.DockerClient(base_url=room.engine.address)


WITH_IMAGE = (
    Case(
        name="capture --container",
        words=(
            *("capture", "--container", "THEIRS", "--python", PYTHON, "--no-smoke"),
            *("--base", "BASE", "-o", "made"),
        ),
        makes=("made",),
        before=_somebody_works,
    ),
    Case(
        name="build",
        words=("build", "snapshot", "--repository", "fire/new"),
        may_say_other=True,
    ),
    Case(
        name="build --push --sign-key",
        words=("build", "snapshot", "--repository", "REGISTRY/FREE", "--push", *_SIGNED),
        before=free_repository,
        may_say_other=True,
    ),
    Case(
        name="restore IMAGE",
        words=("restore", REAL, "--no-smoke", "--report", "made.html"),
        changes=("made.html",),
        may_say_other=True,  # that it has looked before
    ),
    Case(
        name="restore of a registry",
        words=("restore", SERVED, "--no-smoke"),
        before=_not_here,
        may_say_other=True,
    ),
    Case(
        name="verify IMAGE",
        words=("verify", REAL, "--no-smoke", "--report", "made.html"),
        changes=("made.html",),
        may_say_other=True,  # that it has looked before
    ),
    Case(
        name="verify --container",
        words=("verify", REAL, "--container", "THEIRS", "--no-smoke"),
        before=_somebody_runs,
        may_say_other=True,
    ),
    Case(
        name="verify --attest --sign-key",
        words=("verify", SERVED, "--no-smoke", "--attest", *_SIGNED),
        may_say_other=True,
        proof=_signed_by_key,
    ),
    Case(
        name="verify --attest --sign",
        words=(WITH_SIGSTORE, "verify", SERVED, "--no-smoke", "--attest", "--sign"),
        before=_in_ci,
        may_say_other=True,
        proof=_signed_by_identity,
    ),
    Case(name="bench IMAGE", words=("bench", REAL, *BENCH_OPTIONS), may_say_other=True),
    Case(
        name="tune IMAGE",
        words=("tune", REAL, *BENCH_OPTIONS, *SMALL_SEARCH),
        changes=("made.toml",),
        may_say_other=True,
    ),
    Case(name="doctor of a registry", words=("doctor", SERVED)),
    Case(name="diff of images", words=("diff", REAL, OTHER)),
    Case(
        name="list --remote",
        words=("list", "--remote", "REGISTRY/fire/real"),
        may_say_other=True,
    ),
    Case(
        name="update on a base",
        words=("update", "snapshot", "--no-smoke", "--upgrade", "click==8.1.8", "-o", "made"),
        makes=("made",),
    ),
    Case(name="up", words=UP, changes=("runs",), may_say_other=True),
    Case(
        name="down",
        words=("down", WORKSPACE, "--stop-timeout", "1"),
        before=_up,
        once=True,
        may_say_other=True,
    ),
)
