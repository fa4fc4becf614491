from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snapenv.index.configuration import (
    SourceText,
    Texts,
    install_options,
    parse_configuration,
    pip_files,
    read_configuration,
)
from snapenv.index.uv_settings import uv_files
from tests.engines.index_server import build_wheel
from tests.index.machine import (
    compile_with_uv,
    quick_wheels,
    write_pip_conf,
    write_uv_toml,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.engines.index_server import IndexServer

INDEX = "https://example.com/simple"
OTHER = "https://other.example.com/simple"
THIRD = "https://me:secret@third.example.com/simple"
CONF = f"[global]\nindex-url = {INDEX}\n"
SEVERAL = {"UV_INDEX_STRATEGY": "unsafe-best-match"}


def variables(
    environment: Mapping[str, str], *pip: str, uv: str = "", keyring: bool = False
) -> Mapping[str, str]:
    texts = Texts(
        environment=environment,
        pip=tuple(SourceText(source="pip.conf", text=text) for text in pip),
        uv=(SourceText(source="uv.toml", text=uv),),
    )
    return parse_configuration(texts).variables(keyring=keyring)


@pytest.mark.parametrize(
    ("environment", "texts", "expected"),
    [
        ({}, (), {}),
        ({}, ("",), {}),
        ({}, (CONF,), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, (CONF, f"[global]\nindex-url = {OTHER}\n"), {"UV_DEFAULT_INDEX": OTHER}),
        ({}, (f"[install]\nindex-url = {OTHER}\n", CONF), {"UV_DEFAULT_INDEX": OTHER}),
        ({}, ("no ini file at all", CONF), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, (CONF, "[global]\nindex-url\n"), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, (CONF, "[global]\nindex-url =\n"), {}),
        ({}, (f"[global]\nindex_url: {INDEX}\n",), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, (f"[global]\n--index-url: {INDEX}\n",), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, (f"{CONF}{CONF}",), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, (f"{CONF}timeout = 5%\n",), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, (f"[freeze]\nindex-url = {INDEX}\n",), {}),
        ({"PIP_INDEX_URL": OTHER}, (CONF,), {"UV_DEFAULT_INDEX": OTHER}),
        (
            {"PIP_INDEX_URL": OTHER},
            (f"[install]\nindex-url = {INDEX}",),
            {"UV_DEFAULT_INDEX": OTHER},
        ),
        ({"PIP_INDEX_URL": ""}, (CONF,), {"UV_DEFAULT_INDEX": INDEX}),
        (
            {"PIP_EXTRA_INDEX_URL": f"{OTHER} {THIRD}"},
            (CONF,),
            {"UV_DEFAULT_INDEX": INDEX, "UV_INDEX": f"{OTHER} {THIRD}", **SEVERAL},
        ),
        (
            {},
            (f"[global]\nextra-index-url =\n    {OTHER}\n    {THIRD}\n",),
            {"UV_INDEX": f"{OTHER} {THIRD}", **SEVERAL},
        ),
        (
            {"UV_INDEX_STRATEGY": "first-index"},
            (f"[global]\nextra-index-url = {OTHER}\n",),
            {"UV_INDEX": OTHER},
        ),
        ({"PIP_NO_INDEX": "1", "PIP_INDEX_URL": INDEX}, (), {}),
        ({}, ("[global]\ncert = /ca.pem\n",), {"SSL_CERT_FILE": "/ca.pem"}),
        ({"SSL_CERT_FILE": "/own.pem"}, ("[global]\ncert = /ca.pem\n",), {}),
        ({"PIP_TRUSTED_HOST": "example.com"}, (), {"UV_INSECURE_HOST": "example.com"}),
    ],
)
def test_uv_is_told_what_pip_would_ask(
    environment: Mapping[str, str], texts: tuple[str, ...], expected: Mapping[str, str]
) -> None:
    assert variables(environment, *texts) == expected


@pytest.mark.parametrize(
    "text",
    [
        "[global]\nindex-url = file:///wheels/simple\n",
        "[global]\nextra-index-url = file:///wheels/simple file:///more/simple\n",
        "[global]\nextra-index-url = /wheels/simple\n",
        "[global]\nfind-links = /wheels\n",
        "[global]\nindex-url = https://[broken\n",
    ],
)
def test_folders_of_this_machine_are_no_index(text: str) -> None:
    assert variables({}, text) == {}


@pytest.mark.parametrize(
    "name", ["UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_CONFIG_FILE"]
)
def test_uv_is_told_nothing_where_its_own_variables_tell_it(name: str) -> None:
    assert variables({name: OTHER, "PIP_INDEX_URL": INDEX}, CONF) == {}


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        (f'[[index]]\nurl = "{OTHER}"\n', True),
        (f'index-url = "{OTHER}"\n', True),
        (f'extra-index-url = ["{OTHER}"]\n', True),
        (f'[pip]\nindex-url = "{OTHER}"\n', True),
        ('cache-dir = "/cache"\n', False),
        ("no toml at all", False),
        ("index = 3", True),
        ("", False),
    ],
)
def test_uv_is_told_nothing_where_its_own_file_names_an_index(text: str, *, is_told: bool) -> None:
    expected = {} if is_told else {"UV_DEFAULT_INDEX": INDEX}

    assert variables({}, CONF, uv=text) == expected


def test_uv_may_ask_a_keyring_beside_the_indexes() -> None:
    told = variables({}, CONF, keyring=True)

    assert told == {"UV_DEFAULT_INDEX": INDEX, "UV_KEYRING_PROVIDER": "subprocess"}


