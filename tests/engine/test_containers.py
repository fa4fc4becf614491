"""Programs in containers of a real engine."""

from __future__ import annotations

import contextlib
import io
import json
import os
import uuid
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.engine.containers import choose_user, listen
from snapenv.errors import EngineError, EnvironmentMissingError, InterpreterError
from tests.engines.busybox import small_context
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker
    from docker.models.containers import Container

    from snapenv.engine.docker import DockerEngine
    from snapenv.model.image import Image
    from snapenv.ports import Target

LOOK = """
import json, os, sys
print("one", file=sys.stderr)
print("two", file=sys.stderr, flush=True)
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status"))
print("FACTS " + json.dumps({
    "files": sorted(os.listdir()),
    "network": os.listdir("/sys/class/net"),
    "capabilities": status["CapEff"].strip(),
    "no_new_privileges": status["NoNewPrivs"].strip(),
    "shm_mib": os.statvfs("/dev/shm").f_frsize * os.statvfs("/dev/shm").f_blocks >> 20,
    "user": [os.getuid(), os.getgid()],
    "variables": {
        name: os.environ.get(name) for name in ("OURS", "THEIRS", "NVIDIA_VISIBLE_DEVICES")
    },
}))
open("written", "w").close()
sys.exit(3)
"""
CHANGE = """
import json, os
open("given", "a").write(" and more")
open("below/deep/made", "w").close()
os.mkdir("own")
open("/dev/shm/x", "w").close()
print("FACTS " + json.dumps({
    "user": [os.getuid(), os.getgid()],
    "given": open("given").read(),
    "files": sorted(os.listdir()),
}))
"""
CLOSED: dict[str, object] = {
    "Privileged": False,
    "NetworkMode": "none",
    "IpcMode": "private",
    "PidMode": "",
    "CapAdd": None,
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges"],
    "Binds": None,
    "Devices": None,
    "DeviceRequests": None,
}
OTHER = (1234, 2345)
RAW = """
import sys
sys.stdout.buffer.write(bytes(range(256)) * 4096)
print("between", file=sys.stderr)
sys.stdout.buffer.write(bytes(range(256)) * 4096)
sys.exit(3)
"""
# The header of a program for SPARC, as ELF(5) has it: 32 bits, big end first.
OTHER_PROCESSOR = (
    b"\x7fELF\x01\x02\x01" + bytes(9) + b"\x00\x02\x00\x02\x00\x00\x00\x01" + bytes(100)
)
RAW_BYTES = bytes(range(256)) * 8192
WAIT = "import sys, time; print('up', file=sys.stderr, flush=True); time.sleep(300)  # {}"


@pytest.fixture
def in_image(engine: DockerEngine, image: Image) -> Target:
    return engine.image_target(image, python="python3", gpus=None)


@pytest.fixture
def container(witness: docker.DockerClient, image: Image) -> Iterator[Container]:
    """A running container of another user, with a variable of its own."""
    container = witness.containers.run(
        image.id,
        ["sleep", "600"],
        name=f"tested-{uuid.uuid4().hex[:8]}",
        environment={"THEIRS": "theirs"},
        user="1000",
        detach=True,
        init=True,
    )
    yield container
    container.remove(force=True)


@pytest.fixture
def in_container(engine: DockerEngine, container: Container) -> Target:
    return engine.container_target(str(container.name), python="python3")


@pytest.fixture
def user() -> Iterator[tuple[int, int]]:
    """Make this process one that somebody else started; what it may do stays root's."""
    if os.geteuid() != 0:
        pytest.skip("not root")
    os.setresgid(OTHER[1], -1, -1)
    os.setresuid(OTHER[0], -1, -1)
    yield OTHER
    os.setresuid(0, -1, -1)
    os.setresgid(0, -1, -1)


def facts(stdout: str) -> dict[str, object]:
    """Find the answer below what an entrypoint prints."""
    line = next(line for line in stdout.splitlines() if line.startswith("FACTS "))
    found: dict[str, object] = json.loads(line.removeprefix("FACTS "))
    return found


@pytest.fixture
def wait() -> str:
    """A program that ends of itself only after minutes, and is no other test's."""
    return WAIT.format(uuid.uuid4())


def runs(container: Container, program: str) -> bool:
    return program in container.attrs["Args"]


def interrupt(line: str) -> None:
    raise KeyboardInterrupt(line)


