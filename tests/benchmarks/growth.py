"""How time and memory grow: with packages, snapshots, the size of an image, and samples of usage.

Packages are made here, and their index is one on loopback. An image is layers that are made as they
are read, in the form that an engine saves them. ``--large`` goes to 100 GB and 100 million samples.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
from docker import DockerClient
from docker.errors import ImageNotFound

from snapenv.content import Tar
from snapenv.index.wheels import IndexWheels
from snapenv.model.host import NEEDS_LABEL
from snapenv.model.needs_label import make_label
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.model.usage import Sample
from snapenv.usage.ledger import open_ledger
from tests.benchmarks.bench import SNAPENV, UV, forget, home_of
from tests.benchmarks.listing import listings
from tests.benchmarks.measure import Work, by_turns, run
from tests.benchmarks.results import Row, Table, make_row
from tests.engines.busybox import small_layer
from tests.engines.index_server import build_wheel, serve_index
from tests.samples import sample_lock
from tests.usage_year import LAST_MONTH, fill_year

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.benchmarks.bench import Bench

PACKAGES = (50, 200, 1000)
FILES = 20  # of each package, of 4 KiB
TAGS = (1, 10, 100, 1000)
LOCAL = "bench/held"  # a name of images that the engine holds
GB, LARGE_GB = (1, 2, 4), (1, 10, 100)
MILLIONS, LARGE_MILLIONS = (1, 2, 4), (1, 10, 100)
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


def measure(bench: Bench) -> Iterator[Table]:
    steps = (with_packages, with_snapshots, with_images, with_bytes, with_runs, with_samples)
    yield from bench.each(*(partial(step, bench) for step in steps))


def _grown(
    bench: Bench,
    about: Table,
    works: Mapping[int, Sequence[Work]],
    *,
    rounds: int,
    warm: bool = True,
) -> Table:
    """Run the works of all sizes by turns, and give them series by series."""
    named = [
        replace(work, name=f"{work.name} {size}")
        for size, all_of in works.items()
        for work in all_of
    ]
    costs = by_turns(named, rounds=bench.rounds(rounds), warm=warm)
    rows = [
        make_row(work.name, costs[f"{work.name} {size}"], size=size)
        for size, all_of in works.items()
        for work in all_of
    ]
    names = list(dict.fromkeys(row.name for row in rows))
    rows.sort(key=lambda row: (names.index(row.name), row.size))
    return msgspec.structs.replace(about, rows=tuple(rows))


def _about(title: str, unit: str) -> Table:
    return Table(title=title, unit=unit, rows=())


def with_packages(bench: Bench) -> Iterator[Table]:
    folder = bench.folder / "growth"
    folder.mkdir()
    wheels = [make_wheel(f"growth{number}") for number in range(max(PACKAGES))]
    with serve_index(*wheels) as server:
        # It is asked first; snapenv's own uv comes from the usual one.
        index = {**IndexWheels(None).variables(), "UV_INDEX": server.index}
        home = {**home_of(folder / "home"), **index}
        works = {size: package_works(folder, size, home) for size in PACKAGES}
        title = f"Packages of {FILES} files, from an index on loopback"
        yield _grown(bench, _about(title, "packages"), works, rounds=2, warm=False)


def make_wheel(name: str) -> tuple[str, bytes]:
    files = {
        f"{name}/module{number}.py": f"VALUE = {number:06}\n".encode() * 256
        for number in range(FILES)
    }
    return build_wheel(name, files=files)


def package_works(folder: Path, size: int, home: Mapping[str, str]) -> list[Work]:
    """Return commands on an environment of so many packages; each needs the one before it."""
    place = folder / str(size)
    place.mkdir()
    python, snapshot, into = place / "env" / "bin" / "python", place / "snapshot", place / "back"
    install(place, size, home)

    def work(name: str, *words: str, before: Callable[[], object] = lambda: None) -> Work:
        return Work(name=name, argv=(*SNAPENV, *words), environment=home, before=before)

    capture = ("capture", "--no-smoke", "--python", str(python), "-o", str(snapshot))
    restore = ("restore", str(snapshot), "--engine", "venv", "--into", str(into), "--no-smoke")
    forget_snapshot = lambda: forget(snapshot)  # noqa: E731
    return [
        work("capture, every file", *capture, "--rehash", before=forget_snapshot),
        work("capture, nothing changed", *capture, before=forget_snapshot),
        work("restore as a venv", *restore, before=lambda: forget(into)),
        work("diff with the restored", "diff", str(snapshot), str(into)),
        work("doctor", "doctor", str(snapshot), "--engine", "venv", "--device", "cpu"),
        work("show", "show", str(snapshot)),
    ]


def install(place: Path, size: int, home: Mapping[str, str]) -> None:
    """Make an environment of so many packages from the index."""
    pins = place / "pins.txt"
    pins.write_text("\n".join(f"growth{number}==1.0" for number in range(size)))
    into = str(place / "env")
    words = 'set -e; "$1" venv -q "$2"; "$1" pip sync -q -p "$2/bin/python" "$3"'
    argv = ("sh", "-c", words, "sh", UV, into, str(pins))
    run(Work(name="install", argv=argv, environment=home))


def with_snapshots(bench: Bench) -> Iterator[Table]:
    works = {
        tags: [work for work in listings(bench, tags) if work.name.endswith(("--remote", "--fits"))]
        for tags in TAGS
    }
    yield _grown(bench, _about("Images in a repository of a registry", "images"), works, rounds=2)


def with_images(bench: Bench) -> Iterator[Table]:
    """List images that the engine holds; each size is listed before more are loaded."""
    client = DockerClient(base_url=bench.engine, timeout=600)
    costs: dict[str, list[Row]] = {}
    try:
        for held, count in pairwise((0, *TAGS)):
            client.images.load(saved_images(range(held, count)))
            for work in image_works(bench):
                (found,) = by_turns([work], rounds=bench.rounds(2)).values()
                costs.setdefault(work.name, []).append(make_row(work.name, found, size=count))
    finally:
        for number in range(max(TAGS)):
            with suppress(ImageNotFound):
                client.api.remove_image(f"{LOCAL}:{number}", force=True)
        client.close()
    rows = tuple(row for of_one in costs.values() for row in of_one)
    yield msgspec.structs.replace(_about("Images that the engine holds", "images"), rows=rows)


def image_works(bench: Bench) -> list[Work]:
    environment = {**home_of(bench.folder / "images"), "DOCKER_HOST": bench.engine}
    words = {"list": ("list", LOCAL), "clean": ("clean",)}
    return [
        Work(name=name, argv=(*SNAPENV, *of_one), environment=environment)
        for name, of_one in words.items()
    ]


def saved_images(numbers: Sequence[int]) -> bytes:
    """Return small images of snapenv as docker save writes them: one layer, a config of each."""
    layer = small_layer({})
    files, manifest = {"layer.tar": layer}, []
    labels = {SNAPSHOT_LABEL: f"sha256:{'a' * 64}", NEEDS_LABEL: make_label(sample_lock())}
    for number in numbers:
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {**labels, "number": str(number)}},
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"],
            },
        }
        files[f"{number}.json"] = json.dumps(config).encode()
        entry = {"Config": f"{number}.json", "RepoTags": [f"{LOCAL}:{number}"]}
        manifest.append({**entry, "Layers": ["layer.tar"]})
    return b"".join(Tar({**files, "manifest.json": json.dumps(manifest).encode()}))


def with_bytes(bench: Bench) -> Iterator[Table]:
    """Send an image through what reads it of an engine and writes it as an archive, and back."""
    sizes = LARGE_GB if bench.large else GB
    program = (sys.executable, "-m", "tests.benchmarks.large_image")
    digests, archive = bench.folder / "digests.json", bench.folder / "large"
    run(Work(name="digests", argv=(*program, "digests", str(max(sizes)), str(digests))))
    works = {}
    for size in sizes:
        files = (str(size), str(digests), str(archive))
        works[size] = [
            Work(
                name="export, from what an engine saves",
                argv=(*program, "export", *files),
                before=lambda: forget(archive),
            ),
            Work(name="import, the check before it", argv=(*program, "check", *files)),
        ]
    yield _grown(bench, _about("An image in layers of 1 GB", "GB"), works, rounds=1, warm=False)


def with_runs(bench: Bench) -> Iterator[Table]:
    folder = bench.folder / "usage"
    folder.mkdir()
    (folder / "prices.toml").write_text(PRICES)
    works = {}
    for runs in (1_000, 20_000):
        ledger = folder / f"{runs}.sqlite3"
        fill_year(ledger, runs=runs)
        works[runs] = usage_works(ledger, folder)
    yield _grown(bench, _about("Runs of a year in the ledger", "runs"), works, rounds=2)


def usage_works(ledger: Path, folder: Path) -> list[Work]:
    environment = {"SNAPENV_LEDGER": str(ledger), "SNAPENV_PRICES": str(folder / "prices.toml")}
    report = (*SNAPENV, "usage", "report", "--month", LAST_MONTH)
    export = (*SNAPENV, "usage", "export", "--role", "finance")
    out = folder / "out"
    return [
        Work(name="usage report", argv=(*report, "--by", "project"), environment=environment),
        Work(
            name="usage report, CSV by tag",
            argv=(*report, "--by", "tag", "--format", "csv"),
            environment=environment,
        ),
        Work(
            name="usage export",
            argv=(*export, "-o", str(out)),
            environment=environment,
            before=lambda: forget(out),
        ),
    ]


def with_samples(bench: Bench) -> Iterator[Table]:
    """Report a year of runs whose looks at their GPUs are all still kept."""
    folder = bench.folder / "samples"
    folder.mkdir()
    (folder / "prices.toml").write_text(PRICES)
    works = {}
    for millions in LARGE_MILLIONS if bench.large else MILLIONS:
        ledger = folder / f"{millions}m.sqlite3"
        fill_year(ledger, runs=1_000)
        add_samples(ledger, millions * 1_000_000)
        works[millions] = usage_works(ledger, folder)[:1]
    yield _grown(bench, _about("Samples in the ledger", "million samples"), works, rounds=2)


def add_samples(path: Path, count: int) -> None:
    """Spread samples over the runs of a ledger, one a second; SQLite makes most of them itself."""
    with open_ledger(path) as ledger:
        runs = [run for run in ledger.runs(0, 1 << 60) if run.gpus]
        ledger.add_samples(
            Sample(
                key=run_.key,
                gpu=run_.gpus[0].uuid,
                at_ms=run_.started_ms,
                utilization=50,
                util_source="nvml",
                memory_bytes=1 << 30,
                power_mw=300_000,
                energy_mj=0,
            )
            for run_ in runs
        )
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(MORE_SAMPLES, (count // len(runs),))


MORE_SAMPLES = """
with recursive second(number) as (select 1 union all select number + 1 from second limit ?)
insert into sample (series, at_ms, utilization, memory_bytes, power_mw, energy_mj)
select series, at_ms + number * 1000, number % 100, memory_bytes, power_mw, number * 300000
from sample cross join second
"""
