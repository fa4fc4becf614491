from __future__ import annotations

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.usage_top import TopGpu, TopResult, TopRun
from snapenv.report.usage_top import top_lines

GPU = TopGpu(
    uuid="GPU-0",
    model="NVIDIA H200",
    utilization=93,
    util_source="gpm_sm",
    memory_bytes=70_000_000_000,
    power_mw=640_000,
    temperature_c=61,
    seen_ms=0,
    density=0.875,
)
RUN = TopRun(
    run="261101-140000-3d49",
    kind="run",
    user="ada",
    project="birds",
    purpose=None,
    model="yolov8n",
    tag=None,
    started_ms=0,
    elapsed_ms=4_500_000,
    epoch=12,
    epochs=100,
    remaining_ms=32_400_000,
    loss=2.75,
    cost=3_875_000,
    gpus=(GPU, replace(GPU, utilization=None, density=None)),
)
SHELL = replace(
    RUN, run="261101-150000-1a2b", kind="shell", project=None, model=None, epoch=None, loss=None,
    remaining_ms=None, cost=None, gpus=(), elapsed_ms=90_000,
)  # fmt: skip
RESULT = TopResult(at_ms=0, currency="EUR", runs=(RUN, SHELL))


def test_each_gpu_has_a_line() -> None:
    assert "\n".join(("", *top_lines(RESULT), "")) == wording("""\

run                  kind  user  project    model     time   gpu  util  effective   memory  power   epoch   left  loss      cost
261101-140000-3d49    run   ada    birds  yolov8n    1.2 h  H200  93 %     87.5 %  70.0 GB  640 W  12/100  9.0 h  2.75  3.88 EUR
                                                            H200                   70.0 GB  640 W
261101-150000-1a2b  shell   ada                    1.5 min
""")


def test_nothing_is_said_of_what_no_run_has() -> None:
    lines = top_lines(TopResult(at_ms=0, currency=None, runs=(SHELL,)))

    assert "\n".join(("", *lines, "")) == wording("""\

run                  kind  user     time
261101-150000-1a2b  shell   ada  1.5 min
""")


def test_that_nothing_runs_is_said() -> None:
    assert top_lines(TopResult(at_ms=0, currency=None, runs=())) == wording(
        ("nothing runs on this machine",)
    )


@pytest.mark.parametrize("width", [60, 80, 100, 132])
def test_a_narrow_terminal_gets_fewer_columns(width: int) -> None:
    lines = top_lines(RESULT, width=width)

    assert max(map(len, lines)) <= width
    assert len(lines) == 4
    for name in ("run", "gpu", "util", "time", "epoch"):
        assert name in lines[0].split()


def test_what_a_ledger_says_cannot_steer_a_terminal() -> None:
    hostile = replace(RUN, project="\x1b]0;x\x07", user="a\nb")

    text = "\n".join(top_lines(replace(RESULT, runs=(hostile,))))

    assert "\x1b" not in text
    assert text.count("\n") == 2