def test_stderr_is_heard_line_by_line_whatever_the_pieces() -> None:
    heard: list[str] = []
    frames = [(None, b"a\nb"), (b"out", None), (None, b"c\r\n\nlast")]

    assert listen(frames, heard.append) == ("out", "a\nbc\r\n\nlast")
    assert heard == ["a", "bc", "", "last"]


def test_raw_stdout_is_the_very_bytes_of_its_pieces_and_no_text() -> None:
    raw = io.BytesIO()
    frames = [(b"\xff\x00", None), (None, b"err"), (b"\r\n\xfe", None)]

    assert listen(frames, None, raw) == ("", "err")
    assert raw.getvalue() == b"\xff\x00\r\n\xfe"


@pytest.mark.docker
def test_raw_stdout_of_a_container_is_the_very_bytes(in_container: Target) -> None:
    raw = io.BytesIO()

    done = in_container.run(["python3", "-c", RAW], stdout=raw)

    assert (done.exit_code, done.stdout, done.stderr) == (3, "", "between\n")
    assert raw.getvalue() == RAW_BYTES


@pytest.mark.docker
def test_raw_stdout_of_an_image_is_the_very_bytes_below_its_greeting(in_image: Target) -> None:
    raw = io.BytesIO()

    done = in_image.run(["python3", "-c", RAW], stdout=raw)

    assert (done.exit_code, done.stdout, done.stderr) == (3, "", "between\n")
    assert raw.getvalue().endswith(RAW_BYTES)


@pytest.mark.docker
def test_a_program_runs_in_a_fresh_container_that_can_do_little(
    in_image: Target, witness: docker.DockerClient
) -> None:
    heard: list[str] = []

    done = in_image.run(
        ["python3", "look.py"],
        files={"look.py": LOOK.encode(), "below/data": b""},
        environment={"OURS": "ours"},
        on_line=heard.append,
    )

    assert (done.exit_code, done.stderr, heard) == (3, "one\ntwo\n", ["one", "two"])
    assert done.stdout.startswith("\n=============\n== PyTorch ==")
    assert facts(done.stdout) == {
        "files": ["below", "look.py"],
        "network": ["lo"],
        "capabilities": "0000000000000000",
        "no_new_privileges": "1",
        "shm_mib": max(witness.info()["MemTotal"] >> 21, 1024),
        "user": [0, 0],
        "variables": {"OURS": "ours", "THEIRS": None, "NVIDIA_VISIBLE_DEVICES": "void"},
    }


@pytest.mark.docker
def test_a_program_runs_as_the_user_and_may_change_its_files(
    in_image: Target, user: tuple[int, int]
) -> None:
    files = {"change.py": CHANGE.encode(), "given": b"given", "below/deep/data": b""}

    done = in_image.run(["python3", "change.py"], files=files)

    assert facts(done.stdout) == {
        "user": list(user),
        "given": "given and more",
        "files": ["below", "change.py", "given", "own"],
    }


@pytest.mark.docker
def test_a_container_has_nothing_of_the_machine(
    in_image: Target, witness: docker.DockerClient, wait: str
) -> None:
    seen: list[dict[str, object]] = []

    def note(_: str) -> None:
        for container in witness.containers.list(filters={"name": "snapenv-run-"}):
            if runs(container, wait):
                seen.append(container.attrs["HostConfig"])
                container.kill()

    with contextlib.suppress(EngineError):
        in_image.run(["python3", "-c", wait], on_line=note)

    (config,) = seen
    assert {name: config[name] for name in CLOSED} == CLOSED


@pytest.mark.parametrize(
    ("here", "rootless", "expected"),
    [(True, False, (1000, 1001)), (True, True, (0, 0)), (False, False, (0, 0))],
)
def test_the_user_is_the_one_here_except_where_the_engine_counts_otherwise(
    *, here: bool, rootless: bool, expected: tuple[int, int]
) -> None:
    assert choose_user(1000, 1001, local=here, rootless=rootless) == expected


@pytest.mark.docker
@pytest.mark.parametrize("where", ["in_image", "in_container"])
def test_a_file_of_this_machine_arrives_and_stays_as_it_was(
    request: pytest.FixtureRequest, tmp_path: Path, where: str
) -> None:
    target: Target = request.getfixturevalue(where)
    (tmp_path / "mine").write_bytes(b"mine")
    code = "data = open('below/x', 'rb').read(); print('FACTS', repr(data.decode()))"

    done = target.run(["python3", "-c", code], files={"below/x": tmp_path / "mine", "a": b""})

    assert done.stdout.endswith("FACTS 'mine'\n"), done.stderr
    assert (tmp_path / "mine").read_bytes() == b"mine"


