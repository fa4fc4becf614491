from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapenv.engine.proxies import choose_proxies

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = "unix:///var/run/docker.sock"
THERE = "tcp://engine.example.com:2376"
PROXY = "http://proxy.example.com:3128"
OTHER = "http://other.example.com:3128"


def both(**proxies: str) -> Mapping[str, str]:
    spelled = ((name, value) for name, value in proxies.items())
    return {way: value for name, value in spelled for way in (name, name.lower())}


def test_every_proxy_of_dockers_configuration_is_given_in_both_spellings() -> None:
    default = {
        "httpProxy": PROXY,
        "httpsProxy": OTHER,
        "ftpProxy": PROXY,
        "allProxy": "socks5h://proxy.example.com",
        "noProxy": ".example.com",
    }

    assert choose_proxies({"default": default}, {}, address=HERE) == both(
        HTTP_PROXY=PROXY,
        HTTPS_PROXY=OTHER,
        FTP_PROXY=PROXY,
        ALL_PROXY="socks5h://proxy.example.com",
        NO_PROXY=".example.com",
    )


def test_those_of_this_engine_go_before_those_of_all() -> None:
    configured = {"default": {"httpProxy": PROXY}, THERE: {"httpsProxy": OTHER}}

    assert choose_proxies(configured, {}, address=THERE) == both(HTTPS_PROXY=OTHER)
    assert choose_proxies(configured, {}, address=HERE) == both(HTTP_PROXY=PROXY)


def test_the_shells_count_where_docker_has_none_for_this_engine() -> None:
    environ = {"HTTPS_PROXY": PROXY, "no_proxy": "localhost", "PATH": "/bin", "http_proxy": OTHER}
    expected = both(HTTPS_PROXY=PROXY, HTTP_PROXY=OTHER, NO_PROXY="localhost")

    assert choose_proxies(None, environ, address=HERE) == expected
    assert choose_proxies({"default": {}}, environ, address=HERE) == expected
    configured = {"default": {"httpProxy": OTHER}}
    assert choose_proxies(configured, environ, address=HERE) == both(HTTP_PROXY=OTHER)


def test_the_small_letters_of_the_shell_go_before_the_capitals() -> None:
    environ = {"HTTPS_PROXY": PROXY, "https_proxy": OTHER}

    assert choose_proxies(None, environ, address=HERE) == both(HTTPS_PROXY=OTHER)


def test_the_shells_are_not_for_an_engine_elsewhere() -> None:
    assert choose_proxies(None, {"HTTPS_PROXY": PROXY}, address=THERE) == {}


@pytest.mark.parametrize(
    "proxy",
    ["http://localhost:3128", "127.0.0.1:3128", "http://127.1.2.3", "socks5://[::1]:1080"],
)
def test_a_proxy_of_this_machines_loopback_reaches_no_step(proxy: str) -> None:
    assert choose_proxies(None, {"http_proxy": proxy, "no_proxy": "a"}, address=HERE) == {}
    given = choose_proxies(None, {"http_proxy": proxy, "https_proxy": PROXY}, address=HERE)
    assert given == both(HTTPS_PROXY=PROXY)


json = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(("default", HERE, "x")), inner),
)


@given(configured=json, keys=st.dictionaries(st.sampled_from(("httpProxy", "noProxy")), json))
def test_a_configuration_of_any_form_gives_texts_or_nothing(
    configured: object, keys: Mapping[str, object]
) -> None:
    assert choose_proxies(configured, {}, address=HERE) == {}
    proxies = choose_proxies({"default": keys}, {}, address=HERE)
    assert all(value and isinstance(value, str) for value in proxies.values())


@given(value=st.text())
def test_a_shells_proxy_may_be_any_text(value: str) -> None:
    assert set(choose_proxies(None, {"http_proxy": value}, address=HERE).values()) <= {value}
