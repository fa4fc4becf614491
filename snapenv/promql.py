"""What monitoring tells of GPUs and of their runs, as expressions of PromQL. Pure.

GPUs are told of by dcgm-exporter, pods by kube-state-metrics, and the runs of one machine by
snapenv's own files for node_exporter. Labels of dcgm-exporter keep their names: a series is of one
GPU by ``UUID``, or of one MIG instance by ``UUID`` and ``GPU_I_ID``.

Sources: https://github.com/NVIDIA/dcgm-exporter/blob/main/etc/default-counters.csv,
https://github.com/NVIDIA/DCGM/blob/master/dcgmlib/dcgm_fields.h,
https://github.com/kubernetes/kube-state-metrics/blob/main/docs/metrics/workload/pod-metrics.md
"""

from __future__ import annotations

GPU = "UUID, GPU_I_ID"
"""The labels that tell GPUs and MIG instances apart."""

DECLARED = ("project", "purpose", "model")
"""What a run declares, as labels of its series; on Kubernetes ``io.snapenv/project`` and so on."""

KUBERNETES_LABEL = "io.snapenv/"
"""The prefix of our labels of pods."""

EFFECTIVE = 0.7
"""The utilization from which a GPU counts as effective."""

_OF_GPU = f"{GPU}, Hostname, modelName"
_BLANK = "1e9"  # DCGM's numbers for "not supported" are greater
_ANY = "DCGM_FI_DEV_GPU_TEMP|DCGM_FI_DEV_POWER_USAGE|DCGM_FI_DEV_FB_USED"  # each is of every GPU
_POD_LABELS = tuple(f"label_io_snapenv_{name}" for name in DECLARED)


def _gauge(*names: str, scale: str = "") -> str:
    """Return a metric by any of its names, of each GPU once."""
    return f'max by ({_OF_GPU}) ({{__name__=~"{"|".join(names)}"}} < {_BLANK}){scale}'


def _of_source(expression: str, source: str) -> str:
    return f'label_replace({expression}, "source", "{source}", "", "")'


def _either(*expressions: str, on: str = GPU) -> str:
    """Return the first of these that a GPU has."""
    return f"\nor on ({on})\n".join(expressions)


# A ratio by its name was a percentage at first: it is one where it was ever above 1 within a day.
_RATIO = "DCGM_FI_DEV_GPU_UTIL_RATIO"
_NVML = (
    f"max by ({_OF_GPU}) (\n"
    "  DCGM_FI_DEV_GPU_UTIL / 100\n"
    f"  or {_RATIO} / 100 and max_over_time({_RATIO}[1d]) > 1\n"
    f"  or {_RATIO}\n"
    ")"
)

UTILIZATION = _either(
    _of_source(_gauge("DCGM_FI_PROF_SM_ACTIVE", "DCGM_FI_PROF_SM_UTIL_RATIO"), "dcgm_sm"),
    _of_source(
        _gauge("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO"),
        "dcgm_gr_engine",
    ),
    _of_source(_NVML, "nvml"),
    f"max by ({_OF_GPU}, source) (snapenv_gpu_utilization_ratio)",
)
"""0 to 1, by the best source that a GPU has, which is the label ``source``."""

POWER_WATTS = _gauge("DCGM_FI_DEV_POWER_USAGE", "snapenv_gpu_power_watts")
POWER_LIMIT_WATTS = _gauge("DCGM_FI_DEV_POWER_MGMT_LIMIT", "snapenv_gpu_power_limit_watts")
TEMPERATURE_CELSIUS = _gauge("DCGM_FI_DEV_GPU_TEMP", "snapenv_gpu_temperature_celsius")
MEMORY_BYTES = _either(
    _gauge("DCGM_FI_DEV_FB_USED", scale=" * 1048576"), _gauge("snapenv_gpu_memory_used_bytes")
)
MEMORY_SIZE_BYTES = _either(
    f"({_gauge('DCGM_FI_DEV_FB_USED')} + {_gauge('DCGM_FI_DEV_FB_FREE')}) * 1048576",
    _gauge("snapenv_gpu_memory_bytes"),
)
ENERGY_JOULES = f"max by ({GPU}) (DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION < 9e18) / 1000"  # a counter
XID = f"max by ({_OF_GPU}) (DCGM_FI_DEV_XID_ERRORS)"


def _run_gpus_of_snapenv() -> str:
    labels = ", ".join((GPU, "run", *DECLARED))
    return (
        f'label_replace(group by ({labels}) (snapenv_run_gpu == 1), "scheduler", "snapenv", "", "")'
    )


def _run_gpus_of_jobs() -> str:
    """Return the GPUs of the jobs that files tell dcgm-exporter of (``--hpc-job-mapping-dir``)."""
    jobs = f'group by ({GPU}, hpc_job) ({{__name__=~"{_ANY}", hpc_job!~"0?"}})'
    named = f'label_replace({jobs}, "run", "$1", "hpc_job", "(.*)")'
    return f'label_replace(group by ({GPU}, run) ({named}), "scheduler", "hpc", "", "")'


def _run_gpus_of_pods() -> str:
    """Return the GPUs of pods, with our labels where kube-state-metrics is allowed to tell them."""
    pods = f'group by ({GPU}, namespace, pod) ({{__name__=~"{_ANY}", pod!=""}})'
    labels = ", ".join(_POD_LABELS)
    labelled = (
        f"{pods}\n  * on (namespace, pod) group_left ({labels})\n"
        f"  group by (namespace, pod, {labels}) (kube_pod_labels)"
    )
    named = _either(f"  {labelled}", f"  {pods}", on="namespace, pod")
    named = f'label_join(\n{named},\n  "run", "/", "namespace", "pod")'
    for name, label in zip(DECLARED, _POD_LABELS, strict=True):
        named = f'label_replace({named}, "{name}", "$1", "{label}", "(.*)")'
    kept = ", ".join((GPU, "run", *DECLARED, "namespace", "pod"))
    return f'label_replace(group by ({kept}) ({named}), "scheduler", "kubernetes", "", "")'


RUN_GPUS = _either(_run_gpus_of_snapenv(), _run_gpus_of_jobs(), _run_gpus_of_pods())
"""1 for each GPU of each run, with ``run``, ``scheduler`` and what the run declares.

``run`` is the run's id of snapenv, the number of a job (``scheduler`` is "hpc"), or the namespace
and the name of a pod, with ``/`` between.
"""


def of_runs(expression: str, *, source: bool = False, runs: str = "snapenv:run_gpu:info") -> str:
    """Return a gauge of GPUs by run: where two runs share a GPU, it is of both."""
    kept = ", source" if source else ""
    left = " group_left (source)" if source else " group_left ()"
    return f"{runs} * on ({GPU}){left} max by ({GPU}{kept}) ({expression})"
