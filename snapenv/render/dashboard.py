"""The dashboard of Grafana, as values; it asks for what the rules of Prometheus record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from snapenv.promql import DECLARED, GPU

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH = 24  # of a dashboard, in Grafana's columns
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CHOSEN = 'project=~"$project", run=~"$run"'
_RUNS = f"snapenv:run_gpu:info{{{_CHOSEN}}}"
_SCHEMA = 39  # of Grafana 11; newer ones read it


def dashboard(program: str) -> str:
    """Return the dashboard as JSON; ``program`` is what renders it."""
    document = {
        "uid": "snapenv-runs",
        "title": "GPUs by run",
        "description": f"Which runs use which GPUs, and how well. Rendered by {program}.",
        "tags": ["snapenv", "gpu"],
        "editable": True,
        "schemaVersion": _SCHEMA,
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "1m",
        "templating": {"list": list(_variables())},
        "panels": _placed(list(_panels())),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}
    for name, within in (("project", ""), ("run", 'project=~"$project"')):
        yield {
            "name": name,
            "type": "query",
            "label": name.capitalize(),
            "datasource": _SOURCE,
            "query": f"label_values(snapenv:run_gpu:info{{{within}}}, {name})",
            "refresh": 2,  # when the time range changes
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",  # runs without a project too
            "current": {"text": "All", "value": "$__all"},
        }


def _panels() -> Iterator[dict[str, Any]]:
    """Yield panels in the order of reading; each ``gridPos`` lacks its place."""
    taken = f"group by ({GPU}) (snapenv:run_gpu:info)"
    yield _stat("GPUs", "count(snapenv:gpu_utilization:ratio) or vector(0)", width=4)
    yield _stat("Taken by runs", f"count({taken}) or vector(0)", width=4)
    yield _stat(
        "Taken, and below 5 % for an hour",
        f"count(avg_over_time(snapenv:gpu_utilization:ratio[1h]) < 0.05 and on ({GPU}) {taken})"
        " or vector(0)",
        width=5,
    )
    yield _stat(
        "Compute density of these runs",
        f"avg(avg_over_time(snapenv:run_effective:bool{{{_CHOSEN}}}[$__range]))",
        width=5,
        unit="percentunit",
    )
    yield _stat(
        "GPU hours of these runs",
        f"sum(count_over_time({_RUNS}[$__range])) * 30 / 3600",
        width=6,
        unit="h",
    )
    for title, metric, unit, most in (
        ("Utilization", "snapenv:gpu_utilization:ratio", "percentunit", 1),
        ("Memory", "snapenv:gpu_memory:ratio", "percentunit", 1),
        ("Power", "snapenv:gpu_power:watts", "watt", None),
        ("Temperature", "snapenv:gpu_temperature:celsius", "celsius", None),
    ):
        value = f"max by ({GPU}, Hostname) ({metric})"
        yield _lines(
            title,
            f"{_RUNS} * on ({GPU}) group_left (Hostname) {value}",
            legend="{{run}} {{Hostname}} {{UUID}}",
            unit=unit,
            most=most,
        )
    yield _lines(
        "GPUs by project",
        'count by (project) (snapenv:run_gpu:info{project=~"$project"})',
        legend="{{project}}",
        unit="none",
    )
    yield _lines("Epoch", 'snapenv:run_epoch:count{run=~"$run"}', legend="{{run}}", unit="none")
    labels = ", ".join(("run", *DECLARED, "source"))
    yield _table(
        "Compute density by run",
        f"avg by ({labels}) (avg_over_time(snapenv:run_effective:bool{{{_CHOSEN}}}[$__range]))",
    )


def _panel(kind: str, title: str, expression: str, *, width: int, height: int) -> dict[str, Any]:
    return {
        "type": kind,
        "title": title,
        "datasource": _SOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": [{"refId": "A", "datasource": _SOURCE, "expr": expression}],
    }


def _stat(title: str, expression: str, *, width: int, unit: str = "none") -> dict[str, Any]:
    panel = _panel("stat", title, expression, width=width, height=4)
    panel["targets"][0]["instant"] = True
    return {**panel, "fieldConfig": {"defaults": {"unit": unit}, "overrides": []}}


def _lines(
    title: str, expression: str, *, legend: str, unit: str, most: int | None = None
) -> dict[str, Any]:
    panel = _panel("timeseries", title, expression, width=_WIDTH // 2, height=8)
    panel["targets"][0]["legendFormat"] = legend
    limits: dict[str, Any] = {"unit": unit, "min": 0} | ({"max": most} if most else {})
    return {**panel, "fieldConfig": {"defaults": limits, "overrides": []}}


def _table(title: str, expression: str) -> dict[str, Any]:
    panel = _panel("table", title, expression, width=_WIDTH, height=8)
    panel["targets"][0] |= {"instant": True, "format": "table"}
    return {
        **panel,
        "transformations": [
            {"id": "organize", "options": {"excludeByName": {"Time": True}}},
            {"id": "sortBy", "options": {"sort": [{"field": "Value"}]}},
        ],
        "fieldConfig": {"defaults": {"unit": "percentunit"}, "overrides": []},
    }


def _placed(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return panels with numbers and places: from left to right, as many in a row as fit."""
    x = y = height = 0
    for number, panel in enumerate(panels, 1):
        grid = panel["gridPos"]
        if x + grid["w"] > _WIDTH:
            x, y, height = 0, y + height, 0
        panel["id"] = number
        panel["gridPos"] = {"x": x, "y": y, **grid}
        x, height = x + grid["w"], max(height, grid["h"])
    return panels
