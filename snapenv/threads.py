"""The same done to many things at once, in threads.

It is for what takes milliseconds: importing ``concurrent.futures`` takes seven.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
R = TypeVar("R")


def do_at_once(do: Callable[[T], R], things: Iterable[T], *, most: int) -> tuple[R, ...]:
    """Return what a function returns for each thing, in their order; ``most`` run at once.

    This thread takes part. Where one raises, or this thread is interrupted, no further one begins,
    and those that have begun are waited for.

    Raises:
        Exception: What the function raised first.
    """
    left = deque(enumerate(things))
    done, failed = dict[int, R](), list[Exception]()

    def take() -> None:
        while not failed:
            try:
                number, thing = left.popleft()
            except IndexError:  # another thread has taken the last
                return
            try:
                done[number] = do(thing)
            except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
                failed.append(error)

    threads = [threading.Thread(target=take) for _ in range(min(most, len(left)) - 1)]
    for thread in threads:
        thread.start()
    try:
        take()
    finally:
        left.clear()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]
    return tuple(done[number] for number in range(len(done)))
