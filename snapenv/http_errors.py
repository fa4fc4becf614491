"""Why a request to a server came to nothing, and how long the server asks to wait."""

from __future__ import annotations

import email.utils
from datetime import datetime, timezone
from typing import ClassVar


class FailedRequestError(Exception):
    """A request came to nothing: ``what`` follows the host's name in a sentence."""

    usual_hint: ClassVar[str]

    def __init__(
        self, what: str, *, hint: str | None = None, passing: bool = False, wait_s: float = 0.0
    ) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint or self.usual_hint
        self.passing = passing  # worth another try
        self.wait_s = wait_s  # what the host asks to wait before that


def retry_after_s(text: str) -> float:
    """Read how long a host asks to wait, given in seconds or as a date; 0.0 if it does not say."""
    if text.strip().isdecimal():
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
        return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
