from __future__ import annotations

import shlex

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.launch.command import files_note, shell_command
from snapenv.model.launch import InImage, InVenv, Launch, Limit, Mount, Port, User
from tests.fakes import DESCRIBED

LAUNCH = Launch(
    run="a",
    place=InImage(id="sha256:1", name="snapenv:tag"),
    argv=("echo", "it's"),
    mounts=(Mount(source="/a, b", target="/a, b", read_only=True),),
    folder="/work",
    user=User(uid=4242, gid=4243, name="ann", home="/home/ann", groups=(100,)),
    variables={"A": "b c", "GONE": None},
    files={"/tmp/snapenv/config/settings.json": b"{}"},
    shm_bytes=64,
    limits=(Limit(name="stack", soft=1, hard=2),),
    capabilities=("SETUID",),
    ports=(Port(inside=8888), Port(inside=6006, host=6007, address="::1")),
    stdin=True,
)
CDI = replace(DESCRIBED, runtimes=("runc",), cdi=True, cdi_devices=("nvidia.com/gpu=0",))


def words(launch: Launch = LAUNCH, **fields: object) -> list[str]:
    return shlex.split(shell_command(replace(launch, **fields), DESCRIBED, detached=False))


def test_the_command_says_all_that_the_engine_is_told() -> None:
    assert words() == [
        *("env", "-u", "GONE", "docker", "run", "--rm", "-i", "--name", "snapenv-a", "--init"),
        *("--stop-signal", "SIGINT", "--stop-timeout", "120", "--user", "4242:4243"),
        *("--group-add", "100", "--cap-drop", "ALL", "--cap-add", "SETUID"),
        *("--security-opt", "no-new-privileges"),
        *("--ipc", "private", "--shm-size", "64", "--ulimit", "stack=1:2"),
        *("--env", "NVIDIA_VISIBLE_DEVICES=void"),
        *("--publish", "127.0.0.1::8888", "--publish", "[::1]:6007:6006"),
        *("--mount", 'type=bind,"source=/a, b","target=/a, b",readonly', "--workdir", "/work"),
        *("--env", "A=b c", "--env", "GONE", "snapenv:tag", "echo", "it's"),
    ]


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [("all", ["--gpus", "all"]), ("GPU-a,GPU-b", ["--gpus", '"device=GPU-a,GPU-b"'])],
)
def test_gpus_are_handed_on_by_the_runtime(gpus: str, expected: list[str]) -> None:
    found = words(gpus=gpus)

    assert found[found.index("--gpus") :][:2] == expected


def test_gpus_are_handed_on_by_cdi() -> None:
    text = shell_command(replace(LAUNCH, gpus="0,1"), CDI, detached=True)

    assert "--detach" in text
    assert "--device nvidia.com/gpu=0 --device nvidia.com/gpu=1" in text


def test_limits_are_of_memory_with_swap() -> None:
    text = shlex.join(words(memory_bytes=5, cpus=0.5, shm_bytes=None, network="none", tty=True))

    assert "--ipc host --ulimit stack=1:2 --memory 5 --memory-swap 5 --cpus 0.5" in text
    assert "-it" in text
    assert "--network none" in text


def test_a_venv_is_a_command_in_its_folder() -> None:
    launch = replace(LAUNCH, place=InVenv(folder="/env"))

    text = shell_command(launch, None, detached=False)

    assert text == "cd /work && env -u GONE 'A=b c' echo 'it'\"'\"'s'"


def test_what_no_option_does_is_named_beside_it() -> None:
    assert files_note(LAUNCH) == wording(
        "snapenv also writes /etc/passwd and /etc/group, /tmp/snapenv/config/settings.json before the start"
    )
    assert files_note(replace(LAUNCH, user=None, files={})) is None
