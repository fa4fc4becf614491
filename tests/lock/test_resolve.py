"""Updates resolved by the real uv, on an index of our own."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace
from uv import find_uv_bin

from snapenv.errors import (
    ConflictError,
    NotFoundError,
    PackageIndexError,
    SnapshotDamagedError,
)
from snapenv.lock.ask import Uv
from snapenv.lock.resolve import Resolution, Resolving, choose_wheels, explain, resolve
from snapenv.model.hardware import Hardware, System
from snapenv.model.update import Changes, Wanted
from snapenv.model.uv import UvSettings
from snapenv.model.wheels import Vendored, VendoredWheel
from snapenv.targets.local import LocalTarget
from tests.engines.index_server import IndexServer, build_wheel, serve_index
from tests.fakes import FakeTask
from tests.samples import (
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_lock,
    sample_snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.snapshot import Snapshot

OURS = build_wheel("ours", "1.2+local", requires=["lib<2"])


def compiled(name: str, version: str, minor: int) -> tuple[str, bytes]:
    """Make a wheel for one minor version of CPython 3."""
    tag = f"cp3{minor}-cp3{minor}-manylinux_2_17_{platform.machine()}"
    return f"{name}-{version}-{tag}.whl", build_wheel(name, version)[1]


WHEELS = (
    compiled("solid", "1.0", 11),
    compiled("solid", "1.1", 11),
    compiled("solid", "1.1", 13),
    build_wheel("lib", "1.0"),
    build_wheel("lib", "1.1"),
    build_wheel("lib", "2.0"),
    build_wheel("app", "1.0", requires=["lib<2"]),
    build_wheel("app", "1.1", requires=["lib<2"]),
    build_wheel("app", "2.0", requires=["lib>=2", "extra-part"]),
    build_wheel("extra_part", "1.0"),
    build_wheel("shown", "1.0", requires=["display"]),
    build_wheel("shown", "1.1", requires=["display"]),
    build_wheel("display", "1.0"),
    build_wheel("old", "1.0", requires=["lib<1"]),
    build_wheel("garbled", "1.0", requires=["!!"]),
    build_wheel("garbled", "1.1"),
)


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    with serve_index(*WHEELS) as server:
        yield server


@pytest.fixture(scope="module")
def uv(index: IndexServer, tmp_path_factory: pytest.TempPathFactory) -> Uv:
    variables = {
        "UV_DEFAULT_INDEX": index.index,
        "UV_CACHE_DIR": str(tmp_path_factory.mktemp("uv")),
        "UV_PYTHON_DOWNLOADS": "never",
        "NO_COLOR": "1",
    }
    settings = UvSettings(variables=variables)
    return Uv(machine=LocalTarget(sys.executable), program=find_uv_bin(), settings=settings)


def holding(*, own: bool = False, **versions: str) -> Snapshot:
    """Return the snapshot of an environment of these packages, and of one that no index has."""
    pins = [sample_distribution(name, version) for name, version in versions.items()]
    system = System(
        os="debian 12", machine=platform.machine(), glibc=platform.libc_ver()[1], cpu_count=1
    )
    vendored = [sample_distribution("ours", "1.2+local", origin="local")] if own else []
    environment = sample_environment(
        python=platform.python_version(), torch=None, distributions=(*pins, *vendored)
    )
    lock = sample_lock(
        facts=sample_facts(hardware=Hardware(system=system), environment=environment)
    )
    if not own:
        return sample_snapshot(lock)
    name, content = OURS
    wheel = VendoredWheel(file=f"vendor/{name}", sha256="0" * 64)
    lock = replace(lock, packages={**lock.packages, "ours": Vendored(wheel=wheel)})
    plain = sample_snapshot(lock)
    return replace(plain, files={**plain.files, f"vendor/{name}": content})


def resolved(
    snapshot: Snapshot, changes: Changes, uv: Uv, *, allow_moves: bool = False
) -> Resolution:
    resolving = Resolving(
        snapshot=snapshot,
        changes=changes,
        uv=uv,
        facts=snapshot.lock.facts,
        allow_moves=allow_moves,
    )
    return resolve(resolving, FakeTask())


def upgrade(name: str, specifier: str = "") -> Changes:
    return Changes(upgrade=(Wanted(name=name, specifier=specifier),))


def moves(resolution: Resolution) -> list[str]:
    return [str(move) for move in resolution.moves]


def test_what_is_upgraded_moves_alone_though_others_have_newer_versions(uv: Uv) -> None:
    found = resolved(holding(app="1.0", lib="1.0"), upgrade("app", "==1.1"), uv)

    assert moves(found) == ["app 1.0 → 1.1"]
    assert found.versions == {"app": "1.1", "lib": "1.0"}
    assert found.warnings == ()


def test_as_far_as_what_is_held_lets_it_and_the_rest_has_a_price(uv: Uv) -> None:
    found = resolved(holding(app="1.0", lib="1.0"), upgrade("app"), uv)

    assert moves(found) == ["app 1.0 → 1.1"]
    assert found.warnings == wording(
        ("app 1.0 → 2.0 needs others to move too (--allow-moves): lib 1.0 → 2.0",)
    )


def test_other_moves_are_a_price_with_its_cause(uv: Uv) -> None:
    found = resolved(holding(app="1.0", lib="1.0"), upgrade("app", "==2.0"), uv)

    assert found.price
    assert found.price.refused().message == wording(
        "Because app>=2.0 depends on lib>=2 and you require lib==1.0, we can conclude that your requirements and app>=2.0 are incompatible. And because you require app==2.0, we can conclude that your requirements are unsatisfiable. app 1.0 → 2.0 needs other packages to move too: lib 1.0 → 2.0"
    )
    assert moves(found) == ["app 1.0 → 2.0", "extra-part 1.0 added", "lib 1.0 → 2.0"]
    assert [move.requested for move in found.moves] == [True, False, False]


def test_moves_that_are_allowed_have_no_price(uv: Uv) -> None:
    snapshot = holding(app="1.0", lib="1.0")

    found = resolved(snapshot, upgrade("app", "==2.0"), uv, allow_moves=True)

    assert moves(found) == ["app 1.0 → 2.0", "extra-part 1.0 added", "lib 1.0 → 2.0"]
    assert found.price is None


def test_a_wheel_that_travels_is_held_whatever_may_move(uv: Uv) -> None:
    snapshot = holding(app="1.0", lib="1.0", own=True)

    with pytest.raises(ConflictError) as caught:
        resolved(snapshot, upgrade("app", "==2.0"), uv, allow_moves=True)

    assert "ours" in caught.value.message
    assert moves(resolved(snapshot, upgrade("lib"), uv)) == ["lib 1.0 → 1.1"]


def test_a_wheel_that_travels_and_is_none_is_damage(uv: Uv) -> None:
    whole = holding(lib="1.0", own=True)
    broken = replace(whole, files={**whole.files, f"vendor/{OURS[0]}": b"no zip"})

    with pytest.raises(SnapshotDamagedError, match="ours-1.2"):
        resolved(broken, upgrade("lib"), uv)


def test_a_name_that_would_be_an_option_reaches_no_program(uv: Uv) -> None:
    whole = holding(lib="1.0")
    bad = sample_distribution("--index-url=http://127.0.0.1:9/\nlib", "1.0", origin="local")
    environment = replace(
        whole.lock.environment, distributions=(*whole.lock.environment.distributions, bad)
    )
    packages = {**whole.lock.packages, bad.name: Vendored()}
    hostile = replace(whole, lock=replace(whole.lock, environment=environment, packages=packages))

    assert moves(resolved(hostile, upgrade("lib", "==1.1"), uv)) == ["lib 1.0 → 1.1"]


def test_what_an_environment_lives_without_is_not_brought_in(uv: Uv) -> None:
    found = resolved(holding(shown="1.0"), upgrade("shown"), uv)

    assert moves(found) == ["shown 1.0 → 1.1"]


def test_an_environment_that_contradicts_itself_is_updated_with_a_warning(uv: Uv) -> None:
    found = resolved(holding(app="1.0", lib="2.0", shown="1.0"), upgrade("shown"), uv)

    assert "shown 1.0 → 1.1" in moves(found)
    assert "app 1.0" not in " ".join(moves(found))
    assert found.versions["lib"] == "2.0"
    assert "contradict each other" in found.warnings[0]


def test_packages_whose_metadata_is_invalid_are_updated_with_another_warning(uv: Uv) -> None:
    found = resolved(holding(garbled="1.0", lib="1.0"), upgrade("garbled"), uv)

    assert moves(found) == ["garbled 1.0 → 1.1"]
    assert "cannot all be read" in found.warnings[0]


def test_what_is_added_brings_what_it_requires(uv: Uv) -> None:
    added = Changes(add=(Wanted(name="shown"),))

    found = resolved(holding(lib="1.0"), added, uv)

    assert moves(found) == ["shown 1.1 added", "display 1.0 added"]


def test_what_another_requires_is_not_removed(uv: Uv) -> None:
    with pytest.raises(ConflictError) as caught:
        resolved(holding(app="1.0", lib="1.0"), Changes(remove=("lib",)), uv)

    assert caught.value.message == wording("lib cannot be removed: app requires it")


def test_what_nothing_requires_is_removed_alone(uv: Uv) -> None:
    found = resolved(holding(app="1.0", lib="1.0", shown="1.0"), Changes(remove=("app",)), uv)

    assert moves(found) == ["app 1.0 removed"]


def test_what_has_no_solution_is_told_in_the_words_of_uv(uv: Uv) -> None:
    snapshot = holding(app="1.0", lib="1.0", own=True)

    with pytest.raises(ConflictError) as caught:
        resolved(snapshot, Changes(add=(Wanted(name="old"),)), uv)

    assert caught.value.message == wording(
        "the update has no solution: Because only lib>=1.0 is available and all versions of old depend on lib<1, we can conclude that all versions of old cannot be used. And because you require old, we can conclude that your requirements are unsatisfiable."
    )


@pytest.mark.parametrize("wanted", [Wanted(name="nothing"), Wanted(name="shown", specifier="==9")])
def test_what_no_index_has_is_not_found(uv: Uv, wanted: Wanted) -> None:
    with pytest.raises(NotFoundError, match=f"no index has {wanted}"):
        resolved(holding(lib="1.0"), Changes(add=(wanted,)), uv)


def test_an_index_that_does_not_answer_is_no_conflict(uv: Uv) -> None:
    variables = {**uv.settings.variables, "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"}
    silent = replace(uv, settings=UvSettings(variables={**variables, "UV_HTTP_RETRIES": "0"}))

    with pytest.raises(PackageIndexError):
        resolved(holding(lib="1.0"), Changes(add=(Wanted(name="unseen"),)), silent)


def test_the_wheels_of_what_moves_are_those_of_the_index(uv: Uv, index: IndexServer) -> None:
    snapshot = holding(app="1.0", lib="1.0")
    found = resolved(snapshot, upgrade("app", "==2.0"), uv, allow_moves=True)

    wheels = choose_wheels(found, snapshot.lock.facts, uv, FakeTask(), everything=False)

    expected = ("app-2.0-py3-none-any.whl", "extra_part-1.0-py3-none-any.whl")
    assert {wheels[name].url for name in ("app", "extra-part")} == {
        index.wheel(name).url for name in expected
    }
    assert wheels.keys() == {"app", "extra-part", "lib"}


def test_another_python_moves_what_has_no_wheel_for_it(uv: Uv, index: IndexServer) -> None:
    snapshot = holding(lib="1.0", solid="1.0")
    environment = snapshot.lock.environment
    with_python = {
        version: replace(
            snapshot.lock.facts,
            environment=replace(
                environment, interpreter=replace(environment.interpreter, version=version)
            ),
        )
        for version in ("3.11", "3.13")
    }
    lock = replace(snapshot.lock, environment=with_python["3.11"].environment)
    facts = with_python["3.13"]
    resolving = Resolving(
        snapshot=replace(snapshot, lock=lock), changes=Changes(python="3.13"), uv=uv, facts=facts
    )

    found = resolve(resolving, FakeTask())
    wheels = choose_wheels(found, facts, uv, FakeTask(), everything=True)

    assert moves(found) == ["solid 1.0 → 1.1"]
    assert found.price
    assert found.price.moves == wording(
        "Python 3.13 needs other packages to move too: solid 1.0 → 1.1"
    )
    assert wheels["solid"].url == index.wheel(compiled("solid", "1.1", 13)[0]).url
    assert wheels.keys() == {"lib", "solid"}


def test_the_explanation_is_the_cause_without_the_head_and_the_advice() -> None:
    stderr = (
        "Using CPython\nerror: No solution found when resolving dependencies\n"
        "  cause: Because a depends on b\n         and you require c, no.\nhint: Try d.\n"
    )
    older = (
        "  x No solution found when resolving dependencies:\n  ╰─▶ Because a\n      depends on b."
    )

    assert explain(stderr) == wording("Because a depends on b and you require c, no.")
    assert explain(older) == wording("Because a depends on b.")
