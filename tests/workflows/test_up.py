from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import NotFoundError, PlaceTakenError, StartError, UsageError
from snapenv.launch.records import read_record
from snapenv.model.image import Image
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.ports import Completed
from snapenv.usage.ledger import open_ledger
from snapenv.workflows.down import down
from snapenv.workflows.up import Up, up, workspace_name
from snapenv.workspace.layer import LAYER_LABEL, Parts, layer_digest, layer_name
from tests.fakes import FakeRuns, FakeTarget
from tests.workflows.services import NAME, EngineWithBase, services

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from snapenv.ports import Services

ENVIRONMENT = Image(
    id="sha256:1",
    diff_ids=("sha256:a",),
    labels={SNAPSHOT_LABEL: "sha256:abc"},
    variables={"HOME": "/home/snapenv"},
    machine="amd64",
    size_bytes=9,
)
READY: dict[str, object] = {
    "waiting": [],
    "token": "t0",
    "host_key": None,
    "ports": {"jupyter": 8888, "tensorboard": 6006},
}
NO_SETTINGS = Completed(exit_code=0, stdout="snapenv-settings null\n", stderr="")


def answering(document: Mapping[str, object]) -> Callable[[Sequence[str]], Completed]:
    """Return what workspaces answer."""
    line = f"snapenv-workspace: {json.dumps(document)}\n"
    return lambda _: Completed(exit_code=0, stdout=line, stderr="")


@pytest.fixture
def runs() -> FakeRuns:
    return FakeRuns(answer=answering(READY))


@pytest.fixture
def there(runs: FakeRuns, tmp_path: Path) -> Services:
    """An environment that was restored, and the image of its workspace."""
    engine = EngineWithBase(inside=FakeTarget(answers={"/env/bin/python": NO_SETTINGS}))
    engine.images[NAME] = engine.images[ENVIRONMENT.id] = ENVIRONMENT
    digest = layer_digest(ENVIRONMENT, Parts(tools=True, ssh=False))
    layer = replace(ENVIRONMENT, id="sha256:2", labels={LAYER_LABEL: digest})
    engine.images[str(layer_name(digest))] = layer
    return replace(services(engine), containers=runs, processes=runs, state=tmp_path / "state")


def request(folder: Path, **changes: object) -> Up:
    asked = Up(
        run="w",
        ref=NAME,
        repository="snapenv",
        folder=folder,
        runs=folder / "runs",
        serves=("jupyter", "tensorboard"),
        user=(4242, 4242),
    )
    return replace(asked, **changes)


def refuse(question: str) -> bool:
    raise AssertionError(question)


def test_a_workspace_runs_in_its_own_image_and_tells_its_addresses(
    there: Services, runs: FakeRuns, tmp_path: Path
) -> None:
    result = up(request(tmp_path), there, refuse).result

    assert result.started
    assert result.jupyter == "http://127.0.0.1:8888/lab?token=t0"
    assert result.tensorboard == "http://127.0.0.1:6006"
    assert result.ssh is None
    (launch,) = runs.launches
    assert launch.place == replace(launch.place, id="sha256:2")
    assert "t0" not in str(read_record(tmp_path / "state", "w"))


def test_a_second_up_only_tells_the_addresses_again(
    there: Services, runs: FakeRuns, tmp_path: Path
) -> None:
    first = up(request(tmp_path), there, refuse).result

    second = up(request(tmp_path, serves=("ssh",)), there, refuse)

    assert second.result == replace(first, started=False)
    assert len(runs.launches) == 1
    assert "runs without ssh" in second.warnings[0]


def test_what_has_ended_is_started_anew(there: Services, runs: FakeRuns, tmp_path: Path) -> None:
    up(request(tmp_path), there, refuse)
    runs.signal("w", 9)

    again = up(request(tmp_path), there, refuse)

    assert again.result.started
    assert again.warnings == (wording("w had ended with exit code 137, and is started anew"),)


def test_a_name_that_is_taken_is_not_taken_away(there: Services, tmp_path: Path) -> None:
    up(request(tmp_path), there, refuse)
    (tmp_path / "other").mkdir()

    with pytest.raises(PlaceTakenError) as caught:
        up(request(tmp_path / "other"), there, refuse)

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "w is a workspace of localhost:5000/team/env:train-yolov8.4.190-base-cu130 in TMP"
    )


