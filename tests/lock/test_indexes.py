from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.lock.indexes import choose_index, uv_index_environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INDEX = "https://example.com/simple"
OTHER = "https://other.example.com/simple"
CONF = f"[global]\nindex-url = {INDEX}\n"


@pytest.mark.parametrize(
    ("environment", "texts", "expected"),
    [
        ({}, (), {}),
        ({}, ("",), {}),
        ({}, (CONF,), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, ("", CONF), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, (CONF, f"[global]\nindex-url = {OTHER}\n"), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, ("no ini file at all", CONF), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, ("[global]\nindex-url\n", CONF), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, (f"[global]\nindex_url: {INDEX}\n",), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, (f"{CONF}{CONF}",), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, (f"[global]\ntimeout = 5%\n{CONF}",), {"UV_DEFAULT_INDEX": INDEX}),
        ({}, (f"[freeze]\nindex-url = {INDEX}\n",), {}),
        ({"PIP_INDEX_URL": OTHER}, (CONF,), {"UV_DEFAULT_INDEX": OTHER}),
        ({"PIP_INDEX_URL": ""}, (CONF,), {"UV_DEFAULT_INDEX": INDEX}),
        ({"UV_DEFAULT_INDEX": OTHER, "PIP_INDEX_URL": INDEX}, (CONF,), {}),
        ({"UV_INDEX_URL": OTHER}, (CONF,), {}),
        ({"UV_INDEX": OTHER}, (CONF,), {}),
        ({"UV_CONFIG_FILE": "uv.toml"}, (CONF,), {}),
    ],
)
def test_uv_asks_where_pip_would_ask_unless_it_is_told_itself(
    environment: Mapping[str, str], texts: tuple[str, ...], expected: Mapping[str, str]
) -> None:
    assert choose_index(environment, texts) == expected


def test_the_index_of_a_pip_conf_on_disk_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_configuration(tmp_path, monkeypatch)
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text(CONF)

    assert uv_index_environment() == {"UV_DEFAULT_INDEX": INDEX}


def test_the_file_that_pip_is_told_to_read_is_stronger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_configuration(tmp_path, monkeypatch)
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text(CONF)
    (tmp_path / "told.conf").write_text(f"[global]\nindex-url = {OTHER}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "told.conf"))

    assert uv_index_environment() == {"UV_DEFAULT_INDEX": OTHER}


def test_a_pip_conf_that_is_no_text_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_configuration(tmp_path, monkeypatch)
    (tmp_path / "told.conf").write_bytes(b"\xff\xfe[global]")
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text(CONF)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "told.conf"))

    assert uv_index_environment() == {"UV_DEFAULT_INDEX": INDEX}


def test_where_uv_has_a_configuration_of_its_own_nothing_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_configuration(tmp_path, monkeypatch)
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text(CONF)
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv" / "uv.toml").touch()

    assert uv_index_environment() == {}


def without_configuration(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_INDEX_URL", "PIP_CONFIG_FILE", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("UV_CONFIG_FILE", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
