"""Runs of a real Slurm with accounts, and of a Prometheus with a history, in a real ledger."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snapenv.errors import UsageSourceError
from snapenv.model.usage import UsageRun
from snapenv.usage.declared import pseudonym
from snapenv.usage.ledger import open_ledger
from snapenv.usage.prometheus import Prometheus as Client
from snapenv.usage.prometheus_runs import STEP_MS
from tests.command import Command
from tests.engines.place import install
from tests.engines.prometheus import Prometheus, make_prometheus
from tests.engines.provide import provide
from tests.engines.slurm import PACKAGES, Slurm, run_slurm
from tests.engines.slurm_accounting import find_accounting, run_accounting
from tests.render import workloads
from tests.render.jobs import Jobs
from tests.render.stand_ins import DOCKER, put_program
from tests.serving import answering, serving
from tests.usage.prometheus_history import IMAGE, POD_HOURS, Served, serve_history

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
IMAGE_OF_JOBS = workloads.IMAGE.digest


@dataclass(frozen=True, kw_only=True)
class Site:
    """A Prometheus with a history, and a ledger that it is imported into."""

    served: Served
    ledger: Path

    @property
    def address(self) -> str:
        return self.served.address

    @property
    def start_ms(self) -> int:
        return self.served.start_s * 1000

    def read(self, *words: str, days: tuple[int, int] = (0, 9)) -> dict[str, Any]:
        """Import what happened in these days of the history; return how many runs there were."""
        since, until = self.served.days(*days)
        command = Command(environment={"SNAPENV_LEDGER": str(self.ledger)})
        options = ("--since", since, "--until", until, *words)
        result = command.result("usage", "import", *options)
        return {name: result[name] for name in ("added", "updated", "known")}


@pytest.fixture(scope="module")
def prometheus() -> Prometheus:
    return provide(make_prometheus)


@pytest.fixture(scope="module")
def seen(prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a history that begins at a midnight of UTC, ten days ago."""
    folder = tmp_path_factory.mktemp("prometheus")
    with serve_history(prometheus, folder) as served:
        yield Site(served=served, ledger=folder / "ledger")


@pytest.fixture
def site(seen: Site, tmp_path: Path) -> Site:
    return replace(seen, ledger=tmp_path / "ledger")


def test_pods_and_jobs_that_prometheus_saw_are_runs(site: Site) -> None:
    assert site.read("--prometheus", site.address) == {"added": 2, "updated": 0, "known": 0}

    with open_ledger(site.ledger, read_only=True) as ledger:
        job, pod = sorted(ledger.runs(0, 2**53), key=lambda run: run.run)
        (job_row,), pod_rows = ledger.run_gpus_of(job.key), ledger.run_gpus_of(pod.key)
    pod_ms = POD_HOURS * HOUR_MS
    assert (job.run, job.user, job.host, job.project) == ("4711", "unknown", "gpu-02", None)
    assert (pod.run, pod.user, pod.project, pod.image) == (
        *("vision/yolo-x8k2p", "vision", "lanes", IMAGE.rpartition("@")[2]),
    )
    # A series that ends is looked back to for five minutes.
    assert pod_ms <= sum(row.allocated_ms for row in pod_rows) <= pod_ms + 5 * STEP_MS
    assert {row.util_source for row in pod_rows} == {"dcgm_gr_engine"}
    shares = [sum(row.buckets[at] for row in pod_rows) / pod_ms for at in (0, 9)]
    assert shares == pytest.approx([0.25, 0.75], abs=0.01)
    energy_mj = sum(row.energy_mj or 0 for row in pod_rows)
    assert energy_mj / 1000 == pytest.approx(400 * POD_HOURS * 3600, rel=0.0003)
    assert (job_row.gpu, job_row.model, job_row.util_source) == ("GPU-2", "NVIDIA L40S", "nvml")
    assert job_row.buckets[3] == job_row.covered_ms == job_row.allocated_ms
    assert job_row.memory_peak_bytes == 20480 << 20


def totals(site: Site) -> dict[str, tuple[int, int, int]]:
    """Return, by run, its whole time, and what its GPUs had and what was seen of that."""
    with open_ledger(site.ledger, read_only=True) as ledger:
        return {
            run.run: (
                (run.ended_ms or 0) - run.started_ms,
                sum(row.allocated_ms for row in ledger.run_gpus_of(run.key)),
                sum(row.covered_ms for row in ledger.run_gpus_of(run.key)),
            )
            for run in ledger.runs(0, 2**53)
        }


