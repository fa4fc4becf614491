"""What a workspace serves: as the launch that does so, and as the addresses that people get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from snapenv.json_text import read_json
from snapenv.model.launch import InImage, InVenv, Port
from snapenv.model.snapshot import IMAGE_PYTHON
from snapenv.workspace.layer import FOLDER, PROGRAM

if TYPE_CHECKING:
    from snapenv.model.launch import Launch

Service = Literal["jupyter", "tensorboard", "ssh"]

PORTS: Mapping[Service, int] = {"jupyter": 8888, "tensorboard": 6006, "ssh": 2222}  # inside
KEYS = f"{FOLDER}/authorized_keys"
# What sshd needs where it is root, which parts its privileges; of an engine without root alone.
_SSHD_AS_ROOT = ("CHOWN", "SETGID", "SETUID", "SYS_CHROOT")
STATE = f"{FOLDER}/state"
MARK = "snapenv-workspace: "  # how the line of an answer begins


class Wanted(Struct, frozen=True, kw_only=True):
    """What a workspace is asked to serve."""

    services: tuple[Service, ...]
    runs: str  # the folder of results
    address: str = "127.0.0.1"  # of this machine, where it listens
    ssh_port: int | None = None  # of this machine; without one ssh goes through the engine
    keys: tuple[str, ...] = ()  # that may log in by ssh
    allow_root: bool = False  # where root is the user: of an engine without root, or of a venv


class Status(Struct, frozen=True, kw_only=True):
    """What a workspace says of itself."""

    waiting: tuple[str, ...]  # services that do not answer yet
    token: str | None = None
    host_key: str | None = None  # the public half
    ports: Mapping[str, int] = field(default_factory=dict)  # inside, by service


def ports(wanted: Wanted, given: tuple[Port, ...]) -> tuple[Port, ...]:
    """Return the ports to publish: those that a user gave, and those of what is served.

    A port of this machine that is taken is another one's, and the engine chooses; so 8888 and 6006
    are but wishes.
    """
    inside = {port.inside for port in given}
    wishes = {
        PORTS[name]: PORTS[name] for name in ("jupyter", "tensorboard") if name in wanted.services
    }
    if wanted.ssh_port is not None:
        wishes[PORTS["ssh"]] = wanted.ssh_port
    own = (
        Port(inside=number, host=wish or None, address=wanted.address)
        for number, wish in wishes.items()
        if number not in inside
    )
    return (*given, *own)


def serve_in_container(launch: Launch, wanted: Wanted, image: str) -> Launch:
    """Return a launch that serves, in the image of a workspace."""
    ssh = "ssh" in wanted.services
    words = [
        *_words(wanted, PORTS),
        *("--state", STATE, "--work", f"{FOLDER}/work"),
        *("--address", "0.0.0.0", "--contained"),  # noqa: S104 - published at another one
        *(("--ssh", f"{FOLDER}/ssh", "--keys", KEYS) if ssh else ()),
        *(("--ssh-port", str(PORTS["ssh"])) if ssh and wanted.ssh_port is not None else ()),
    ]
    name = launch.place.name if isinstance(launch.place, InImage) else ""
    keys = {KEYS: "".join(f"{key}\n" for key in wanted.keys).encode()} if ssh else {}
    return replace(
        launch,
        place=InImage(id=image, name=name),
        argv=(*program(IMAGE_PYTHON, FOLDER), "serve", *words),
        files={**launch.files, **keys},
        capabilities=_SSHD_AS_ROOT if ssh and wanted.allow_root else (),
    )


def serve_in_venv(
    launch: Launch, wanted: Wanted, *, folder: str, state: str, at: Mapping[Service, int]
) -> Launch:
    """Return a launch that serves beside a venv, with the tools in ``folder``, at these ports."""
    where = ("--state", state, "--work", f"{folder}/work", "--address", wanted.address)
    python = f"{launch.place.folder}/bin/python" if isinstance(launch.place, InVenv) else "python"
    words = (*program(python, folder), "serve", *_words(wanted, at), *where)
    return replace(launch, argv=words)


def program(python: str, folder: str) -> tuple[str, ...]:
    """Return the words that start the program of a workspace, apart from the environment."""
    return (python, "-I", "-S", "-B", f"{folder}/{PROGRAM}")


def parse_status(stdout: str) -> Status | None:
    """Read the answer of ``status``; None where it gave none, or one of another form."""
    answers = (line for line in stdout.splitlines() if line.startswith(MARK))
    try:
        return read_json(next(answers, "").removeprefix(MARK), Status)
    except ValueError:
        return None


def _words(wanted: Wanted, at: Mapping[Service, int]) -> list[str]:
    served: tuple[Service, ...] = ("jupyter", "tensorboard")
    names = [name for name in served if name in wanted.services]
    ports = (word for name in names for word in (f"--{name}", str(at[name])))
    return ["--runs", wanted.runs, *ports, *(("--allow-root",) if wanted.allow_root else ())]
