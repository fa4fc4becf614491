from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import (
    EngineMissingError,
    InstallError,
    NotFoundError,
    SmokeTrainError,
    SnapshotDamagedError,
    UsageError,
)
from snapenv.lock.store import write_snapshot
from snapenv.model.fingerprint import Cuda
from snapenv.model.hardware import Driver, DriverFault
from snapenv.model.image import ImageRef
from snapenv.model.launch import Gpu
from snapenv.model.usage import DeclaredOptions, UsedGpu
from snapenv.steps.source import SnapshotFolder, parse_image, resolve_source
from snapenv.usage.ledger import open_ledger
from snapenv.workflows.build import Build, build
from snapenv.workflows.restore import Restore, restore
from snapenv.workflows.verify import Verify, verify
from tests.fakes import FakeEngine, FakeTarget, FakeTask
from tests.samples import (
    TAG,
    sample_base_lock,
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_fingerprint,
    sample_hardware,
    sample_lock,
    sample_snapshot,
)
from tests.steady import steady
from tests.workflows.services import (
    BASE,
    REGISTRY,
    REPOSITORY,
    EngineWithBase,
    FakeRegistry,
    FakeVenvs,
    services,
    target,
)

if TYPE_CHECKING:
    from snapenv.model.hardware import Hardware
    from snapenv.model.host import HostEngine
    from snapenv.model.image import Image
    from snapenv.model.outcome import Outcome
    from snapenv.model.results import ProofResult
    from snapenv.ports import Target

BASELINE = sample_fingerprint((3.5, 2.5), device="cpu")
SNAPSHOT = sample_snapshot(sample_lock(baseline=BASELINE))
GPU = Gpu(number=0, uuid="GPU-a", name="NVIDIA H200")
OTHER_GPU = Gpu(number=1, uuid="GPU-b", name="NVIDIA A10")
SAME = target(sample_facts(), BASELINE)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a venv without --into be made in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "snapshot"
    write_snapshot(SNAPSHOT, place)
    return place


@pytest.fixture
def engine(folder: Path) -> EngineWithBase:
    """An engine whose registry has the image of the snapshot, and that has it no more itself."""
    engine = EngineWithBase(inside=SAME)
    build(folder, Build(repository=REPOSITORY, mirror=REGISTRY, push=True), services(engine))
    engine.remove(f"{REPOSITORY}:{TAG}")
    return engine


def by_tag(**options: object) -> Restore:
    return replace(Restore(ref=TAG, repository=REPOSITORY, device="cpu"), **options)


def to_verify(**options: object) -> Verify:
    return replace(Verify(ref=TAG, repository=REPOSITORY, device="cpu"), **options)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (TAG, f"team/env:{TAG}"),
        ("example.com/x/y:train-py3.11-base-cpu", "example.com/x/y:train-py3.11-base-cpu"),
        ("localhost:5000/env:old", "localhost:5000/env:old"),
    ],
)
def test_a_bare_tag_is_one_of_the_repository_and_all_else_an_image(
    text: str, reference: str
) -> None:
    assert parse_image(text, repository="team/env") == ImageRef.parse(reference)


def test_a_folder_that_exists_is_a_snapshot(tmp_path: Path) -> None:
    source = resolve_source(str(tmp_path), repository="snapenv", services=services())

    assert source == SnapshotFolder(tmp_path)


@pytest.mark.parametrize("text", ["./gone", "/gone", "~/gone", "No Image"])
def test_what_is_neither_is_named(text: str) -> None:
    with pytest.raises(NotFoundError, match="gone|No Image"):
        resolve_source(text, repository="snapenv", services=services())


def test_a_tag_is_pulled_and_proved(engine: EngineWithBase) -> None:
    outcome = restore(by_tag(), services(engine))

    assert outcome.ok
    assert outcome.result.tier == "identical"
    assert outcome.result.losses == (3.5, 2.5)
    assert outcome.result.snapshot == SNAPSHOT.digest


def test_what_differs_is_a_no_that_names_it(engine: EngineWithBase) -> None:
    other = sample_environment(distributions=[sample_distribution("numpy", "1.0")])
    engine.inside = target(sample_facts(environment=other), BASELINE)

    outcome = restore(by_tag(), services(engine))

    failed = [check.id for check in outcome.checks if not check.ok]
    assert outcome.exit_code == 1
    assert "distribution.numpy" in failed
    assert outcome.verdict is not None
    assert steady(outcome.verdict.summary) == wording(
        "localhost:5000/team/env:train-yolov8.4.190-base-cu130 is not train-yolov8.4.190-base-cu130: numpy is 1.0, not 2.4.6"
    )


