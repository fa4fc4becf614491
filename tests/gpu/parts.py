"""The parts of a run, in their order: each by snapenv's own code, in a process of its own.

A part tells what it has as it has it, by the names of ``Record``, so that one which is ended leaves
what it had. Whatever it raises is its outcome.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from snapenv.lock.store import write_snapshot
from snapenv.model.bench import BenchOptions
from snapenv.model.fingerprint import Fingerprint
from snapenv.model.results import BenchResult, TuneResult
from snapenv.probe.host import probe_host
from snapenv.probe.probe import probe
from snapenv.targets.gpu_samples import NvmlGpus
from snapenv.targets.loads import load_of_tree
from snapenv.targets.local import LocalTarget
from snapenv.travel.answer import progress_of, visible
from snapenv.travel.pack import pack
from snapenv.tuning.measure import measure
from snapenv.verify.device import find_unused_gpu
from snapenv.verify.exports import try_exports
from snapenv.verify.smoke_train import ENVIRONMENT, smoke_train
from snapenv.verify.train_ranks import train_ranks
from tests.gpu.budget import Limits
from tests.gpu.record import Planted, Sampling, of_training
from tests.samples import sample_lock, sample_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from snapenv.model.exports import ExportFormat
    from snapenv.model.sampling import GpuReading

_MARK = "snapenv-repeat: "
_PROGRAM = Path(__file__).with_name("in_environment") / "repeat.py"
_EVERYWHERE = ("batch order", "seed", "lr", "threads")
_ON_GPU = ("tf32", "cudnn off", "amp", "amp bf16")
_ON_CPU = ("onednn off", "matmul medium")  # what stands in for these in a rehearsal
_LOOK_S = 0.25
_READINGS = 30  # that are kept of a training
_LONGEST = 300  # characters of an error


class NotApplicableError(Exception):
    """This machine has nothing of which the part could tell; the message says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where a part runs, and what it is to do."""

    python: str  # the environment's interpreter
    folder: str  # a work folder of all parts
    device: str  # "auto" until the baseline is there, then "cpu" or "0"
    gpus: int = 0  # that the driver shows
    repeats: int = 20
    planted: int = 5  # trainings of each difference
    only: tuple[str, ...] = ()  # differences to plant; all where empty
    another: str = ""  # a folder with another ultralytics; empty where none was carried
    baseline: Fingerprint | None = None

    @property
    def target(self) -> LocalTarget:
        return LocalTarget(self.python)

    @property
    def on_gpu(self) -> bool:
        return self.device not in {"cpu", "auto"}

    @property
    def word(self) -> str:
        """The device as the travelling programs take it."""
        return "cuda" if self.on_gpu else self.device


class Notes:
    """Tells what a part has, a line each; also the ``Task`` that snapenv's own code tells."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def tell(self, name: str, value: object) -> None:
        """Tell a value by its name in ``Record``; one of a list is added to it."""
        self._write(json.dumps({name: msgspec.to_builtins(value)}))

    def note(self, text: str) -> None:
        sys.stderr.write(f"  {text}\n")

    def count(self, done: int, total: int | None) -> None:
        """Nothing here is counted in bytes."""


def machine(context: Context, notes: Notes) -> None:
    """Ask the driver and the system."""
    notes.tell("machine", probe_host(context.target).hardware)


def baseline(context: Context, notes: Notes) -> None:
    """Train once, as a capture does.

    Raises:
        RuntimeError: There is a GPU and it trained on the CPU; the rest goes on as a rehearsal.
    """
    found = smoke_train(context.target, device=context.device, task=notes)
    notes.tell("baseline", replace(found, libraries=(), cuda=None))
    unused = find_unused_gpu(found, [probe_host(context.target).hardware])
    if unused:
        raise RuntimeError(f"it trained on the CPU beside {unused.gpu}: {unused.why}")


def repeats(context: Context, notes: Notes) -> None:
    """Train in one process, with nothing changed."""

    def hear(planted: Planted) -> None:
        if planted.training is None:
            raise RuntimeError(planted.error)
        notes.tell("repeats", [planted.training])

    _train(context, ["none"] * context.repeats, hear)


def planted(context: Context, notes: Notes) -> None:
    """Train with each difference in turn, so that what is cut off has some of each."""
    names = [*_EVERYWHERE, *(_ON_GPU if context.on_gpu else _ON_CPU)]
    chosen = [name for name in names if not context.only or name in context.only]
    for name in _ON_CPU if context.on_gpu else _ON_GPU:
        if not context.only or name in context.only:
            where = "CPU" if context.on_gpu else "GPU"
            told = Planted(name=name, error=f"not applicable: it changes nothing without a {where}")
            notes.tell("planted", [told])
    _train(context, [*chosen, "none"] * context.planted, lambda one: notes.tell("planted", [one]))


def another_ultralytics(context: Context, notes: Notes) -> None:
    """Train with an ultralytics that hides the environment's own."""
    if not context.another:
        raise NotApplicableError("no other ultralytics was carried")

    def hear(one: Planted) -> None:
        notes.tell("planted", [replace(one, name="another ultralytics")])

    _train(context, ["none"] * context.planted, hear, {"PYTHONPATH": context.another})


