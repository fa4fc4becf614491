from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tomlkit
from msgspec.structs import replace
from packaging.pylock import Pylock
from packaging.utils import parse_wheel_filename
from uv import find_uv_bin

from snapenv.errors import LockError, PackageIndexError
from snapenv.lock.ask import ask_index, with_tags
from snapenv.lock.tags import Platform
from snapenv.lock.wheel import make_wheel
from snapenv.model.carried import CarriedFile
from tests.real_index import (
    PYTHON,
    Silent,
    facts_of_this_machine,
    installed,
    locked,
    uv_of_tests,
)
from tests.samples import sample_distribution
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.python import Distribution


def test_the_index_gives_the_very_wheels_that_are_installed_with_their_hashes() -> None:
    lock = Pylock.from_dict(tomlkit.parse(locked("click", "markupsafe").decode()).unwrap())

    assert str(lock.requires_python) == f"=={PYTHON}.*"
    assert [package.name for package in lock.packages] == ["click", "markupsafe"]
    for package in lock.packages:
        (wheel,) = package.wheels or ()
        _, version, _, tags = parse_wheel_filename(str(wheel.url).rpartition("/")[2])
        pin = installed(package.name)
        assert (str(version), {str(tag) for tag in tags}) == (pin.version, set(pin.tags))
        assert len(wheel.hashes["sha256"]) == 64


def test_what_a_package_needs_is_not_added() -> None:
    lock = Pylock.from_dict(tomlkit.parse(locked("jinja2").decode()).unwrap())

    assert [package.name for package in lock.packages] == ["jinja2"]


def test_the_same_pins_give_the_same_bytes() -> None:
    assert locked("click", "markupsafe") == locked("markupsafe", "click")


def test_the_uv_that_runs_here_is_found_for_the_image() -> None:
    locked("click")
    uv = uv_of_tests()
    own = sample_distribution("uv", uv.version())

    (wheel, *_) = ask_index([own], facts_of_this_machine(), uv, Silent())["uv"]

    assert f"uv-{uv.version()}-" in wheel.url
    assert len(wheel.sha256) == 64


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("click", "0.0.1"),  # never published
        ("click", "8.1.8+cu121"),  # a local version is on no index
        ("snapenv-is-on-no-index", "1.0"),
        ("markupsafe", "1.0"),  # its only source no longer builds, and is not tried
        ("click", "8.1.8; python_version < '3'"),  # no version at all
    ],
)
def test_what_the_index_cannot_give_back_is_named_and_the_rest_is_locked(
    name: str, version: str
) -> None:
    locked("click")

    assert on_index(sample_distribution(name, version), installed("jinja2")) == ["jinja2"]


def test_several_that_the_index_does_not_have_are_all_named() -> None:
    locked("click")
    absent = [sample_distribution(f"snapenv-on-no-index-{number}", "1.0") for number in range(3)]

    pins = (*absent, sample_distribution("click", "0.0.1"), installed("markupsafe"))

    assert on_index(*pins) == ["markupsafe"]


def test_a_wheel_that_was_built_here_is_not_the_one_of_the_index() -> None:
    locked("click")
    built = replace(installed("markupsafe"), tags=("cp311-cp311-linux_x86_64",))

    assert on_index(built, installed("click")) == ["click"]


@pytest.mark.parametrize("code", [401, 403, 500])
def test_an_index_that_refuses_has_not_said_that_it_lacks_a_package(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing_index(code) as url:
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        monkeypatch.setenv("UV_NO_CACHE", "1")

        with pytest.raises(PackageIndexError, match="a package index cannot be asked: "):
            on_index(installed("click"))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "application/vnd.pypi.simple.v1+json"),
        (b"null", "application/vnd.pypi.simple.v1+json"),
        (b"{}", "image/png"),
        (b"{}", None),
        (
            b"<a href='http://[::/%s-py3-none-any.whl#sha256=00'>%s-py3-none-any.whl</a>",
            "text/html",
        ),
    ],
)
def test_an_index_that_sends_an_invalid_answer_is_told_as_such(
    body: bytes, kind: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    click = f"click-{installed('click').version}".encode()
    with refusing_index(200, body.replace(b"%s", click), kind) as url:
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        monkeypatch.setenv("UV_NO_CACHE", "1")

        with pytest.raises(PackageIndexError, match="a package index sends an invalid answer: "):
            on_index(installed("click"))


def test_an_index_that_uv_may_not_ask_has_not_said_that_it_lacks_a_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))

    with pytest.raises(LockError, match="uv could not lock the pins: "):
        on_index(installed("click"))


def test_an_index_that_does_not_answer_is_no_missing_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_NO_CACHE", "1")

    with pytest.raises(PackageIndexError, match="a package index cannot be asked: ") as caught:
        on_index(installed("click"))

    assert "reaches" in caught.value.hint


def test_uv_installs_a_pinned_and_a_rebuilt_wheel_from_the_lock_alone(tmp_path: Path) -> None:
    name, wheel = rebuilt_wheel()
    pylock = locked("markupsafe", rebuilt={name: wheel})
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / name).write_bytes(wheel)
    (tmp_path / "pylock.toml").write_bytes(pylock)

    python = sync(tmp_path)

    code = "import markupsafe, our_tool; print(our_tool.__name__)"
    done = subprocess.run((python, "-c", code), check=True, capture_output=True, text=True)
    assert done.stdout == "our_tool\n"


def test_uv_refuses_a_rebuilt_wheel_that_is_not_what_the_lock_says(tmp_path: Path) -> None:
    name, wheel = rebuilt_wheel()
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / name).write_bytes(rebuilt_wheel(b"x = 2\n")[1])
    (tmp_path / "pylock.toml").write_bytes(locked("markupsafe", rebuilt={name: wheel}))

    with pytest.raises(subprocess.CalledProcessError) as caught:
        sync(tmp_path)

    assert "Hash mismatch" in caught.value.stderr


def on_index(*pins: Distribution) -> list[str]:
    """Name those of which the index has a wheel with the installed tags."""
    offers = ask_index(pins, facts_of_this_machine(*pins), uv_of_tests(), Silent())
    return [pin.name for pin in pins if with_tags(pin, offers[pin.name])]


def rebuilt_wheel(source: bytes = b"x = 1\n") -> tuple[str, bytes]:
    metadata = b"Metadata-Version: 2.1\nName: our-tool\nVersion: 1!2.0+cu1\n"
    files = {
        "site/our_tool-1!2.0+cu1.dist-info/METADATA": metadata,
        "site/our_tool.py": source,
    }
    name, content = make_wheel(
        sample_distribution("our-tool", "1!2.0+cu1", origin="vcs"),
        {path: CarriedFile(content=content, executable=False) for path, content in files.items()},
        Platform(python=PYTHON, machine="x86_64"),
        into=Path(),
    )
    assert isinstance(content, bytes)
    return name, content


def sync(folder: Path) -> str:
    """Install the lock of a folder into a venv beside it, and give its interpreter."""
    uv, python = find_uv_bin(), folder / "venv" / "bin" / "python"
    for words in (
        ("venv", "--quiet", "--python", sys.executable, str(folder / "venv")),
        ("pip", "sync", "--require-hashes", "--python", str(python), "pylock.toml"),
    ):
        subprocess.run((uv, *words), cwd=folder, check=True, capture_output=True, text=True)
    return str(python)


@contextmanager
def refusing_index(code: int, body: bytes = b"", kind: str | None = None) -> Iterator[str]:
    """Serve an index that answers everything with a status, and with these bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            if kind:
                self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}/simple"
