"""What this machine is configured by, and what its user writes: files, addresses, words."""

from __future__ import annotations

import os
import urllib.parse
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import msgspec
from packaging.utils import canonicalize_name

from snapenv.advisories.match import affects, fixed_in
from snapenv.cli import update
from snapenv.cli.launch_options import MountType, PortType, SizeType
from snapenv.cli.options import ImageRefType, MirrorType
from snapenv.docker_login import find_login, missing_helpers
from snapenv.index.conda_channels import condarc_channels, rattler_logins, split_token
from snapenv.index.configuration import SourceText, Texts, parse_configuration
from snapenv.index.credentials import Credentials, read_netrc
from snapenv.index.uv_isolation import uv_settings
from snapenv.launch.records import list_records, read_end, read_record, read_resumed, read_stop
from snapenv.model.image import Tag
from snapenv.model.osv import Advisory, Query
from snapenv.network.session import find_proxy
from snapenv.ownership import leftovers
from snapenv.render import kubernetes_names
from snapenv.render.slurm import parse_time
from snapenv.secrets import known_secrets
from snapenv.secrets.model import Location, Secret
from snapenv.secrets.search import find_leaks
from snapenv.steps import kept_benches, verdicts
from tests.fuzz.target import SECRET, BrokenRuleError, Target, scratch
from tests.fuzz.targets.snapshots import bundle

if TYPE_CHECKING:
    from collections.abc import Iterator

_RUN = "abcdef012345"
_SNAPSHOT = "sha256:" + "a" * 64


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _indexes(content: bytes) -> None:
    """Read the configuration of pip, uv and conda, and what uv is told of it."""
    parts = {name: text.decode(errors="replace") for name, text in bundle(content).items()}

    def texts(name: str) -> tuple[SourceText, ...]:
        return (SourceText(source=name, text=parts[name]),) if name in parts else ()

    lines = [line.partition("=") for line in parts.get("variables", "").splitlines()]
    environment = {name: value for name, _, value in lines if name and "\0" not in name + value}
    configuration = parse_configuration(
        Texts(
            environment={"HOME": "/nonexistent", **environment},
            pip=texts("pip.conf"),
            uv=texts("uv.toml"),
            uv_logins=parts.get("credentials.toml", ""),
            conda=texts(".condarc"),
            rattler=parts.get("credentials.json", ""),
        )
    )
    netrc = read_netrc({"HOME": "/nonexistent"})
    credentials = Credentials(configuration, netrc)
    credentials.secrets()
    credentials.is_known("https://example.com/simple/x.whl")
    uv_settings(configuration, configuration.variables(keyring=False), call="ask")


def _netrc(content: bytes) -> None:
    with scratch() as folder:
        (folder / ".netrc").write_bytes(content)
        read_netrc({"HOME": str(folder)})
        read_netrc({"HOME": str(folder), "NETRC": str(folder / ".netrc")})


def _channels(content: bytes) -> None:
    text = content.decode(errors="replace")
    list(condarc_channels(text, "condarc"))
    list(rattler_logins(text))
    try:
        urllib.parse.urlsplit(text)
    except ValueError:
        return
    split_token(text)


def _docker_config(content: bytes) -> None:
    """Read docker's configuration; no error tells a password."""
    with scratch() as folder:
        (folder / "config.json").write_bytes(content.replace(b"PASSWORD", SECRET.encode()))
        with _environment(DOCKER_CONFIG=str(folder), PATH=""):
            missing_helpers()
            find_login("registry.example.com")


def _known(content: bytes) -> None:
    """Read secrets out of files of any kind, and look for them."""
    text = content.decode(errors="replace")
    readers = (known_secrets.of_text, known_secrets.of_json, known_secrets.of_netrc)
    named = [pair for reader in readers for pair in reader(text)]
    named += known_secrets.of_variables({"NAME_TOKEN": text, "X": text})
    secrets = [Secret(value=value, what=what) for value, what in named[:50]]
    find_leaks(Location(name="here"), [content], secrets)


def _leaks(content: bytes) -> None:
    """Look for the forms of tokens in any bytes."""
    find_leaks(Location(name="here"), [content[:100], content[100:]], (), forms=True)


