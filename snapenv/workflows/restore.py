"""Bring an environment back, and prove that it is the one that was captured."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from snapenv.errors import InstallError
from snapenv.lock.store import read_snapshot
from snapenv.model.image import ImageRef
from snapenv.model.outcome import Outcome
from snapenv.model.snapshot import IMAGE_PYTHON
from snapenv.ports import Target
from snapenv.probe.probe import probe
from snapenv.workflows.archive import Import, bring, read_archive
from snapenv.workflows.build import Build, find_image, make_image
from snapenv.workflows.fetch import temporary_folder
from snapenv.workflows.lend import lend
from snapenv.workflows.prove import prove
from snapenv.workflows.reference import fetch_image, parse_ref, read_image

if TYPE_CHECKING:
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Outside
    from snapenv.workflows.prove import Proved

EngineName = Literal["docker", "venv"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Restore:
    """What a user may ask of a restore."""

    ref: str  # a snapshot folder, an archive, a tag of the convention, or an image reference
    engine: EngineName = "docker"
    into: Path = Path(".venv")
    repository: str
    mirror: str | None = None
    device: str = "auto"  # "cpu", "all", or GPU numbers such as "0,1"
    smoke: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Restored:
    """What stands again: how to run in it, and how to name it to people and programs."""

    target: Target
    device: str
    result: dict[str, object]
    usage: str


def restore(request: Restore, outside: Outside) -> Outcome:
    """Fetch or make the environment, compare its facts with the lock, and train in it."""
    if request.engine == "venv":
        snapshot, restored = _restore_venv(request, outside)
    else:
        snapshot, restored = _restore_image(request, outside)
    proved = prove(
        restored.target,
        snapshot.lock,
        smoke=request.smoke,
        device=restored.device,
        outside=outside,
    )
    return _outcome(snapshot, restored, proved)


def _restore_venv(request: Restore, outside: Outside) -> tuple[Snapshot, _Restored]:
    ref = parse_ref(request.ref, repository=request.repository)
    if isinstance(ref, Path):
        snapshot = read_archive(ref, outside) if ref.is_file() else read_snapshot(ref)
    else:
        outside.engine.check()
        snapshot = read_image(fetch_image(ref, outside), ref, outside)
    lock = snapshot.lock
    if lock.base.world == "base":
        raise InstallError(
            f"{lock.tag} stands on {lock.base.image}: {lock.base.reasons[0]}",
            hint="No index has these packages. Restore with --engine docker.",
        )
    if snapshot.absent:
        raise InstallError(
            f"{ref} carries {snapshot.absent[0]}, which its image was built with and does not hold",
            hint="Restore from the snapshot folder, or with --engine docker.",
        )
    with temporary_folder(outside) as fetched:
        lent = lend(snapshot, fetched, outside)
        with outside.progress.task(f"Making {request.into}") as task:
            target = outside.venvs.create(
                {**snapshot.files, **lent.files},
                python=lock.environment.interpreter.minor,
                into=request.into,
                task=task,
            )
    return snapshot, _Restored(
        target=target,
        device=request.device,
        result={"path": str(request.into)},
        usage=f"{request.into}/bin/python",
    )


def _restore_image(request: Restore, outside: Outside) -> tuple[Snapshot, _Restored]:
    ref = parse_ref(request.ref, repository=request.repository)
    if isinstance(ref, Path) and ref.is_file():
        wanted = Import(file=ref, repository=request.repository, mirror=request.mirror)
        image, ref, _ = bring(wanted, outside)
        snapshot = read_image(image, ref, outside)
    elif isinstance(ref, Path):
        snapshot = read_snapshot(ref)
        outside.engine.check()
        ref = ImageRef(repository=request.repository, tag=snapshot.lock.tag)
        options = Build(repository=request.repository, mirror=request.mirror)
        image = find_image(snapshot, ref, options, outside) or make_image(
            snapshot, ref, options, outside
        )
    else:
        outside.engine.check()
        image = fetch_image(ref, outside)
        snapshot = read_image(image, ref, outside)
    gpus = _gpus(request.device, outside)
    return snapshot, _Restored(
        target=outside.engine.image_target(image, python=IMAGE_PYTHON, gpus=gpus),
        device="all" if gpus else "cpu",
        result={"image": str(ref), "digest": image.digest_in(ref.repository) or image.id},
        usage=f"docker run --rm -it {'--gpus all --shm-size 1g ' if gpus else ''}{ref}",
    )


def _gpus(device: str, outside: Outside) -> str | None:
    """Choose what a container is given; ``auto`` asks this machine's driver."""
    if device != "auto":
        return None if device == "cpu" else device
    hardware = probe(outside.local(sys.executable)).hardware
    return "all" if hardware.gpus else None


def _outcome(snapshot: Snapshot, restored: _Restored, proved: Proved) -> Outcome:
    seen = proved.fingerprint
    ok = all(check.ok for check in proved.checks)
    where = restored.result.get("path", restored.result.get("image"))
    proof = f"tier {proved.tier}" if proved.tier else "by its facts alone, without a smoke-train"
    verdict = (
        f"{snapshot.lock.tag} is back in {where}: {proof}"
        if ok
        else f"{where} is not {snapshot.lock.tag}: see what differs above"
    )
    return Outcome(
        command="restore",
        result={
            **restored.result,
            "tag": snapshot.lock.tag,
            "snapshot": snapshot.digest,
            "tier": proved.tier,
            "losses": [float(value) for value in seen.values] if seen else None,
            "speed": msgspec.to_builtins(seen.speed) if seen else None,
        },
        checks=proved.checks,
        lines=(verdict, f"use it: {restored.usage}") if ok else (verdict,),
    )