def test_imports_in_pieces_in_any_order_and_again_count_the_same(
    site: Site, tmp_path: Path
) -> None:
    whole = replace(site, ledger=tmp_path / "whole")
    whole.read("--prometheus", site.address)

    for days in ((1, 2), (2, 9), (0, 1), (1, 3)):
        site.read("--prometheus", site.address, days=days)

    assert site.read("--prometheus", site.address) == {"added": 0, "updated": 0, "known": 0}
    assert totals(site) == totals(whole)


def test_a_run_of_snapenv_is_not_imported_as_a_job(site: Site) -> None:
    own = UsageRun(
        key="0", run="4711", kind="run", user="ada", host="gpu-02", started_ms=site.start_ms
    )
    with open_ledger(site.ledger) as ledger:
        ledger.put_run(own)

    assert site.read("--prometheus", site.address) == {"added": 1, "updated": 0, "known": 1}


@pytest.mark.parametrize("content", [b"<html>", b'{"status":"success","data":{}}', b"\xff"])
def test_what_is_no_answer_of_prometheus_is_refused(content: bytes) -> None:
    with serving(answering(content)) as server:
        client = Client(f"http://127.0.0.1:{server.server_address[1]}")
        with pytest.raises(UsageSourceError):
            tuple(client.pieces(0, 3 * STEP_MS))


def test_a_login_is_sent_and_never_shown(site: Site) -> None:
    command = Command(environment={"SNAPENV_LEDGER": str(site.ledger)})

    done = command.run("usage", "import", "--prometheus", "http://ada:pass-word@127.0.0.1:9")

    assert done.returncode == 4
    assert "127.0.0.1:9" in done.stderr
    assert "pass-word" not in done.stderr


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A Slurm with accounts, in which jobs have ended."""

    slurm: Slurm
    done: int
    failed: int
    since_ms: int
    state: Path  # in which the rendered job has noted itself

    def read(self, ledger: Path, *words: str) -> dict[str, Any]:
        """Import its jobs; return how many there were."""
        environment = {"SNAPENV_LEDGER": str(ledger), "XDG_STATE_HOME": str(self.state)}
        command = Command(environment={**self.slurm.variables, **environment})
        result = command.result("usage", "import", "--slurm", *words)
        return {name: result[name] for name in ("added", "updated", "known")}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that has run a rendered job, one that failed and one without GPUs."""
    provide(lambda _: install(PACKAGES))
    root = provide(find_accounting)
    folder, project = tmp_path_factory.mktemp("slurm"), tmp_path_factory.mktemp("project")
    put_program(project / "bin" / "docker", DOCKER)
    with run_accounting(root, folder) as more, run_slurm(folder, more=more) as slurm:
        variables = {"PATH": f"{project}/bin:/usr/local/bin:/usr/bin:/bin"}
        jobs = Jobs(slurm=slurm, folder=project, variables=variables)
        since_ms = int(time.time() * 1000)
        rendered = jobs.write("sleep", "1", runtime="docker", gpus=2, project="lanes")
        (project / "fails.sh").write_text("#!/bin/sh\nexit 7\n")
        (project / "cpu.sh").write_text("#!/bin/sh\n")
        done = jobs.submit(rendered)
        failed = jobs.submit("--gres=gpu:h100:1", "fails.sh")
        slurm.wait(jobs.submit("cpu.sh"), "COMPLETED")
        slurm.wait(done, "COMPLETED")
        slurm.wait(failed, "FAILED")
        until = time.monotonic() + 120
        while ended(slurm) < 3:
            assert time.monotonic() < until  # slurmdbd is told a little later
            time.sleep(0.2)
        yield Cluster(
            slurm=slurm, done=done, failed=failed, since_ms=since_ms, state=project / "state"
        )


def ended(slurm: Slurm) -> int:
    """Return how many jobs have ended, as far as the accounts know."""
    told = slurm.call("sacct", "-nXP", "--format=State,End").stdout.splitlines()
    jobs = (line.rsplit("|", 1) for line in told)
    return sum(state in {"COMPLETED", "FAILED"} and end != "Unknown" for state, end in jobs)


