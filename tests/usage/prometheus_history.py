"""A Prometheus that has seen a pod and a job of last week."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.prometheus import Prometheus

POD_HOURS = 3 * 24  # more than is asked for at once
JOB_HOURS = 2
IMAGE = f"example.com/team/env:train-py3.13-base-cpu@sha256:{'5e' * 32}"
_H100 = 'UUID="GPU-1",modelName="NVIDIA H100",Hostname="gpu-01"'
_L40S = 'UUID="GPU-2",modelName="NVIDIA L40S",Hostname="gpu-02"'


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A server, and when its history begins."""

    address: str
    start_s: int

    def days(self, first: int, last: int) -> tuple[str, str]:
        """Return the dates of two days of the history, counted from 0."""
        since, until = (
            time.strftime("%Y-%m-%d", time.gmtime(self.start_s + 86400 * day))
            for day in (first, last)
        )
        return since, until


@contextmanager
def serve_history(prometheus: Prometheus, folder: Path) -> Iterator[Served]:
    """Serve a history that begins at a midnight of UTC, ten days ago, until the block ends."""
    start_s = int(time.time()) // 86400 * 86400 - 10 * 86400
    (folder / "history").write_text(_history(start_s))
    done = prometheus.promtool(
        *("tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=720h"),
        *(folder / "history", folder / "data"),
    )
    assert done.returncode == 0, done.stderr
    with prometheus.serve("{}", folder) as address:
        yield Served(address=address, start_s=start_s)


def _history(start_s: int) -> str:
    """Return what was scraped each minute: of a pod of three days, and of a job of two hours."""
    pod = f'{_H100},namespace="vision",pod="yolo-x8k2p"'
    job = f'{_L40S},hpc_job="4711"'
    label = 'namespace="vision",pod="yolo-x8k2p"'
    told: dict[str, list[str]] = {}
    for minute in range(POD_HOURS * 60):
        at_s = start_s + 60 * minute
        samples = {
            f"DCGM_FI_PROF_GR_ENGINE_ACTIVE{{{pod}}}": "0.95" if minute % 4 else "0.05",
            f"DCGM_FI_DEV_POWER_USAGE{{{pod}}}": "400",
            f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{pod}}}": f"{minute * 24_000_000}",
            f'kube_pod_labels{{{label},label_io_snapenv_project="lanes"}}': "1",
            f'kube_pod_container_info{{{label},image="{IMAGE}"}}': "1",
        }
        if minute < JOB_HOURS * 60:
            samples |= {
                f"DCGM_FI_DEV_GPU_UTIL{{{job}}}": "30",
                f"DCGM_FI_DEV_FB_USED{{{job}}}": "20480",
                f"DCGM_FI_DEV_GPU_TEMP{{{job}}}": "60",
            }
        for series, value in samples.items():
            lines = told.setdefault(series.partition("{")[0], [])
            lines.append(f"{series} {value} {at_s}")
    families = (f"# TYPE {name} gauge\n" + "\n".join(lines) for name, lines in told.items())
    return "\n".join(families) + "\n# EOF\n"
