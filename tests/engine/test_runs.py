"""Runs as containers, on Docker 20.10 and 28."""

from __future__ import annotations

import os
import socket
import tempfile
import uuid
from typing import TYPE_CHECKING

import docker
import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.engine.docker import DockerEngine
from snapenv.engine.foreground import frames
from snapenv.engine.runs import DockerRuns
from snapenv.errors import CommandMissingError, CommandRefusedError, NotFoundError, StartError
from snapenv.kept import Kept
from snapenv.model.launch import RUN_LABEL, Ended, InImage, Launch, Limit, Mount, Port, User
from tests.command import redirected
from tests.engines.busybox import small_context
from tests.engines.engine import start_engine
from tests.engines.newer_engine import NEWER, start_newer
from tests.engines.provide import provide
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from docker import DockerClient
    from docker.models.containers import Container

    from tests.engines.place import Place

pytestmark = pytest.mark.docker

START: dict[str, Callable[[Place], str]] = {
    "20.10": start_engine,
    "28": lambda place: start_newer(place, NEWER),
}
ANN = User(uid=4242, gid=4243, name="ann", home="/home/ann", groups=(100,))


class Side:
    """An engine, a small image in it, and what its runs warned of."""

    def __init__(self, version: str, folder: Path) -> None:
        self.version = version
        self.address = provide(START[version])
        self.warnings: list[str] = []
        self.witness: DockerClient = docker.DockerClient(base_url=self.address)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", self.address)
            engine = DockerEngine()
            image = engine.build(small_context("RUN mkdir -p /home /tmp"), FakeTask())
        self.place = InImage(id=image.id, name="small")
        self.kept = Kept(folder / "kept")
        self.state_folder = folder / "state"
        self.runs = DockerRuns(
            lambda: engine.client,
            engine.describe,
            self.warnings.append,
            self.kept,
            self.state_folder,
        )

    def launch(self, script: str, **fields: object) -> Launch:
        run = uuid.uuid4().hex[:12]
        launch = Launch(
            run=run,
            place=self.place,
            argv=("sh", "-c", script),
            shm_bytes=64 << 20,
            labels={RUN_LABEL: run},
        )
        return replace(launch, **fields)

    def run(self, launch: Launch) -> tuple[Ended, str, str]:
        """Run in the foreground, and return how it ended with what it wrote."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                with redirected("stdout", out), redirected("stderr", err):
                    ended = self.runs.run(launch)
            finally:
                self.runs.remove(launch.run)
            texts = [os.pread(one.fileno(), 1 << 20, 0).decode() for one in (out, err)]
        return ended, texts[0], texts[1]

    def left(self, launch: Launch) -> list[Container]:
        return self.witness.containers.list(
            all=True, filters={"label": f"{RUN_LABEL}={launch.run}"}
        )


@pytest.fixture(scope="module", params=START)
def side(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Side]:
    made = Side(request.param, tmp_path_factory.mktemp("side"))
    yield made
    made.witness.close()


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    made = Side("20.10", tmp_path_factory.mktemp("old"))
    yield made
    made.witness.close()


def test_what_a_program_writes_and_its_exit_code_come_through(side: Side) -> None:
    launch = side.launch("echo out; echo err >&2; exit 7")

    ended, out, err = side.run(launch)

    assert (ended.state.exit_code, out, err) == (7, "out\n", "err\n")
    assert sorted(ended.output.split()) == [b"err", b"out"]
    assert side.left(launch) == []


@pytest.mark.parametrize(
    ("program", "error"),
    [("nosuch", CommandMissingError), ("/etc", CommandRefusedError)],
)
def test_what_cannot_be_started_is_told_apart_and_is_not_inits_line(
    side: Side, program: str, error: type[Exception]
) -> None:
    launch = replace(side.launch(""), argv=(program,))

    with pytest.raises(error, match=program):
        side.run(launch)
    with pytest.raises(error, match=program):
        side.runs.start(launch := replace(launch, run=f"{launch.run}b"))
    assert side.left(launch) == []


def test_without_an_init_the_engines_own_words_say_the_same(side: Side) -> None:
    launch = replace(side.launch(""), argv=("nosuch",), init=False)

    with pytest.raises(CommandMissingError, match="no command nosuch in small"):
        side.run(launch)


def test_limits_stand_in_the_engine_and_hold_inside(side: Side) -> None:
    launch = side.launch(
        "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null;"
        "busybox df -k /dev/shm | busybox tail -1; busybox grep NoNewPrivs /proc/self/status;"
        "busybox grep CapBnd /proc/self/status",
        memory_bytes=256 << 20,
        shm_bytes=32 << 20,
        cpus=0.5,
        limits=(Limit(name="stack", soft=64 << 20, hard=64 << 20),),
    )
    ended = side.runs.run(launch)
    try:
        config = side.witness.api.inspect_container(f"snapenv-{launch.run}")["HostConfig"]
    finally:
        side.runs.remove(launch.run)

    inside = ended.output.decode()
    assert config["Memory"] == config["MemorySwap"] == 256 << 20
    assert config["NanoCpus"] == 500_000_000
    assert (config["ShmSize"], config["IpcMode"]) == (32 << 20, "private")
    assert config["CapDrop"] == ["ALL"]
    assert config["Init"] is True
    assert config["Ulimits"] == [{"Name": "stack", "Soft": 64 << 20, "Hard": 64 << 20}]
    assert str(256 << 20) in inside
    assert "32768" in inside
    assert "NoNewPrivs:\t1" in inside
    assert "CapBnd:\t0000000000000000" in inside


def test_the_callers_numbers_have_names_inside(side: Side) -> None:
    launch = side.launch(
        "busybox id; busybox stat -c '%u:%g %a' /tmp/snapenv/a/secret; cat /tmp/snapenv/a/secret",
        user=ANN,
        files={"/tmp/snapenv/a/secret": b"known\n"},
    )

    _, out, _ = side.run(launch)

    assert out.splitlines()[1:] == ["4242:4243 600", "known"]
    assert out.startswith("uid=4242(ann) gid=4243(ann) groups=")
    assert "100" in out.splitlines()[0]


def test_files_of_a_later_run_are_those_of_this_machine_and_gone_with_it(old: Side) -> None:
    script = (
        "busybox stat -c '%n %u:%g %a' /tmp/snapenv /tmp/snapenv/a /tmp/snapenv/a/secret;"
        "busybox grep -c ann /etc/passwd; cat /keys;"
        "echo more >> /tmp/snapenv/a/secret; busybox sleep 60"
    )
    files = {"/tmp/snapenv/a/secret": b"known\n", "/keys": b"of others\n"}
    launch = old.launch(script, user=ANN, files=files)
    old.run(replace(old.launch("true", user=ANN)))  # the names in the image are known from now on

    old.runs.start(launch)
    folder = old.state_folder / "runs" / launch.run / "inside"
    mounts = old.left(launch)[0].attrs["Mounts"]
    old.runs.put(launch.run, {"/tmp/snapenv/later": b"later"})
    later = old.runs.execute(launch.run, ("cat", "/tmp/snapenv/later"))
    out = b"".join(part or b"" for part, _ in old.runs.logs(launch.run, follow=False, tail=None))
    written = (folder / "tmp/snapenv/a/secret").read_bytes()
    old.runs.remove(launch.run)

    assert {one["Destination"]: one["RW"] for one in mounts} == {
        "/tmp/snapenv": True,
        "/etc/passwd": False,
        "/etc/group": False,
        "/keys": True,
    }
    assert out.decode().splitlines() == [
        "/tmp/snapenv 4242:4243 700",
        "/tmp/snapenv/a 4242:4243 700",
        "/tmp/snapenv/a/secret 4242:4243 600",
        "1",
        "of others",
    ]
    assert (later.stdout, written) == ("later", b"known\nmore\n")
    assert not folder.exists()


def test_an_engine_that_sees_other_files_is_sent_them(tmp_path: Path) -> None:
    newer = Side("28", tmp_path)  # its / is another one
    newer.run(newer.launch("true", user=ANN))

    _, out, _ = newer.run(
        newer.launch("cat /tmp/snapenv/a", user=ANN, files={"/tmp/snapenv/a": b"known\n"})
    )

    assert out == "known\n"
    assert newer.warnings == []
    newer.witness.close()


def test_a_name_that_the_image_has_already_stays(side: Side) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", side.address)
        steps = ("RUN mkdir -p /etc && echo 'ann:x:1:1::/:/bin/sh' > /etc/passwd",)
        image = DockerEngine().build(small_context(*steps), FakeTask())
    launch = side.launch("cat /etc/passwd", user=ANN, place=InImage(id=image.id, name="other"))

    _, out, _ = side.run(launch)

    assert out == "ann:x:1:1::/:/bin/sh\nann-4242:x:4242:4243:ann:/home/ann:/bin/sh\n"


def test_a_limit_that_the_engine_may_not_raise_is_left_out_and_remembered(side: Side) -> None:
    hard = 1 << 40  # more than Linux gives anybody
    launch = side.launch("echo started", limits=(Limit(name="nofile", soft=hard, hard=hard),))
    side.warnings.clear()

    ended, out, _ = side.run(launch)

    assert (ended.state.exit_code, out) == (0, "started\n")
    assert side.warnings == [
        wording("the engine may not raise the limit nofile, which stays as it is")
    ]
    assert side.runs.refused_limits() == ("nofile",)


def test_a_port_that_is_taken_gives_way_to_another(side: Side) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        launch = side.launch("sleep 60", ports=(Port(inside=8888, host=port),))
        side.warnings.clear()
        state = side.runs.start(launch)
    side.runs.remove(launch.run)

    assert side.warnings == [f"port {port} is taken, and the engine chooses another"]
    assert [(one.inside, one.address) for one in state.ports] == [(8888, "127.0.0.1")]
    assert state.ports[0].host != port


def test_an_address_that_the_machine_does_not_have_is_named(side: Side) -> None:
    launch = side.launch("true", ports=(Port(inside=8888, address="192.0.2.1"),))

    with pytest.raises(StartError, match=r"has no address 192\.0\.2\.1 to listen at"):
        side.runs.start(launch)


def test_a_run_in_the_background_is_found_heard_and_stopped(side: Side) -> None:
    launch = side.launch(
        "trap 'echo bye; exit 9' INT; echo hello; echo world >&2; while :; do sleep 0.1; done"
    )

    state = side.runs.start(launch)
    listed = [one.run for one in side.runs.list_runs()]
    stopped = side.runs.stop(launch.run, 30)
    logs = list(side.runs.logs(launch.run, follow=True, tail=None))
    last = list(side.runs.logs(launch.run, follow=False, tail=1))
    side.runs.remove(launch.run)

    assert (state.status, state.labels[RUN_LABEL]) == ("running", launch.run)
    assert launch.run in listed
    assert stopped
    assert (stopped.status, stopped.exit_code) == ("exited", 9)
    assert b"".join(out or b"" for out, _ in logs) == b"hello\nbye\n"
    assert b"".join(err or b"" for _, err in logs) == b"world\n"
    assert last == [(b"bye\n", None)]
    assert side.runs.state(launch.run) is None


def test_the_stop_signal_reaches_what_a_shell_started(side: Side) -> None:
    script = "sh -c 'trap \"exit 3\" INT; while :; do sleep 0.1; done'; exit $?"
    launch = side.launch(script, variables={"TINI_KILL_PROCESS_GROUP": "1"})

    side.runs.start(launch)
    stopped = side.runs.stop(launch.run, 30)
    side.runs.remove(launch.run)

    assert stopped
    assert stopped.exit_code != 137


def test_more_can_be_run_and_put_into_a_run(old: Side) -> None:
    launch = old.launch("sleep 60", user=ANN)

    old.runs.start(launch)
    old.runs.put(launch.run, {"/tmp/snapenv/later": b"later"})
    done = old.runs.execute(launch.run, ("cat", "/tmp/snapenv/later"), environment={"A": "b"})
    old.runs.signal(launch.run, 9)
    ended = old.runs.wait(launch.run)
    with pytest.raises(NotFoundError, match="no run .* is running"):
        old.runs.execute(launch.run, ("cat",))
    old.runs.remove(launch.run)

    assert (done.exit_code, done.stdout) == (0, "later")
    assert ended
    assert ended.exit_code == 137


def test_a_run_can_be_attached_to_until_it_ends(old: Side) -> None:
    launch = old.launch("sleep 1; echo late; exit 4")
    old.runs.start(launch)

    with tempfile.TemporaryFile() as out, redirected("stdout", out):
        ended = old.runs.attach(launch.run)
    with pytest.raises(NotFoundError):
        old.runs.attach(launch.run)
    old.runs.remove(launch.run)

    assert (ended.state.exit_code, ended.output) == (4, b"late\n")


def test_out_of_memory_is_told(old: Side) -> None:
    def is_told() -> bool:
        script = "busybox dd if=/dev/zero of=/dev/null bs=200M count=1"
        ended, _, _ = old.run(old.launch(script, memory_bytes=64 << 20))
        assert ended.state.exit_code
        return ended.state.out_of_memory

    assert any(is_told() for _ in range(5))  # an engine may hear of it after the end


def test_what_the_engine_refuses_leaves_nothing_behind(old: Side) -> None:
    launch = old.launch("true", mounts=(Mount(source="/nowhere", target="/data"),))

    with pytest.raises(StartError, match="/nowhere"):
        old.run(launch)
    assert old.left(launch) == []


def test_what_is_not_there_has_no_state(old: Side) -> None:
    assert old.runs.state("nothing") is None
    assert old.runs.stop("nothing", 1) is None
    old.runs.signal("nothing", 15)
    old.runs.remove("nothing")
    with pytest.raises(NotFoundError, match="no run nothing"):
        list(old.runs.logs("nothing", follow=False, tail=None))


def test_frames_may_be_broken_anywhere() -> None:
    whole = b"\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\x03err"

    for size in range(1, len(whole)):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        got = list(frames(pieces))
        assert b"".join(out or b"" for out, _ in got) == b"out"
        assert b"".join(err or b"" for _, err in got) == b"err"
