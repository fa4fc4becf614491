"""A search for the fastest settings as lines for people: what was tried, chosen and gained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.report.printable import printable
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.results import TuneResult
    from snapenv.model.tuning import Gain, Objective, Trial, Tuning

_SHOWN = 5  # trials; all are on the page and in --json


def tune_lines(result: TuneResult) -> tuple[str, ...]:
    """Return the best of the trials, and what the chosen settings gain."""
    tuning = result.tuning
    candidates = [trial for trial in tuning.trials if trial.is_candidate]
    ranked = sorted(candidates, key=lambda trial: -(trial.score or 0))
    lines = [
        _head(tuning),
        *(f"{_worth(trial, tuning)}  {trial.settings.label}" for trial in ranked[:_SHOWN]),
        *_chosen(tuning),
    ]
    if result.profile:
        lines.append(f"wrote {result.profile}; use it: snapenv run --profile {result.profile}")
    return tuple(map(printable, lines))


def amount(score: float | None, tuning: Tuning) -> str:
    """Write a score in the unit of what was to be made better; time is that to all images."""
    if score is None:
        return "invalid"
    unit: dict[Objective, str] = {
        "speed": f"{score:.1f} images/s",
        "energy": f"{1 / score:.3f} J an image",
        "time": f"{1 / score:.0f} s",
    }
    return unit[tuning.objective]


def told(gain: Gain) -> str:
    """Say what the chosen settings gain over the default, or that nothing is proven."""
    pairs = ", ".join(f"{ratio:.2f}" for ratio in gain.ratios)
    pairs_text = f"pairs {pairs}; {cannot_be_told(gain)}"
    if gain.proven:
        return f"{gain.median:.2f} times as good as the default ({pairs_text})"
    return f"no proven gain over the default: {gain.median:.2f} times as good ({pairs_text})"


def cannot_be_told(gain: Gain) -> str:
    """Say what is too small for this machine."""
    return f"less than {gain.resolution:.0%} cannot be seen here"


def drift_warning(tuning: Tuning) -> str | None:
    """Say that the machine itself was faster or slower meanwhile; None where that is not seen."""
    if not tuning.drifted:
        return None
    speeds = ", ".join(f"{each.images_per_s:.1f}" for each in tuning.defaults)
    return (
        f"the machine changed during the search: the default alone made {speeds} images/s, "
        f"{tuning.drift:.0%} apart; trust the pairs, not the order of the trials"
    )


def _worth(trial: Trial, tuning: Tuning) -> str:
    written = amount(trial.score, tuning)
    return f"{written} to {tuning.images} images" if tuning.objective == "time" else written


def _head(tuning: Tuning) -> str:
    options = tuning.options
    return f"{options.model} at {options.imgsz} px on {tuning.machine}: {tried(tuning)}"


def tried(tuning: Tuning) -> str:
    """Say how many settings were tried, and how many of them not to their end."""
    trials = tuning.trials
    early = sum(trial.ended_after is not None for trial in trials)
    invalid = sum(trial.score is None for trial in trials)
    words = [counted(len(trials), "trial")]
    words += [f"{early} of them ended early"] if early else []
    return ", ".join([*words, f"{invalid} invalid"] if invalid else words)


def _chosen(tuning: Tuning) -> Iterator[str]:
    if tuning.gain is None:
        yield f"no proven gain: the default is the best, {tuning.chosen.label}"
    else:
        yield f"chosen: {tuning.chosen.label}"
        yield told(tuning.gain)
