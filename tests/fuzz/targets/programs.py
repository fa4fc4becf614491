"""What programs in an environment or a container answer, which may be anybody's, and lie."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from snapenv.base.metadata import MARK as BASE_MARK
from snapenv.base.metadata import inspect_image
from snapenv.causes import find_cause
from snapenv.launch import activation, settings
from snapenv.launch.ending import Ending, explain_end, find_victims, find_xids
from snapenv.lock import resolve
from snapenv.lock.ask import Uv, ask_index
from snapenv.model.bench import BenchOptions
from snapenv.model.host import Host
from snapenv.model.python import Distribution
from snapenv.ports import Completed
from snapenv.preflight import needs
from snapenv.preflight.checks import preflight
from snapenv.preflight.machine import describe_machine
from snapenv.probe import host
from snapenv.probe.probe import MARK as PROBE_MARK
from snapenv.probe.probe import parse_facts
from snapenv.steps import still_locked
from snapenv.tuning.measure import measure
from snapenv.verify.compare import compare_facts
from snapenv.verify.exports import export_check, try_exports
from snapenv.verify.fingerprint import (
    afterwards_check,
    compare_fingerprints,
    fingerprint_check,
)
from snapenv.verify.smoke_train import explain_failure, parse_fingerprint
from snapenv.verify.train_ranks import train_ranks
from snapenv.workspace.layer import MARK as INSTALLED_MARK
from snapenv.workspace.layer import for_python, parse_installed
from snapenv.workspace.serving import MARK as STATUS_MARK
from snapenv.workspace.serving import parse_status
from tests.fakes import FakeTarget, FakeTask
from tests.fuzz.target import Target, scratch
from tests.fuzz.targets.snapshots import CATALOGUE
from tests.samples import sample_facts, sample_fingerprint, sample_lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_OPTIONS = BenchOptions()
_PIN = Distribution(name="plain", version="1.0", origin="index")


def decoded(content: bytes) -> str:
    """Return output as targets give it: of bytes that are no text, whatever stands for them."""
    return content.decode(errors="replace")


def _answering(mark: str, content: bytes) -> FakeTarget:
    """Return a target whose every program prints a banner and then this answer."""
    text = decoded(content)
    done = Completed(exit_code=0, stdout=f"banner\n{mark}{text}\n", stderr=text)
    return FakeTarget(answers=_Any(done))


class _Any(dict[str, Completed]):
    """The same answer to everything."""

    def __init__(self, done: Completed) -> None:
        super().__init__()
        self._done = done

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: str) -> Completed:
        return self._done


def _facts(content: bytes) -> None:
    """Read facts, and compare them with those of a lock."""
    facts = parse_facts(f"banner\n{PROBE_MARK}{decoded(content)}\n")
    compare_facts(sample_facts(), facts)
    compare_facts(facts, sample_facts())
    needs.of_facts(facts, "here")


def _machine(content: bytes) -> None:
    """Read what is seen of a machine, and whether it fits."""
    seen = host.probe_host(_answering(host.MARK, content))
    machine = Host(hardware=seen.hardware, gpu_states=seen.gpu_states, plumbing=seen.plumbing)
    preflight(machine, needs.of_lock(sample_lock(), "here"), CATALOGUE)
    describe_machine(machine, CATALOGUE)


def _fingerprint(content: bytes) -> None:
    """Read a smoke-train's answer, and judge it by a baseline, and a baseline by it."""
    actual = parse_fingerprint(f"snapenv-smoke-train: {decoded(content)}\n")
    expected = sample_fingerprint()
    for one, other in ((expected, actual), (actual, expected), (actual, actual)):
        fingerprint_check(compare_fingerprints(one, other, same_packages=True))
        afterwards_check(one, other)


