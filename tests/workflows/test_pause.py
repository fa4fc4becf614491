"""Runs that snapenv stops itself: with runs in memory, and real folders, ledgers and servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.launch.records import (
    Stop,
    mark_stopped,
    read_end,
    was_stopped,
    write_end,
    write_record,
)
from snapenv.model.launch import LimitOptions, Limits, RunEnd, RunState
from snapenv.steps.launching import end_run
from snapenv.targets.local import LocalTarget
from snapenv.usage.ledger import ledger_path, open_ledger
from snapenv.workflows.attach import attach
from snapenv.workflows.pause import pause
from snapenv.workflows.run import run
from tests.fakes import FakeRuns
from tests.serving import serving
from tests.usage.values import KEY, sample_usage_run
from tests.workflows.failing_runs import Failing, checkpoint, record, request
from tests.workflows.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from snapenv.ports import Completed, Services

BEYOND = Stop(by="max-hours", reason="it would last longer than 2 h (--max-hours)")
FOR_NOTHING = Stop(by="stop-rule", reason="it stands still")
KEPT = "/runs/train/snapenv/kept-1.pt"


@dataclass
class Saving(FakeRuns):
    """Runs with a training, which answer as snapenv_resume does."""

    words: list[tuple[str, ...]] = field(default_factory=list)
    at_execute: Callable[[], None] = lambda: None

    def execute(
        self,
        run: str,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        connected: bool = False,
    ) -> Completed:
        self.words.append(tuple(argv)[-2:])
        self.at_execute()
        done = super().execute(run, argv, environment=environment, connected=connected)
        return replace(done, stdout=f"snapenv-resume: {json.dumps(KEPT)}\n")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def outside(tmp_path: Path, project: Path) -> tuple[Saving, Services]:
    """Return runs of which "first" goes on, and is in the ledger."""
    runs = Saving(states={"first": RunState(run="first", status="running")})
    outside = replace(
        services(), containers=runs, state=tmp_path / "state", cache=tmp_path, local=LocalTarget
    )
    assert outside.state
    write_record(outside.state, replace(record(project), detached=True))
    with open_ledger(ledger_path(outside.state, {})) as ledger:
        ledger.put_run(sample_usage_run(run="first", ended_ms=None))
    return runs, outside


def events(services_: Services) -> list[tuple[str, str | None]]:
    assert services_.state
    with open_ledger(ledger_path(services_.state, {}), read_only=True) as ledger:
        return [(one.kind, one.text) for one in ledger.events_of(KEY)]


@pytest.mark.parametrize(("stop", "word"), [(BEYOND, "--keep-saved"), (FOR_NOTHING, "--keep-next")])
def test_a_run_is_stopped_with_a_checkpoint_kept(
    outside: tuple[Saving, Services], project: Path, stop: Stop, word: str
) -> None:
    runs, services_ = outside
    training = checkpoint(project / "runs" / "train")
    assert services_.state

    pause("first", stop, services_, lambda _: None, warn=False)

    end = read_end(services_.state, "first")
    assert end
    assert runs.words == [(str(training), word)]
    assert runs.states["first"].exit_code == 130
    assert (end.stopped_by, end.exit_code, end.stopped) == (stop.by, 130, True)
    assert events(services_) == [("stopped", f"{stop.by}: {stop.reason}")]


def test_a_training_without_a_checkpoint_is_stopped_all_the_same(
    outside: tuple[Saving, Services],
) -> None:
    runs, services_ = outside
    assert services_.state

    pause("first", BEYOND, services_, lambda _: None, warn=False)

    end = read_end(services_.state, "first")
    assert end
    assert (runs.words, end.stopped_by) == ([], "max-hours")
    assert end.hint == wording("It has left no checkpoint: start it anew.")


@pytest.mark.parametrize("status", ["exited", None])
def test_what_has_ended_meanwhile_is_left_as_it_is(
    outside: tuple[Saving, Services],
    status: Any,  # noqa: ANN401
) -> None:
    runs, services_ = outside
    runs.states = {"first": RunState(run="first", status=status)} if status else {}
    assert services_.state
    if status is None:
        write_end(services_.state, "first", RunEnd(exit_code=0, finished="now"))

    pause("first", BEYOND, services_, lambda _: None, warn=False)

    end = read_end(services_.state, "first")
    assert end is None or end.stopped_by is None
    assert events(services_) == []


def test_what_ends_while_its_checkpoint_is_waited_for_is_no_run_that_was_stopped(
    outside: tuple[Saving, Services], project: Path
) -> None:
    runs, services_ = outside
    checkpoint(project / "runs" / "train")
    assert services_.state
    runs.at_execute = lambda: runs.signal("first", 0)

    pause("first", FOR_NOTHING, services_, lambda _: None, warn=False)

    assert runs.words
    assert not was_stopped(services_.state, "first")
    assert events(services_) == []


def test_a_run_that_is_about_to_start_is_waited_for(outside: tuple[Saving, Services]) -> None:
    runs, services_ = outside
    states = [None, RunState(run="first", status="created"), runs.states.pop("first")]
    told = runs.state
    runs.state = lambda run: states.pop(0) if states else told(run)  # type: ignore[method-assign]
    runs.states["first"] = RunState(run="first", status="running")

    pause("first", BEYOND, services_, lambda _: None, warn=False)

    assert states == []
    assert events(services_) == [("stopped", f"max-hours: {BEYOND.reason}")]


def test_a_warning_stops_nothing(outside: tuple[Saving, Services], project: Path) -> None:
    runs, services_ = outside
    told = project / "told"
    set_notify(services_, project, f'printf %s "$SNAPENV_NOTICE_TEXT" > {told.name}')

    pause("first", FOR_NOTHING, services_, lambda _: None, warn=True)

    assert runs.states["first"].running
    assert told.read_text() == wording("first (tag) would be stopped: it stands still")


def set_notify(services_: Services, project: Path, notify: str) -> None:
    assert services_.state
    limits = Limits(max_duration_ms=1, notify=notify)
    write_record(services_.state, replace(record(project), limits=limits))


def test_a_command_is_told_in_the_folder_of_the_run(
    outside: tuple[Saving, Services], project: Path
) -> None:
    _, services_ = outside
    checkpoint(project / "runs" / "train")
    set_notify(services_, project, 'printf %s "$SNAPENV_NOTICE" > told.json')

    pause("first", BEYOND, services_, lambda _: None, warn=False)

    told = json.loads((project / "told.json").read_text())
    assert {name: told[name] for name in ("event", "run", "by", "checkpoint", "ref")} == {
        "event": "stopped",
        "run": "first",
        "by": "max-hours",
        "checkpoint": KEPT,
        "ref": "tag",
    }
    assert told["text"] == wording(
        "first (tag) was stopped: it would last longer than 2 h (--max-hours); go on with: snapenv run --resume first"
    )


class Hook(BaseHTTPRequestHandler):
    """Notes what it is sent, and answers with the status that its path ends with."""

    got: list[dict[str, Any]] = []  # noqa: RUF012 - of the class

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.got.append(json.loads(self.rfile.read(length)))
        self.send_response(int(self.path.rpartition("/")[2]))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[str]:
    Hook.got.clear()
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Hook)) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}/secret-token"


def test_a_webhook_is_told(outside: tuple[Saving, Services], project: Path, hook: str) -> None:
    _, services_ = outside
    set_notify(services_, project, f"{hook}/204")

    pause("first", FOR_NOTHING, services_, lambda _: None, warn=True)

    (told,) = Hook.got
    assert (told["event"], told["by"], told["run"]) == ("warned", "stop-rule", "first")


@pytest.mark.parametrize("notify", ["webhook", "nowhere", "exit 3"])
def test_where_nobody_could_be_told_the_run_is_stopped_and_the_ledger_says_it(
    outside: tuple[Saving, Services], project: Path, hook: str, notify: str
) -> None:
    runs, services_ = outside
    address = {"webhook": f"{hook}/403", "nowhere": "http://127.0.0.1:9/secret-token"}
    set_notify(services_, project, address.get(notify, notify))
    said: list[str] = []

    pause("first", BEYOND, services_, said.append, warn=False)

    ((kind, text),) = events(services_)
    assert runs.states["first"].exit_code == 130
    assert kind == "stopped"
    assert text
    assert "nobody was told" in text
    assert "secret-token" not in text + said[0]


def test_a_run_that_was_stopped_ends_with_a_code_of_its_own(tmp_path: Path, project: Path) -> None:
    runs = Failing(codes=[130])
    services_ = replace(services(), containers=runs, state=tmp_path / "state")
    checkpoint(project / "runs" / "train")
    state = services_.state
    assert state
    write_record(state, record(project))
    stop = replace(FOR_NOTHING, checkpoint=KEPT)
    runs.before_end = lambda one: mark_stopped(state, one, stop)
    said: list[str] = []

    handed = run(request(project, resume="first", restarts=3), services_, said.append)

    assert handed.exit_code == 75
    assert said[0] == wording("exit code 75: snapenv stopped it, as it stands still")
    assert said[1] == f"Go on with: snapenv run --resume {runs.launches[0].run}"
    assert len(runs.launches) == 1  # no restart


def test_who_is_attached_gets_that_code_too(outside: tuple[Saving, Services]) -> None:
    runs, services_ = outside
    assert services_.state
    mark_stopped(services_.state, "first", FOR_NOTHING)
    runs.exit_code = 130

    handed = attach("first", services_, lambda _: None)

    assert handed.exit_code == 75


def test_a_run_that_somebody_else_stops_has_its_own_code(
    outside: tuple[Saving, Services], project: Path
) -> None:
    _, services_ = outside
    assert services_.state
    mark_stopped(services_.state, "first")

    end = end_run(record(project), RunState(run="first", status="exited", exit_code=9), services_)

    assert (end.stopped, end.stopped_by, end.exit_code) == (True, None, 9)


def test_limits_that_nobody_can_watch_are_told(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    services_ = replace(
        services(), containers=Failing(codes=[0, 0]), state=tmp_path / "state", warn=told.append
    )
    checkpoint(project / "runs" / "train")
    assert services_.state
    write_record(services_.state, record(project))
    asked = request(project, resume="first", limits=LimitOptions(max_hours=1))

    run(asked, services_, lambda _: None)
    assert told == []
    monkeypatch.setenv("SNAPENV_LEDGER", str(tmp_path))  # a folder
    run(asked, services_, lambda _: None)

    assert told[1] == wording("its limits are not watched, as only what is in the ledger is")
