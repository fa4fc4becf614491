"""Lock the packages: pin what an index gives back, and carry the bytes of the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from snapenv.lock.carry import Travelling, carry
from snapenv.lock.conda import lock_conda
from snapenv.lock.fetch import fetch_wheels
from snapenv.lock.find_wheels import find_wheels
from snapenv.lock.overlay import OverlayPlan, make_overlay, plan_overlay
from snapenv.lock.pins import refuse_vendored, vendored
from snapenv.model.carried import Content
from snapenv.model.conda import CondaLock
from snapenv.model.snapshot import VENDOR, Installer
from snapenv.model.wheels import FromBase, FromConda, IndexWheel, Locked, Pinned
from snapenv.program import program_digest
from snapenv.pylock import write_pylock
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from snapenv.kept import Kept
    from snapenv.lock.carry import Carried, Fetch, VendorOptions
    from snapenv.lock.find_wheels import OnIndex
    from snapenv.model.facts import Facts
    from snapenv.model.python import Environment
    from snapenv.ports import Services

_NAMED = 10  # texts that name folders of this machine


class Packages(Struct, frozen=True, kw_only=True):
    """What brings an environment's packages back: pins, wheels of our own, and an overlay."""

    locked: Mapping[str, Locked]  # by distribution
    pylock: bytes
    uv: IndexWheel
    installer: Installer
    conda_installer: Installer | None = None  # py-rattler, where the environment is conda's
    conda: CondaLock | None = None  # where the environment is a prefix of conda
    overlay: tuple[str, ...]  # what is put over the packages, as "site/x.py"
    allowed: tuple[str, ...]  # of the files that travel, those that had to be allowed
    carried: Mapping[str, Content]  # the files of vendor/ and overlay/, by their names
    hashed: Mapping[str, str]  # the sha256 of rebuilt wheels among these, in hex
    until_s: float | None = None  # since 1970, as ``OnIndex`` has it
    warnings: tuple[str, ...] = ()


def lock_packages(
    facts: Facts, options: VendorOptions, fetch: Fetch, services: Services
) -> Packages:
    """Ask the index, then ``fetch`` from the target what the index does not have."""
    environment, all_travel = facts.environment, options.vendor == "all"
    with services.progress.task("Asking the index for hashes") as task:
        on_index = find_wheels(facts, services, how=options.prove, anew=options.anew, task=task)
    conda = lock_conda(facts, options, fetch, services)
    plan, carried = _carry(facts, on_index, options, fetch, services)
    tools = (on_index.uv, *((on_index.rattler,) if on_index.rattler else ()))
    wheels = (*(pin.wheel for pin in on_index.pinned.values()), *tools)
    locked = _locked(environment, on_index, carried, all_travel=all_travel)
    return Packages(
        locked=locked,
        pylock=_pylock(facts, locked, services.made()),
        uv=on_index.uv,
        installer=_installer(on_index.uv, travels=all_travel),
        conda_installer=(
            _installer(on_index.rattler, travels=all_travel) if on_index.rattler else None
        ),
        overlay=plan.names,
        conda=conda.lock if conda else None,
        allowed=(*carried.allowed, *(conda.allowed if conda else ())),
        carried={
            **carried.wheels,
            **(conda.carried if conda else {}),
            **(_fetch(wheels, options.into, services) if all_travel else {}),
            **make_overlay(plan, carried.files),
        },
        hashed={
            package.wheel.file: package.wheel.sha256
            for package in carried.vendored.values()
            if package.wheel
        },
        until_s=on_index.until_s,
        warnings=(*(conda.warnings if conda else ()), *_warnings(carried)),
    )


def _carry(
    facts: Facts, on_index: OnIndex, options: VendorOptions, fetch: Fetch, services: Services
) -> tuple[OverlayPlan, Carried]:
    """Fetch what no index gives back, and return it with the overlay that it makes up."""
    own = vendored(facts.environment, on_index.absent)
    if options.vendor == "none":
        refuse_vendored(own)
    plan = plan_overlay(
        facts.environment,
        on_index.pinned.keys(),
        executable={name: pin.wheel.executable for name, pin in on_index.pinned.items()},
        cut_scripts={name: pin.wheel.cut_scripts for name, pin in on_index.pinned.items()},
        packages=facts.conda.packages if facts.conda else (),
    )
    travelling = Travelling(
        distributions=own, plan=plan, facts=facts, beside=options.beside, into=options.into
    )
    carried = carry(travelling, fetch, services, allow=options.allow, anew=options.anew)
    return replace(plan, files=tuple(sorted(carried.files))), carried


def _locked(
    environment: Environment, on_index: OnIndex, carried: Carried, *, all_travel: bool
) -> Mapping[str, Locked]:
    """Say of each distribution how it comes back, and of its wheel what a lock file does."""
    pinned = {
        name: Pinned(
            wheel=replace(pin.wheel, executable=None, cut_scripts=()),
            proof=pin.proof,
            file=f"{VENDOR}/{pin.wheel.filename}" if all_travel else None,
        )
        for name, pin in on_index.pinned.items()
    }
    return {
        each.name: carried.vendored.get(each.name)
        or pinned.get(each.name)
        or (FromConda() if each.origin == "conda" else FromBase())
        for each in environment.distributions
    }


def _warnings(carried: Carried) -> tuple[str, ...]:
    """Name the texts that name folders of this machine, as many as anybody reads."""
    named_folders = [str(named) for named in carried.named]
    more = len(named_folders) - _NAMED
    return (*named_folders[:_NAMED], *((f"and {more} more such places",) if more > 0 else ()))


def _pylock(facts: Facts, locked: Mapping[str, Locked], made: Kept) -> bytes:
    """Return the lock file of all packages, also as it was written before."""
    environment, machine = facts.environment, facts.hardware.system.machine
    python = environment.interpreter.minor
    provided = [
        f"{each.name}=={each.version}"
        for each in environment.distributions
        if isinstance(locked[each.name], FromBase)
    ]
    hangs_on = (locked, machine, python, provided)
    parts = (b"pylock", program_digest().encode(), msgspec.json.encode(hangs_on))
    name = hashlib.sha256(b"\n".join(parts)).hexdigest()
    written = made.find(name)
    if written is None:
        written = write_pylock(locked, machine=machine, python=python, provided=provided)
        made.keep(name, written)
    return written


def _installer(tool: IndexWheel, *, travels: bool) -> Installer:
    file = f"{VENDOR}/{tool.filename}" if travels else None
    return Installer(version=tool.version, url=tool.url, sha256=tool.sha256, file=file)


def _fetch(wheels: Sequence[IndexWheel], into: Path, services: Services) -> Mapping[str, Content]:
    with services.progress.task(f"Fetching {counted(len(wheels), 'wheel')}") as task:
        return {
            f"{VENDOR}/{name}": path
            for name, path in fetch_wheels(wheels, into, services, task).items()
        }
