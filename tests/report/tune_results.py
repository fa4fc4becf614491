"""Searches as a page is made of: one of each kind, and one that is hostile."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.model.bench import BenchOptions
from snapenv.model.results import TuneResult
from snapenv.model.tuning import DefaultRun, Settings, Trial, Tuning
from snapenv.tuning.verdict import judge_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT = Settings(batch=4, workers=0, amp=False)
OPTIONS = BenchOptions(batch=4, workers=0, imgsz=160, amp=False, warmup_steps=4, steps=30)
SHOWN = {  # images/s by batch, workers and cache, as a CPU made them
    (4, 0, "none"): 29.8,
    (4, 0, "ram"): 33.7,
    (8, 2, "none"): 37.7,
    (8, 2, "ram"): 38.4,
    (16, 0, "none"): 39.3,
    (16, 0, "ram"): 42.3,
    (16, 2, "none"): 42.4,
    (16, 2, "ram"): 43.1,
}


def proven() -> TuneResult:
    """Return a search with trials of every kind, which has proven a gain."""
    trials = [_trial(key, value) for key, value in SHOWN.items()]
    early = {5: 10, 1: 5}
    trials = [replace(trial, ended_after=early.get(number)) for number, trial in enumerate(trials)]
    broken = Settings(batch=64, workers=2, amp=False)
    trials.append(Trial(settings=broken, score=None, reason="out of memory"))
    return _result(trials, (29.8, 31.2, 26.0), (29.1, 38.6, 40.4, 30.3, 28.8, 37.6))


def not_proven() -> TuneResult:
    """Return a search whose pairs differ more than they gain."""
    trials = [_trial(key, value) for key, value in SHOWN.items()]
    return _result(trials, (29.8, 29.9, 29.8), (29.1, 38.6, 30.4, 30.3, 20.8, 37.6))


def default_is_best() -> TuneResult:
    """Return a search of two trials, of which the default is the better one."""
    trials = [_trial((4, 0, "none"), 29.8), _trial((4, 2, "none"), 21.5)]
    result = _result(trials, (29.8, 30.1), ())
    return replace(result, tuning=replace(result.tuning, chosen=DEFAULT))


def many() -> TuneResult:
    """Return a search of many trials with many values, for least time."""
    keys = product((1, 2, 4, 8, 16, 32, 64, 128), (0, 1, 2, 4, 8, 16), ("none", "ram", "disk"))
    trials = [
        replace(
            _trial(key, 1 / (100_000 / (10 * key[0] ** 0.5 + key[1]) + number % 7)),
            ended_after=5 if number % 3 == 2 else None,
        )
        for number, key in enumerate(keys)
    ]
    result = _result(trials[6 * 3 * 2 :] + trials[: 6 * 3 * 2], (2e-4, 2.1e-4), (2e-4, 9e-4) * 6)
    return replace(result, tuning=replace(result.tuning, objective="time"))


def hostile() -> TuneResult:
    """Return a search whose words are markup, and long."""
    result = proven()
    word = "<script>alert(1)</script>" + "W" * 300
    reason = Trial(settings=Settings(batch=10**5, workers=99), score=None, reason=word)
    tuning = replace(
        result.tuning,
        machine=word,
        options=replace(OPTIONS, model=word),
        trials=(*result.tuning.trials, reason),
    )
    return replace(result, tuning=tuning, profile=word)


def _trial(key: tuple[int, int, str], score: float) -> Trial:
    batch, workers, cache = key
    settings = replace(DEFAULT, batch=batch, workers=workers, cache=cache)
    return Trial(settings=settings, score=score, images_per_s=score, setup_s=4.0, workers=workers)


def _result(
    trials: Sequence[Trial], defaults: Sequence[float], pairs: Sequence[float]
) -> TuneResult:
    whole = [trial for trial in trials if trial.is_candidate]
    best = max(whole, key=lambda trial: trial.score or 0)
    order = "DCCDDC" if len(pairs) == 6 else "DC" * (len(pairs) // 2)
    gain = judge_pairs(order, pairs) if pairs else None
    after = (1, len(trials) // 2, len(trials))
    tuning = Tuning(
        options=OPTIONS,
        objective="speed",
        images=100_000,
        machine="2 x Intel(R) Xeon(R) Platinum 8480C",
        trials=tuple(trials),
        defaults=tuple(
            DefaultRun(after=number, score=score, images_per_s=score)
            for number, score in zip(after, defaults, strict=False)
        ),
        drift=max(defaults) / min(defaults) - 1,
        drifted=max(defaults) / min(defaults) > 1.1,
        chosen=best.settings,
        gain=gain,
        at="2026-11-29T08:00:00+00:00",
    )
    profile = "fast.toml" if gain and gain.proven else None
    return TuneResult(
        snapshot="sha256:" + "a" * 64, image=None, path=None, tuning=tuning, profile=profile
    )