def test_an_entrypoint_that_starts_no_command_is_a_no_of_the_image(engine: EngineWithBase) -> None:
    restore(by_tag(), services(engine))
    name = f"{REPOSITORY}:{TAG}"
    engine.images[name] = replace(engine.images[name], entrypoint=("jupyter",))

    outcome = verify(to_verify(), services(engine))

    (check,) = (check for check in outcome.checks if check.id == "entrypoint")
    assert (check.fails, check.part) == (True, "image")
    assert check.actual == 'ENTRYPOINT ["jupyter"]'
    assert outcome.verdict is not None
    assert outcome.verdict.part == "image"


def test_other_losses_are_a_no(engine: EngineWithBase) -> None:
    engine.inside = target(sample_facts(), sample_fingerprint((9.5, 2.5), device="cpu"))

    outcome = restore(by_tag(), services(engine))

    assert outcome.exit_code == 1
    assert outcome.result.tier == "different"


def test_without_a_smoke_train_there_is_no_tier(engine: EngineWithBase) -> None:
    outcome = restore(by_tag(smoke=False), services(engine))

    assert outcome.ok
    assert outcome.result.tier is None


def test_a_snapshot_without_a_baseline_cannot_be_trained_against(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(), tmp_path / "plain")
    request = by_tag(ref=str(tmp_path / "plain"), engine="venv", smoke=True)

    with pytest.raises(SmokeTrainError) as caught:
        restore(request, services())

    assert str(caught.value) == wording(
        "train-yolov8.4.190-base-cu130 was captured without a smoke-train: there are no losses to compare with"
    )


@pytest.mark.parametrize(
    ("device", "has_gpu", "given"),
    [
        ("cpu", True, None),
        ("auto", True, "all"),
        ("auto", False, None),
        ("0,1", True, "0,1"),
        ("all", True, "all"),
    ],
)
def test_the_container_gets_the_gpus_that_are_asked_for(
    engine: EngineWithBase, device: str, *, has_gpu: bool, given: str | None
) -> None:
    two = replace(sample_hardware(), gpus=sample_hardware().gpus * 2)
    hardware = two if has_gpu else sample_hardware(driver=None)
    here = target(sample_facts(hardware=hardware))
    engine.inside = target(sample_facts(hardware=hardware), BASELINE)

    restore(by_tag(device=device, smoke=False), services(engine, here=here))

    assert engine.gpus[-1] == given


NO_GPU = sample_hardware(driver=None)
TRAINED_ON_CPU = replace(BASELINE, cuda=Cuda(available=False, built_for="13.0", error="No GPUs"))


@pytest.mark.parametrize("runtimes", [("runc",), ("nvidia", "runc")])
@pytest.mark.parametrize("shown", [NO_GPU, sample_hardware()], ids=["none", "one"])
def test_an_engine_elsewhere_is_itself_asked_for_gpus(
    engine: EngineWithBase, runtimes: tuple[str, ...], shown: Hardware
) -> None:
    engine.described = replace(engine.described, local=False, runtimes=runtimes)
    engine.inside = target(sample_facts(hardware=shown), BASELINE)
    here = target(sample_facts())  # a GPU of this machine is none of the engine's

    verify_here(engine, here)

    assert engine.gpus[-2:] == ["all", "all" if shown.gpus else None]


@pytest.mark.parametrize(("runtimes", "asked"), [(("runc",), None), (("nvidia", "runc"), "all")])
def test_an_engine_here_is_asked_where_it_could_have_what_is_not_seen_from_here(
    engine: EngineWithBase, runtimes: tuple[str, ...], asked: str | None
) -> None:
    engine.described = replace(engine.described, runtimes=runtimes)
    engine.inside = target(sample_facts(hardware=NO_GPU), BASELINE)

    verify_here(engine, target(sample_facts(hardware=NO_GPU)))

    assert engine.gpus[-2:] == [asked, None]


