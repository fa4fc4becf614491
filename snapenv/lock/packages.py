"""Lock the packages: pin what an index gives back, and carry the bytes of the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from snapenv.lock.carry import Travelling, carry
from snapenv.lock.fetch import fetch_wheels
from snapenv.lock.find_wheels import find_wheels
from snapenv.lock.overlay import make_overlay, plan_overlay
from snapenv.lock.pins import pinned, proofs, refuse_vendored, vendored
from snapenv.lock.pylock import write_pylock
from snapenv.model.carried import Content
from snapenv.model.python import Proof
from snapenv.model.snapshot import VENDOR, Installer, Prove, Vendor
from snapenv.model.wheels import IndexWheel
from snapenv.program import program_digest
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.kept import Kept
    from snapenv.lock.carry import Carried, Fetch
    from snapenv.lock.find_wheels import Found
    from snapenv.model.facts import Facts
    from snapenv.ports import Services

_NAMED = 10  # texts that name folders of this machine


class VendorOptions(Struct, frozen=True, kw_only=True):
    """How much is proved, how much travels, and where what is fetched for that is put."""

    prove: Prove = "record"
    vendor: Vendor = "missing"
    anew: bool = False  # ask the index even for what it has answered today
    allow: tuple[str, ...] = ()  # files that may travel although they look as if with a secret
    beside: tuple[str, ...] = ()  # paths beside the sources of packages that travel, too
    into: Path


class Packages(Struct, frozen=True, kw_only=True):
    """What brings an environment's packages back: pins, wheels of our own, and an overlay."""

    pylock: bytes
    installer: Installer
    proofs: Mapping[str, Proof]  # by distribution
    wheels: tuple[IndexWheel, ...]  # of the index, uv's own among them
    rebuilt: Mapping[str, Content]  # by file name
    overlay: tuple[str, ...]  # what is put over the packages, as "site/x.py"
    allowed: tuple[str, ...]  # of the files that travel, those that had to be allowed
    carried: Mapping[str, Content]  # the files of vendor/ and overlay/, by their names
    hashed: Mapping[str, str]  # the sha256 of rebuilt wheels among these, in hex
    warnings: tuple[str, ...] = ()


def lock_packages(
    facts: Facts, options: VendorOptions, fetch: Fetch, services: Services
) -> Packages:
    """Ask the index, then ``fetch`` from the target what the index does not have."""
    environment, all_travel = facts.environment, options.vendor == "all"
    with services.progress.task("Asking the index for hashes") as task:
        found = find_wheels(facts, services, how=options.prove, anew=options.anew, task=task)
    own = vendored(environment, found.absent)
    if options.vendor == "none":
        refuse_vendored(own)
    pins = {pin.name for pin in pinned(environment, found.absent)}
    given = {name: wheel.executable for name, wheel in found.wheels.items()}
    cut = {name: wheel.cut_scripts for name, wheel in found.wheels.items()}
    plan = plan_overlay(environment, pins, executable=given, cut_scripts=cut)
    carried = carry(
        Travelling(
            distributions=own,
            plan=plan,
            facts=facts,
            beside=options.beside,
            into=options.into,
        ),
        fetch,
        services,
        allow=options.allow,
        anew=options.anew,
    )
    plan = replace(plan, files=tuple(sorted(carried.files)))
    known = proofs(environment, found.absent, proved=found.proved)
    wheels = (*found.wheels.values(), found.uv)
    return Packages(
        pylock=_pylock(facts, found, carried, services.made(), all_travel=all_travel),
        installer=_installer(found.uv, travels=all_travel),
        proofs=known,
        wheels=wheels,
        rebuilt=carried.wheels,
        overlay=plan.names,
        allowed=carried.allowed,
        carried={
            **{f"{VENDOR}/{name}": content for name, content in carried.wheels.items()},
            **(_fetch(wheels, options.into, services) if all_travel else {}),
            **make_overlay(plan, carried.files),
        },
        hashed={f"{VENDOR}/{name}": sha256 for name, sha256 in carried.sha256.items()},
        warnings=_warnings(carried),
    )


def _warnings(carried: Carried) -> tuple[str, ...]:
    """Name the texts that name folders of this machine, as many as anybody reads."""
    told = [str(one) for one in carried.named]
    more = len(told) - _NAMED
    return (*told[:_NAMED], *((f"and {more} more such places",) if more > 0 else ()))


def _pylock(facts: Facts, found: Found, carried: Carried, made: Kept, *, all_travel: bool) -> bytes:
    """Return the lock file of all packages, also as it was written before."""
    known = proofs(facts.environment, found.absent, proved=found.proved)
    pinned_wheels, machine = list(found.wheels.values()), facts.hardware.system.machine
    hangs_on = (facts.environment, machine, pinned_wheels, known, carried.sha256, all_travel)
    parts = (b"pylock", program_digest().encode(), msgspec.json.encode(hangs_on))
    name = hashlib.sha256(b"\n".join(parts)).hexdigest()
    written = made.find(name)
    if written is None:
        written = write_pylock(
            facts,
            pinned=pinned_wheels,
            rebuilt=carried.wheels,
            proofs=known,
            all_travel=all_travel,
        )
        made.keep(name, written)
    return written


def _installer(uv: IndexWheel, *, travels: bool) -> Installer:
    file = f"{VENDOR}/{uv.filename}" if travels else None
    return Installer(version=uv.version, url=uv.url, sha256=uv.sha256, file=file)


def _fetch(wheels: Sequence[IndexWheel], into: Path, services: Services) -> Mapping[str, Content]:
    with services.progress.task(f"Fetching {counted(len(wheels), 'wheel')}") as task:
        return {
            f"{VENDOR}/{name}": path
            for name, path in fetch_wheels(wheels, into, services, task).items()
        }
