"""A real browser: Debian's chromium, without a window and without a network.

A page is shown in a frame of a page of ours, which is as wide as a phone where chromium's own
windows are not, and whose script measures what it sees.
Source: https://developer.chrome.com/docs/chromium/headless
"""

from __future__ import annotations

import html
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.engines.place import UnavailableError, call, install

if TYPE_CHECKING:
    from tests.engines.place import Place

_PACKAGES = {
    "chromium": "chromium",
    "fonts-dejavu-core": "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "util-linux": "unshare",
}
ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # root has none
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--hide-scrollbars",
)
_ITS_OWN = ("google.com", "googleapis.com", "gvt1.com")  # where chromium looks for updates
_SCHEMES = {True: "dark", False: "light"}
_MEASURED = re.compile(r'<pre id="measured">(.*?)</pre>', re.DOTALL)
_FRAME = """\
<!doctype html>
<meta charset="utf-8">
<meta name="color-scheme" content="{scheme}">
<style>body {{ margin: 0; overflow: hidden }} iframe {{ border: 0; display: block }}</style>
<iframe id="frame" width="{width}" height="{height}" srcdoc="{page}"></iframe>
<pre id="measured"></pre>
<script>{script}</script>
"""
_SCRIPT = (Path(__file__).parent / "measure.js").read_text()


@dataclass(frozen=True, kw_only=True, slots=True)
class Browser:
    """A program that shows pages; each call starts it and ends it."""

    program: str

    def measure(self, page: bytes, *, width: int, height: int, dark: bool) -> dict[str, Any]:
        """Show a page, open all that is folded, and give what measure.js says of it."""
        with tempfile.TemporaryDirectory() as folder:
            frame = _write(Path(folder), page, width=width, height=height, dark=dark)
            said = self._run(folder, "--dump-dom", frame.as_uri(), dark=dark)
        found = _MEASURED.search(said)
        if found is None:
            raise AssertionError(f"the browser has measured nothing: {said[-500:]}")
        measured: dict[str, Any] = json.loads(html.unescape(found[1]))
        return measured

    def screenshot(self, page: bytes, into: Path, *, width: int, height: int, dark: bool) -> None:
        """Write what is seen of a page as a PNG."""
        with tempfile.TemporaryDirectory() as folder:
            frame = _write(Path(folder), page, width=width, height=height, dark=dark)
            window = f"--window-size={max(width, 500)},{height}"
            self._run(folder, f"--screenshot={into}", window, frame.as_uri(), dark=dark)

    def requests(self, page: bytes) -> list[str]:
        """Return the addresses that showing a page asks for, beside the page itself.

        Those of which the browser thinks by itself are left out.
        """
        with tempfile.TemporaryDirectory() as folder:
            shown, log = Path(folder, "page.html"), Path(folder, "net.json")
            shown.write_bytes(page)
            self._run(folder, f"--log-net-log={log}", "--dump-dom", shown.as_uri(), dark=False)
            urls = set(re.findall(r'"url":"([^"]+)"', log.read_text()))
        return sorted(url for url in urls if not _of_no_page(url))

    def _run(self, folder: str, *arguments: str, dark: bool) -> str:
        return call(
            *("unshare", "--net", self.program, *ARGUMENTS, f"--user-data-dir={folder}/profile"),
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            *arguments,
            environment={"HOME": folder},
        )


def find_browser(_: Place) -> Browser:
    """Return chromium, installed if it is not there.

    Raises:
        UnavailableError: It cannot be had here.
    """
    install(_PACKAGES)
    program = shutil.which("chromium")
    if program is None:
        raise UnavailableError("no chromium")
    return Browser(program=program)


def _of_no_page(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "file" or (parts.hostname or "").endswith(_ITS_OWN)


def _write(folder: Path, page: bytes, *, width: int, height: int, dark: bool) -> Path:
    frame = folder / "frame.html"
    frame.write_text(
        _FRAME.format(
            scheme=_SCHEMES[dark],
            width=width,
            height=height,
            page=html.escape(page.decode()),
            script=_SCRIPT,
        )
    )
    return frame
