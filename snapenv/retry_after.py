"""How long a server asks to wait.

Source: https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
"""

from __future__ import annotations

import email.utils
from datetime import datetime, timezone


def retry_after_s(text: str) -> float:
    """Read how long a host asks to wait, given in seconds or as a date; 0.0 if it does not say."""
    if text.strip().isdecimal():
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
        return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
