"""Write what a new colleague needs to know of an environment, as Markdown and as a page."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv import __version__
from snapenv.errors import NotFoundError
from snapenv.model.image import ImageRef
from snapenv.model.outcome import Outcome
from snapenv.model.results import OnboardResult, ProofResult
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.nvidia.catalogue import load_catalogue, major_minor
from snapenv.ownership.file_set import refuse_existing, write_files
from snapenv.places import home
from snapenv.preflight.driver import lowest_driver
from snapenv.preflight.kernels import built_for
from snapenv.preflight.machine import describe_machine
from snapenv.preflight.needs_of import (
    RunOptions,
    find_local,
    needs_of_archive,
    needs_of_local,
    needs_of_snapshot,
)
from snapenv.report.card import snapshot_card
from snapenv.report.onboarding import Answers, Command, Onboarding, onboarding_files
from snapenv.report.text import outcome_text
from snapenv.secrets.refuse import refuse_leaking_files
from snapenv.sizes import counted, size
from snapenv.steps.host import inspect_host, judge_host
from snapenv.steps.snapshots import read_source
from snapenv.steps.source import Archive, LocalImage, RegistryImage, SnapshotFolder, resolve_source
from snapenv.steps.troubles import usual_troubles
from snapenv.verify.compare import compare_facts
from snapenv.verify.fingerprint import compare_fingerprints, fingerprint_check
from snapenv.verify.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.host import Needs
    from snapenv.model.outcome import Check
    from snapenv.model.snapshot import Lock, Snapshot
    from snapenv.ports import Services
    from snapenv.steps.source import Source

_TRAIN = "yolo train model=yolov8n.yaml data=data.yaml"
_NOBODY = re.compile(r"root|snapenv|user|docker|localhost", re.IGNORECASE)  # words, and no names


class Onboard(RunOptions, frozen=True, kw_only=True):
    """What a user may ask of an onboarding page."""

    ref: str
    repository: str
    image: ImageRef | None = None  # what colleagues restore
    output: Path = Path()
    force: bool = False
    preflight: bool = True  # with the answers of this machine


def onboard(request: Onboard, services: Services) -> Outcome[OnboardResult]:
    """Write both files, or none.

    Raises:
        LeakError: A file would hold a credential of this machine.
        NotFoundError: The REF is nowhere, or lies in a registry alone.
        PlaceTakenError: A file is there already.
        WriteError: A file cannot be written.
    """
    source = resolve_source(request.ref, repository=request.repository, services=services)
    if isinstance(source, RegistryImage):
        raise NotFoundError(
            f"{source.ref} is not on this machine, and its snapshot lies in a layer",
            hint=f"Pull it first: docker pull {source.ref}; or name its snapshot folder.",
        )
    snapshot = read_source(source, services)
    needs = _needs(source, snapshot, request, services)
    name = str(request.image) if request.image else _name(source)
    page = Onboarding(
        title=snapshot.lock.tag,
        snapenv=__version__,
        facts=tuple(_facts(snapshot)),
        needs=tuple(_needed(snapshot.lock, needs)),
        commands=tuple(_commands(name)),
        output=_good_output(snapshot.lock, name),
        losses=_losses(snapshot.lock),
        troubles=usual_troubles(snapshot.lock, needs),
        origin=tuple(_origin(snapshot)),
        answers=_answers(needs, name, services) if request.preflight else None,
    )
    files = onboarding_files(page)
    refuse_leaking_files(files, services.secrets())
    refuse_existing(request.output, [*files], force=request.force)
    write_files(request.output, files, executable=())
    paths = tuple(str(request.output / file) for file in files)
    result = OnboardResult(tag=page.title, snapshot=snapshot.digest, ref=name, files=paths)
    return Outcome(command="onboard", result=result, lines=tuple(f"wrote {path}" for path in paths))


def _needs(source: Source, snapshot: Snapshot, request: Onboard, services: Services) -> Needs:
    match source:
        case Archive(path):
            return needs_of_archive(snapshot, path, services, options=request)
        case LocalImage(ref, image):
            return needs_of_local(image, ref, snapshot, options=request)
        case _:
            named = ImageRef(repository=request.repository, tag=snapshot.lock.tag)
            built = None if request.venv else find_local(named, services)
            if built and built.labels.get(SNAPSHOT_LABEL) != snapshot.digest:
                built = None
            return needs_of_snapshot(
                snapshot, snapshot.lock.tag, services, image=built, options=request
            )


def _name(source: Source) -> str:
    """Name what colleagues restore, without a folder of this machine."""
    match source:
        case SnapshotFolder(path) | Archive(path):
            inside = not path.is_absolute() and ".." not in path.parts
            return str(path) if inside else path.absolute().name
        case _:
            return str(source)


def _facts(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    card = snapshot_card(snapshot, kind="snapshot", name=snapshot.lock.tag)
    libraries = snapshot.lock.environment.libraries
    named = {
        "Python": card.python,
        "torch": card.torch,
        "CUDA of torch": card.cuda,
        "cuDNN": libraries.cudnn,
        "NCCL": libraries.nccl,
        "ultralytics": card.ultralytics,
        "packages": str(card.packages),
        "base image": card.base,
        "snapshot": snapshot.digest,
    }
    for label, value in named.items():
        if value:
            yield label, value
    for name, value in sorted(snapshot.lock.variables.items()):
        yield name, value


def _needed(lock: Lock, needs: Needs) -> Iterator[tuple[str, str]]:
    yield "system", f"Linux on {needs.architecture or lock.hardware.system.architecture}"
    cuda = major_minor(needs.cuda) if needs.cuda else None
    if cuda:
        yield "NVIDIA driver", lowest_driver(load_catalogue(), cuda)
        torch = next((kernel for kernel in needs.kernels if kernel.distribution == "torch"), None)
        if torch:
            numbers = dict.fromkeys(map(_capability, built_for(torch)))
            yield "GPU", f"compute capability {', '.join(numbers)}; the CPU trains too"
        yield "GPUs in containers", "NVIDIA's container toolkit, or CDI"
    else:
        yield "GPU", "none: its torch is built for the CPU"
    yield "container engine", "Docker 20.10 or newer; none with --engine venv"
    download = sum(layer.size_bytes for layer in needs.missing)
    if download:
        yield "disk", f"{size(download)} of the base image, packed, and the packages below"
    for source in lock.sources:
        yield f"from {source.place}", source.holds


def _capability(kernel: str) -> str:
    """Return the number of an architecture: ``9.0`` of ``sm_90``; one of PTX runs on newer ones."""
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", kernel)
    if match is None:
        return kernel
    return f"{match[2]}.{match[3]}" + (" and newer" if match[1] == "compute" else "")


def _commands(name: str) -> Iterator[Command]:
    word = shlex.quote(name)
    for line, does in (
        (f"doctor {word}", "Ask whether your machine can run it. Nothing is fetched."),
        (f"restore {word}", "Bring it back, and prove it by every file and a short training."),
        (f"run {word} -- {_TRAIN}", "Train in the folder that you are in; results go to runs."),
    ):
        yield Command(line=f"snapenv {line}", does=does)


def _good_output(lock: Lock, name: str) -> tuple[str, ...]:
    """Return the lines that a restore prints of this very environment where all holds."""
    checks, about = compare_facts(lock.facts, lock.facts), f"{lock.tag} is back in {name}"
    if lock.baseline:
        match = compare_fingerprints(lock.baseline, lock.baseline, same_packages=True)
        checks = (*checks, fingerprint_check(match))
        verdict = judge(checks, passed=about, failed="", tier=match.tier)
    else:
        verdict = judge(checks, passed=f"{about}: verified without a smoke-train", failed="")
    outcome = Outcome(command="restore", result=ProofResult(), checks=checks, verdict=verdict)
    return tuple(outcome_text(outcome).plain.splitlines())


def _losses(lock: Lock) -> str | None:
    """Say in a sentence which losses a restore gives."""
    if lock.baseline is None:
        return None
    device, values = lock.baseline.conditions.device, lock.baseline.values
    where = "a CPU" if device == "cpu" else f"the same GPU model, {device},"
    return (
        f"The losses at the capture were {', '.join(f'{loss:.6f}' for loss in values)}. "
        f"On {where} they are the same to the last bit; the tier says how near they are elsewhere."
    )


def _origin(snapshot: Snapshot) -> Iterator[str]:
    """Say when and on what kind of machine it was captured; of whom, and which, nothing is kept."""
    lock, hardware = snapshot.lock, snapshot.lock.hardware
    gpus = ", ".join(dict.fromkeys(gpu.name for gpu in hardware.gpus))
    yield f"Captured at {snapshot.captured_at} by snapenv {lock.snapenv}, on {hardware.system.os}."
    yield f"Its machine had {gpus or 'no NVIDIA GPU'} and {hardware.driver_label}."
    if lock.baseline:
        yield f"Its losses were taken on {lock.baseline.conditions.device}."
    if lock.overlay:
        changed = counted(len(lock.overlay), "file")
        yield f"{changed} had been edited or added by hand; that comes back, too."
    yield f"Why this base image: {'; '.join(lock.base.reasons)}."


def _answers(needs: Needs, name: str, services: Services) -> Answers:
    host = inspect_host(services, engine=not needs.venv)
    checks = tuple(map(_nameless, judge_host(host, needs)))
    about = describe_machine(host, load_catalogue(), needs=needs)
    return Answers(
        verdict=judge(checks, passed=f"{name} runs on it", failed=f"{name} does not run on it"),
        checks=checks,
        lines=tuple(map(_without_names, about.lines)),
    )


def _nameless(check: Check) -> Check:
    return replace(
        check,
        expected=_without_names(check.expected),
        actual=_without_names(check.actual),
        fix=check.fix and _without_names(check.fix),
    )


def _without_names(text: str) -> str:
    """Return a text without the home folder, the user's name and this machine's."""
    own = home(os.environ)
    text = text if own == Path("/") else text.replace(str(own), "~")
    for name in (_user(), socket.gethostname(), socket.getfqdn()):
        if name and not _NOBODY.fullmatch(name):
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "…", text)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
