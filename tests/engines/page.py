"""A page of a real browser that is clicked and typed in, over a pipe of DevTools.

Source: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.engines.browser import ARGUMENTS

if TYPE_CHECKING:
    from tests.engines.browser import Browser

_END = b"\0"  # of a message
_SHIFT = 8
_WAIT_S = 60.0


@dataclass
class Page:
    """One page; it reaches this machine alone."""

    sending: int
    receiving: int
    session: str = ""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    rest: bytes = b""

    def go(self, url: str) -> None:
        """Open an address."""
        self.ask("Page.navigate", url=url)

    def evaluate(self, script: str) -> object:
        """Return the value of an expression, as JSON has it."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    def wait(self, script: str) -> object:
        """Return the value of an expression as soon as it is true."""
        until = time.monotonic() + _WAIT_S
        while not (value := self.evaluate(script)):
            if time.monotonic() >= until:
                text = self.evaluate("document.body.innerText")
                raise AssertionError(f"never true: {script}; the page shows: {text}")
            time.sleep(0.2)
        return value

    def write(self, text: str) -> None:
        """Write a text where the cursor is."""
        self.ask("Input.insertText", text=text)

    def press_enter(self, *, shift: bool = False) -> None:
        """Press Enter."""
        for kind in ("keyDown", "keyUp"):
            self.ask(
                "Input.dispatchKeyEvent",
                type=kind,
                key="Enter",
                code="Enter",
                windowsVirtualKeyCode=13,
                text="\r",
                modifiers=_SHIFT if shift else 0,
            )

    def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command, and return its result."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.sending, json.dumps(message).encode() + _END)
        while True:
            answer = json.loads(self._receive())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _receive(self) -> bytes:
        while _END not in self.rest:
            piece = os.read(self.receiving, 1 << 16)
            assert piece, "the browser has ended"
            self.rest += piece
        message, _, self.rest = self.rest.partition(_END)
        return message


@contextlib.contextmanager
def open_page(browser: Browser) -> Iterator[Page]:
    """Yield an empty page of a browser that ends with the block."""
    to_browser, from_browser = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            (
                *(browser.program, *ARGUMENTS, "--remote-debugging-pipe"),
                f"--user-data-dir={folder}/profile",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ),
            env={**os.environ, "HOME": folder},
            pass_fds=(3, 4),
            preexec_fn=lambda: _as_pipe(to_browser[0], from_browser[1]),  # noqa: PLW1509 - no threads
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser[0])
        os.close(from_browser[1])
        try:
            page = Page(to_browser[1], from_browser[0])
            target = page.ask("Target.createTarget", url="about:blank")["targetId"]
            page.session = page.ask("Target.attachToTarget", targetId=target, flatten=True)[
                "sessionId"
            ]
            yield page
        finally:
            process.terminate()
            process.wait()
            os.close(to_browser[1])
            os.close(from_browser[0])


def _as_pipe(reading: int, writing: int) -> None:
    """Give a browser, in its own process, the two descriptors that it knows by their numbers."""
    reading, writing = os.dup(reading), os.dup(writing)
    os.dup2(reading, 3)
    os.dup2(writing, 4)