def test_the_indexes_of_both_programs_are_listed_with_their_logins() -> None:
    uv = (
        f'[[index]]\nname = "team-a"\nurl = "{INDEX}"\n'
        '[[index]]\nurl = "https://u:p%40ss@uv.example.com/simple"\nauthenticate = "always"\n'
    )
    texts = Texts(
        environment={
            "UV_INDEX": f"b={OTHER} {THIRD}",
            "UV_INDEX_TEAM_A_USERNAME": "anna",
            "UV_INDEX_TEAM_A_PASSWORD": "pass-a",
            "UV_INDEX_B_PASSWORD": "pass-b",
        },
        uv=(SourceText(source="uv.toml", text=uv),),
    )

    found = [
        (index.address, index.login and (index.login.user, index.login.password), index.always)
        for index in parse_configuration(texts).indexes
    ]

    assert found == [
        (INDEX, ("anna", "pass-a"), False),
        ("https://uv.example.com/simple", ("u", "p@ss"), True),
        (OTHER, ("", "pass-b"), False),
        ("https://third.example.com/simple", ("me", "secret"), False),
    ]


def test_no_login_is_shown() -> None:
    texts = Texts(
        environment={"PIP_INDEX_URL": THIRD, "UV_INDEX_A_PASSWORD": "secret"},
        pip=(SourceText(source="pip.conf", text=f"[global]\nextra-index-url = {THIRD}\n"),),
        uv_logins='[[credential]]\nservice = "https://x.example.com"\npassword = "secret"\n',
    )

    assert "secret" not in repr(parse_configuration(texts))
    assert "secret" not in repr(texts)


def test_pip_reads_its_files_in_this_order() -> None:
    environment = {"HOME": "/home/me", "VIRTUAL_ENV": "/venv", "PIP_CONFIG_FILE": "/absent.conf"}

    assert [str(path) for path in pip_files(environment)] == [
        "/etc/xdg/pip/pip.conf",
        "/etc/pip.conf",
        "/home/me/.pip/pip.conf",
        "/home/me/.config/pip/pip.conf",
        "/venv/pip.conf",
        "/absent.conf",
    ]


def test_a_file_that_pip_is_told_of_takes_the_place_of_the_users(tmp_path: Path) -> None:
    told = tmp_path / "told.conf"
    told.touch()

    paths = pip_files({"HOME": "/home/me", "PIP_CONFIG_FILE": str(told)})

    assert told in paths
    assert Path("/home/me/.config/pip/pip.conf") not in paths


def test_pip_can_be_told_to_read_no_file() -> None:
    assert pip_files({"PIP_CONFIG_FILE": os.devnull}) == ()


def test_uv_reads_the_file_that_it_is_told_of_alone() -> None:
    assert uv_files({"UV_CONFIG_FILE": "/told.toml"}) == (Path("/told.toml"),)
    assert uv_files({"UV_NO_CONFIG": "1"}) == ()
    assert Path("/home/me/.config/uv/uv.toml") in uv_files({"HOME": "/home/me"})


def test_files_on_disk_are_read(home: Path) -> None:
    write_pip_conf(home, index_url=INDEX)
    assert read_configuration().pip["index-url"] == INDEX
    assert read_configuration().uv_is_told is False

    write_uv_toml(home, f'index-url = "{OTHER}"\n')
    assert read_configuration().uv_is_told is True


def test_a_pip_conf_that_is_no_text_is_passed_over(home: Path) -> None:
    write_pip_conf(home, index_url=INDEX)
    legacy = home / ".pip" / "pip.conf"
    legacy.parent.mkdir()
    legacy.write_bytes(b"\xff\xfe[global]")

    assert read_configuration().pip["index-url"] == INDEX


@pytest.mark.skipif(find_spec("pip") is None, reason="pip is not installed beside the tests")
def test_pip_itself_reads_the_same(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pip_conf(home, index_url=INDEX, extra_index_url=OTHER, timeout="7")
    legacy = home / ".pip" / "pip.conf"
    legacy.parent.mkdir()
    legacy.write_text(f"[install]\nextra-index-url = {THIRD}\n[global]\nretries = 3\n")
    monkeypatch.setenv("PIP_TIMEOUT", "9")
    done = subprocess.run(
        (sys.executable, "-m", "pip", "config", "list"),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )

    ours = install_options(os.environ, (found.text for found in read_configuration().texts.pip))

    assert f"install.extra-index-url='{THIRD}'" in done.stdout
    assert f"global.index-url='{INDEX}'" in done.stdout
    assert "global.retries='3'" in done.stdout
    assert ":env:.timeout='9'" in done.stdout
    assert ours["extra-index-url"] == THIRD
    assert (ours["index-url"], ours["retries"], ours["timeout"]) == (INDEX, "3", "9")


@pytest.mark.skipif(find_spec("pip") is None, reason="pip is not installed beside the tests")
def test_pip_and_uv_find_the_newest_wheel_of_the_same_indexes(
    server: IndexServer, other: IndexServer, home: Path, tmp_path: Path
) -> None:
    name, content = build_wheel("demo", "2.0")
    other.wheels[name] = content
    write_pip_conf(home, index_url=server.index, extra_index_url=other.index)

    pip = (sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "demo")
    subprocess.run(pip, cwd=tmp_path, check=True, capture_output=True)
    found = compile_with_uv("demo", quick_wheels().variables())

    assert [path.name for path in tmp_path.glob("*.whl")] == [name]
    assert found == (other.wheel(name).url,)