@pytest.mark.parametrize(("runtimes", "told"), [(("runc",), []), (("nvidia", "runc"), ["warning"])])
def test_an_engine_that_could_hand_on_gpus_and_does_not_is_told(
    engine: EngineWithBase, runtimes: tuple[str, ...], told: list[str]
) -> None:
    engine = with_refusal(engine)
    engine.described = replace(engine.described, local=False, runtimes=runtimes)
    engine.inside = target(sample_facts(hardware=NO_GPU), TRAINED_ON_CPU)

    outcome = verify_here(engine, target(sample_facts(hardware=NO_GPU)))

    checks = [check for check in outcome.checks if check.id == "gpu.used"]
    assert [check.severity for check in checks] == told
    assert all("nvml error" in check.actual for check in checks)
    assert outcome.ok


def test_a_gpu_of_the_engines_machine_that_no_container_gets_is_a_no(
    engine: EngineWithBase,
) -> None:
    fault = DriverFault(error="Driver/library version mismatch", kernel_module="580.95.05")
    below = replace(NO_GPU, driver_fault=fault)
    engine = with_refusal(engine)
    engine.inside = target(sample_facts(hardware=NO_GPU), TRAINED_ON_CPU)

    outcome = verify_here(engine, target(sample_facts(hardware=below)))

    (check,) = (check for check in outcome.checks if check.id == "gpu.used")
    assert (check.fails, check.part) == (True, "host")
    assert "mismatch" in (check.fix or "")


@pytest.mark.parametrize(("device", "told"), [("auto", True), ("cpu", False)])
def test_a_venv_that_leaves_a_gpu_unused_is_a_no_unless_the_cpu_was_asked_for(
    folder: Path, tmp_path: Path, device: str, *, told: bool
) -> None:
    seen = TRAINED_ON_CPU if device == "auto" else BASELINE
    request = by_tag(ref=str(folder), engine="venv", into=tmp_path / "v", device=device)

    outcome = restore(request, services(here=target(sample_facts(), seen)))

    assert outcome.ok == (not told)
    seen_by = [check.actual for check in outcome.checks if check.id == "gpu.used"]
    assert seen_by == (["it trained on the CPU: No GPUs"] if told else [])


def verify_here(engine: EngineWithBase, here: FakeTarget) -> Outcome[ProofResult]:
    restore(by_tag(), services(engine))
    return verify(to_verify(device="auto"), services(engine, here=here))


@dataclass(kw_only=True)
class _Refusing(EngineWithBase):
    """Starts no container with GPUs."""

    def image_target(self, image: Image, *, python: str, gpus: str | None) -> Target:
        given = super().image_target(image, python=python, gpus=gpus)
        return FakeTarget(refusal="nvml error: driver not loaded") if gpus else given


def with_refusal(engine: EngineWithBase) -> EngineWithBase:
    refusing = _Refusing(inside=engine.inside)
    refusing.images, refusing.served = engine.images, engine.served
    refusing.folders = engine.folders
    return refusing


OLD_DRIVER = sample_hardware(driver=Driver(version="470.57.02", cuda=(11, 4)))


def test_what_this_machine_cannot_run_is_a_no_before_a_layer_moves(engine: EngineWithBase) -> None:
    there = services(engine, here=target(sample_facts(hardware=OLD_DRIVER)))
    engine.gpus.clear()

    outcome = restore(by_tag(device="auto"), there)

    assert outcome.exit_code == 1
    assert outcome.verdict is not None
    assert (outcome.verdict.part, outcome.verdict.check) == ("host", "driver.cuda")
    assert (outcome.result.image, outcome.result.tier) == (None, None)
    assert engine.find(f"{REPOSITORY}:{TAG}") is None
    assert engine.gpus == []


def test_nothing_is_built_of_a_folder_either(folder: Path) -> None:
    engine = EngineWithBase(inside=SAME)
    there = services(engine, here=target(sample_facts(hardware=OLD_DRIVER)))

    outcome = restore(by_tag(ref=str(folder), device="auto"), there)

    assert outcome.exit_code == 1
    assert engine.built == []


def test_the_look_at_this_machine_can_be_left_out(engine: EngineWithBase) -> None:
    there = services(engine, here=target(sample_facts(hardware=OLD_DRIVER)))

    outcome = restore(by_tag(device="auto", preflight=False), there)

    assert outcome.ok
    assert engine.gpus[-1] == "all"


def test_on_the_cpu_an_old_driver_is_in_nobodys_way(engine: EngineWithBase) -> None:
    there = services(engine, here=target(sample_facts(hardware=OLD_DRIVER)))

    assert restore(by_tag(device="cpu"), there).ok


