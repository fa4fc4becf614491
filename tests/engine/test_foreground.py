from __future__ import annotations

import signal
import socket
import threading

import pytest

from snapenv.engine.foreground import Controls, connect_streams


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_handed_on_while_the_main_thread_goes_on_reading(number: int) -> None:
    """As where it comes just before the main thread begins to read, which it does not end then."""
    here, there = socket.socketpair()
    heard = list[int]()
    before_the_end = list[bool]()
    done = threading.Event()

    def hear(one: int) -> None:
        heard.append(one)
        done.set()

    def send() -> None:
        signal.pthread_kill(threading.get_ident(), number)
        before_the_end.append(done.wait(10))
        there.close()

    def nothing(*_: int) -> None:
        return

    sending = threading.Timer(0.2, send)
    sending.start()
    with here:
        streamed = connect_streams(
            here,
            Controls(signal=hear, resize=nothing, abandoned=nothing),
            is_tty=False,
            stdin=False,
        )
    sending.join()

    assert (heard, streamed.signals, before_the_end) == ([number], (number,), [True])
