"""A year of a team's GPUs as a ledger: what it takes to keep and to report it can be measured.

``fill_year(path)`` writes 20,000 runs of 40 people on 50 GPUs. Each GPU has one run after another
with pauses; every tenth run has four GPUs of its machine, which it may share with others.
"""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.model.usage import MachineGpu, RunGpu, Training, UsageRun, UsedGpu
from snapenv.usage.ledger import open_ledger
from snapenv.usage.months import month_of, month_span, shift_month
from snapenv.usage.tables import RUN, RUN_GPU

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST_MONTH, LAST_MONTH = "2024-12", "2025-11"
RUNS, GPUS, OF_A_HOST = 20_000, 50, 8
_HOUR_MS = 3_600_000
_MODELS = ("NVIDIA H200", "NVIDIA H100 80GB HBM3", "NVIDIA L40S")
_TRAINED = ("yolov8n.pt", "yolov8s.pt", "yolov8m.pt", "yolo11l.pt")
_FAILURES = ("oom", "gpu-memory", "data", "killed")


class _Place(Struct, frozen=True):
    host: str
    gpus: tuple[UsedGpu, ...]  # of the machine
    number: int  # of the one that is used


def fill_year(path: Path, *, runs: int = RUNS, seed: int = 17) -> None:
    """Write a ledger of a year; the same for the same numbers."""
    chance = random.Random(seed)
    places = _places()
    with open_ledger(path) as ledger:
        since_ms, until_ms = month_span(FIRST_MONTH)[0], month_span(LAST_MONTH)[1]
        ledger.see_gpus(
            MachineGpu(
                host=place.host,
                gpu=place.gpus[place.number].uuid,
                model=place.gpus[place.number].model,
                first_ms=since_ms,
                last_ms=until_ms,
            )
            for place in places
        )
        made = list(_year(chance, places, runs))
        ledger._put(RUN, made)
        ledger._put(RUN_GPU, (row for run in made for row in _run_gpus(chance, run)))


def _places() -> list[_Place]:
    hosts: dict[str, list[UsedGpu]] = {}
    for number in range(GPUS):
        machine = number // OF_A_HOST
        gpu = UsedGpu(uuid=f"GPU-{uuid.UUID(int=number)}", model=_MODELS[machine % 3])
        hosts.setdefault(f"node{machine}", []).append(gpu)
    return [
        _Place(host, tuple(gpus), number)
        for host, gpus in hosts.items()
        for number in range(len(gpus))
    ]


def _year(chance: random.Random, places: list[_Place], runs: int) -> Iterator[UsageRun]:
    since_ms, until_ms = month_span(FIRST_MONTH)[0], month_span(LAST_MONTH)[1]
    each_ms = (until_ms - since_ms) * len(places) // runs  # of a run with the pause after it
    for number in range(runs):
        place = places[number % len(places)]
        begin_ms = since_ms + number // len(places) * each_ms
        duration_ms = min(
            round(each_ms * chance.uniform(0.05, 0.95)), until_ms - begin_ms - _HOUR_MS
        )
        yield _run(chance, place, begin_ms, max(duration_ms, _HOUR_MS // 4))


def _run(chance: random.Random, place: _Place, begin_ms: int, duration_ms: int) -> UsageRun:
    failed = chance.random() < 0.15
    epochs = chance.choice((50, 100, 300))
    done = chance.randint(1, epochs) if failed else epochs
    version = chance.randint(1, 12)
    model = chance.choice(_TRAINED)
    return UsageRun(
        key=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        run=f"run-{begin_ms}-{place.number}",
        kind="run",
        user=f"user{chance.randint(1, 40):02}",
        project=chance.choice((None, *(f"project{number}" for number in range(1, 9)))),
        purpose=chance.choice((None, "baseline", "ablation", "release")),
        model=model.removesuffix(".pt"),
        command=("yolo", "train", f"model={model}", "data=data.yaml", f"epochs={epochs}"),
        tag=f"train-yolov8.4.{version}-base-cu130",
        image=f"sha256:{version:064x}",
        snapshot=f"sha256:{version + 1000:064x}",
        host=place.host,
        gpus=place.gpus[:4] if chance.random() < 0.1 else place.gpus[place.number :][:1],
        gpus_asked="all",
        started_ms=begin_ms,
        ended_ms=begin_ms + duration_ms,
        duration_ms=duration_ms,
        exit_code=1 if failed else 0,
        failure=chance.choice(_FAILURES) if failed else None,
        training=Training(
            model=model,
            task="detect",
            epochs=epochs,
            epochs_done=done,
            images=chance.choice((800, 5_000, 118_000)),
            imgsz=640,
            batch=chance.choice((16, 64)),
            amp=True,
            workers=8,
            metric="mAP50-95(B)",
            best=round(chance.uniform(0.3, 0.6), 4),
            best_epoch=done,
            epoch_ms=duration_ms // (done + 1),
        ),
    )


def _run_gpus(chance: random.Random, run: UsageRun) -> Iterator[RunGpu]:
    """Yield what each GPU of a run did in each month."""
    if run.ended_ms is None:
        return
    month = month_of(run.started_ms)
    while month_span(month)[0] < run.ended_ms:
        begin_ms, end_ms = month_span(month)
        spent_ms = min(end_ms, run.ended_ms) - max(begin_ms, run.started_ms)
        for gpu in run.gpus:
            busy = chance.random()
            cold_ms, warm_ms = round(spent_ms * busy / 3), round(spent_ms * busy / 2)
            hot_ms = round(spent_ms * 0.98) - cold_ms - warm_ms
            yield RunGpu(
                key=run.key,
                gpu=gpu.uuid,
                month=month,
                model=gpu.model,
                allocated_ms=spent_ms,
                covered_ms=cold_ms + warm_ms + hot_ms,
                buckets=(cold_ms, 0, 0, 0, warm_ms, 0, 0, 0, 0, hot_ms),
                util_source="gpm_sm" if "H" in gpu.model else "nvml",
                energy_mj=spent_ms * 500,
                memory_peak_bytes=chance.randint(4, 80) << 30,
                power_peak_mw=690_000,
            )
        month = shift_month(month, 1)
