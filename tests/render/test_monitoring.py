"""Rules of Prometheus and the dashboard of Grafana, in promtool and in a server that scrapes."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snapenv.model.sampling import GpuReading
from snapenv.model.usage import EpochRow, UsedGpu
from snapenv.render.monitoring import ALERTS, RECORDS, render_grafana, render_prometheus
from snapenv.usage.textfile import textfile
from tests.engines.prometheus import Prometheus, make_prometheus
from tests.engines.provide import provide
from tests.render.workloads import differing
from tests.serving import answering, serving
from tests.usage.values import sample_usage_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

RECORDED = Path(__file__).parents[1] / "recorded" / "dcgm_exporter"
DOCS = Path(__file__).parents[2] / "docs" / "monitoring.md"
PROGRAM = "snapenv 0.1.0"
POD_LABELS = "label_io_snapenv_project"
RTX = "GPU-0c9f36cf-2b1f-4b0e-9d36-0a4f6d1b7a11"  # of consumer.txt
OF_SNAPENV = textfile(
    sample_usage_run(run="k3f9", gpus=(UsedGpu(uuid=RTX, model="RTX 4090"),), project="defects"),
    (),
    (GpuReading(gpu=RTX, number="0", model="RTX 4090", power_limit_mw=450_000),),
    EpochRow(key="", attempt=1, epoch=12, at_ms=0, loss=1.5),
)
OF_PODS = """\
kube_pod_labels{namespace="vision",pod="yolo-x8k2p",uid="1",label_io_snapenv_project="lanes",\
label_app_kubernetes_io_managed_by="snapenv"} 1
"""


@pytest.fixture(scope="module")
def prometheus() -> Prometheus:
    return provide(make_prometheus)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rendered file, and the programs that check it."""

    path: Path
    prometheus: Prometheus

    def hold(
        self,
        series: Mapping[str, str],
        *,
        at: str,
        values: Mapping[str, Mapping[str, float]] | None = None,
        alerts: Sequence[str] = (),
    ) -> None:
        """Let promtool evaluate the rules over series, a value each 30 s, and compare at a time.

        ``values`` are, by expression, the series that are to be there; ``alerts`` the labels
        of those that fire.
        """
        firing = {f"{{{labels}}}": 1.0 for labels in alerts}
        expected = {
            **(values or {}),
            'count by (alertname, UUID, run) (ALERTS{alertstate="firing"})': firing,
        }
        test = {
            "interval": "30s",
            "input_series": [{"series": name, "values": told} for name, told in series.items()],
            "promql_expr_test": [
                {
                    "expr": f"round({expression}, 0.001)",  # promtool compares to the last bit
                    "eval_time": at,
                    "exp_samples": [
                        {"labels": labels, "value": value} for labels, value in samples.items()
                    ],
                }
                for expression, samples in expected.items()
            ],
        }
        document = {"rule_files": [str(self.path)], "evaluation_interval": "30s", "tests": [test]}
        file = self.path.with_name("test.yml")
        file.write_text(json.dumps(document))
        done = self.prometheus.promtool("test", "rules", file)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def rules(prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Rules:
    (file,) = render_prometheus(PROGRAM).files
    path = tmp_path_factory.mktemp("rules") / file.name
    path.write_text(file.content)
    return Rules(path=path, prometheus=prometheus)


def test_the_rules_and_the_dashboard_are_those_of_the_goldens() -> None:
    assert differing(render_prometheus(PROGRAM), "prometheus") == {}
    assert differing(render_grafana(PROGRAM), "grafana") == {}


def test_promtool_finds_nothing(rules: Rules) -> None:
    done = rules.prometheus.promtool("check", "rules", rules.path)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"{len(RECORDS) + len(ALERTS)} rules found" in done.stdout


def test_promtool_takes_the_configuration_of_the_page(rules: Rules) -> None:
    (config,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    path = rules.path.with_name("prometheus.yml")
    path.write_text(config)

    done = rules.prometheus.promtool("check", "config", path)

    assert done.returncode == 0, done.stderr
    assert f"{len(RECORDS) + len(ALERTS)} rules found" in done.stdout


@pytest.mark.parametrize(
    ("metric", "values", "told"),
    [
        ("DCGM_FI_DEV_GPU_UTIL", "90x20", ("nvml", 0.9)),
        ("DCGM_FI_DEV_GPU_UTIL", "1x20", ("nvml", 0.01)),
        ("DCGM_FI_DEV_GPU_UTIL_RATIO", "90x20", ("nvml", 0.9)),
        ("DCGM_FI_DEV_GPU_UTIL_RATIO", "90 0x20", ("nvml", 0.0)),
        ("DCGM_FI_DEV_GPU_UTIL_RATIO", "0.9x20", ("nvml", 0.9)),
        ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "0.9x20", ("dcgm_gr_engine", 0.9)),
        ("DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO", "0.9x20", ("dcgm_gr_engine", 0.9)),
        ("DCGM_FI_PROF_SM_ACTIVE", "0.9x20", ("dcgm_sm", 0.9)),
        ("DCGM_FI_PROF_SM_UTIL_RATIO", "0.9x20", ("dcgm_sm", 0.9)),
    ],
)
def test_each_spelling_of_utilization_is_a_ratio(
    rules: Rules, metric: str, values: str, told: tuple[str, float]
) -> None:
    series = {f'{metric}{{UUID="A",Hostname="n",modelName="m"}}': values}
    source, ratio = told
    labels = f'{{UUID="A",Hostname="n",modelName="m",source="{source}"}}'

    expected = {"snapenv:gpu_utilization:ratio": {labels: ratio}}
    rules.hold(series, at="5m", values=expected)


def test_the_best_source_of_a_gpu_is_taken(rules: Rules) -> None:
    series = {
        'DCGM_FI_DEV_GPU_UTIL{UUID="A"}': "100x20",
        'DCGM_FI_PROF_GR_ENGINE_ACTIVE{UUID="A"}': "0.6x20",
        'DCGM_FI_PROF_SM_ACTIVE{UUID="A"}': "0.3x20",
        'DCGM_FI_DEV_GPU_UTIL{UUID="B"}': "100x20",
        'snapenv_gpu_utilization_ratio{UUID="C",source="gpm_sm"}': "0.2x20",
    }
    expected = {
        "snapenv:gpu_utilization:ratio": {
            '{UUID="A",source="dcgm_sm"}': 0.3,
            '{UUID="B",source="nvml"}': 1,
            '{UUID="C",source="gpm_sm"}': 0.2,
        }
    }

    rules.hold(series, at="5m", values=expected)


def test_a_gpu_finds_its_run_in_three_ways(rules: Rules) -> None:
    series = {
        'snapenv_run_gpu{run="k3f9",UUID="A",project="p",instance="n"}': "1x20",
        'DCGM_FI_DEV_GPU_TEMP{UUID="A",hpc_job="k3f9"}': "50x20",  # the file of the mapping too
        'DCGM_FI_DEV_GPU_TEMP{UUID="B",hpc_job="4711"}': "50x20",
        'DCGM_FI_DEV_GPU_TEMP{UUID="C",namespace="vision",pod="x"}': "50x20",
        'DCGM_FI_DEV_GPU_TEMP{UUID="D",namespace="vision",pod="other"}': "50x20",
        'DCGM_FI_DEV_GPU_TEMP{UUID="E",namespace="",pod="",hpc_job="0"}': "50x20",
        f'kube_pod_labels{{namespace="vision",pod="x",uid="1",{POD_LABELS}="lanes"}}': "1x20",
        'kube_pod_labels{namespace="vision",pod="unrelated",uid="2"}': "1x20",
    }
    pod = 'namespace="vision",scheduler="kubernetes"'
    expected = {
        "snapenv:run_gpu:info": {
            '{UUID="A",run="k3f9",project="p",scheduler="snapenv"}': 1,
            '{UUID="B",run="4711",scheduler="hpc"}': 1,
            f'{{UUID="C",run="vision/x",project="lanes",pod="x",{pod}}}': 1,
            f'{{UUID="D",run="vision/other",pod="other",{pod}}}': 1,
        }
    }

    rules.hold(series, at="5m", values=expected)


def test_two_runs_on_one_gpu_and_two_exporters_of_it_break_nothing(rules: Rules) -> None:
    series = {
        'snapenv_run_gpu{run="one",UUID="A"}': "1x20",
        'snapenv_run_gpu{run="two",UUID="A"}': "1x20",
        'DCGM_FI_DEV_GPU_UTIL{UUID="A",Hostname="node"}': "90x20",
        'DCGM_FI_DEV_GPU_UTIL{UUID="A",Hostname="pod"}': "80x20",
    }
    of = 'UUID="A",scheduler="snapenv",source="nvml"'
    expected = {"snapenv:run_effective:bool": {f'{{run="one",{of}}}': 1, f'{{run="two",{of}}}': 1}}

    rules.hold(series, at="5m", values=expected)


def test_instances_of_a_gpu_are_told_apart(rules: Rules) -> None:
    series = {
        'DCGM_FI_PROF_GR_ENGINE_ACTIVE{UUID="A",GPU_I_ID="1",hpc_job="1"}': "0.9x20",
        'DCGM_FI_PROF_GR_ENGINE_ACTIVE{UUID="A",GPU_I_ID="2",hpc_job="2"}': "0.1x20",
        'DCGM_FI_DEV_FB_USED{UUID="A",GPU_I_ID="1",hpc_job="1"}': "5x20",
        'DCGM_FI_DEV_FB_USED{UUID="A",GPU_I_ID="2",hpc_job="2"}': "5x20",
    }
    of = 'UUID="A",scheduler="hpc",source="dcgm_gr_engine"'
    expected = {
        "snapenv:run_effective:bool": {
            f'{{GPU_I_ID="1",run="1",{of}}}': 1,
            f'{{GPU_I_ID="2",run="2",{of}}}': 0,
        }
    }

    rules.hold(series, at="5m", values=expected)


def test_the_average_of_a_run_is_its_own_compute_density(rules: Rules) -> None:
    series = {
        'snapenv_run_gpu{run="one",UUID="A"}': "_x40 1x120 stale",
        'DCGM_FI_DEV_GPU_UTIL{UUID="A"}': "100x40 0x60 70x59 69.9x400",
    }
    of = '{UUID="A",run="one",scheduler="snapenv",source="nvml"}'
    expected = {"avg_over_time(snapenv:run_effective:bool[30d])": {of: 0.496}}  # 60 of 121

    rules.hold(series, at="4h", values=expected)


def test_a_gpu_that_is_taken_and_not_used_alerts(rules: Rules) -> None:
    told = {
        "idle": ("4x160", "1x160"),
        "used": ("6x160", "1x160"),
        "nobody's": ("4x160", "_x160"),
        "unseen": ("4x20 _x100 4x40", "1x160"),
        "taken since minutes": ("4x160", "_x110 1x50"),
    }
    series = {}
    for name, (utilization, taken) in told.items():
        series[f'DCGM_FI_DEV_GPU_UTIL{{UUID="{name}"}}'] = utilization
        series[f'snapenv_run_gpu{{run="of {name}",UUID="{name}"}}'] = taken

    rules.hold(series, at="70m", alerts=['alertname="SnapenvGpuIdle",UUID="idle",run="of idle"'])


def test_heat_memory_and_the_power_limit_alert(rules: Rules) -> None:
    gpu = 'UUID="A",Hostname="n"'
    series = {
        f"DCGM_FI_DEV_GPU_TEMP{{{gpu}}}": "86x80",
        'DCGM_FI_DEV_GPU_TEMP{UUID="B"}': "9223372036854775794x80",
        f"DCGM_FI_DEV_FB_USED{{{gpu}}}": "79900x80",
        f"DCGM_FI_DEV_FB_FREE{{{gpu}}}": "100x80",
        f"DCGM_FI_DEV_POWER_USAGE{{{gpu}}}": "695x80",
        'snapenv_gpu_power_limit_watts{UUID="A"}': "700x80",
    }
    names = ("SnapenvGpuHot", "SnapenvGpuMemoryNearlyFull", "SnapenvGpuPowerCapped")

    rules.hold(series, at="35m", alerts=[f'alertname="{name}",UUID="A"' for name in names])
    rules.hold(series, at="9m")


def test_a_new_xid_alerts_and_one_that_stands_does_not(rules: Rules) -> None:
    series = {
        'DCGM_FI_DEV_XID_ERRORS{UUID="A"}': "0x20 79x60",
        'DCGM_FI_DEV_XID_ERRORS{UUID="B"}': "31x80",
        'DCGM_FI_DEV_XID_ERRORS{UUID="C"}': "31x20 0x60",
    }

    rules.hold(series, at="15m", alerts=['alertname="SnapenvGpuXid",UUID="A"'])
    rules.hold(series, at="25m")


def test_a_run_that_finishes_no_epoch_alerts(rules: Rules) -> None:
    stuck, slow = 'snapenv_run_epoch{run="a"}', 'snapenv_run_epoch{run="b"}'
    young = 'snapenv_run_epoch{run="c"}'
    series = {stuck: "1 2 3x300", slow: "1x150 2x150", young: "_x200 1x100"}

    rules.hold(series, at="130m", alerts=['alertname="SnapenvRunStuck",run="a"'])


def query(address: str, expression: str) -> list[dict[str, Any]]:
    asked = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{address}/api/v1/query?{asked}") as answer:
        result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return result


@pytest.fixture(scope="module")
def server(rules: Rules, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that scrapes three exporters, kube-state-metrics and files of snapenv."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / rules.path.name).write_text(
        rules.path.read_text().replace("interval: 30s", "interval: 1s")
    )
    jobs: dict[str, list[str]] = {
        "dcgm": [(RECORDED / "kubernetes.txt").read_text(), (RECORDED / "jobs.txt").read_text()],
        "dcgm-alone": [(RECORDED / "consumer.txt").read_text()],
        "kube-state-metrics": [OF_PODS],
        "node": [OF_SNAPENV],
    }
    with ExitStack() as stack:
        scraped = []
        for name, texts in jobs.items():
            for number, text in enumerate(texts):
                port = stack.enter_context(serving(answering(text.encode()))).server_address[1]
                scraped.append(
                    {
                        "job_name": f"{name}-{number}",
                        "honor_labels": True,
                        "scrape_interval": "1s",
                        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
                    }
                )
        config = {"rule_files": [rules.path.name], "scrape_configs": scraped}
        address = stack.enter_context(rules.prometheus.serve(json.dumps(config), folder))
        until = time.monotonic() + 30
        while len(query(address, "snapenv:run_effective:bool")) < 3:
            assert time.monotonic() < until, query(address, "{__name__=~'.+'}")
            time.sleep(0.2)
        yield address


def test_runs_of_all_three_kinds_have_the_utilization_of_their_gpus(server: str) -> None:
    runs = {
        one["metric"]["run"]: (one["metric"]["source"], one["value"][1])
        for one in query(server, "snapenv:run_effective:bool")
    }

    assert runs == {
        "vision/yolo-x8k2p": ("dcgm_gr_engine", "1"),
        "4711": ("dcgm_gr_engine", "0"),
        "k3f9": ("nvml", "1"),
    }


def panels() -> list[dict[str, Any]]:
    (file,) = render_grafana(PROGRAM).files
    found: list[dict[str, Any]] = json.loads(file.content)["panels"]
    return found


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_each_panel_shows_something(server: str, panel: dict[str, Any]) -> None:
    (target,) = panel["targets"]
    expression = re.sub(r"\$(project|run)\b", ".*", target["expr"]).replace("$__range", "1h")

    assert query(server, expression) != []


def test_the_dashboard_counts_gpus_and_those_that_are_taken(server: str) -> None:
    counted = {
        panel["title"]: query(server, panel["targets"][0]["expr"])[0]["value"][1]
        for panel in panels()[:2]
    }

    assert counted == {"GPUs": "5", "Taken by runs": "3"}


def test_panels_have_numbers_and_places_of_their_own_and_one_source() -> None:
    (file,) = render_grafana(PROGRAM).files
    document = json.loads(file.content)
    cells = [
        (x, y)
        for panel in document["panels"]
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])
    assert {panel["datasource"]["uid"] for panel in document["panels"]} == {"${datasource}"}
    assert {name["name"] for name in document["templating"]["list"]} == {
        "datasource",
        "project",
        "run",
    }
