"""Doors to the outside: no test meets an engine that the tests did not start.

DOCKER_HOST points nowhere unless a test is marked ``docker``, and the user's own docker
configuration is never read. What this machine cannot give is skipped in a word; under CI that
is a failure.
"""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.engines.base import push_base
from tests.engines.browser import find_browser
from tests.engines.engine import engine_address, start_engine
from tests.engines.exact import make_exact
from tests.engines.newer_engine import NEWER, start_newer
from tests.engines.place import Place, install
from tests.engines.plain_base import push_plain_base
from tests.engines.postgres import run_postgres
from tests.engines.provide import provide, provide_running
from tests.engines.registry import start_registry
from tests.engines.small_base import push_small_base
from tests.engines.ssh import start_sshd
from tests.grouping import group_of, missing_mark, place_in_line, short_id
from tests.sampling import load_profile
from tests.targets.processes import end_samplers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.browser import Browser
    from tests.engines.postgres import Postgres

NOWHERE = "unix:///nonexistent/docker.sock"
_OF_THE_USER = ("DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")

Part = TypeVar("Part")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="try everything instead of a sample")


def pytest_configure(config: pytest.Config) -> None:
    """Hear signals also where the tests were started in the background, or by nohup.

    Programs that tests start inherit it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    load_profile(full=config.getoption("full"))
    if config.getoption("dist", "no") not in {"no", "loadgroup"}:
        raise pytest.UsageError("tests that share a part stay together: add --dist loadgroup")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked full, and group the rest for pytest-xdist, the longest first.

    Tests that share a part stay on one worker. A module is a group too: its fixtures are made once.
    """
    if not config.getoption("full"):
        config.hook.pytest_deselected(items=[item for item in items if _is_full(item)])
        items[:] = [item for item in items if not _is_full(item)]
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: place_in_line(_group(item)))


def _is_full(item: pytest.Item) -> bool:
    return item.get_closest_marker("full") is not None


def _group(item: pytest.Item) -> str:
    """Return the group of a test.

    Raises:
        UsageError: It would use a part that tests share, and not be in the group of those.
    """
    assert isinstance(item, pytest.Function)
    marks = {mark.name for mark in item.iter_markers()}
    missing = missing_mark(marks=marks, fixtures=item.fixturenames)
    if missing:
        raise pytest.UsageError(f"{item.nodeid} lacks the mark {missing}")
    return group_of(
        marks=marks,
        fixtures=item.fixturenames,
        params=item.callspec.params.values() if hasattr(item, "callspec") else (),
        module=item.nodeid.partition("::")[0],
    )


def pytest_make_parametrize_id(val: object) -> str | None:
    return short_id(val)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Open or close the door before any fixture of a test is made."""
    marked = item.get_closest_marker("docker")
    os.environ["DOCKER_HOST"] = engine_address(Place.default()) if marked else NOWHERE


@pytest.fixture(scope="session", autouse=True)
def _docker_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the user's docker configuration: contexts, credentials, proxies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_CONFIG", str(tmp_path_factory.mktemp("docker-config")))
        for name in _OF_THE_USER:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep runs and their ledger out of the user's state folder, and start no sampler beside each.

    What needs a sampler sets its interval; none that is left outlives the tests.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("SNAPENV_SAMPLE_INTERVAL", "0")
        patch.delenv("SNAPENV_LEDGER", raising=False)
        yield
    end_samplers(tmp_path_factory.getbasetemp())


@pytest.fixture(autouse=True)
def _engine(request: pytest.FixtureRequest) -> None:
    """Start the engine for each test that is marked, whether it asks for its address or not."""
    if request.node.get_closest_marker("docker"):
        request.getfixturevalue("engine_host")


@pytest.fixture(scope="session")
def engine_host() -> str:
    """Return the address of an engine of our own; DOCKER_HOST holds it in tests marked docker."""
    return provide(start_engine)


@pytest.fixture(scope="session")
def newer_host() -> str:
    """Return the address of Docker 28, for tests that any engine serves: a group of their own."""
    return provide(lambda place: start_newer(place, NEWER))


@pytest.fixture(scope="session")
def registry() -> str:
    """Return ``localhost:PORT`` of a registry without a password."""
    return provide(start_registry)


@pytest.fixture(scope="session")
def base_image(engine_host: str, registry: str) -> str:
    """Return the reference of a stand-in for NVIDIA's image, without torch, in the registry."""
    return provide(lambda place: push_small_base(place, engine=engine_host, registry=registry))


@pytest.fixture(scope="session")
def plain_image(engine_host: str, registry: str) -> str:
    """Return the reference of a plain Debian 13, without Python, in the registry."""
    return provide(
        lambda place: push_plain_base(place, "trixie", engine=engine_host, registry=registry)
    )


@pytest.fixture(scope="session")
def plain_bookworm(engine_host: str, registry: str) -> str:
    """Return the reference of a plain Debian 12, whose Python is 3.11, in the registry."""
    return provide(
        lambda place: push_plain_base(place, "bookworm", engine=engine_host, registry=registry)
    )


@pytest.fixture(scope="session")
def torch_image(engine_host: str, registry: str) -> str:
    """Return the reference of the stand-in with a torch of its own, in the registry."""
    return provide(lambda place: push_base(place, engine=engine_host, registry=registry))


@pytest.fixture(scope="session")
def exact_python() -> Path:
    """Return the interpreter of an environment with torch and ultralytics from the index."""
    return provide(make_exact)


@pytest.fixture(scope="session")
def conda_channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a channel of conda packages, with a Python among them."""
    from tests.conda.channel import make_channel
    from tests.conda.packages import usual

    folder = tmp_path_factory.mktemp("channel")
    return provide(lambda _: make_channel(folder, usual()))


@pytest.fixture(scope="session")
def conda_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which py-rattler keeps the packages of tests, as RATTLER_CACHE_DIR."""
    return tmp_path_factory.mktemp("rattler")


@pytest.fixture(scope="session")
def browser() -> Browser:
    """Return a real browser without a network."""
    return provide(find_browser)


@pytest.fixture(scope="session")
def ssh_keygen() -> None:
    """See that the programs of the OpenSSH client are there."""
    if not shutil.which("ssh-keygen"):
        provide(lambda _: install({"openssh-client": "ssh-keygen"}))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Return a PostgreSQL of this run; what a test stops it starts again."""
    with provide_running(run_postgres()) as running:
        yield running


@pytest.fixture
def ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an ssh on PATH that knows the hosts of tests/engines/ssh.py, and nothing of the user."""
    folder = provide(start_sshd)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