@pytest.mark.docker
def test_a_program_that_an_image_has_not_is_named(in_image: Target) -> None:
    with pytest.raises(InterpreterError, match="cannot run /no/python in image sha256:"):
        in_image.run(["/no/python", "-V"])


@pytest.mark.docker
def test_an_interrupted_run_leaves_no_container(
    in_image: Target, witness: docker.DockerClient, wait: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        in_image.run(["python3", "-c", wait], on_line=interrupt)

    assert not [each for each in witness.containers.list(all=True) if runs(each, wait)]


@pytest.mark.docker
def test_a_container_that_is_killed_is_not_the_programs_own_end(
    in_image: Target, witness: docker.DockerClient, wait: str
) -> None:
    def kill(_: str) -> None:
        for container in witness.containers.list(filters={"name": "snapenv-run-"}):
            if runs(container, wait):
                container.kill()

    with pytest.raises(EngineError, match="python3 was killed in image"):
        in_image.run(["python3", "-c", wait], on_line=kill)


@pytest.mark.docker
def test_an_image_of_another_kind_of_processor_is_named(engine: DockerEngine) -> None:
    other = small_context("COPY --chmod=755 other /bin/other", other=OTHER_PROCESSOR)
    image = engine.build(other, FakeTask())

    with pytest.raises(InterpreterError, match="/bin/other in image .* another kind of processor"):
        engine.image_target(image, python="python3", gpus=None).run(["/bin/other"])

    engine.remove(image.id)


@pytest.mark.docker
def test_gpus_that_the_engine_cannot_give_are_an_error_with_a_next_step(
    engine: DockerEngine, image: Image, witness: docker.DockerClient
) -> None:
    if "nvidia" in witness.info()["Runtimes"]:
        pytest.skip("this engine gives GPUs")

    for gpus in ("all", "0,1"):
        with pytest.raises(EngineError) as caught:
            engine.image_target(image, python="python3", gpus=gpus).run(["python3", "-V"])

        assert caught.value.message == wording(
            "the Docker engine has no way to give a container GPUs"
        )
        assert "--device cpu" in caught.value.hint


@pytest.mark.docker
def test_a_program_runs_in_a_container_with_the_containers_own_environment(
    in_container: Target, container: Container
) -> None:
    heard: list[str] = []

    done = in_container.run(
        ["python3", "look.py"],
        files={"look.py": LOOK.encode()},
        environment={"OURS": "ours"},
        on_line=heard.append,
    )

    found = facts(done.stdout)
    assert (done.exit_code, done.stderr, heard) == (3, "one\ntwo\n", ["one", "two"])
    assert found["files"] == ["look.py"]
    assert found["variables"] == {
        "OURS": "ours",
        "THEIRS": "theirs",
        "NVIDIA_VISIBLE_DEVICES": "all",
    }
    assert container.exec_run(["ls", "/tmp"]).output == b""


@pytest.mark.docker
@pytest.mark.parametrize("program", ["/no/python", "/etc/passwd"])
def test_a_program_that_a_container_has_not_is_named(
    in_container: Target, container: Container, program: str
) -> None:
    with pytest.raises(InterpreterError, match=f"run {program} in container {container.name}"):
        in_container.run([program, "-V"])

    assert container.exec_run(["ls", "/tmp"]).output == b""


@pytest.mark.docker
def test_an_interrupted_run_leaves_nothing_in_a_container(
    in_container: Target, container: Container, wait: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        in_container.run(["python3", "-c", wait], on_line=interrupt)

    assert container.exec_run(["ls", "/tmp"]).output == b""
    commands = [words[-1] for words in container.top()["Processes"]]
    assert not [command for command in commands if command.startswith("python3")]


@pytest.mark.docker
def test_a_container_that_ends_before_the_program_is_an_error(
    in_container: Target, container: Container, wait: str
) -> None:
    with pytest.raises(EngineError, match=f"container {container.name} ended before"):
        in_container.run(["python3", "-c", wait], on_line=lambda _: container.kill())


@pytest.mark.docker
def test_a_container_that_has_ended_is_no_environment(
    engine: DockerEngine, container: Container
) -> None:
    container.kill()

    with pytest.raises(EnvironmentMissingError, match=f"no container {container.name} is running"):
        engine.container_target(str(container.name), python="python3")