def test_what_is_to_be_looked_out_for_is_told_beside_the_proof(engine: EngineWithBase) -> None:
    there = services(engine, here=target(sample_facts(hardware=sample_hardware(driver=None))))

    outcome = restore(by_tag(device="auto"), there)

    warnings = [check.id for check in outcome.checks if check.severity == "warning"]
    assert outcome.ok
    assert warnings[0] == "driver.library"  # the nodes of the driver are there


def test_a_registry_that_answers_the_engine_alone_is_no_hindrance(engine: EngineWithBase) -> None:
    there = services(engine, registry=FakeRegistry(answers=()))

    outcome = restore(by_tag(), replace(there, warnings=lambda: ("not compared",)))

    unread = [check for check in outcome.checks if check.id == "registry"]
    assert outcome.ok
    assert [(check.severity, check.part) for check in unread] == [("warning", "transport")]
    assert outcome.warnings == ("not compared",)


def test_an_image_of_somebody_else_is_named_before_it_is_pulled() -> None:
    engine = EngineWithBase()
    engine.images[f"{REPOSITORY}:{TAG}"] = BASE
    engine.push(ImageRef(repository=REPOSITORY, tag=TAG), FakeTask())
    engine.remove(f"{REPOSITORY}:{TAG}")

    with pytest.raises(NotFoundError) as caught:
        restore(by_tag(), services(engine))

    assert str(caught.value) == wording(
        "localhost:5000/team/env:train-yolov8.4.190-base-cu130 holds no snapshot: it was not built by snapenv"
    )
    assert engine.find(f"{REPOSITORY}:{TAG}") is None


def test_a_venv_needs_no_engine(folder: Path) -> None:
    class Missing(EngineWithBase):
        def check(self) -> str:
            raise AssertionError

        def describe(self) -> HostEngine:
            raise AssertionError

    there = services(Missing(), here=SAME)

    assert restore(by_tag(ref=str(folder), engine="venv", into=Path("new")), there).ok


def test_a_venv_that_the_driver_does_not_serve_is_not_made(folder: Path) -> None:
    there = services(here=target(sample_facts(hardware=OLD_DRIVER), BASELINE))
    request = by_tag(ref=str(folder), engine="venv", device="auto", into=Path("new"))

    outcome = restore(request, there)

    assert outcome.exit_code == 1
    assert outcome.result.path is None
    assert isinstance(there.venvs, FakeVenvs)
    assert there.venvs.asked == []


def test_a_venv_on_an_older_glibc_is_warned_of(folder: Path) -> None:
    older = target(sample_facts(hardware=sample_hardware(glibc="2.17")), BASELINE)

    outcome = restore(by_tag(ref=str(folder), engine="venv", into=Path("n")), services(here=older))

    assert next(check.id for check in outcome.checks if not check.ok) == "platform.glibc"


def test_an_image_that_is_here_is_proved_alone(engine: EngineWithBase) -> None:
    restore(by_tag(), services(engine))
    engine.served.clear()

    outcome = verify(to_verify(), services(engine))

    assert outcome.ok
    assert (outcome.command, outcome.result.tier) == ("verify", "identical")


def test_a_proof_alone_never_pulls(engine: EngineWithBase) -> None:
    with pytest.raises(NotFoundError, match="no local image"):
        verify(to_verify(), services(engine))

    assert engine.find(f"{REPOSITORY}:{TAG}") is None


def test_a_proof_of_an_image_without_an_engine_says_that_none_answers() -> None:
    class NoEngine(FakeEngine):
        def find(self, ref: str) -> Image | None:
            raise EngineMissingError(f"nothing answers for {ref}", hint="Start it.")

    without = replace(services(), engine=NoEngine())

    with pytest.raises(EngineMissingError, match="nothing answers"):
        verify(to_verify(ref=f"example.com/team/env:{TAG}"), without)


def test_a_folder_is_proved_by_the_image_of_its_name(engine: EngineWithBase, folder: Path) -> None:
    restore(by_tag(), services(engine))

    assert (
        verify(to_verify(ref=str(folder)), services(engine)).result.image == f"{REPOSITORY}:{TAG}"
    )


def test_an_image_of_another_snapshot_is_not_the_one_of_a_folder(
    engine: EngineWithBase, tmp_path: Path
) -> None:
    restore(by_tag(), services(engine))
    write_snapshot(sample_snapshot(), tmp_path / "other")

    with pytest.raises(NotFoundError) as caught:
        verify(to_verify(ref=str(tmp_path / "other")), services(engine))

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "localhost:5000/team/env:train-yolov8.4.190-base-cu130 is here, and was built of another snapshot than TMP/other"
    )