def test_nothing_is_left_of_what_does_not_answer(
    there: Services, runs: FakeRuns, tmp_path: Path
) -> None:
    runs.answer = answering({**READY, "waiting": ["jupyter"]})

    with pytest.raises(StartError) as failure:
        up(request(tmp_path), there, refuse)

    assert str(failure.value) == wording("jupyter did not answer within 120 s")
    assert failure.value.hint == "out"
    assert runs.removed == ["w"]
    assert not (tmp_path / "state" / "runs" / "w").exists()


def test_root_is_taken_for_the_owner_of_the_folder_or_refused(
    there: Services, runs: FakeRuns, tmp_path: Path
) -> None:
    if os.getuid():
        pytest.skip("only root may be asked")
    with pytest.raises(UsageError) as caught:
        up(request(tmp_path, user=None), there, refuse)

    assert str(caught.value) == wording("a workspace does not run as root")
    os.chown(tmp_path, 4242, 4243)

    up(request(tmp_path, user=None), there, refuse)

    user = runs.launches[0].user
    assert user is not None
    assert (user.uid, user.gid) == (4242, 4243)


def test_a_dry_run_starts_nothing(there: Services, runs: FakeRuns, tmp_path: Path) -> None:
    result = up(request(tmp_path, dry_run=True), there, refuse).result

    assert result.command is not None
    assert "--publish 127.0.0.1:8888:8888" in result.command
    assert not runs.launches


def test_down_takes_away_the_workspace_and_what_is_known_of_it(
    there: Services, runs: FakeRuns, tmp_path: Path
) -> None:
    up(request(tmp_path), there, refuse)

    result = down("w", there, grace_s=None).result

    assert result.was_running
    assert runs.removed == ["w"]
    with pytest.raises(NotFoundError) as caught:
        down("w", there, grace_s=None)

    assert str(caught.value) == wording("there is no workspace w")


def test_a_workspace_is_called_as_its_folder(tmp_path: Path) -> None:
    assert workspace_name(tmp_path / "My Project (2)") == "my-project-2"
    with pytest.raises(UsageError, match="no name"):
        workspace_name(tmp_path / "日本")


def test_of_an_engine_elsewhere_the_addresses_are_too(
    there: Services, runs: FakeRuns, tmp_path: Path
) -> None:
    up(request(tmp_path), there, refuse)
    engine = there.engine
    assert isinstance(engine, EngineWithBase)
    engine.described = replace(engine.described, local=False)

    again = up(request(tmp_path), there, refuse)

    assert len(runs.launches) == 1
    assert again.warnings[0].replace(str(tmp_path), "TMP") == wording(
        "the engine is on another machine, memory: so are the addresses. ssh -L makes one an address of this machine"
    )


def counted(state: Path) -> list[tuple[str, int | None, str | None]]:
    with open_ledger(state / "usage.sqlite3") as ledger:
        return [(run.kind, run.exit_code, run.failure) for run in ledger.runs(0, 1 << 62)]


def test_a_workspace_is_counted_until_it_is_down(
    there: Services, runs: FakeRuns, tmp_path: Path
) -> None:
    up(request(tmp_path), there, refuse)
    begun = counted(tmp_path / "state")
    up(request(tmp_path), there, refuse)  # of one that runs, the addresses
    down("w", there, grace_s=None)

    assert begun == [("up", None, None)]
    assert counted(tmp_path / "state") == [("up", 130, "stopped")]

    up(request(tmp_path), there, refuse)
    runs.signal("w", 9)
    up(request(tmp_path), there, refuse)

    assert sorted(counted(tmp_path / "state"), key=str) == [
        ("up", 130, "stopped"),
        ("up", 137, "killed"),
        ("up", None, None),
    ]


def test_a_workspace_that_does_not_answer_is_counted_as_a_failure(
    there: Services, runs: FakeRuns, tmp_path: Path
) -> None:
    runs.answer = answering({**READY, "waiting": ["jupyter"]})

    with pytest.raises(StartError):
        up(request(tmp_path), there, refuse)

    assert counted(tmp_path / "state") == [("up", 125, "start")]
