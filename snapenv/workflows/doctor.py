"""Say whether this machine can run an environment, or what it can run at all; nothing is pulled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.outcome import Outcome
from snapenv.model.results.doctor import DoctorResult, Machine
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.machine import THIS_MACHINE, describe_machine
from snapenv.preflight.needs import for_device
from snapenv.sizes import counted, size
from snapenv.verify.verdict import judge
from snapenv.workflows.preflight import Asked, judge_host, look_at_host, needs_of
from snapenv.workflows.reference import resolve_ref

if TYPE_CHECKING:
    from snapenv.model.host import Host, Needs
    from snapenv.ports import Outside


class Doctor(Struct, frozen=True, kw_only=True):
    """What a user may ask of a look at this machine."""

    ref: str | None = None  # a tag, an image reference, an archive, a snapshot folder
    repository: str
    mirror: str | None = None
    device: str = "auto"
    venv: bool = False  # no container is to be made


def doctor(request: Doctor, outside: Outside) -> Outcome[DoctorResult]:
    """Look at this machine, and check it against what REF needs, where one is named.

    Raises:
        NotFoundError: REF is nowhere.
        RegistryError: The registry does not answer, or refuses.
    """
    if request.ref is None:
        return _describe(look_at_host(outside, engine=not request.venv), request)
    ref = resolve_ref(request.ref, repository=request.repository, outside=outside)
    host = look_at_host(outside, engine=not request.venv)
    asked = Asked(device=request.device, mirror=request.mirror, venv=request.venv)
    needs = needs_of(ref, outside, host=host, asked=asked, repository=request.repository)
    moved = "loaded" if isinstance(ref, Path) and ref.is_file() else "fetched"
    return _outcome(host, needs, about=str(ref), moved=moved)


def _describe(host: Host, request: Doctor) -> Outcome[DoctorResult]:
    needs = replace(THIS_MACHINE, builds=not request.venv, venv=request.venv)
    if request.device != "auto":
        needs = for_device(needs, request.device, venv=request.venv)
    report = describe_machine(host, load_catalogue(), needs=needs)
    return Outcome(
        command="doctor",
        result=DoctorResult(
            ref=None,
            host=_without_uuids(host),
            machine=Machine(
                gpus=report.gpus,
                driver=report.driver,
                cuda=report.cuda,
                image=report.image,
                torch_builds=report.torch_builds,
                containers=report.containers,
                free_bytes=report.free_bytes,
            ),
        ),
        checks=report.checks,
        lines=report.lines,
        verdict=judge(
            report.checks,
            passed="this machine is ready for snapenv",
            failed="this machine is not ready for snapenv",
        ),
    )


def _outcome(host: Host, needs: Needs, *, about: str, moved: str) -> Outcome[DoctorResult]:
    checks = judge_host(host, needs)
    warnings = sum(not check.ok for check in checks)
    passed = f"{about} runs here" + (f", with {counted(warnings, 'warning')}" if warnings else "")
    if needs.unread:
        passed = f"nothing here stands in the way of {about}, as far as can be told unread"
    return Outcome(
        command="doctor",
        result=DoctorResult(ref=about, host=_without_uuids(host), needs=needs),
        checks=checks,
        lines=_lines(needs, moved),
        verdict=judge(checks, passed=passed, failed=f"{about} does not run here"),
    )


def _without_uuids(host: Host) -> Host:
    """Leave out what names the very GPUs of a machine: answers are shown to others."""
    states = (replace(one, uuid=None, mig_uuids=()) for one in host.gpu_states)
    return replace(host, gpu_states=tuple(states))


def _lines(needs: Needs, moved: str) -> tuple[str, ...]:
    """Say how much is to be fetched or loaded, where that is known."""
    if needs.here:
        return ("nothing is to be fetched",)
    packed = sum(layer.size_bytes for layer in needs.missing)
    return (f"{size(packed)} of layers are to be {moved}",) if packed else ()
