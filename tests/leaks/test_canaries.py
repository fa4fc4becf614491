"""No canary is in anything that the program writes or says."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from snapenv.secrets.known_secrets import known_secrets
from tests.command import EXIT_CODES
from tests.leaks.canaries import Canaries
from tests.leaks.planted import Planted, plant
from tests.zoo.cases import wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    with plant(tmp_path_factory.mktemp("leaks")) as planted:
        yield planted


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_capture_lets_no_canary_out(
    words: tuple[str, ...], planted: Planted, tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshot"

    done = planted.capture(snapshot, *words)

    assert done.returncode == 0, done.stderr
    assert len(planted.canaries.planted) >= 30
    assert planted.escaped(done, snapshot) == []
    assert any(asked.status in {200, 206} for asked in planted.server.files_asked())
    assert planted.proxy.tunnels
    names = {path.name for path in (snapshot / "vendor").iterdir()}
    assert {name.split("-")[0] for name in names} >= {"from_a_url", "from_git", "animal"}


def test_a_second_capture_that_knows_all_lets_none_out(planted: Planted, tmp_path: Path) -> None:
    planted.capture(tmp_path / "first")

    done = planted.capture(tmp_path / "second")

    assert done.returncode == 0, done.stderr
    assert planted.escaped(done, tmp_path / "second") == []


def refused_by_the_index(planted: Planted, folder: Path) -> dict[str, str]:
    """Return the index another password than the one that is known here."""
    return {
        "PIP_EXTRA_INDEX_URL": planted.server.index_as(
            f"reader:{planted.canaries.plant('a login that is wrong')}"
        ),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "UV_CACHE_DIR": str(folder / "uv"),
    }


def index_gone(planted: Planted, folder: Path) -> dict[str, str]:
    secret = planted.canaries.plant("a login of nobody")
    return {
        "PIP_EXTRA_INDEX_URL": f"http://reader:{secret}@127.0.0.1:9/simple",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "UV_CACHE_DIR": str(folder / "uv"),
    }


def proxy_gone(planted: Planted, folder: Path) -> dict[str, str]:
    secret = planted.canaries.plant("a proxy that is gone")
    return {
        "HTTPS_PROXY": f"http://me:{secret}@127.0.0.1:9",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "UV_CACHE_DIR": str(folder / "uv"),
    }


def refused_by_the_proxy(planted: Planted, folder: Path) -> dict[str, str]:
    secret = planted.canaries.plant("a login that the proxy refuses")
    return {
        "HTTPS_PROXY": f"http://me:{secret}@127.0.0.1:{planted.proxy.port}",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "UV_CACHE_DIR": str(folder / "uv"),
    }


def broken_configuration(planted: Planted, folder: Path) -> dict[str, str]:
    secret = planted.canaries.plant("a broken configuration")
    file = folder / "uv.toml"
    file.write_text(f'index-url = "https://me:{secret}@example.com/simple"\nindex-url = [[[\n')
    return {"UV_CONFIG_FILE": str(file)}


def no_such_place(planted: Planted, folder: Path) -> dict[str, str]:
    secret = planted.canaries.plant("a place in a URL")
    return {"PIP_EXTRA_INDEX_URL": f"ftp://me:{secret}@/nowhere:port/", "TMPDIR": str(folder)}


FAILURES = (
    *(refused_by_the_index, index_gone, proxy_gone, refused_by_the_proxy),
    *(broken_configuration, no_such_place),
)


AS_TEXT, AS_JSON = (), ("--json",)


def either_way() -> list[object]:
    """Return each failure with both kinds of output; of these a full run alone has the second."""
    cases = list[object]()
    for number, induce in enumerate(FAILURES):
        first, second = (AS_TEXT, AS_JSON) if number % 2 else (AS_JSON, AS_TEXT)
        cases += [pytest.param(induce, first), pytest.param(induce, second, marks=pytest.mark.full)]
    return cases


@pytest.mark.parametrize(("induce", "words"), either_way())
def test_a_capture_that_fails_lets_no_canary_out(
    induce: Callable[[Planted, Path], dict[str, str]],
    words: tuple[str, ...],
    planted: Planted,
    tmp_path: Path,
) -> None:
    snapshot = tmp_path / "snapshot"

    done = planted.capture(snapshot, *words, **induce(planted, tmp_path))

    assert done.returncode != 70, done.stderr
    assert done.returncode or induce is no_such_place
    assert planted.escaped(done, snapshot) == []
    if words and done.stdout:
        assert json.loads(done.stdout)["exit_code"] == done.returncode


def test_a_capture_that_is_refused_lets_no_canary_out(planted: Planted, tmp_path: Path) -> None:
    venv = planted.venv
    venv.install("--no-deps", str(wheel(venv.beside, "ultralytics", "8.3.41", {"u.py": ""})))

    done = planted.capture(tmp_path / "snapshot")
    venv.install("--no-deps", str(wheel(venv.beside, "ultralytics", "8.4.190", {"u.py": ""})))

    assert done.returncode == EXIT_CODES["lock"]
    assert "known malicious" in done.stderr
    assert planted.escaped(done, tmp_path / "snapshot") == []


def test_a_canary_that_is_allowed_to_travel_is_found(planted: Planted, tmp_path: Path) -> None:
    loose, snapshot = planted.venv.site / "ours.py", tmp_path / "snapshot"
    loose.write_text(f"TOKEN = {planted.canaries.plant('the variable HF_TOKEN')!r}\n")

    done = planted.capture(snapshot, "--allow", "site/ours.py")
    loose.unlink()

    assert done.returncode == 0, done.stderr
    (escaped,) = planted.escaped(done, snapshot)
    assert escaped.startswith("the variable HF_TOKEN in overlay/")


IN_PACKAGES = {
    "direct_url.json, an archive",
    "direct_url.json, git",
    "the channel of conda",
    "the output of a notebook",
}


def test_all_but_what_packages_hold_is_seen_beforehand(planted: Planted) -> None:
    planted.environment()
    folders = (planted.beside, planted.beside / "tree")

    seen = known_secrets(planted.environment(), planted.home, folders=folders)

    text = "\n".join(secret.value for secret in seen)
    bodies = {base64.b64encode(s.encode() * 30).decode() for s in planted.canaries.planted.values()}
    keys = [secret.value for secret in seen if any(secret.value in body for body in bodies)]
    places = planted.canaries.planted.items()
    unseen = {place for place, secret in places if secret not in text and place[:2] != "a "}
    assert unseen == IN_PACKAGES | {"an ssh key"}
    assert len(keys) == 1


def test_the_search_finds_what_is_packed_and_encoded() -> None:
    canaries = Canaries()
    secret = canaries.plant("a place").encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", b"user:" + secret)
    outputs = {
        "plain": b"a" + secret + b"b",
        "base64": base64.b64encode(b"me:" + secret),
        "base64, later": base64.b64encode(b"user:" + secret),
        "wheel": packed.getvalue(),
        "none": b"nothing",
    }

    assert canaries.found(outputs) == [
        "a place in base64",
        "a place in base64, later",
        "a place in plain",
        "a place in wheel/x",
    ]