def _words(content: bytes) -> None:
    """Read the words of a command line."""
    text = content.decode(errors="surrogateescape")
    kinds: tuple[click.ParamType[Any], ...] = (
        *(ImageRefType(), MirrorType(), SizeType(), PortType(), MountType(), update._PackageType()),
    )
    for kind in kinds:
        try:
            kind.convert(text, None, None)
        except click.UsageError as error:  # noqa: PERF203
            if len(error.message) > len(text) * 6 + 400:
                raise BrokenRuleError("the error is longer than the word") from None


def _names(content: bytes) -> None:
    """Read names for Slurm and Kubernetes."""
    text = content.decode(errors="replace")
    try:
        Tag.parse(text)
    except ValueError:
        canonicalize_name(text)
    if parse_time(text) < 0:
        raise BrokenRuleError("a time before all")


def _labels(content: bytes) -> None:
    text = content.decode(errors="replace")
    kubernetes_names.parse_node_label(text, option="--node")


def _proxy(content: bytes) -> None:
    text = content.decode(errors="replace").replace("\0", "").replace("PASSWORD", SECRET)
    with _environment(HTTPS_PROXY=text, NO_PROXY=text):
        find_proxy("https://example.com/x")


def _run_state(content: bytes) -> None:
    """Read what was written down of a run, of which anything may be left."""
    with scratch() as folder:
        run = folder / "runs" / _RUN
        run.mkdir(parents=True)
        for name, text in bundle(content).items():
            if name.isalnum() or name.endswith(".json"):
                (run / name.replace("/", "_")[:80]).write_bytes(text)
        list_records(folder)
        read_end(folder, _RUN)
        read_stop(folder, _RUN)
        read_resumed(str(run))
        read_record(folder, _RUN)


def _benches(content: bytes) -> None:
    """Read a bench of another machine, and those that are kept."""
    with scratch() as folder:
        path = folder / "bench.json"
        path.write_bytes(content)
        kept = folder / "bench" / ("a" * 64)
        kept.mkdir(parents=True)
        (kept / "1.json").write_bytes(content)
        kept_benches.kept_benches(folder, _SNAPSHOT)
        kept_benches.comparable(kept_benches.read_bench(path))


def _verdict(content: bytes) -> None:
    with scratch() as folder:
        place = verdicts._place(folder, _SNAPSHOT)
        if place is None:
            raise BrokenRuleError("no place")
        place.parent.mkdir(parents=True)
        place.write_bytes(content)
        verdicts.last_verdict(folder, _SNAPSHOT)


def _left_behind(content: bytes) -> None:
    list(leftovers._entries(content.decode(errors="replace")))


def _advisory(content: bytes) -> None:
    """Read an advisory, and what it says of a version."""
    advisory = msgspec.json.decode(content, type=Advisory)
    for version in ("1.0", "2.0rc1", "odd"):
        query = Query(name="plain", version=version)
        affects(advisory, query)
        fixed_in(advisory, query)
    _ = advisory.severity, advisory.malicious


TARGETS = (
    Target(name="indexes", read=_indexes, form="bundle"),
    Target(name="netrc", read=_netrc, form="text"),
    Target(name="channels", read=_channels, form="text"),
    Target(name="docker-config", read=_docker_config, form="json"),
    Target(name="known-secrets", read=_known, form="text"),
    Target(name="token-forms", read=_leaks, form="text"),
    Target(name="words", read=_words, form="text", most_bytes=1 << 12),
    Target(name="names", read=_names, form="text", most_bytes=1 << 12),
    Target(name="node-label", read=_labels, form="text", most_bytes=1 << 12),
    Target(name="proxy", read=_proxy, form="text", most_bytes=1 << 12),
    Target(name="run-state", read=_run_state, form="bundle"),
    Target(name="benches", read=_benches, form="json"),
    Target(name="verdict", read=_verdict, form="json"),
    Target(name="left-behind", read=_left_behind, form="text"),
    Target(name="advisory", read=_advisory, form="json", refuses=(ValueError, RecursionError)),
)
