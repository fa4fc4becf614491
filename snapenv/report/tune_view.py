"""A search as one page that needs nothing else, for a phone, a desk and A4.

What came of it, charts and tables are values here, all as text. Every value is escaped, and the
page's own policy lets nothing be fetched or run.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.model.tuning import Settings
from snapenv.report.printable import render_page
from snapenv.report.tune_charts import (
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Kind,
    Scatter,
    Shown,
    pair_chart,
    setting_chart,
    trial_chart,
)
from snapenv.report.tune_text import amount, cannot_be_told, tried

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from snapenv.model.results import TuneResult
    from snapenv.model.tuning import Gain, Objective, Trial, Tuning

_FRAME = {"width": WIDTH, "left": LEFT, "right": RIGHT, "top": TOP}
_UNITS: dict[Objective, str] = {
    "speed": "images/s: more is better",
    "energy": "J an image: less is better",
    "time": "seconds: less is better",
}
_AIMS: dict[Objective, str] = {
    "speed": "most images/s",
    "energy": "least energy an image",
    "time": "least time to {images} images",
}
_WORDS: dict[Kind, str] = {
    "whole": "ran whole",
    "ended": "ended early, as it was behind",
    "invalid": "invalid",
    "default": "the default",
    "chosen": "chosen",
}


class Chart(Struct, frozen=True, kw_only=True):
    """A drawing with its title, and what stands below its x axis."""

    id: str
    title: str
    unit: str = ""  # of the y axis
    below: str
    kinds: tuple[tuple[Kind, str], ...] = ()  # of its legend
    graph: Scatter


class Row(Struct, frozen=True, kw_only=True):
    """One trial."""

    number: int
    settings: str
    amount: str
    note: str = ""
    kind: Kind


class PairRow(Struct, frozen=True, kw_only=True):
    """One pair."""

    default: str
    chosen: str
    ratio: str


class TunePage(Struct, frozen=True, kw_only=True):
    """All that the page shows."""

    proven: bool
    word: str
    title: str
    next: str | None
    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    trials: Chart
    settings: tuple[Chart, ...]
    pairs: Chart | None
    pair_rows: tuple[PairRow, ...]
    rows: tuple[Row, ...]


def tune_html(result: TuneResult, warnings: Sequence[str] = ()) -> bytes:
    """Return the page in UTF-8; the same search gives the same bytes."""
    return render_page("tune.html.j2", v=make_tune_page(result, warnings), frame=_FRAME)


def make_tune_page(result: TuneResult, warnings: Sequence[str]) -> TunePage:
    """Return what the page shows of a search, in its order."""
    tuning, gain = result.tuning, result.tuning.gain
    proven = gain is not None and gain.proven
    profile = result.profile
    return TunePage(
        proven=proven,
        word="gain proven" if proven else "no proven gain",
        title=_title(tuning),
        next=f"snapenv run REF --profile {profile} -- yolo train …" if profile else None,
        facts=tuple(_facts(tuning)),
        warnings=tuple(warnings),
        trials=_trial_chart(tuning),
        settings=tuple(_setting_charts(tuning)),
        pairs=_pair_chart(gain, tuning) if gain else None,
        pair_rows=tuple(_pair_rows(gain, tuning)) if gain else (),
        rows=tuple(
            Row(
                number=number,
                settings=trial.settings.label,
                amount=amount(trial.score, tuning),
                note=_note(trial),
                kind=_kind(trial, tuning),
            )
            for number, trial in enumerate(tuning.trials, start=1)
        ),
    )


def _title(tuning: Tuning) -> str:
    gain = tuning.gain
    if gain is None:
        return "The default is the best that was found"
    worst = f"{'' if gain.proven else 'but only '}{gain.worst:.2f} in the worst pair"
    return f"{gain.median:.2f} times as good as the default, {worst}"


def _facts(tuning: Tuning) -> Iterator[tuple[str, str]]:
    options, gain = tuning.options, tuning.gain
    yield "searched for", _AIMS[tuning.objective].format(images=tuning.images)
    yield "training", f"{options.model} at {options.imgsz} px, {options.steps} steps a trial"
    yield "machine", tuning.machine
    yield "the default", tuning.trials[0].settings.label
    yield "chosen", tuning.chosen.label
    yield "tried", tried(tuning)
    if gain:
        yield "cannot be seen", cannot_be_told(gain)
    yield "the default, each time", _each_time(tuning)
    yield "ended", tuning.at.replace("T", " ").replace("+00:00", " UTC")


def _each_time(tuning: Tuning) -> str:
    figures = ", ".join(amount(each.score, tuning) for each in tuning.defaults)
    return f"{figures}: {tuning.drift:.0%} apart"


def _trial_chart(tuning: Tuning) -> Chart:
    shown = [_shown(trial, number, tuning) for number, trial in enumerate(tuning.trials, start=1)]
    again = [
        Shown(
            kind="default",
            number=run.after + 0.5,
            value=_value(run.score, tuning.objective),
            label=f"the default after {run.after} trials: {amount(run.score, tuning)}",
        )
        for run in tuning.defaults[1:]
    ]
    return Chart(
        id="trials",
        title="Trials in their order",
        unit=_UNITS[tuning.objective],
        below="trial",
        kinds=tuple(_legend((*shown, *again))),
        graph=trial_chart([*shown, *again], description=_told(tuning)),
    )


def _told(tuning: Tuning) -> str:
    whole = [trial for trial in tuning.trials if trial.is_candidate]
    best = max(whole, key=lambda trial: trial.score or 0)
    return (
        f"{tried(tuning)}; the best is {best.settings.label}: {amount(best.score, tuning)}; "
        f"the default: {_each_time(tuning)}."
    )


def _setting_charts(tuning: Tuning) -> Iterator[Chart]:
    """Yield a chart of each setting that had more than one value."""
    shown = [
        (trial, _shown(trial, number, tuning))
        for number, trial in enumerate(tuning.trials, start=1)
    ]
    for name in Settings.__struct_fields__:
        values = sorted({getattr(trial.settings, name) for trial, _ in shown})
        if len(values) < 2:  # noqa: PLR2004 - nothing was varied
            continue
        columns = [
            (
                _word(value),
                [each for trial, each in shown if getattr(trial.settings, name) == value],
            )
            for value in values
        ]
        yield Chart(
            id=f"setting-{name}",
            title=f"By {name}",
            unit=_UNITS[tuning.objective],
            below=name,
            graph=setting_chart(columns, description=_medians_told(columns)),
        )


def _medians_told(columns: Iterable[tuple[str, Sequence[Shown]]]) -> str:
    words = []
    for name, shown in columns:
        whole = [each.value for each in shown if each.value is not None and each.kind != "ended"]
        words.append(f"{name}: {median(whole):.4g}" if whole else f"{name}: none ran whole")
    return f"Medians of those that ran whole: {'; '.join(words)}."


def _pair_chart(gain: Gain, tuning: Tuning) -> Chart:
    labels = [
        f"pair {number}: {row.ratio} times as good, {row.chosen} to {row.default}"
        for number, row in enumerate(_pair_rows(gain, tuning), start=1)
    ]
    ratios = ", ".join(f"{ratio:.2f}" for ratio in gain.ratios)
    return Chart(
        id="pairs",
        title="The chosen settings beside the default, in pairs",
        below="times as good as the default",
        graph=pair_chart(
            gain.ratios,
            labels,
            resolution=gain.resolution,
            description=f"Pairs: {ratios}; median {gain.median:.2f}; {cannot_be_told(gain)}.",
        ),
    )


def _pair_rows(gain: Gain, tuning: Tuning) -> Iterator[PairRow]:
    for default, chosen, ratio in zip(gain.default, gain.chosen, gain.ratios, strict=True):
        yield PairRow(
            default=amount(default, tuning), chosen=amount(chosen, tuning), ratio=f"{ratio:.2f}"
        )


def _legend(shown: Iterable[Shown]) -> Iterator[tuple[Kind, str]]:
    kinds = {each.kind for each in shown}
    return ((kind, word) for kind, word in _WORDS.items() if kind in kinds)


def _shown(trial: Trial, number: int, tuning: Tuning) -> Shown:
    told = f"trial {number}, {trial.settings.label}: {amount(trial.score, tuning)}"
    note = _note(trial)
    return Shown(
        kind=_kind(trial, tuning),
        number=number,
        value=None if trial.score is None else _value(trial.score, tuning.objective),
        label=f"{told}; {note}" if note else told,
    )


def _kind(trial: Trial, tuning: Tuning) -> Kind:
    if trial.score is None:
        return "invalid"
    if trial.ended_after is not None:
        return "ended"
    if trial.settings == tuning.trials[0].settings:
        return "default"
    return "chosen" if trial.settings == tuning.chosen else "whole"


def _note(trial: Trial) -> str:
    if trial.ended_after is not None:
        return f"ended after {trial.ended_after} steps, as it was behind"
    return trial.reason or ""


def _value(score: float, objective: Objective) -> float:
    return score if objective == "speed" else 1 / score


def _word(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
