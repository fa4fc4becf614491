"""The same done to many things at once, in threads."""

from __future__ import annotations

import _thread
import threading
import time

import pytest

from snapenv.threads import do_at_once

PATIENCE_S = 30


def test_what_is_returned_comes_in_the_order_of_the_things() -> None:
    def late_first(number: int) -> int:
        time.sleep(0.02 * (3 - number))
        return number * 10

    assert do_at_once(late_first, range(4), most=4) == (0, 10, 20, 30)


def test_nothing_is_done_to_nothing() -> None:
    assert do_at_once(str, (), most=4) == ()


@pytest.mark.parametrize("most", [1, 3])
def test_so_many_run_at_once_and_no_more(most: int) -> None:
    together, running, highest = threading.Barrier(most), set[int](), list[int]()

    def meet(number: int) -> None:
        running.add(number)
        highest.append(len(running))
        together.wait(PATIENCE_S)  # it breaks where fewer run
        running.discard(number)

    do_at_once(meet, range(6), most=most)
    assert max(highest) == most


def test_the_first_error_is_raised_when_what_has_begun_is_done() -> None:
    failed, done = threading.Event(), list[int]()

    def fail_or_wait(number: int) -> None:
        if number == 0:
            failed.set()
            raise OSError("the disk is full")
        assert failed.wait(PATIENCE_S)
        time.sleep(0.05)
        done.append(number)

    with pytest.raises(OSError, match="the disk is full"):
        do_at_once(fail_or_wait, range(100), most=2)
    assert len(done) <= 1  # what had begun; nothing began after it


def test_where_it_is_interrupted_nothing_goes_on_afterwards() -> None:
    begun, done, main = threading.Event(), list[int](), threading.main_thread()

    def work(number: int) -> None:
        if threading.current_thread() is main:
            assert begun.wait(PATIENCE_S)
            _thread.interrupt_main()
            time.sleep(PATIENCE_S)
        begun.set()
        time.sleep(0.01)
        done.append(number)

    with pytest.raises(KeyboardInterrupt):
        do_at_once(work, range(1_000), most=2)
    seen = len(done)
    time.sleep(0.1)
    assert len(done) == seen < 500
