"""What this machine's ssh is told of a workspace, in files of ours.

Source: https://man.openbsd.org/ssh_config
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_KEY = re.compile(
    r"(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp\d+|sk-[a-z0-9-]+@openssh\.com) [A-Za-z0-9+/=]+",
    re.ASCII,
)
_ENGINE = re.compile(r"DOCKER_(?:HOST|CONTEXT|CONFIG|CERT_PATH|TLS_VERIFY)|XDG_STATE_HOME")


class SshHost(Struct, frozen=True, kw_only=True):
    """How ssh reaches a workspace."""

    alias: str
    user: str
    known_hosts: Path
    port: int | None = None  # of 127.0.0.1, or of ``address``
    address: str = "127.0.0.1"
    proxy: tuple[str, ...] = ()  # without a port: what connects stdin and stdout with its sshd


def alias(name: str) -> str:
    """Return what a workspace is called for ssh."""
    return f"{name}.snapenv"


def public_keys(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the keys that texts hold, a line each, without their comments and each once."""
    lines = (line.strip() for text in texts for line in text.splitlines())
    keys = (_KEY.match(line) for line in lines)
    return tuple(dict.fromkeys(key[0] for key in keys if key))


def proxy_words(
    command: Iterable[str], name: str, environment: Mapping[str, str]
) -> tuple[str, ...]:
    """Return what ssh starts: snapenv, told of the same engine and state as now."""
    kept = [
        f"{key}={value}" for key, value in sorted(environment.items()) if _ENGINE.fullmatch(key)
    ]
    return (*(("/usr/bin/env", *kept) if kept else ()), *command, "ssh-proxy", name)


def host_block(host: SshHost) -> str:
    """Return the lines of an ssh configuration.

    The host's key is the one that was read in the workspace itself: ssh never asks about it.
    """
    if host.port is None:
        how = [f"ProxyCommand {_no_tokens(shlex.join(host.proxy))}"]
    else:
        how = [f"HostName {host.address}", f"Port {host.port}"]
    lines = (
        *how,
        f"User {host.user}",
        f"HostKeyAlias {host.alias}",
        f'UserKnownHostsFile "{_no_tokens(str(host.known_hosts))}"',
        "StrictHostKeyChecking yes",
    )
    return "\n    ".join((f"Host {host.alias}", *lines)) + "\n"


def known_host(host: SshHost, key: str) -> str:
    """Return the line by which ssh knows a workspace."""
    return f"{host.alias} {key}\n"


def include_line(folder: Path) -> str:
    """Return the line of a user's ssh configuration that reads ours."""
    return f'Include "{folder}/*.conf"'


def with_include(config: str, line: str) -> str:
    """Return a user's configuration that reads ours, before any Host: there it is for all."""
    return f"{line}\n\n{config}" if config else f"{line}\n"


def _no_tokens(text: str) -> str:
    return text.replace("%", "%%")
