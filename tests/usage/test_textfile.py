"""A run for node_exporter, read by promtool and by the real node_exporter."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.launch.records import new_run_id
from snapenv.model.sampling import GpuReading, Utilization
from snapenv.model.usage import EpochRow, RunGpu, UsageRun, UsedGpu
from snapenv.steps.publishing import publish, retract
from snapenv.usage.textfile import textfile
from tests.engines.place import free_port
from tests.engines.prometheus import make_node_exporter, make_prometheus
from tests.engines.provide import provide
from tests.samples import sample_run_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snapenv.model.launch import RunRecord

RUN = UsageRun(
    key="k",
    run="261128-192551-4f2a",
    kind="run",
    user="ann",
    project="defects",
    tag="train",
    host="gpu1",
    gpus=(UsedGpu(uuid="GPU-A", model="NVIDIA H200"), UsedGpu(uuid="MIG-B", model="MIG 1g")),
    started_ms=0,
)
ROWS = (
    RunGpu(
        key="k",
        gpu="GPU-A",
        month="2026-11",
        model="NVIDIA H200",
        allocated_ms=90_500,
        covered_ms=80_000,
        buckets=(10_000, 0, 0, 0, 0, 0, 20_000, 40_000, 0, 10_000),
        energy_mj=1_234_567,
    ),
    RunGpu(key="k", gpu="GPU-A", month="2026-12", model="NVIDIA H200", allocated_ms=500),
)
READINGS = (
    GpuReading(
        gpu="GPU-A",
        number="0",
        model="NVIDIA H200",
        utilizations=(Utilization(0, 100.0), Utilization(0, 50.0)),
        util_source="nvml",
        memory_bytes=5 << 30,
        memory_total_bytes=141 << 30,
        power_mw=400_500,
        power_limit_mw=700_000,
        temperature_c=61,
    ),
    GpuReading(
        gpu="MIG-B",
        number="1.7",
        model="MIG 1g",
        parent="GPU-B",
        memory_bytes=1,
        memory_total_bytes=2,
    ),
    GpuReading(gpu="GPU-C", number="2", model="NVIDIA H200", power_mw=1),
)
LAST = EpochRow(key="k", attempt=1, epoch=12, at_ms=0, loss=3.25)
HOSTILE = 'a"b\\c\nd{} 1'


def test_a_run_and_its_gpus_are_told_in_base_units() -> None:
    assert textfile(RUN, ROWS, READINGS, LAST) == wording("""\
