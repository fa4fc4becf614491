"""Look at a working environment, and write down what it is."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv import __version__
from snapenv.base.catalogue import load_catalogue
from snapenv.base.choose import choose_base
from snapenv.errors import SmokeTrainError
from snapenv.lock.pins import refuse_what_cannot_be_carried
from snapenv.lock.store import make_snapshot, refuse_taken, write_snapshot
from snapenv.model.image import Tag, tag_part
from snapenv.model.outcome import Outcome
from snapenv.model.snapshot import Lock
from snapenv.probe.probe import probe
from snapenv.render.dockerfile import render_dockerfile
from snapenv.verify.smoke_train import smoke_train
from snapenv.workflows.interpreter import find_interpreter
from snapenv.workflows.packages import lock_packages

if TYPE_CHECKING:
    from snapenv.model.facts import Facts
    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.python import Environment
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Outside, Target


@dataclass(frozen=True, kw_only=True, slots=True)
class Capture:
    """What a user may ask of a capture; None leaves the choice to snapenv."""

    python: str | None = None
    container: str | None = None
    ssh: str | None = None
    output: Path | None = None
    purpose: str = "train"
    level: str = "base"
    base: str | None = None
    smoke: bool | None = None
    device: str = "auto"
    rehash: bool = False  # trust no hash that an earlier capture kept


def capture(request: Capture, outside: Outside) -> Outcome:
    """Probe, lock, choose a base, train for a baseline, and write the snapshot."""
    if request.output:
        refuse_taken(request.output)
    target = _target(request, outside)
    with outside.progress.task("Looking at the environment"):
        hashes = None if request.container or request.ssh else outside.hashes
        facts = probe(target, hashes=hashes, rehash=request.rehash)
    tag = name_environment(facts.environment, purpose=request.purpose, level=request.level)
    folder = request.output or Path("snapshots", str(tag))
    refuse_taken(folder)
    refuse_what_cannot_be_carried(facts)
    snapshot = _lock(request, facts, tag, target, outside)
    write_snapshot(snapshot, folder)
    return _outcome(snapshot, folder)


def name_environment(environment: Environment, *, purpose: str, level: str) -> Tag:
    """Give an environment's tag by the convention.

    Raises:
        ValueError: ``purpose`` or ``level`` is no word of the convention.
    """
    torch, ultralytics = environment.torch, environment.find("ultralytics")
    if ultralytics:
        framework = f"yolov{tag_part(ultralytics.version)}"
    elif torch:
        framework = f"torch{tag_part(torch.version)}"
    else:
        framework = f"py{environment.interpreter.minor}"
    cuda = torch.cuda if torch else None
    compute = f"cu{cuda.replace('.', '')}" if cuda else "cpu"
    return Tag(purpose=purpose, framework=framework, level=level, compute=compute)


def _target(request: Capture, outside: Outside) -> Target:
    if request.container:
        return outside.engine.container_target(
            request.container, python=request.python or "python3"
        )
    if request.ssh:
        return outside.remote(request.ssh, request.python or "python3")
    return outside.local(find_interpreter(request.python, os.environ, own_prefix=sys.prefix))


def _lock(request: Capture, facts: Facts, tag: Tag, target: Target, outside: Outside) -> Snapshot:
    base = choose_base(facts, load_catalogue(), image=request.base)
    packages = lock_packages(facts, target, outside)
    lock = Lock(
        snapenv=__version__,
        tag=str(tag),
        base=base,
        installer=packages.installer,
        hardware=facts.hardware,
        variables=facts.variables,
        image=facts.image,
        settings=facts.settings,
        native=facts.native,
        baseline=_baseline(request, facts, target, outside),
        environment=facts.environment,
        proofs=packages.proofs,
        overlay=packages.overlay,
    )
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return make_snapshot(
        lock,
        pylock=packages.pylock,
        dockerfile=render_dockerfile(lock),
        captured_at=now,
        carried=packages.carried,
    )


def _baseline(
    request: Capture, facts: Facts, target: Target, outside: Outside
) -> Fingerprint | None:
    """Train for the losses to compare with, where ultralytics is there or it was asked for."""
    has_ultralytics = facts.environment.find("ultralytics") is not None
    if request.smoke and not has_ultralytics:
        raise SmokeTrainError(
            f"ultralytics is not installed for {target.python}: there is nothing to train with",
            hint="Install ultralytics there, or capture with --no-smoke.",
        )
    if request.smoke is False or not has_ultralytics:
        return None
    with outside.progress.task("Smoke-train, for the baseline") as task:
        return smoke_train(target, device=request.device, task=task)


def _outcome(snapshot: Snapshot, folder: Path) -> Outcome:
    lock = snapshot.lock
    return Outcome(
        command="capture",
        result={"path": str(folder), "tag": lock.tag, "digest": snapshot.digest},
        lines=(
            f"{_describe(lock)}",
            f"base image {lock.base.image}: {'; '.join(lock.base.reasons)}",
            _describe_baseline(lock.baseline),
            f"{lock.tag} is locked in {folder}",
            f"digest {snapshot.digest}",
        ),
        warnings=lock.base.warnings,
    )


def _describe(lock: Lock) -> str:
    environment, hardware = lock.environment, lock.hardware
    parts = [f"Python {environment.interpreter.version}"]
    parts += [f"torch {environment.torch.version}"] if environment.torch else []
    parts += [
        f"{name} {version}"
        for name, version in (
            ("cuDNN", environment.libraries.cudnn),
            ("NCCL", environment.libraries.nccl),
        )
        if version
    ]
    parts.append(f"{len(environment.distributions)} packages")
    parts.append(f"driver {hardware.driver.version}" if hardware.driver else "no NVIDIA driver")
    parts += [gpu.name for gpu in hardware.gpus]
    return ", ".join(parts)


def _describe_baseline(baseline: Fingerprint | None) -> str:
    if baseline is None:
        return "no baseline: a restore will be proved by its facts alone"
    return (
        f"baseline on {baseline.conditions.device}: {len(baseline.losses)} losses, "
        f"the first {baseline.values[0]:.6f}, the last {baseline.values[-1]:.6f}"
    )
