"""What of a person's configuration reaches uv: what is meant for snapenv too, and nothing else."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from uv import find_uv_bin

from snapenv.engine.venv import UvVenvs
from snapenv.index.configuration import SourceText, Texts, parse_configuration
from snapenv.index.uv_isolation import is_meant, uv_settings
from snapenv.index.wheels import IndexWheels
from snapenv.lock.ask import Uv, ask_index
from snapenv.model.python import Distribution
from snapenv.model.uv import Call, UvSettings
from snapenv.targets.local import LocalTarget
from snapenv.toml import read_toml
from tests.engines.index_server import build_wheel, serve_index
from tests.real_index import PYTHON, Silent, facts_of_this_machine

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.wheels import IndexWheel

CALLS: tuple[Call, ...] = get_args(Call)
# Each of these changes what `uv pip compile`, `uv venv` or `uv pip install` does, or ends it.
HOSTILE = {
    "UV_COMPILE_BYTECODE": "1",
    "UV_CONFIG_FILE": "{folder}/hostile.toml",
    "UV_CONSTRAINT": "{folder}/constraints.txt",
    "UV_EXCLUDE_NEWER": "2000-01-01",
    "UV_FORK_STRATEGY": "fewest",
    "UV_INDEX_STRATEGY": "nonsense",
    "UV_LINK_MODE": "symlink",
    "UV_NO_BINARY": "1",
    "UV_NO_INSTALLER_METADATA": "1",
    "UV_NO_VERIFY_HASHES": "1",
    "UV_OVERRIDE": "{folder}/constraints.txt",
    "UV_PRERELEASE": "disallow",
    "UV_PREVIEW": "1",
    "UV_PYTHON": "3.99",
    "UV_RESOLUTION": "lowest",
    "UV_SYSTEM_PYTHON": "1",
    "UV_VENV_RELOCATABLE": "1",
    "UV_VENV_SEED": "1",
    "UV_WORKING_DIR": "/nowhere",
    "FORCE_COLOR": "1",
    "RUST_LOG": "trace",
}
HOSTILE_TOML = """
link-mode = "symlink"
exclude-newer = "2000-01-01"
resolution = "lowest"
compile-bytecode = true
no-binary = true
index-strategy = "first-index"
constraint-dependencies = ["ours==9"]
[pip]
exclude-newer = "2000-01-01"
link-mode = "symlink"
no-binary = [":all:"]
python-version = "3.99"
require-hashes = false
torch-backend = "cpu"
"""
MEANT = {
    "UV_CACHE_DIR",
    "UV_DEFAULT_INDEX",
    "UV_HTTP_TIMEOUT",
    "UV_INDEX",
    "UV_INDEX_TEAM_PASSWORD",
    "UV_INSECURE_HOST",
    "UV_OFFLINE",
    "UV_SYSTEM_CERTS",
}


def settings(call: Call, environment: dict[str, str], *files: str, **told: str) -> UvSettings:
    sources = tuple(SourceText(source="uv.toml", text=text) for text in files)
    configuration = parse_configuration(Texts(environment=environment, uv=sources))
    return uv_settings(configuration, told, call=call)


def config(call: Call, *files: str) -> object:
    return read_toml(settings(call, {}, *files).config.decode())


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_meant_for_other_work_is_kept_from_uv(name: str, call: Call) -> None:
    given_to_uv = settings(call, {name: "x", "HOME": "/home/user"})

    assert given_to_uv.unset == (name,)
    assert name not in given_to_uv.variables or name == "UV_INDEX_STRATEGY"


@pytest.mark.parametrize("name", sorted(MEANT))
def test_what_is_meant_for_snapenv_too_reaches_uv_where_wheels_are_asked_for(name: str) -> None:
    assert name not in settings("ask", {name: "x"}).unset


def test_an_installation_is_told_of_no_index_but_of_pythons() -> None:
    environment = {"UV_INDEX": "https://example.com/simple", "UV_PYTHON_PREFERENCE": "system"}

    assert settings("install", environment).unset == ("UV_INDEX",)
    assert settings("ask", environment).unset == ("UV_PYTHON_PREFERENCE",)


@given(st.from_regex(r"UV_[A-Z_]{1,20}", fullmatch=True), st.sampled_from(CALLS))
def test_a_variable_of_uv_that_nobody_thought_of_is_kept_from_it(name: str, call: Call) -> None:
    known = is_meant(name, call)

    assert (name in settings(call, {name: "x"}).unset) is not known
    assert not known or re.match(
        r"UV_(.*INDEX|FIND_LINKS|TORCH|KEYRING|CRED|AUTH|API|NATIVE|SYSTEM_CERTS|INSECURE_HOST|HTTP"
        r"|REQUEST|CONCURRENT|LOCK_TIMEOUT|CACHE_DIR|OFFLINE|.*PYTHON|NO_CACHE)",
        name,
    )


@pytest.mark.parametrize("call", CALLS)
def test_of_a_configuration_file_only_what_is_meant_is_left(call: Call) -> None:
    text = 'cache-dir = "/cache"\nallow-insecure-host = ["example.com"]\n' + HOSTILE_TOML
    kept = {"cache-dir": "/cache", "allow-insecure-host": ["example.com"]}
    backend = {"pip": {"torch-backend": "cpu"}} if call == "ask" else {}

    assert config(call, text) == {**kept, **backend}


def test_what_is_no_toml_is_left_to_uv_which_says_so() -> None:
    assert settings("ask", {}, "offline = true\n", "[[index\n").config == b"[[index\n"


def test_the_stronger_file_wins_and_lists_are_joined() -> None:
    own = 'cache-dir = "/own"\n[[index]]\nname = "a"\nurl = "https://a.example.com"\n'
    system = (
        'cache-dir = "/system"\noffline = true\n'
        '[[index]]\nurl = "https://b.example.com"\nauthenticate = "always"\n'
        'exclude-newer = "2000-01-01"\n[[index]]\nurl = "./folder"\n'
    )

    assert config("ask", own, system) == {
        "cache-dir": "/own",
        "offline": True,
        "index": [
            {"name": "a", "url": "https://a.example.com"},
            {"url": "https://b.example.com", "authenticate": "always"},
        ],
    }


def test_no_python_is_fetched_where_wheels_are_asked_for() -> None:
    environment = {"UV_PYTHON_DOWNLOADS": "automatic"}

    assert settings("ask", environment).variables["UV_PYTHON_DOWNLOADS"] == "never"
    assert settings("install", {"UV_PYTHON_DOWNLOADS": "manual"}).unset == ()


def test_a_folder_of_links_is_left_out_and_a_page_of_links_stays() -> None:
    page = "https://example.com/torch_stable.html"

    both = settings("ask", {"UV_FIND_LINKS": f"/opt/wheels,{page}"})
    folder = settings("ask", {"UV_FIND_LINKS": "/opt/wheels"})

    assert both.variables["UV_FIND_LINKS"] == page
    assert folder.unset == ("UV_FIND_LINKS",)


def test_a_cache_is_the_same_in_whatever_folder_uv_runs() -> None:
    own = settings("install", {"UV_CACHE_DIR": "cache"})

    assert own.variables["UV_CACHE_DIR"] == os.path.join(os.getcwd(), "cache")  # noqa: PTH109, PTH118


def test_what_pip_is_told_reaches_uv_and_what_uv_is_told_is_stronger() -> None:
    told = {"UV_KEYRING_PROVIDER": "subprocess", "UV_INDEX": "https://pip.example.com"}

    own = settings("ask", {"UV_INDEX": "https://uv.example.com"}, **told)

    assert own.variables["UV_INDEX"] == "https://uv.example.com"
    assert own.variables["UV_KEYRING_PROVIDER"] == "subprocess"
    assert "UV_INDEX" not in settings("install", {}, **told).variables


def test_a_pin_is_found_on_whichever_index_has_that_version() -> None:
    several = settings("ask", {"UV_INDEX": "https://example.com"})

    assert several.variables["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert "UV_INDEX_STRATEGY" not in settings("ask", {}).variables


@pytest.fixture
def hostile_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set every variable, and every key of a configuration file, in the way of what is asked."""
    (tmp_path / "hostile.toml").write_text(HOSTILE_TOML)
    (tmp_path / "constraints.txt").write_text("ours==9\n")
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value.format(folder=tmp_path))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "pythons"))
    return tmp_path