# HELP snapenv_gpu_memory_bytes Memory of a GPU.
# TYPE snapenv_gpu_memory_bytes gauge
snapenv_gpu_memory_bytes{UUID="GPU-A",Hostname="gpu1",modelName="NVIDIA H200",run="261128-192551-4f2a"} 151397597184
snapenv_gpu_memory_bytes{UUID="GPU-B",GPU_I_ID="7",Hostname="gpu1",modelName="MIG 1g",run="261128-192551-4f2a"} 2
# HELP snapenv_gpu_memory_used_bytes Memory of a GPU that is taken.
# TYPE snapenv_gpu_memory_used_bytes gauge
snapenv_gpu_memory_used_bytes{UUID="GPU-A",Hostname="gpu1",modelName="NVIDIA H200",run="261128-192551-4f2a"} 5368709120
snapenv_gpu_memory_used_bytes{UUID="GPU-B",GPU_I_ID="7",Hostname="gpu1",modelName="MIG 1g",run="261128-192551-4f2a"} 1
# HELP snapenv_gpu_power_limit_watts What a GPU may take.
# TYPE snapenv_gpu_power_limit_watts gauge
snapenv_gpu_power_limit_watts{UUID="GPU-A",Hostname="gpu1",modelName="NVIDIA H200",run="261128-192551-4f2a"} 700
# HELP snapenv_gpu_power_watts What a GPU takes.
# TYPE snapenv_gpu_power_watts gauge
snapenv_gpu_power_watts{UUID="GPU-A",Hostname="gpu1",modelName="NVIDIA H200",run="261128-192551-4f2a"} 400.5
# HELP snapenv_gpu_temperature_celsius Temperature of a GPU.
# TYPE snapenv_gpu_temperature_celsius gauge
snapenv_gpu_temperature_celsius{UUID="GPU-A",Hostname="gpu1",modelName="NVIDIA H200",run="261128-192551-4f2a"} 61
# HELP snapenv_gpu_utilization_ratio Utilization of a GPU by the source that is named.
# TYPE snapenv_gpu_utilization_ratio gauge
snapenv_gpu_utilization_ratio{UUID="GPU-A",Hostname="gpu1",modelName="NVIDIA H200",run="261128-192551-4f2a",source="nvml"} 0.75
# HELP snapenv_run_effective_gpu_seconds_total How long a GPU of a run was utilized by 70 percent and more.
# TYPE snapenv_run_effective_gpu_seconds_total counter
snapenv_run_effective_gpu_seconds_total{run="261128-192551-4f2a",UUID="GPU-A",project="defects"} 50
snapenv_run_effective_gpu_seconds_total{run="261128-192551-4f2a",UUID="GPU-B",GPU_I_ID="7",project="defects"} 0
# HELP snapenv_run_energy_joules_total What a GPU has taken for a run.
# TYPE snapenv_run_energy_joules_total counter
snapenv_run_energy_joules_total{run="261128-192551-4f2a",UUID="GPU-A",project="defects"} 1234.567
# HELP snapenv_run_epoch The last finished epoch of a run's training.
# TYPE snapenv_run_epoch gauge
snapenv_run_epoch{run="261128-192551-4f2a",project="defects"} 12
# HELP snapenv_run_gpu 1 for each GPU that a run has.
# TYPE snapenv_run_gpu gauge
snapenv_run_gpu{run="261128-192551-4f2a",UUID="GPU-A",project="defects"} 1
snapenv_run_gpu{run="261128-192551-4f2a",UUID="GPU-B",GPU_I_ID="7",project="defects"} 1
# HELP snapenv_run_gpu_seconds_total How long a run has had a GPU.
# TYPE snapenv_run_gpu_seconds_total counter
snapenv_run_gpu_seconds_total{run="261128-192551-4f2a",UUID="GPU-A",project="defects"} 91
snapenv_run_gpu_seconds_total{run="261128-192551-4f2a",UUID="GPU-B",GPU_I_ID="7",project="defects"} 0
# HELP snapenv_run_info What a run is, in its labels; 1 while it goes on.
# TYPE snapenv_run_info gauge
snapenv_run_info{run="261128-192551-4f2a",project="defects",tag="train"} 1
# HELP snapenv_run_loss The sum of the training losses of that epoch.
# TYPE snapenv_run_loss gauge
snapenv_run_loss{run="261128-192551-4f2a",project="defects"} 3.25
""")


def test_promtool_blames_nothing_but_the_labels_of_dcgm_exporter() -> None:
    prometheus = provide(make_prometheus)
    text = textfile(replace(RUN, model=HOSTILE), ROWS, READINGS, LAST)
    words = (str(prometheus.programs / "promtool"), "check", "metrics")

    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)

    blamed = {line.partition(" ")[2] for line in done.stderr.splitlines()}
    assert blamed == wording({"label names should be written in 'snake_case' not 'camelCase'"})
    assert all(line.startswith("snapenv_gpu_") for line in done.stderr.splitlines())


def record(folder: Path) -> RunRecord:
    return sample_run_record(RUN.run, textfile=str(folder), job_mapping=str(folder))


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_others_put_among_the_files_is_not_read_and_gets_no_other_mode(
    tmp_path: Path, kind: str
) -> None:
    """Whoever may write in the folder may put links there, or a pipe that nobody writes to."""
    (tmp_path / "textfiles").mkdir()
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    secret.chmod(0o600)
    for name in ("0", "1"):
        if kind == "link":
            (tmp_path / "textfiles" / name).symlink_to(secret)
        else:
            os.mkfifo(tmp_path / "textfiles" / name)
    published = record(tmp_path / "textfiles")

    publish(published, RUN, ROWS, READINGS, None)
    retract(published, RUN)

    written = [path for path in (tmp_path / "textfiles").iterdir() if path.is_file()]
    assert "s3cret" not in "".join(path.read_text() for path in written if not path.is_symlink())
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("s3cret", 0o600)


@pytest.fixture
def exported(tmp_path: Path) -> Iterator[str]:
    """Return the address of a node_exporter that reads the files of a folder."""
    program, port = provide(make_node_exporter), free_port()
    (tmp_path / "textfiles").mkdir()
    options = (
        f"--collector.textfile.directory={tmp_path}/textfiles",
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    process = subprocess.Popen((str(program), *options), stderr=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}/metrics"
    process.terminate()
    process.wait()


def scrape(address: str) -> list[str]:
    for _ in range(100):
        with (
            contextlib.suppress(urllib.error.URLError),
            urllib.request.urlopen(address) as answer,
        ):
            text: str = answer.read().decode()
            return text.splitlines()
        time.sleep(0.1)
    pytest.fail("no node_exporter answers")


def test_node_exporter_serves_two_runs_on_one_gpu_and_forgets_one_that_has_ended(
    exported: str, tmp_path: Path
) -> None:
    folder = tmp_path / "textfiles"
    other = replace(RUN, run=new_run_id(), project=HOSTILE)
    for run in (RUN, other):
        publish(replace(record(folder), run=run.run), run, ROWS, READINGS, LAST)

    both = scrape(exported)
    retract(record(folder), other)
    one = scrape(exported)

    assert "node_textfile_scrape_error 0" in both
    power = [line for line in both if line.startswith("snapenv_gpu_power_watts{")]
    assert len(power) == 2
    assert all(line.endswith(" 400.5") for line in power)
    assert [line for line in one if "snapenv_run_epoch{" in line] == [
        f'snapenv_run_epoch{{project="defects",run="{RUN.run}"}} 12'
    ]


def test_a_file_may_be_read_by_others_and_is_written_whole(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        publish(record(tmp_path), RUN, ROWS, READINGS, None)
    finally:
        os.umask(before)

    (written,) = tmp_path.glob("*.prom")
    assert written.stat().st_mode & 0o777 == 0o644
    assert written.read_text() == textfile(RUN, ROWS, READINGS)


def test_each_gpu_of_a_run_has_a_file_with_its_id(tmp_path: Path) -> None:
    (tmp_path / "0").write_text("4711\n")

    publish(record(tmp_path), RUN, ROWS, READINGS, None)
    publish(record(tmp_path), RUN, ROWS, READINGS, None)

    jobs = {path.name: path.read_text() for path in tmp_path.iterdir() if path.suffix != ".prom"}
    assert jobs == {"0": f"4711\n{RUN.run}\n", "1.7": f"{RUN.run}\n"}

    retract(record(tmp_path), RUN)

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"0": "4711\n"}


def test_a_folder_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    gone = record(tmp_path / "gone")

    publish(gone, RUN, ROWS, READINGS, None)
    retract(gone, RUN)

    assert not (tmp_path / "gone").exists()
