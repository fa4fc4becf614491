from __future__ import annotations

from pathlib import Path

from snapenv.workspace.ssh_client import (
    SshHost,
    host_block,
    include_line,
    proxy_words,
    public_keys,
    with_include,
)

HOST = SshHost(alias="w.snapenv", user="ann", known_hosts=Path("/s/100%/w.known_hosts"))


def test_only_plain_keys_may_log_in_each_once() -> None:
    texts = (
        "ssh-ed25519 AAAA ann@here\n",
        "# a comment\nssh-ed25519 AAAA again\nssh-rsa-cert-v01@openssh.com AAAA\n",
        'command="x" ssh-rsa BBBB\nssh-rsa CCCC\n',
    )

    assert public_keys(texts) == ("ssh-ed25519 AAAA", "ssh-rsa CCCC")


def test_a_proxy_is_told_of_the_engine_and_of_nothing_else() -> None:
    here = {"DOCKER_HOST": "ssh://box", "AWS_SECRET_ACCESS_KEY": "x"}

    words = proxy_words(("/opt/my python", "-m", "snapenv"), "w", here)

    assert words[:2] == ("/usr/bin/env", "DOCKER_HOST=ssh://box")
    assert words[-2:] == ("ssh-proxy", "w")
    assert "x" not in words


def test_the_key_of_the_host_is_checked_without_a_question() -> None:
    block = host_block(HOST)

    assert "StrictHostKeyChecking yes" in block
    assert 'UserKnownHostsFile "/s/100%%/w.known_hosts"' in block


def test_a_path_with_spaces_or_percent_is_one_word_of_the_proxy() -> None:
    proxy = ("/opt/my python", "100%")
    block = host_block(SshHost(alias="w", user="a", known_hosts=Path("/k"), proxy=proxy))

    assert "ProxyCommand '/opt/my python' 100%%\n" in block


def test_what_is_included_stands_before_any_host() -> None:
    line = include_line(Path("/s/ssh"))

    assert line == 'Include "/s/ssh/*.conf"'
    assert with_include("Host x\n", line) == f"{line}\n\nHost x\n"