def separate(context: Context, notes: Notes) -> None:
    """Train three times, each in a process of its own."""
    for _ in range(3):
        began = time.perf_counter()
        found = smoke_train(context.target, device=context.device, task=notes)
        took = time.perf_counter() - began
        notes.tell("separate", [of_training(found, context.baseline, took)])


def ranks(context: Context, notes: Notes) -> None:
    """Train on two devices at once, or in two processes on a CPU."""
    if context.on_gpu and context.gpus < 2:
        raise NotApplicableError("there is one GPU")
    device = "0,1" if context.on_gpu else "cpu,cpu"
    answer = train_ranks(context.target, device=device, task=notes)
    if answer.measured is None:
        missing = answer.missing
        raise RuntimeError(f"rank {missing.ranks}: {missing.why}" if missing else "no two devices")
    notes.tell("ranks", answer.measured.ranks)
    notes.tell("ranks_speed", answer.measured.speed)


def sampling(context: Context, notes: Notes) -> None:
    """Look at the GPUs beside every other of four trainings."""
    options = replace(_options(context), steps=10, warmup_steps=2)
    speeds: dict[bool, list[float]] = {False: [], True: []}
    costs_ms: list[float] = []
    for beside in (False, True, True, False):
        looker = _Looker() if beside else None
        try:
            run = measure(context.target, options, notes).run
        finally:
            if looker:
                looker.stop()
        speeds[beside].append(round(run.images_per_s, 2))
        if looker:
            costs_ms += looker.costs_ms
            notes.tell("readings", [_nameless(one) for one in looker.readings[-_READINGS:]])
        if costs_ms:
            notes.tell(
                "sampling",
                Sampling(
                    looks=len(costs_ms),
                    cpu_ms=round(statistics.median(costs_ms), 3),
                    without=tuple(speeds[False]),
                    beside=tuple(speeds[True]),
                ),
            )


def facts(context: Context, notes: Notes) -> None:
    """Look at the environment as a capture does, and lock it without an index.

    A machine without network cannot ask an index for wheels, so the lock names wheels that are made
    up. What is measured in the environment does not depend on them.
    """
    found = probe(context.target)
    notes.tell("distributions", len(found.environment.distributions))
    lock = sample_lock(facts=found, baseline=context.baseline)
    write_snapshot(sample_snapshot(lock), _snapshot(context))


def bench(context: Context, notes: Notes) -> None:
    """Run ``snapenv bench``."""
    options = _options(context)
    words = ("--repeat", "3" if context.on_gpu else "2")
    result = _snapenv(context, "bench", options, *words)
    notes.tell("bench", msgspec.convert(result, BenchResult).bench)


def tune(context: Context, notes: Notes) -> None:
    """Run ``snapenv tune`` with three trials."""
    options = replace(_options(context), steps=20 if context.on_gpu else 5)
    batches = ",".join(str(options.batch * factor) for factor in (1, 2, 4))
    vary = (f"batch={batches}", f"workers={options.workers}", "cache=none")
    only = (f"amp={str(options.amp).lower()}", "compile=false") if context.on_gpu else ()
    words = [word for value in (*vary, *only) for word in ("--vary", value)]
    few = ("--trials", "3", "--repeat", "1", "--pairs", "2")
    output = str(Path(context.folder) / "tuned.toml")
    result = _snapenv(context, "tune", options, *words, *few, "--output", output)
    notes.tell("tuning", msgspec.convert(result, TuneResult).tuning)


def exports(context: Context, notes: Notes) -> None:
    """Export with the packages that are there; what is missing is named."""
    formats: tuple[ExportFormat, ...] = ("torchscript", "onnx")
    for one in (*formats, *(("engine",) if context.on_gpu else ())):
        found = try_exports(context.target, (one,), {}, device=context.device, task=notes)
        notes.tell("exports", found)


def capture(context: Context, notes: Notes) -> None:
    """Run ``snapenv capture``, which needs uv and an index that answers, or what uv has kept."""
    import importlib.util

    if importlib.util.find_spec("uv") is None:
        raise NotApplicableError("uv, which asks the index, is not installed beside snapenv")
    place = Path(context.folder) / "captured"
    words = ("--python", context.python, "--device", context.device, "--output", str(place))
    result = _run_snapenv(context, "capture", *words)
    notes.tell("captured", result["tag"])


PARTS: Mapping[str, tuple[Callable[[Context, Notes], None], Limits]] = {
    "machine": (machine, Limits(most_s=30, least_s=2)),
    "baseline": (baseline, Limits(most_s=90, least_s=10)),
    "repeats": (repeats, Limits(most_s=120, least_s=15)),
    "planted": (planted, Limits(most_s=150, least_s=20)),
    "another ultralytics": (another_ultralytics, Limits(most_s=45, least_s=10)),
    "separate": (separate, Limits(most_s=75, least_s=15)),
    "ranks": (ranks, Limits(most_s=75, least_s=15)),
    "facts": (facts, Limits(most_s=90, least_s=10)),
    "sampling": (sampling, Limits(most_s=60, least_s=25)),
    "exports": (exports, Limits(most_s=60, least_s=10)),
    "bench": (bench, Limits(most_s=90, least_s=30)),
    "tune": (tune, Limits(most_s=120, least_s=45)),
    "capture": (capture, Limits(most_s=90, least_s=25)),
}
"""Each part with its time, what tells most first. Parts after the baseline use its device."""