def test_a_venv_that_is_here_is_proved_by_its_own_python(folder: Path, tmp_path: Path) -> None:
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()

    outcome = verify(
        to_verify(ref=str(folder), engine="venv", into=tmp_path / "env"), services(here=SAME)
    )

    assert outcome.result.path == str(tmp_path / "env")
    assert outcome.result.tier == "identical"


def test_a_venv_that_is_not_here_is_not_found(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        verify(to_verify(ref=str(folder), engine="venv", into=tmp_path / "gone"), services())

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "there is no environment TMP/gone"
    )


def test_an_image_without_a_snapshot_is_named() -> None:
    engine = EngineWithBase(images={f"{REPOSITORY}:{TAG}": BASE})

    with pytest.raises(NotFoundError) as caught:
        restore(by_tag(), services(engine))

    assert str(caught.value) == wording(
        "localhost:5000/team/env:train-yolov8.4.190-base-cu130 holds no snapshot: it was not built by snapenv"
    )


def test_an_image_that_names_another_snapshot_than_it_holds_is_refused(
    engine: EngineWithBase,
) -> None:
    restore(by_tag(), services(engine))
    name = f"{REPOSITORY}:{TAG}"
    engine.images[name] = replace(engine.images[name], labels={"io.snapenv.snapshot": "sha256:1"})

    with pytest.raises(SnapshotDamagedError) as caught:
        restore(by_tag(), services(engine))

    assert steady(caught.value) == wording(
        "localhost:5000/team/env:train-yolov8.4.190-base-cu130 says it holds snapshot sha256:1, and holds sha256:DIGEST"
    )


def test_the_venv_engine_installs_the_lock_with_its_python(folder: Path) -> None:
    there = services(here=SAME)

    outcome = restore(by_tag(ref=str(folder), engine="venv", into=Path("new")), there)

    assert outcome.result.path == "new"
    assert outcome.result.tier == "identical"
    assert isinstance(there.venvs, FakeVenvs)
    assert there.venvs.asked == [(SNAPSHOT.files, "3.11.7")]


def test_the_venv_engine_takes_the_snapshot_out_of_an_image(engine: EngineWithBase) -> None:
    outcome = restore(by_tag(engine="venv", into=Path("new")), services(engine, here=SAME))

    assert outcome.result.snapshot == SNAPSHOT.digest


def test_the_venv_engine_refuses_packages_of_a_base_image(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(sample_base_lock()), tmp_path / "base")

    with pytest.raises(InstallError, match="stands on nvcr"):
        restore(by_tag(ref=str(tmp_path / "base"), engine="venv"), services())


def test_a_running_container_is_looked_into_in_the_place_of_its_image(
    engine: EngineWithBase,
) -> None:
    restore(by_tag(), services(engine))
    other = sample_environment(distributions=[sample_distribution("numpy", "1.0")])
    engine.targets["work"] = target(sample_facts(environment=other), BASELINE)

    outcome = verify(to_verify(container="work"), services(engine))

    assert outcome.verdict is not None
    assert outcome.verdict.summary == wording(
        "container work is not train-yolov8.4.190-base-cu130: numpy is 1.0, not 2.4.6"
    )


def test_a_proof_is_counted(engine: EngineWithBase, tmp_path: Path) -> None:
    restore(by_tag(), services(engine))
    given = replace(services(engine), state=tmp_path, gpus=lambda: (GPU, OTHER_GPU))

    verify(to_verify(declared=DeclaredOptions(project="vision"), device="1"), given)
    engine.inside = target(sample_facts(environment=sample_environment(distributions=[])), BASELINE)
    verify(to_verify(), given)

    with open_ledger(tmp_path / "usage.sqlite3") as ledger:
        first, second = ledger.runs(0, 1 << 62)
    assert (first.kind, first.project, first.tag) == ("verify", "vision", TAG)
    assert (first.snapshot, first.exit_code, first.failure) == (SNAPSHOT.digest, 0, None)
    assert first.gpus == (UsedGpu(uuid="GPU-b", model="NVIDIA A10"),)
    assert first.ended_ms is not None
    assert (second.exit_code, second.failure, second.gpus) == (1, "not-proved", ())
    assert second.cause


def test_without_a_project_that_is_required_nothing_is_proved(engine: EngineWithBase) -> None:
    with pytest.raises(UsageError, match="no project"):
        verify(to_verify(declared=DeclaredOptions(require_project=True)), services(engine))