def ask(index: str, monkeypatch: pytest.MonkeyPatch, *, python: str) -> tuple[IndexWheel, ...]:
    monkeypatch.setenv("UV_DEFAULT_INDEX", index)
    pin = Distribution(name="ours", version="1.0", origin="index")
    facts = facts_of_this_machine(pin)
    interpreter = replace(facts.environment.interpreter, version=python)
    facts = replace(facts, environment=replace(facts.environment, interpreter=interpreter))
    uv = Uv(
        machine=LocalTarget(sys.executable),
        program=find_uv_bin(),
        settings=IndexWheels(None).uv_settings("ask"),
    )
    return ask_index([pin], facts, uv, Silent())["ours"]


def test_no_setting_changes_what_is_captured_and_no_python_is_fetched(
    hostile_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_index(build_wheel("ours")) as server:
        (wheel,) = ask(server.index, monkeypatch, python="3.8.0")

        assert wheel == server.wheel("ours-1.0-py3-none-any.whl")
    assert not (hostile_machine / "pythons").exists()


def test_no_setting_changes_what_is_restored(hostile_machine: Path) -> None:
    with serve_index(build_wheel("ours")) as server:
        wheel = server.wheel("ours-1.0-py3-none-any.whl")
        lock = (
            'lock-version = "1.0"\ncreated-by = "snapenv"\n[[packages]]\nname = "ours"\n'
            f'version = "1.0"\nwheels = [{{ url = "{wheel.url}", '
            f'hashes = {{ sha256 = "{wheel.sha256}" }} }}]\n'
        )
        venvs = UvVenvs(
            find_uv_bin(), LocalTarget, lambda: IndexWheels(None).uv_settings("install")
        )
        into = hostile_machine / "venv"

        venvs.create({"pylock.toml": lock.encode()}, python=PYTHON, into=into, task=Silent())

    site = next(into.glob("lib/*/site-packages"))
    info = {path.name for path in site.glob("ours-1.0.dist-info/*")}
    assert not (site / "ours.py").is_symlink()
    assert info == {"METADATA", "RECORD", "REQUESTED", "WHEEL", "INSTALLER"}
    assert not list(into.rglob("pip*"))
    assert not list(site.rglob("ours*.pyc"))
