"""The page about a proof: what stands in it, and when it is written."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import LeakError, WriteError
from snapenv.lock.store import write_snapshot
from snapenv.model.hardware import Driver
from snapenv.model.outcome import Verdict
from snapenv.model.results import Report
from snapenv.report.html import check_place, write_report
from snapenv.secrets.model import Secret
from snapenv.workflows.build import Build, build
from snapenv.workflows.restore import Restore, restore
from snapenv.workflows.verify import Verify, verify
from tests.samples import (
    TAG,
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_fingerprint,
    sample_hardware,
    sample_lock,
    sample_snapshot,
)
from tests.workflows.services import REGISTRY, REPOSITORY, EngineWithBase, services, target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snapenv.model.outcome import Outcome
    from snapenv.model.results import ProofResult
    from snapenv.ports import Services

    Work = Callable[[Restore, Services], Outcome[ProofResult]]

BASELINE = sample_fingerprint((3.5, 2.5), device="cpu")
SNAPSHOT = sample_snapshot(sample_lock(baseline=BASELINE))
OLD_DRIVER = sample_hardware(driver=Driver(version="470.57.02", cuda=(11, 4)))
PLAIN = Report(title=TAG, verdict=Verdict(ok=True, summary="it is back"))
SECRET = "hunter2-and-some-more"


@pytest.fixture
def engine(tmp_path: Path) -> EngineWithBase:
    """An engine that has the image of the snapshot."""
    engine = EngineWithBase(inside=target(sample_facts(), BASELINE))
    write_snapshot(SNAPSHOT, tmp_path / "snapshot")
    build(tmp_path / "snapshot", Build(repository=REPOSITORY, mirror=REGISTRY), services(engine))
    return engine


def asked(report: Path, **options: object) -> Restore:
    request = Restore(ref=TAG, repository=REPOSITORY, device="cpu", report=report)
    return replace(request, **options)


@pytest.mark.parametrize("command", ["restore", "verify"])
def test_a_proof_leaves_a_page_with_verdict_tier_checks_and_both_curves(
    engine: EngineWithBase, tmp_path: Path, command: str
) -> None:
    page_place = tmp_path / "page.html"
    request = Verify(ref=TAG, repository=REPOSITORY, device="cpu", report=page_place)
    work = {
        "restore": lambda: restore(asked(page_place), services(engine)),
        "verify": lambda: verify(request, services(engine)),
    }
    outcome = work[command]()

    page = (tmp_path / "page.html").read_text()
    assert outcome.ok
    assert outcome.verdict is not None
    assert outcome.verdict.summary in page
    assert "identical" in page
    assert [check.id for check in outcome.checks if check.id not in page] == []
    assert ('class="curve expected"' in page, 'class="curve actual"' in page) == (True, True)
    assert SNAPSHOT.digest in page
    assert f"docker, {REPOSITORY}:{TAG}" in page


def test_both_machines_stand_side_by_side(engine: EngineWithBase, tmp_path: Path) -> None:
    there = sample_facts(hardware=replace(sample_hardware(driver=None), gpus=()))
    engine.inside = target(there, BASELINE)

    restore(asked(tmp_path / "page.html"), services(engine))

    page = (tmp_path / "page.html").read_text()
    (gpu,) = sample_hardware().gpus
    assert "GPU 0" in page
    assert gpu.name in page


def test_what_differs_stands_in_it(engine: EngineWithBase, tmp_path: Path) -> None:
    other = sample_environment(distributions=[sample_distribution("numpy", "1.0.99")])
    engine.inside = target(sample_facts(environment=other), BASELINE)

    outcome = restore(asked(tmp_path / "page.html"), services(engine))

    page = (tmp_path / "page.html").read_text()
    assert outcome.exit_code == 1
    assert "distribution.numpy" in page
    assert "1.0.99" in page


def test_without_a_smoke_train_there_is_a_page_too(engine: EngineWithBase, tmp_path: Path) -> None:
    restore(asked(tmp_path / "page.html", smoke=False), services(engine))

    assert "verified without a smoke-train" in (tmp_path / "page.html").read_text()


def test_a_machine_that_cannot_run_it_is_told_on_a_page(
    engine: EngineWithBase, tmp_path: Path
) -> None:
    here = target(sample_facts(hardware=OLD_DRIVER))

    outcome = restore(asked(tmp_path / "page.html", device="auto"), services(engine, here=here))

    page = (tmp_path / "page.html").read_text()
    assert outcome.exit_code == 1
    assert f"{TAG} does not run here" in page
    assert "driver.cuda" in page


class Untouched(EngineWithBase):
    """Fails a test that asks anything of it."""

    def __post_init__(self) -> None:
        pass

    def __getattribute__(self, name: str) -> object:
        if name in {"check", "describe", "find", "pull", "image_target"}:
            raise AssertionError(name)
        return super().__getattribute__(name)


@pytest.mark.parametrize("work", [restore, verify])
@pytest.mark.parametrize("place", ["gone/page.html", "folder", "file/page.html"])
def test_a_place_that_cannot_be_written_is_told_before_any_work(
    tmp_path: Path, place: str, work: Work
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")

    with pytest.raises(WriteError, match=f"cannot write .*{place}") as caught:
        work(asked(tmp_path / place), services(Untouched()))

    assert caught.value.hint == wording("Name another place with --report.")


def test_looking_at_a_place_leaves_nothing_there(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("an older one")

    check_place(page)
    check_place(None)

    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]
    assert page.read_text() == "an older one"


def with_secret() -> Services:
    secret = Secret(value=SECRET, what="the password of index.example.com")
    return replace(services(), secrets=lambda: (secret,))


def test_a_page_with_a_secret_is_refused_and_the_older_one_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("an older one")
    leaking = replace(PLAIN, warnings=(f"https://me:{SECRET}@index.example.com/simple",))

    with pytest.raises(LeakError) as caught:
        write_report(page, leaking, with_secret().secrets())

    assert SECRET not in caught.value.message + caught.value.hint
    assert page.read_text() == "an older one"


def test_a_page_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("an older one")

    write_report(page, PLAIN, with_secret().secrets())

    assert "it is back" in page.read_text()
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_written_to_its_end_leaves_nothing(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("an older one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(WriteError) as caught:
            write_report(page, PLAIN, ())

        assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
            "cannot write TMP/page.html: File too large"
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]
    assert page.read_text() == "an older one"
