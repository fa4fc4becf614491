"""Measure a report and an export of a year of 50 GPUs, and what its ledger takes up.

``python -m tests.benchmarks.usage [ROUNDS]``. The ledger has 20,000 runs (``tests.usage_year``).
"""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.measure import Work, best, show
from tests.usage_year import LAST_MONTH, fill_year

PRICES = """
currency = "EUR"
[[gpu]]
model = "H200"
from = 2024-01-01
per_hour = 3.10
[[gpu]]
model = "H100 80GB HBM3"
from = 2024-01-01
per_hour = 2.40
[[gpu]]
model = "L40S"
from = 2024-01-01
per_hour = 0.90
[[power]]
from = 2024-01-01
per_kwh = 0.24
pue = 1.3
"""


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ledger, prices = folder / "usage.sqlite3", folder / "prices.toml"
        prices.write_text(PRICES)
        began = time.perf_counter()
        fill_year(ledger)
        filled_s = time.perf_counter() - began
        content = ledger.read_bytes()
        packed = len(gzip.compress(content)) / 1e6
        print(f"ledger: {len(content) / 1e6:.1f} MB, {packed:.1f} MB in gzip, in {filled_s:.1f} s")
        snapenv = (sys.executable, "-m", "snapenv", "usage", "report", "--month", LAST_MONTH)
        environment = {"SNAPENV_LEDGER": str(ledger), "SNAPENV_PRICES": str(prices)}
        asked = {
            "text": ("--by", "project"),
            "JSON": ("--by", "user", "--format", "json"),
            "CSV": ("--by", "tag", "--format", "csv"),
        }
        works = [
            Work(name=name, argv=(*snapenv, *words), environment=environment)
            for name, words in asked.items()
        ]
        works.append(
            Work(
                name="export for finance",
                argv=(*snapenv[:4], "export", "--role", "finance", "-o", str(folder / "out")),
                environment=environment,
                before=lambda: shutil.rmtree(folder / "out", ignore_errors=True),
            )
        )
        show(best(works, rounds=rounds), against=())


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2] or ["3"]))
