"""What the page of a search shows, as values and as text."""

from __future__ import annotations

from inline_snapshot import snapshot as wording

from snapenv.report.tune_view import make_tune_page, tune_html
from tests.report.tune_results import default_is_best, hostile, many, not_proven, proven


def test_every_trial_is_on_the_page_as_what_it_was() -> None:
    view = make_tune_page(proven(), ())

    kinds = ["default", "ended", "whole", "whole", "whole", "ended", "whole", "chosen", "invalid"]
    assert [row.kind for row in view.rows] == kinds
    marks = view.trials.graph.marks
    assert [mark.kind for mark in marks] == [*kinds, "default", "default"]
    assert [chart.id for chart in view.settings] == [
        *("setting-batch", "setting-workers", "setting-cache")
    ]
    assert all(len(chart.graph.marks) == 9 for chart in view.settings)
    assert view.pairs
    assert [mark.kind for mark in view.pairs.graph.marks] == [*["whole"] * 3, "chosen"]
    assert (view.rows[1].note, view.rows[-1].note) == wording(
        ("ended after 5 steps, as it was behind", "out of memory")
    )
    assert view.trials.graph.description == wording(
        "9 trials, 2 of them ended early, 1 invalid; the best is batch 16, workers 2, cache ram, no amp: 43.1 images/s; the default: 29.8 images/s, 31.2 images/s, 26.0 images/s: 20% apart."
    )


def test_the_gain_comes_first_and_is_not_more_than_it_is() -> None:
    views = [make_tune_page(result, ()) for result in (proven(), not_proven(), default_is_best())]

    assert [view.proven for view in views] == [True, False, False]
    assert [view.next is None for view in views] == [False, True, True]
    assert [view.title for view in views] == wording(
        [
            "1.33 times as good as the default, 1.31 in the worst pair",
            "1.33 times as good as the default, but only 1.00 in the worst pair",
            "The default is the best that was found",
        ]
    )
    assert views[2].pairs is None


def test_time_is_in_seconds_and_less_is_better() -> None:
    view = make_tune_page(many(), ())
    assert view.rows[0].amount.endswith(" s")
    assert view.trials.unit == "seconds: less is better"
    values = {row.number: float(row.amount.removesuffix(" s")) for row in view.rows}
    high = {mark.label.split(",")[0]: float(mark.y) for mark in view.trials.graph.marks}
    first, last = values[1], values[108]
    assert (first > last) == (high["trial 1"] < high["trial 108"])


def test_words_of_others_are_text() -> None:
    page = tune_html(hostile(), ("<b>bold</b>",)).decode()
    assert "<script" not in page
    assert "<b>" not in page
    assert page.count("&lt;script&gt;") >= 3
    assert tune_html(hostile()) == tune_html(hostile())
