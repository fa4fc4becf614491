from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.docker_login import LoginError
from snapenv.errors import RegistryError
from snapenv.model.hardware import Driver, DriverFault
from snapenv.model.host import NEEDS_LABEL, GpuPlumbing
from snapenv.model.needs_label import make_label
from snapenv.workflows.doctor import Doctor, doctor
from tests.samples import sample_facts, sample_hardware
from tests.workflows.services import (
    BASE,
    LOCK,
    NAME,
    REPOSITORY,
    EngineWithBase,
    FakeRegistry,
    NoEngine,
    remote,
    services,
    target,
)

if TYPE_CHECKING:
    from snapenv.model.image import ImageRef, RemoteImage

OURS = remote(labels={"io.snapenv.snapshot": "sha256:abc", NEEDS_LABEL: make_label(LOCK)})
SHELF = FakeRegistry(images={NAME: OURS})
OLD = sample_hardware(driver=Driver(version="470.57.02", cuda=(11, 4)))


def asked(ref: str | None = NAME, *, device: str = "auto", venv: bool = False) -> Doctor:
    return Doctor(ref=ref, repository=REPOSITORY, device=device, venv=venv)


def test_a_machine_that_can_run_an_image_is_a_yes_and_nothing_is_pulled() -> None:
    engine = EngineWithBase()

    outcome = doctor(asked(), services(engine, registry=SHELF))

    assert outcome.exit_code == 0
    assert outcome.verdict is not None
    assert outcome.verdict.summary == f"{NAME} runs here"
    assert outcome.lines == (wording("300 B of layers are to be fetched"),)
    assert engine.find(NAME) is None


def test_an_old_driver_is_a_no_that_says_what_to_do() -> None:
    here = target(sample_facts(hardware=OLD))

    outcome = doctor(asked(), services(here=here, registry=SHELF))

    assert outcome.exit_code == 1
    assert outcome.verdict is not None
    assert (outcome.verdict.part, outcome.verdict.check) == ("host", "driver.cuda")
    assert outcome.verdict.next
    assert "driver" in outcome.verdict.next


def test_the_cpu_needs_no_driver() -> None:
    here = target(sample_facts(hardware=OLD))

    assert doctor(asked(device="cpu"), services(here=here, registry=SHELF)).ok


def test_a_driver_that_does_not_answer_is_a_no() -> None:
    fault = DriverFault(
        error="Driver/library version mismatch", kernel_module="550.54.14", library="550.90.07"
    )
    hardware = replace(sample_hardware(driver=None), driver_fault=fault)

    outcome = doctor(
        asked(), services(here=target(sample_facts(hardware=hardware)), registry=SHELF)
    )

    assert outcome.exit_code == 1
    assert outcome.verdict is not None
    assert outcome.verdict.next == "sudo reboot"


def test_without_an_engine_the_answer_is_a_no_and_not_an_error() -> None:
    outcome = doctor(asked(), services(NoEngine(), registry=SHELF))

    (failed,) = [check for check in outcome.checks if check.fails]
    assert (failed.id, failed.fix) == ("engine", "Start Docker.")


def test_the_document_holds_what_was_seen_and_what_is_needed() -> None:
    result = doctor(asked(), services(registry=SHELF)).result

    document = msgspec.json.decode(msgspec.json.encode(result))
    assert document["host"]["hardware"]["driver"]["version"] == "580.95.05"
    assert document["needs"]["cuda"] == "13.0"
    assert document["machine"] is None


def test_without_a_ref_it_says_what_this_machine_can_run() -> None:
    outcome = doctor(asked(None), services())

    assert outcome.ok
    assert outcome.result.ref is None
    assert outcome.result.machine
    assert outcome.result.machine.driver == "580.95.05"
    assert any("nvidia/pytorch" in line for line in outcome.lines)


def test_a_gpu_that_is_asked_for_and_is_not_there_is_a_no_without_a_ref_too() -> None:
    nothing = sample_facts(hardware=replace(sample_hardware(driver=None), gpus=()))
    bare = target(nothing, plumbing=GpuPlumbing())

    assert doctor(asked(None), services(here=bare)).ok
    outcome = doctor(asked(None, device="0"), services(here=bare))

    assert [check.id for check in outcome.checks if check.fails] == ["gpu.present"]


def test_a_venv_needs_no_engine() -> None:
    outcome = doctor(asked(None, venv=True), services(NoEngine()))

    assert outcome.ok
    assert not [check for check in outcome.checks if check.id.startswith("engine")]


SILENT = FakeRegistry(answers=())


def test_a_registry_that_answers_the_engine_alone_is_a_warning() -> None:
    engine = EngineWithBase()
    engine.served[NAME] = BASE

    outcome = doctor(asked(), services(engine, registry=SILENT))

    (check,) = [check for check in outcome.checks if check.part == "transport"]
    assert outcome.ok
    assert (check.id, check.severity, check.ok) == ("registry", "warning", False)
    assert "does not answer" in check.actual
    assert outcome.verdict is not None
    assert outcome.verdict.summary == wording(
        "no problem was found for localhost:5000/team/env:train-yolov8.4.190-base-cu130, whose requirements could not be read"
    )
    assert engine.find(NAME) is None


@pytest.mark.parametrize("engine", [EngineWithBase(), NoEngine()], ids=["not served", "none"])
def test_a_registry_that_answers_nobody_is_an_error(engine: EngineWithBase) -> None:
    with pytest.raises(RegistryError, match="does not answer"):
        doctor(asked(), services(engine, registry=SILENT))


class Loginless(FakeRegistry):
    """A registry whose login cannot be had."""

    def read(self, ref: ImageRef, *, machine: str | None = None) -> RemoteImage:
        raise LoginError(f"no login for {ref} for {machine}", hint="See docker login.")


def test_a_login_that_cannot_be_had_is_no_matter_for_the_engine() -> None:
    engine = EngineWithBase()
    engine.served[NAME] = BASE

    with pytest.raises(LoginError):
        doctor(asked(), services(engine, registry=Loginless()))