def run_part(name: str, context: Context, notes: Notes) -> None:
    """Run one part; how it ended is the last thing that is told."""
    work, _ = PARTS[name]
    try:
        work(context, notes)
    except NotApplicableError as error:
        notes.tell("ended", ["not applicable", str(error)])
    except BaseException as error:  # noqa: BLE001 - whatever comes is the outcome of this part
        notes.tell("ended", ["failed", _told(error)])
    else:
        notes.tell("ended", ["done", ""])


def _told(error: BaseException) -> str:
    lines = f"{type(error).__name__}: {error}".strip().splitlines()
    return " ".join(lines)[:600]


def _train(
    context: Context,
    names: Sequence[str],
    hear: Callable[[Planted], None],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Train once for each name, in one process; tell of each as it has ended.

    Where one takes the process with it, or leaves the GPU unusable for it, the rest goes on in
    another.
    """
    left = list(names)

    def listen(text: str) -> None:
        del left[0]
        hear(_planted(text, context.baseline))

    while left:
        before = len(left)
        done = context.target.run(
            (context.python, "-B", "repeat.py", context.word, *left),
            files={
                "repeat.py": _PROGRAM.read_bytes(),
                "snapenv_train.pyz": pack("snapenv_train"),
            },
            environment={**ENVIRONMENT, **visible(context.device), **(environment or {})},
            on_line=progress_of(_MARK, _Hearing(listen)),
        )
        if left and (done.exit_code or len(left) == before):
            last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            error = f"its process ended with {done.exit_code}: {last[0]}"
            hear(Planted(name=left.pop(0), error=error[:_LONGEST]))


@dataclass(frozen=True)
class _Hearing:
    """A ``Task`` whose notes are answers."""

    listen: Callable[[str], None]

    def note(self, text: str) -> None:
        self.listen(text)

    def count(self, done: int, total: int | None) -> None:
        """Nothing is counted."""


def _planted(text: str, baseline: Fingerprint | None) -> Planted:
    told = json.loads(text)
    if "error" in told:
        return Planted(name=told["name"], error=told["error"])
    found = msgspec.convert(told["fingerprint"], Fingerprint)
    return Planted(name=told["name"], training=of_training(found, baseline, told["seconds"]))


class _Looker:
    """Looks at the GPUs and at this process in a thread, as the sampler of runs does."""

    def __init__(self) -> None:
        self.costs_ms: list[float] = []
        self.readings: list[GpuReading] = []
        self._gpus = NvmlGpus()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _look_on(self) -> None:
        while not self._ended.wait(_LOOK_S):
            before = time.thread_time()
            self.readings += self._gpus.read(round(_LOOK_S * 1000))
            load_of_tree(os.getpid())
            self.costs_ms.append((time.thread_time() - before) * 1000)


def _nameless(reading: GpuReading) -> GpuReading:
    """Return a reading without what names this machine's GPU and processes."""
    return replace(reading, gpu="GPU", parent=None, pids=frozenset())


def _options(context: Context) -> BenchOptions:
    if context.on_gpu:
        return BenchOptions(device=context.device)
    return BenchOptions(
        device="cpu", imgsz=64, batch=4, workers=0, amp=False, warmup_steps=2, steps=10
    )


def _snapshot(context: Context) -> Path:
    return Path(context.folder) / "snapshot"


def _snapenv(context: Context, command: str, options: BenchOptions, *words: str) -> dict[str, Any]:
    """Run a command that trains in the environment, and return its result."""
    if not _snapshot(context).is_dir():
        raise NotApplicableError("the environment could not be locked; see the part facts")
    training = (
        *("--engine", "venv", "--into", str(Path(context.python).parents[1])),
        *("--device", options.device, "--model", options.model, "--imgsz", str(options.imgsz)),
        *("--batch", str(options.batch), "--workers", str(options.workers)),
        *("--amp" if options.amp else "--no-amp", "--steps", str(options.steps)),
    )
    return _run_snapenv(context, command, str(_snapshot(context)), *training, *words)


def _run_snapenv(context: Context, command: str, *words: str) -> dict[str, Any]:
    """Run the command line in a process of its own, with a cache and a state of its own.

    Raises:
        RuntimeError: It failed; the message is its own.
    """
    places = {
        name: str(Path(context.folder) / place)
        for name, place in (("XDG_CACHE_HOME", "cache"), ("XDG_STATE_HOME", "state"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu", "snapenv", command, "--json", *words],
        env={**os.environ, **places},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        document = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise RuntimeError(f"exit code {done.returncode}: {last[0]}") from None
    if document["error"]:
        raise RuntimeError(f"{document['error']['kind']}: {document['error']['message']}")
    result: dict[str, Any] = document["result"]
    return result