def _failure(content: bytes) -> None:
    """Read the last words of a program that failed."""
    text = decoded(content)
    for code in (1, 2, 3, 4, 5, 137, 139, -9, -6, 255):
        explain_failure(Completed(exit_code=code, stdout="", stderr=text), python="python")
    find_cause(text)
    log = text.splitlines()
    victims = find_victims(log, container="abc", pid=1)
    explain_end(Ending(exit_code=1, output=text, victims=(*victims,), xids=(*find_xids(log),)))
    explain_end(Ending(exit_code=137, output=text))


def _measured(content: bytes) -> None:
    measure(_answering("snapenv-bench: ", content), _OPTIONS, FakeTask())


def _exports(content: bytes) -> None:
    target = _answering("snapenv-export: ", content)
    for export in try_exports(target, ("onnx",), {}, device="cpu", task=FakeTask()):
        export_check(export)


def _ranks(content: bytes) -> None:
    train_ranks(_answering("snapenv-ranks: ", content), device="cpu,cpu", task=FakeTask())


def _base(content: bytes) -> None:
    inspect_image(_answering(BASE_MARK, content))


def _installed(content: bytes) -> None:
    for_python(parse_installed(f"banner\n{INSTALLED_MARK}{decoded(content)}\n"))


def _status(content: bytes) -> None:
    parse_status(f"banner\n{STATUS_MARK}{decoded(content)}\n")


def _settings(content: bytes) -> None:
    found = settings.parse_answer(f"banner\n{settings.MARK}{decoded(content)}\n")
    if found:
        with scratch() as folder:
            settings.settings_file(found, folder=folder, runs=folder)


def _activated(content: bytes) -> None:
    text = decoded(content)
    activation.parse_activated(text.replace("MARK", activation.MARK))


def _state(content: bytes) -> None:
    activation.parse_state(content)


def _check(content: bytes) -> None:
    still_locked._read(Completed(exit_code=1, stdout=decoded(content), stderr=""))


def _offers(content: bytes) -> None:
    """Read the lock that uv gives, whose names, addresses and hashes are an index's."""
    target = FakeTarget(answers=_Any(Completed(exit_code=0, stdout=decoded(content), stderr="")))
    ask_index((_PIN,), sample_facts(), Uv(machine=target, program="uv"), FakeTask())


def _refusal(content: bytes) -> None:
    """Read why uv refuses."""
    text = decoded(content)
    target = FakeTarget(answers=_Any(Completed(exit_code=1, stdout="", stderr=text)))
    resolve.explain(text)
    ask_index((_PIN,), sample_facts(), Uv(machine=target, program="uv"), FakeTask())


def _resolution(content: bytes) -> None:
    resolve._read(Completed(exit_code=0, stdout=decoded(content), stderr=""))


def _in_folder(name: str, read: Callable[[Path], Any]) -> Callable[[bytes], None]:
    def in_folder(content: bytes) -> None:
        with scratch() as folder:
            (folder / name).write_bytes(content)
            read(folder / name)

    return in_folder


def of_json(content: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return a document of a target that is of any JSON."""
    return json.loads(content)


TARGETS = (
    Target(name="facts", read=_facts, form="json", most_bytes=1 << 16),
    Target(name="machine", read=_machine, form="json"),
    Target(name="fingerprint", read=_fingerprint, form="json"),
    Target(name="last-words", read=_failure, form="text"),
    Target(name="bench", read=_measured, form="json"),
    Target(name="exports", read=_exports, form="json"),
    Target(name="ranks", read=_ranks, form="json"),
    Target(name="base-versions", read=_base, form="json"),
    Target(name="installed", read=_installed, form="json", refuses=(ValueError,)),
    Target(name="workspace-status", read=_status, form="json"),
    Target(name="settings", read=_settings, form="json", refuses=(ValueError,)),
    Target(name="activated", read=_activated, form="text", refuses=(ValueError,)),
    Target(name="conda-state", read=_state, form="json", refuses=(ValueError,)),
    Target(name="lock-check", read=_check, form="text"),
    Target(name="uv-lock", read=_offers, form="toml"),
    Target(name="uv-refusal", read=_refusal, form="text"),
    Target(name="uv-resolution", read=_resolution, form="text"),
)
