"""The page for new colleagues in a real browser: on a phone, by day and by night."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.model.outcome import Check, Verdict
from snapenv.report.onboarding import (
    HTML_FILE,
    Answers,
    Command,
    Onboarding,
    Trouble,
    onboarding_files,
)

if TYPE_CHECKING:
    from tests.engines.browser import Browser

pytestmark = pytest.mark.browser

LONG = "sha256:" + "0123456789abcdef" * 8
HOSTILE = '</code><script>x()</script><img src="https://example.com/x.png"> \u202e'
OK = Check(id="platform", ok=True, expected="amd64", actual="amd64")
NO = Check(id="gpu.present", ok=False, expected="a GPU", actual=HOSTILE, fix=LONG)
WARNING = Check(id="base", ok=False, expected="x", actual="y", fix="z", severity="warning")
PAGE = Onboarding(
    title="train-yolov8.4.190-base-cu130",
    snapenv="0.1.0",
    facts=(("torch", "2.11.0+cu130"), ("snapshot", LONG), (HOSTILE, HOSTILE)),
    needs=(("NVIDIA driver", "580 or newer"),),
    commands=(Command(line=f"snapenv run example.com/{LONG} -- yolo train", does="Train."),),
    output=(f"✓ python           cpython 3.11.7, {LONG}", "✓ it is back: tier identical"),
    losses=", ".join(["60.418468"] * 10),
    troubles=(Trouble(id="driver.cuda", actual=LONG, fix=HOSTILE),),
    origin=("Captured at 2026-03-01T12:00:00+00:00.", HOSTILE),
    answers=Answers(
        verdict=Verdict(ok=False, summary="it does not run on it"),
        checks=(OK, NO, WARNING),
        lines=("no NVIDIA GPU",),
    ),
)


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)], ids=["phone", "desk"])
def test_all_of_it_is_seen(browser: Browser, width: int, *, dark: bool) -> None:
    page = onboarding_files(PAGE)[HTML_FILE]

    seen = browser.measure(page, width=width, height=844, dark=dark)

    assert (seen["width"], seen["scroll_width"], seen["dark"]) == (width, width, dark)
    assert (seen["outside"], seen["outside_text"], seen["cut"]) == ([], [], [])
    assert seen["text_contrast"]["contrast"] >= 4.5, seen["text_contrast"]
    assert seen["smallest_text"] >= 11
    assert seen["scripts"] == 0


def test_nothing_is_fetched(browser: Browser) -> None:
    assert browser.requests(onboarding_files(PAGE)[HTML_FILE]) == []
