"""Rules, alerts and a dashboard, for a monitoring that is there already. Pure.

They are for all runs and name no image: how a GPU's series find its run is in ``promql``.
Sources: https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/,
https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

from msgspec import Struct

from snapenv import promql
from snapenv.model.rendering import Rendered, RenderedFile
from snapenv.promql import GPU, of_runs
from snapenv.render.dashboard import dashboard
from snapenv.templating import render_template

INTERVAL_S = 30
"""Between two evaluations of the rules; windows of alerts count them."""

_RULES_FILE = "snapenv.rules.yml"
_DASHBOARD_FILE = "snapenv.dashboard.json"
_COVERED = 0.9  # of a window that has to be seen before an alert says what did not happen in it


class _Record(Struct, frozen=True, kw_only=True):
    """A recording rule."""

    name: str
    expression: str
    what: str


class _Alert(Struct, frozen=True, kw_only=True):
    """An alerting rule; ``summary`` is a template of Prometheus."""

    name: str
    expression: str
    lasts: str
    severity: str
    summary: str
    what: str


class _View(Struct, frozen=True, kw_only=True):
    program: str
    file: str
    interval_s: int
    records: tuple[_Record, ...]
    alerts: tuple[_Alert, ...]


RECORDS = (
    _Record(
        name="snapenv:run_gpu:info",
        expression=promql.RUN_GPUS,
        what="1 for each GPU of each run",
    ),
    _Record(
        name="snapenv:gpu_utilization:ratio",
        expression=promql.UTILIZATION,
        what="of each GPU, by the best source that it has",
    ),
    _Record(
        name="snapenv:gpu_memory:ratio",
        expression=(
            f"max by ({GPU}, Hostname, modelName) (\n{promql.MEMORY_BYTES}\n)\n"
            f"/ on ({GPU}, Hostname, modelName)\n"
            f"max by ({GPU}, Hostname, modelName) (\n{promql.MEMORY_SIZE_BYTES}\n)"
        ),
        what="of each GPU's memory, taken",
    ),
    _Record(name="snapenv:gpu_power:watts", expression=promql.POWER_WATTS, what="of each GPU"),
    _Record(
        name="snapenv:gpu_temperature:celsius",
        expression=promql.TEMPERATURE_CELSIUS,
        what="of each GPU",
    ),
    _Record(
        name="snapenv:run_effective:bool",
        expression=of_runs(
            f"snapenv:gpu_utilization:ratio >= bool {promql.EFFECTIVE:g}", source=True
        ),
        what="1 while a run's GPU is effective: its average is the run's compute density",
    ),
    _Record(
        name="snapenv:run_epoch:count",
        expression="max by (run, project) (snapenv_run_epoch)",
        what="the last finished epoch of a run",
    ),
)

_IDLE = of_runs("avg_over_time(snapenv:gpu_utilization:ratio[1h])")


def _seen_in_window(series: str, window_s: int) -> str:
    """Return a condition: a series was there for most of a window."""
    word = f"{window_s // 3600}h"
    return f"count_over_time({series}[{word}]) >= {window_s // INTERVAL_S * _COVERED:g}"


ALERTS = (
    _Alert(
        name="SnapenvGpuIdle",
        expression=(
            f"({_IDLE}) < 0.05\n"
            f"and on ({GPU}) {_seen_in_window('snapenv:gpu_utilization:ratio', 3600)}\n"
            f"and on ({GPU}, run) {_seen_in_window('snapenv:run_gpu:info', 3600)}"
        ),
        lasts="5m",
        severity="warning",
        summary="{{ $labels.run }} has {{ $labels.UUID }} and does not use it",
        what="Its utilization was below 5 % for an hour.",
    ),
    _Alert(
        name="SnapenvGpuHot",
        expression="snapenv:gpu_temperature:celsius > 85",
        lasts="10m",
        severity="warning",
        summary="{{ $labels.UUID }} of {{ $labels.Hostname }} is at {{ $value }} °C",
        what="GPUs slow down at a temperature that is near: look at its fans and its neighbours.",
    ),
    _Alert(
        name="SnapenvGpuPowerCapped",
        expression=(
            f"max by ({GPU}, Hostname) (snapenv:gpu_power:watts)\n"
            f"/ on ({GPU}) group_left ()\n"
            f"max by ({GPU}) (\n{promql.POWER_LIMIT_WATTS}\n) > 0.98"
        ),
        lasts="30m",
        severity="info",
        summary="{{ $labels.UUID }} of {{ $labels.Hostname }} is at its power limit",
        what="It would be faster with a higher one, or with a GPU that has one.",
    ),
    _Alert(
        name="SnapenvGpuMemoryNearlyFull",
        expression="snapenv:gpu_memory:ratio > 0.97",
        lasts="10m",
        severity="warning",
        summary="The memory of {{ $labels.UUID }} of {{ $labels.Hostname }} is nearly full",
        what="The next larger batch ends in an error: out of memory.",
    ),
    _Alert(
        name="SnapenvGpuXid",
        expression=(
            f"{promql.XID} > 0\nand on ({GPU})\n"
            f"max by ({GPU}) (changes(DCGM_FI_DEV_XID_ERRORS[10m])) > 0"
        ),
        lasts="0s",
        severity="critical",
        summary="{{ $labels.UUID }} of {{ $labels.Hostname }} reports Xid {{ $value }}",
        what="NVIDIA's list of Xid errors says what it means; dmesg of the machine says more.",
    ),
    _Alert(
        name="SnapenvRunStuck",
        expression=(
            "changes(snapenv:run_epoch:count[2h]) == 0\n"
            f"and {_seen_in_window('snapenv:run_epoch:count', 7200)}"
        ),
        lasts="5m",
        severity="warning",
        summary="{{ $labels.run }} has finished no epoch for two hours",
        what="It is stuck, or its epochs are longer than that.",
    ),
)


def render_prometheus(program: str) -> Rendered:
    """Return one file of recording and alerting rules; ``program`` is what renders it."""
    view = _View(
        program=program,
        file=_RULES_FILE,
        interval_s=INTERVAL_S,
        records=RECORDS,
        alerts=ALERTS,
    )
    content = render_template("prometheus/rules.yml.j2", view)
    return Rendered(
        files=(RenderedFile(name=_RULES_FILE, content=content),),
        start=f"promtool check rules {_RULES_FILE}",
    )


def render_grafana(program: str) -> Rendered:
    """Return a dashboard over the series that the rules record."""
    return Rendered(
        files=(RenderedFile(name=_DASHBOARD_FILE, content=dashboard(program)),),
        start=f"cp {_DASHBOARD_FILE} /var/lib/grafana/dashboards/",
    )