def test_jobs_of_slurm_are_runs_once(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "ledger"

    assert len([*(cluster.state / "snapenv" / "slurm").iterdir()]) == 1
    assert cluster.read(path) == {"added": 2, "updated": 0, "known": 0}
    assert cluster.read(path) == {"added": 0, "updated": 0, "known": 2}
    with open_ledger(path, read_only=True) as ledger:
        done, failed = sorted(ledger.runs(0, 2**53), key=lambda run: int(run.run))
        done_rows, failed_rows = (ledger.run_gpus_of(run.key) for run in (done, failed))
    assert [int(run.run) for run in (done, failed)] == [cluster.done, cluster.failed]
    assert (done.source, done.user, done.project) == ("slurm", "root", "lanes")
    assert (done.image, done.exit_code, done.failure) == (IMAGE_OF_JOBS, 0, None)
    assert (failed.project, failed.exit_code, failed.failure) == ("root", 7, "failed")
    assert cluster.since_ms - 1000 <= done.started_ms < (done.ended_ms or 0)
    assert [(row.gpu, row.allocated_ms) for row in done_rows] == [
        (f"tests/{cluster.done}/h100/{number}", done.duration_ms) for number in (0, 1)
    ]
    assert [row.model for row in failed_rows] == ["h100"]


def test_jobs_are_taken_from_slurm_where_both_are_asked(
    cluster: Cluster, seen: Site, tmp_path: Path
) -> None:
    path = tmp_path / "ledger"

    read = cluster.read(path, "--prometheus", seen.address)

    assert read == {"added": 3, "updated": 0, "known": 0}
    with open_ledger(path, read_only=True) as ledger:
        runs = {run.run for run in ledger.runs(0, 2**53)}
    assert runs == {f"{cluster.done}", f"{cluster.failed}", "vision/yolo-x8k2p"}


def test_without_accounts_jobs_are_what_they_noted_of_themselves(tmp_path: Path) -> None:
    provide(lambda _: install(PACKAGES))
    project, mapping = tmp_path / "project", tmp_path / "mapping"
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    mapping.mkdir()
    put_program(project / "bin" / "docker", DOCKER)
    put_program(project / "bin" / "program", f"#!/bin/sh\ncp -r {mapping} copied\nexit 3\n")
    with run_slurm(tmp_path / "slurm") as slurm:
        path = f"{project}/bin:/usr/local/bin:/usr/bin:/bin"
        variables = {"PATH": path, "SNAPENV_JOB_MAPPING": str(mapping), **state}
        jobs = Jobs(slurm=slurm, folder=project, variables=variables)
        command = Command(environment={**slurm.variables, **state})
        nothing = command.run("usage", "import", "--slurm")
        job = jobs.submit(
            jobs.write("program", runtime="docker", gpus=2, project="lanes", purpose="first try")
        )
        slurm.wait(job, "FAILED")
        document = command.document("usage", "import", "--slurm")

    assert nothing.returncode == 4
    assert "accounting" in nothing.stderr
    assert document["result"]["added"] == 1
    assert len(document["warnings"]) == 1
    with open_ledger(tmp_path / "state" / "snapenv" / "usage.sqlite3", read_only=True) as ledger:
        (run,) = ledger.runs(0, 2**53)
        rows = ledger.run_gpus_of(run.key)
    assert (run.run, run.user, run.project, run.purpose) == (f"{job}", "root", "lanes", "first try")
    assert (run.exit_code, run.failure, run.image) == (3, "failed", IMAGE_OF_JOBS)
    assert [row.allocated_ms for row in rows] == [run.duration_ms] * 2
    copied = {path.name: path.read_text() for path in (project / "copied").iterdir()}
    assert copied == {"0": f"{job}\n", "1": f"{job}\n"}
    assert [*mapping.iterdir()] == []


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What jobs have noted of themselves, on a machine without Slurm."""

    folder: Path
    hour_s: int = field(default_factory=lambda: int(time.time()) // 3600 * 3600)

    def write(self, job: int, user: str, *, ended: bool = True, hours: int = 1) -> None:
        """Note a job that began so many hours ago, and goes on or has ended half an hour later."""
        start_s = self.hour_s - 3600 * hours
        state, end = ("COMPLETED", f"{start_s + 1800}") if ended else ("RUNNING", "Unknown")
        told = ("tests", f"{job}", user, "vision", state, "0:0", f"{start_s}", end, "gres/gpu=1")
        note = self.folder / "state" / "snapenv" / "slurm" / f"tests-{job}-{hours}"
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text("\x1f".join((*told, "gpu-01", "io.snapenv.image=a")) + "\n")

    def read(self) -> tuple[UsageRun, ...]:
        """Import them, and return all runs of the ledger."""
        state = self.folder / "state"
        environment = {"PATH": str(self.folder), "XDG_STATE_HOME": str(state)}
        done = Command(environment=environment).run(
            "usage", "import", "--slurm", folder=self.folder
        )
        assert done.returncode == 0, done.stderr
        with open_ledger(state / "snapenv" / "usage.sqlite3", read_only=True) as ledger:
            return ledger.runs(0, 2**53)


def test_people_are_counted_under_their_pseudonyms(tmp_path: Path) -> None:
    notes = Notes(folder=tmp_path)
    for job, user in enumerate(("ada", "bob", "ada")):
        notes.write(job, user)
    (tmp_path / "state" / "snapenv" / "slurm" / "tests-3-0.new").write_text("tests\x1f3")
    (tmp_path / "key").write_text("a site's own")
    (tmp_path / "pyproject.toml").write_text('[tool.snapenv.usage]\npseudonym = "key"\n')

    users = {run.run: run.user for run in notes.read()}

    ada, bob = (pseudonym(user, b"a site's own") for user in ("ada", "bob"))
    assert users == {"0": ada, "1": bob, "2": ada}


def test_a_job_that_goes_on_is_completed_by_a_later_import(tmp_path: Path) -> None:
    notes = Notes(folder=tmp_path)
    notes.write(1, "ada", ended=False)
    (going_on,) = notes.read()
    notes.write(1, "ada")

    (ended,), (again,) = notes.read(), notes.read()

    assert (going_on.rev, going_on.ended_ms, going_on.duration_ms) == (1, None, None)
    assert (ended.rev, ended.key, ended.duration_ms) == (2, going_on.key, HOUR_MS // 2)
    assert again == ended


def test_a_job_whose_earlier_start_is_too_long_ago_stays_as_it_was(tmp_path: Path) -> None:
    notes = Notes(folder=tmp_path)
    notes.write(1, "ada", hours=3)
    notes.write(1, "ada", hours=1)
    whole = notes.read()
    next((tmp_path / "state" / "snapenv" / "slurm").glob("*-3")).unlink()

    assert notes.read() == whole
    assert [run.duration_ms for run in whole] == [HOUR_MS]


def test_a_job_has_who_and_how_long_of_slurm_and_what_its_gpu_did_of_prometheus(
    seen: Site, tmp_path: Path
) -> None:
    start_s = seen.start_ms // 1000
    told = ("tests", "4711", "ada", "vision", "COMPLETED", "0:0", f"{start_s}")
    note = tmp_path / "snapenv" / "slurm" / "tests-4711-0"
    note.parent.mkdir(parents=True)
    ended = (f"{start_s + 7230}", "gres/gpu:l40s=1,gres/gpu=1", "gpu-02", "")
    note.write_text("\x1f".join((*told, *ended)) + "\n")
    environment = {"PATH": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}

    result = Command(environment=environment).result(
        "usage", "import", "--slurm", "--prometheus", seen.address
    )

    assert result["added"] == 2  # and the pod
    with open_ledger(tmp_path / "snapenv" / "usage.sqlite3", read_only=True) as ledger:
        run = ledger.find_run("4711")
        assert run is not None
        (row,) = ledger.run_gpus_of(run.key)
    assert (run.user, run.duration_ms, run.gpus[0].uuid) == ("ada", 7_230_000, "GPU-2")
    assert (row.gpu, row.model, row.util_source) == ("GPU-2", "NVIDIA L40S", "nvml")
    assert 7_200_000 <= row.covered_ms <= row.allocated_ms <= 7_230_000 + 5 * STEP_MS
    assert row.buckets[3] == row.covered_ms


def test_a_note_that_is_damaged_is_named(tmp_path: Path) -> None:
    note = tmp_path / "snapenv" / "slurm" / "tests-1-0"
    note.parent.mkdir(parents=True)
    note.write_bytes(b"tests\x1f1\x1b[31m\xff")
    environment = {"PATH": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}

    done = Command(environment=environment).run("usage", "import", "--slurm")

    assert done.returncode == 4
    assert str(note) in done.stderr
    assert "\x1b" not in done.stderr


def test_a_machine_without_slurm_is_told(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}

    done = Command(environment=environment).run("usage", "import", "--slurm")

    assert done.returncode == 4
    assert "sacct" in done.stderr
