"""Repeat what urllib3's Retry cannot.

That one repeats a request until its answer begins. A transfer that breaks off later goes on by
Range, a body can be another than its digest says, and what an engine pulls and pushes is no request
of ours: these are repeated here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Answer = TypeVar("Answer")


class FailedError(Exception):
    """Something failed; ``passing`` says that another try may succeed."""

    def __init__(self, what: str, *, passing: bool = False) -> None:
        super().__init__(what)
        self.passing = passing


def repeat(act: Callable[[], Answer], waits_s: Iterable[float]) -> Answer:
    """Do something, and again after each wait while its failure may pass.

    Raises:
        FailedError: It failed for good.
    """
    for wait_s in waits_s:
        try:
            return act()
        except FailedError as error:
            if not error.passing:
                raise
        time.sleep(wait_s)
    return act()
