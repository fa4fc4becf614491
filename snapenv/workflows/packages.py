"""Lock the packages: pin what an index gives back, and carry the bytes of the rest."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snapenv.lock.overlay import OverlayPlan, make_overlay, plan_overlay
from snapenv.lock.pins import pinned, proofs, vendored
from snapenv.lock.pylock import add_vendored, resolve_pins
from snapenv.lock.wheel import rebuild_wheel
from snapenv.model.python import Proof
from snapenv.model.snapshot import VENDOR, Installer
from snapenv.probe.collect import Collected, collect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.facts import Facts
    from snapenv.model.python import Distribution
    from snapenv.ports import Outside, Target


@dataclass(frozen=True, kw_only=True, slots=True)
class Packages:
    """What brings an environment's packages back: pins, wheels of our own, and an overlay."""

    pylock: bytes
    installer: Installer
    proofs: Mapping[str, Proof]  # by distribution
    overlay: tuple[str, ...]  # what is put over the packages, as "site/x.py"
    carried: Mapping[str, bytes]  # the files of vendor/ and overlay/, by their names


def lock_packages(facts: Facts, target: Target, outside: Outside) -> Packages:
    """Ask the index, then fetch from the target what the index does not have."""
    environment, machine = facts.environment, outside.local(sys.executable)
    with outside.progress.task("Asking the index for hashes") as task:
        resolved = resolve_pins(
            pinned(environment), facts, machine=machine, uv=outside.uv, task=task
        )
    own = vendored(environment, resolved.not_on_index)
    pins = {found.name for found in pinned(environment, resolved.not_on_index)}
    plan = plan_overlay(environment, pins)
    collected = _collect(target, own, plan, outside)
    wheels = _rebuild(own, collected, facts)
    return Packages(
        pylock=add_vendored(resolved.pylock, wheels) if wheels else resolved.pylock,
        installer=resolved.installer,
        proofs=proofs(environment, resolved.not_on_index),
        overlay=plan.names,
        carried={
            **{f"{VENDOR}/{name}": content for name, content in wheels.items()},
            **make_overlay(plan, collected.files),
        },
    )


def _collect(
    target: Target, own: Sequence[Distribution], plan: OverlayPlan, outside: Outside
) -> Collected:
    if not own and not plan.files:
        return Collected(distributions={}, files={})
    with outside.progress.task(f"Fetching {len(own)} packages and {len(plan.files)} files"):
        return collect(target, distributions=[found.name for found in own], files=plan.files)


def _rebuild(
    own: Sequence[Distribution], collected: Collected, facts: Facts
) -> Mapping[str, bytes]:
    python, machine = facts.environment.interpreter.minor, facts.hardware.system.machine
    return dict(
        rebuild_wheel(found, collected.distributions[found.name], python=python, machine=machine)
        for found in own
    )
