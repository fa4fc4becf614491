"""What a run will take and cost, told before it starts."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import LedgerError, PriceListError
from snapenv.launch.records import list_records
from snapenv.launch.settings import MARK
from snapenv.model.launch import Gpu, LimitOptions
from snapenv.model.usage import UsedGpu
from snapenv.ports import Completed, Services
from snapenv.usage.ledger import open_ledger
from snapenv.workflows.run import Run, run
from tests.fakes import FakeRuns, FakeTarget
from tests.usage.values import GPU_MODEL, GPU_UUID, HOUR_MS, sample_training, sample_usage_run
from tests.workflows.services import services

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.usage import UsageRun

TRAIN = ("yolo", "train", "data=birds.yaml", "model=yolov8n.pt", "epochs=20")
PRICES = """\
currency = "EUR"
[[gpu]]
model = "H200"
from = 2020-01-01
per_hour = 3.00
"""


def earlier(number: int, *, batch: int = 16, hours: float = 2, **fields: Any) -> UsageRun:  # noqa: ANN401
    """Return a run of 20 epochs in so many hours."""
    duration_ms = round(hours * HOUR_MS)
    given: dict[str, Any] = {
        "key": f"run-{number:03}",
        "run": f"run-{number:03}",
        "command": (*TRAIN, f"batch={batch}"),
        "started_ms": number,
        "ended_ms": number + duration_ms,
        "duration_ms": duration_ms,
        "training": sample_training(
            epochs=20, epochs_done=20, batch=batch, epoch_ms=duration_ms // 20, best=0.5
        ),
    }
    return sample_usage_run(**given | fields)


HISTORY = [earlier(number, hours=2 + number % 3 / 4) for number in range(13)]
CHEAP = earlier(20, batch=64, hours=0.5)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    monkeypatch.delenv("SNAPENV_LEDGER", raising=False)
    python = tmp_path / "env/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    answer = Completed(exit_code=0, stdout=f"{MARK}null\n", stderr="")
    return replace(
        services(here=FakeTarget(answers={"/env/bin/python": answer})),
        processes=FakeRuns(),
        state=tmp_path / "state",
        gpus=lambda: (Gpu(number=0, uuid=GPU_UUID, name=GPU_MODEL),),
    )


def fill(outside: Services, *runs: UsageRun) -> None:
    assert outside.state
    with open_ledger(outside.state / "usage.sqlite3") as ledger:
        for one in runs:
            ledger.put_run(one)


def asked(folder: Path, **fields: Any) -> Run:  # noqa: ANN401
    given: dict[str, Any] = {
        "ref": str(folder / "env"),
        "repository": "snapenv",
        "argv": TRAIN,
        "folder": folder,
        "runs": folder / "runs",
        "estimate": True,
    }
    return Run(**given | fields)


def answer(request: Run, outside: Services) -> str:
    handed = run(request, outside, lambda _: None)
    assert handed.exit_code == 0
    assert handed.answer
    return handed.answer


@pytest.fixture
def prices(tmp_path: Path) -> LimitOptions:
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    return LimitOptions(prices=path)


def test_an_estimate_tells_time_cost_and_how_it_was_done_for_less(
    outside: Services, tmp_path: Path, prices: LimitOptions
) -> None:
    fill(outside, *HISTORY, CHEAP)

    assert answer(asked(tmp_path, limits=prices), outside) == wording("""\
this will take about 2.2 h and 6.75 EUR, in four of five cases 2.0 h to 2.5 h (13 comparable runs)
the best comparable run took 30.0 min and 1.50 EUR: batch 64 (run-020)\
""")


def test_without_prices_it_tells_the_time(outside: Services, tmp_path: Path) -> None:
    fill(outside, *HISTORY)

    assert answer(asked(tmp_path), outside) == wording("""\
this will take about 2.2 h, in four of five cases 2.0 h to 2.5 h (13 comparable runs)
the best comparable run took 2.0 h, with the same options (run-000)\
""")


def test_it_starts_and_writes_nothing(outside: Services, tmp_path: Path) -> None:
    fill(outside, *HISTORY)

    answer(asked(tmp_path), outside)

    assert outside.state
    assert list_records(outside.state) == ()
    with open_ledger(outside.state / "usage.sqlite3") as ledger:
        assert len(ledger.runs(0, 2**62)) == len(HISTORY)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], "unknown: 0 comparable runs, 3 needed"),
        (HISTORY[:1], "unknown: 1 comparable run, 3 needed"),
        (HISTORY[:5], "unknown: 5 comparable runs, but how far an estimate is off was seen of"),
        ([replace(one, ended_ms=None) for one in HISTORY], "unknown: 0 comparable runs"),
        ([replace(one, gpus=()) for one in HISTORY], "unknown: 0 comparable runs"),
    ],
)
def test_what_is_not_known_is_said(
    history: list[UsageRun], expected: str, outside: Services, tmp_path: Path
) -> None:
    fill(outside, *history)

    assert answer(asked(tmp_path), outside).startswith(expected)


def test_without_a_ledger_nothing_is_known(outside: Services, tmp_path: Path) -> None:
    assert answer(asked(tmp_path), outside).replace(str(tmp_path), "TMP") == wording(
        "unknown: 0 comparable runs, 3 needed"
    )
    assert not (tmp_path / "state").exists()


def test_a_price_that_is_missing_is_named(outside: Services, tmp_path: Path) -> None:
    fill(outside, *HISTORY)
    path = tmp_path / "prices.toml"
    path.write_text(PRICES.replace("H200", "L4"))

    before = dt.datetime.now(dt.timezone.utc).date()
    with pytest.raises(PriceListError) as caught:
        run(asked(tmp_path, limits=LimitOptions(prices=path)), outside, lambda _: None)
    after = dt.datetime.now(dt.timezone.utc).date()

    assert any(f"H200 on {day}" in str(caught.value) for day in (before, after))


def test_a_damaged_ledger_is_named(outside: Services, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "usage.sqlite3").write_bytes(b"no database" * 100)

    with pytest.raises(LedgerError, match=r"usage\.sqlite3"):
        run(asked(tmp_path), outside, lambda _: None)


def test_other_gpus_without_a_price_are_no_best_run(
    outside: Services, tmp_path: Path, prices: LimitOptions
) -> None:
    old = replace(CHEAP, gpus=(UsedGpu(uuid="GPU-2", model="NVIDIA P40"),))
    fill(outside, *HISTORY, old)

    best = answer(asked(tmp_path, limits=prices), outside).splitlines()[1]

    assert best.replace(str(tmp_path), "TMP") == wording(
        "the best comparable run took 2.0 h and 6.00 EUR, with the same options (run-000)"
    )


def said_at_start(request: Run, outside: Services) -> list[str]:
    said: list[str] = []
    assert run(replace(request, estimate=False), outside, said.append).exit_code == 0
    return said


def test_a_start_tells_the_estimate_in_one_line(
    outside: Services, tmp_path: Path, prices: LimitOptions
) -> None:
    fill(outside, *HISTORY, CHEAP)

    (line,) = said_at_start(asked(tmp_path, limits=prices), outside)

    assert line == answer(asked(tmp_path, limits=prices), outside).splitlines()[0]


@pytest.mark.parametrize("number", [0, 5])
def test_a_start_says_nothing_where_too_little_is_known(
    number: int, outside: Services, tmp_path: Path
) -> None:
    fill(outside, *HISTORY[:number])

    assert said_at_start(asked(tmp_path), outside) == []


def test_a_price_list_that_is_wrong_stops_no_start(outside: Services, tmp_path: Path) -> None:
    fill(outside, *HISTORY)
    (tmp_path / "prices.toml").write_text("currency = 7")
    limits = LimitOptions(prices=tmp_path / "prices.toml")

    assert said_at_start(asked(tmp_path, limits=limits), outside) == []


def test_new_data_are_counted_but_not_at_a_start(outside: Services, tmp_path: Path) -> None:
    images = tmp_path / "new" / "images"
    images.mkdir(parents=True)
    for number in range(2500):
        (images / f"{number}.jpg").touch()
    (tmp_path / "new.yaml").write_text("path: new\ntrain: images\n")
    fill(outside, *HISTORY)
    request = asked(tmp_path, argv=("yolo", "train", "data=new.yaml", *TRAIN[3:]))

    told = answer(request, outside)

    # Half of the images of the others, in the same number of epochs
    assert told.replace(str(tmp_path), "TMP") == wording(
        "this will take about 1.1 h, in four of five cases 1.0 h to 1.3 h (13 comparable runs)"
    )
    assert said_at_start(request, outside) == []
