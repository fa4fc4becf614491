from __future__ import annotations

from dataclasses import dataclass
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.base.metadata import MARK
from snapenv.errors import EngineMissingError, EnvironmentMissingError, NotFoundError
from snapenv.lock.store import write_snapshot
from snapenv.model.image import Image, ImageRef, Layer, RemoteImage
from snapenv.model.results import RankedBase
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.ports import Completed
from snapenv.workflows.bases import Bases, bases
from tests.fakes import FakeTarget
from tests.samples import (
    sample_base_facts,
    sample_environment,
    sample_facts,
    sample_lock,
    sample_snapshot,
)
from tests.steady import steady
from tests.workflows.services import REGISTRY, EngineWithBase, FakeRegistry, services, target

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.outcome import Outcome
    from snapenv.model.results import BasesResult, FamilyBase
    from snapenv.model.snapshot import BaseFamily

MIRRORED = f"{REGISTRY}/nvidia/pytorch"
PYTHON_312 = sample_facts(environment=sample_environment(python="3.12.3"))


def remote(tag: str, *, machine: str = "amd64", **variables: str) -> tuple[str, RemoteImage]:
    name = f"{MIRRORED}:{tag}"
    digest = f"sha256:{'ab' * 32}"
    image = RemoteImage(
        ref=ImageRef.parse(name).at(digest),
        config_digest=digest,
        layers=(
            Layer(digest=digest, size_bytes=9_000_000_000),
            Layer(digest=digest, size_bytes=840_000_000),
        ),
        diff_ids=(digest, digest),
        labels={},
        variables=variables,
        machine=machine,
    )
    return name, image


def of_family(outcome: Outcome[BasesResult], family: BaseFamily) -> FamilyBase:
    return next(one for one in outcome.result.families if one.family == family)


def listed(outcome: Outcome[BasesResult]) -> tuple[RankedBase, ...]:
    return outcome.result.bases


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "snapshot"
    write_snapshot(sample_snapshot(sample_lock(facts=PYTHON_312)), place)
    return place


def test_the_images_for_a_snapshot_are_listed_best_first_with_their_reasons(folder: Path) -> None:
    registry = FakeRegistry(images=dict([remote("26.02-py3")]))

    outcome = bases(Bases(snapshot=folder, mirror=REGISTRY), services(registry=registry))

    assert outcome.exit_code == 0
    assert listed(outcome)[0] == RankedBase(
        rank=1,
        image=f"{MIRRORED}:26.02-py3",
        digest=f"sha256:{'ab' * 32}",
        python="3.12",
        cuda="13.1",
        torch="2.11",
        cudnn=None,
        nccl=None,
        size_bytes=9_840_000_000,
        local=False,
        inspected=False,
        reason=wording(
            "it has Python 3.12; driver 580.95.05 serves its CUDA 13.1, as every 13.x; "
            "its torch 2.11 is the nearest; the newest of these"
        ),
        warnings=(),
    )
    assert [one.rank for one in listed(outcome)] == [*range(1, 9)]


def test_people_get_a_table_of_60_columns(folder: Path) -> None:
    registry = FakeRegistry(images=dict([remote("26.02-py3")]))

    outcome = bases(Bases(snapshot=folder, mirror=REGISTRY, limit=1), services(registry=registry))

    assert outcome.lines == wording(
        (
            "Python 3.12.3, torch 2.11.0+cu130, driver 580.95.05, NVIDIA",
            "H200, amd64",
            "no package is a base image's own: all are installed from the",
            "lock",
            "images of localhost:5000/nvidia/pytorch, best first",
            "    tag             Python  CUDA   torch  size",
            " 1  26.02-py3       3.12    13.1   2.11   9.8 GB",
            "    it has Python 3.12; driver 580.95.05 serves its CUDA",
            "    13.1, as every 13.x; its torch 2.11 is the nearest; the",
            "    newest of these",
            "what --base-family takes, and what would be pulled",
            "pytorch     9.8 GB",
            "    localhost:5000/nvidia/pytorch:26.02-py3",
            "    compilers and CUDA's tools: torch.compile, extensions",
            "    built at run time",
            "slim             ?",
            "    localhost:5000/library/ubuntu:24.04",
            "    the smallest: the packages bring torch and its CUDA",
            "    libraries",
            "cuda             ?",
            "    localhost:5000/nvidia/cuda:13.0.2-runtime-ubuntu24.04",
            "    extensions that load CUDA's libraries from the system",
        )
    )


def test_without_a_snapshot_the_active_environment_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))

    outcome = bases(Bases(), services(here=target(PYTHON_312)))

    assert listed(outcome)[0].image == "nvcr.io/nvidia/pytorch:26.02-py3"


def test_no_active_environment_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(EnvironmentMissingError) as caught:
        bases(Bases(), services())

    assert str(caught.value) == wording("no environment is active, and PATH has no other python3")


def test_a_folder_without_a_snapshot_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no snapshot"):
        bases(Bases(snapshot=tmp_path), services())


def test_a_silent_registry_costs_the_sizes_and_is_said_once(folder: Path) -> None:
    outcome = bases(Bases(snapshot=folder), services())

    assert outcome.exit_code == 0
    assert len(listed(outcome)) == 8
    assert {one.size_bytes for one in listed(outcome)} == {None}
    assert outcome.warnings == (wording("not every size is known: nvcr.io does not answer"),)
    assert all(line.endswith("?") for line in outcome.lines if "-py3 " in line)


def test_an_image_that_the_registry_does_not_have_stands_last(folder: Path) -> None:
    registry = FakeRegistry(images=dict([remote("26.06-py3")]))

    outcome = bases(Bases(snapshot=folder, mirror=REGISTRY, limit=80), services(registry=registry))

    assert listed(outcome)[0].image == f"{MIRRORED}:26.06-py3"
    assert listed(outcome)[-7].reason == wording("its registry has none for amd64")
    assert all("its registry has none" in one.warnings[0] for one in listed(outcome)[-7:])
    assert (
        "a capture, which asks no registry, takes 26.02-py3: take the first of these with --base"
    ) in outcome.warnings


def test_a_registry_that_has_none_of_them_changes_no_rank(folder: Path) -> None:
    outcome = bases(Bases(snapshot=folder, mirror=REGISTRY), services(registry=FakeRegistry()))

    assert listed(outcome)[0].image == f"{MIRRORED}:26.02-py3"
    (warning,) = outcome.warnings
    assert steady(warning) == wording(
        "the registry has none of the first 8: there is no localhost:5000/nvidia/pytorch:26.02-py3 for amd64"
    )


def test_what_a_remote_image_says_beats_the_catalogue(folder: Path) -> None:
    said = {"CUDA_VERSION": "14.1.0", "PYTORCH_VERSION": "2.12.0a0+x"}
    names = ("26.02-py3", "26.05-py3", "25.12-py3", "25.11-py3")
    images = dict([remote(names[0], **said), *(remote(name) for name in names[1:])])
    registry = FakeRegistry(images=images)

    outcome = bases(Bases(snapshot=folder, mirror=REGISTRY, limit=80), services(registry=registry))

    found = next(one for one in listed(outcome) if one.image.endswith("26.02-py3"))
    assert (found.cuda, found.torch) == ("14.1", "2.12")
    assert found.rank > 1
    known = "it is not known whether driver 580.95.05 serves CUDA 14.1 of this base"
    assert known in found.warnings


def test_what_a_local_image_says_beats_the_catalogue(folder: Path) -> None:
    local = Image(
        id="sha256:own",
        diff_ids=(),
        labels={},
        variables={"CUDA_VERSION": "13.0.9"},
        machine="amd64",
        size_bytes=1,
    )
    engine = EngineWithBase(images={"nvcr.io/nvidia/pytorch:26.02-py3": local})

    outcome = bases(Bases(snapshot=folder, limit=1), services(engine))

    assert listed(outcome)[0].cuda == "13.0"
    assert listed(outcome)[0].local is True
    assert listed(outcome)[0].inspected is False
    assert " 1  26.02-py3       3.12    13.0   2.11   local" in outcome.lines


NAME = "nvcr.io/nvidia/pytorch:26.02-py3"
LABELLED = Image(
    id="sha256:own",
    diff_ids=(),
    labels={
        "com.nvidia.cuda.version": "9.0",
        "com.nvidia.cudnn.version": "9.18.1.3",
        "com.nvidia.nccl.version": "2.29.2",
    },
    variables={},
    machine="amd64",
    size_bytes=1,
)


def telling(seen: str, *, exit_code: int = 0) -> FakeTarget:
    done = Completed(exit_code=exit_code, stdout=f"banner\n{MARK}{seen}\n", stderr="no memory\n")
    return FakeTarget(python="python3", answers={"python3": done})


def engine_that_holds(image: Image, inside: FakeTarget) -> EngineWithBase:
    return EngineWithBase(images={NAME: image}, targets={image.id: inside}, inside=inside)


def test_the_labels_of_a_local_image_tell_its_libraries(folder: Path) -> None:
    engine = engine_that_holds(LABELLED, telling('{"python": "3.12.3"}'))

    first = listed(bases(Bases(snapshot=folder, limit=1), services(engine)))[0]

    assert (first.cuda, first.cudnn, first.nccl) == ("13.1", "9.18.1.3", "2.29.2")


def test_the_first_is_looked_into_where_it_is_here_and_that_is_said(folder: Path) -> None:
    engine = engine_that_holds(LABELLED, telling('{"python": "3.12.9", "torch": "2.11.0a0"}'))

    outcome = bases(Bases(snapshot=folder), services(engine))

    assert [one.inspected for one in listed(outcome)] == [True] + [False] * 7
    assert engine.gpus == [None]
    assert outcome.lines[7:9] == wording(
        (
            "    a container of it ran for a moment: Python 3.12.9, torch",
            "    2.11.0a0",
        )
    )


def test_what_is_seen_inside_beats_what_is_said_and_may_set_it_lower(folder: Path) -> None:
    engine = engine_that_holds(LABELLED, telling('{"python": "3.10.2", "cuda": "13.1"}'))

    outcome = bases(Bases(snapshot=folder, limit=80), services(engine))

    found = next(one for one in listed(outcome) if one.image == NAME)
    assert (found.python, found.inspected) == ("3.10", True)
    assert found.rank > 1
    assert any(one.startswith("a capture, which asks no registry,") for one in outcome.warnings)


def test_an_image_that_does_not_run_is_said_and_no_failure(folder: Path) -> None:
    engine = engine_that_holds(LABELLED, telling("{}", exit_code=1))

    outcome = bases(Bases(snapshot=folder, limit=1), services(engine))

    assert outcome.exit_code == 0
    assert listed(outcome)[0].inspected is False
    assert outcome.warnings[-1] == wording(
        "26.02-py3 cannot be looked into: python3 of the image exited with 1: no memory"
    )


@pytest.mark.parametrize("machine", ["arm64", "amd64"])
def test_no_container_runs_of_an_image_for_another_machine_or_of_no_first(
    machine: str, folder: Path
) -> None:
    image = replace(LABELLED, machine=machine)
    engine = engine_that_holds(image, telling('{"python": "3.12.9"}'))
    engine.images = {NAME if machine == "arm64" else NAME.replace("26.02", "25.12"): image}

    bases(Bases(snapshot=folder), services(engine))

    assert engine.gpus == []


@dataclass(kw_only=True)
class NoEngine(EngineWithBase):
    """Does not answer once it is made."""

    def find(self, ref: str) -> Image | None:
        if ref.startswith("nvcr.io"):
            raise EngineMissingError("no engine answers", hint="Start one.")
        return super().find(ref)


def test_no_engine_is_needed(folder: Path) -> None:
    outcome = bases(Bases(snapshot=folder), services(NoEngine()))

    assert {one.local for one in listed(outcome)} == {False}


def test_an_environment_of_an_nvidia_image_has_that_image_first(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(sample_lock(facts=sample_base_facts())), tmp_path / "own")

    outcome = bases(Bases(snapshot=tmp_path / "own"), services())

    assert outcome.result.site_packages == "inherited"
    first, second = listed(outcome)[:2]
    assert first.reason == "NVIDIA_PYTORCH_VERSION names 25.01-py3"
    assert second.reason == wording("the packages are not this image's")


@pytest.mark.parametrize(("limit", "asked"), [(1, 1), (3, 3), (20, 8)])
def test_no_more_than_the_first_eight_are_asked_for_and_one_of_each_other_family(
    folder: Path, limit: int, asked: int
) -> None:
    registry = FakeRegistry()

    outcome = bases(Bases(snapshot=folder, limit=limit), services(registry=registry))

    assert len(registry.asked) == asked + 2
    cuda = [name for name in registry.asked if name.startswith("nvcr.io/nvidia/cuda:")]
    assert len(cuda) == 1
    assert len(listed(outcome)) == limit


@dataclass
class Together(FakeRegistry):
    """Answers nobody until as many ask as there are to be."""

    def __post_init__(self) -> None:
        self.gate = Barrier(10, timeout=300)

    def read(self, ref: ImageRef, *, machine: str | None = None) -> RemoteImage:
        self.gate.wait()
        return super().read(ref, machine=machine)


def test_all_are_asked_for_at_once(folder: Path) -> None:
    registry = Together(images=dict([remote("26.02-py3")]))

    outcome = bases(Bases(snapshot=folder, mirror=REGISTRY), services(registry=registry))

    assert listed(outcome)[0].size_bytes == 9_840_000_000


def test_an_arm64_machine_is_asked_for_as_such(tmp_path: Path) -> None:
    hardware = PYTHON_312.hardware
    system = replace(hardware.system, machine="aarch64")
    facts = replace(PYTHON_312, hardware=replace(hardware, system=system))
    write_snapshot(sample_snapshot(sample_lock(facts=facts)), tmp_path / "arm")
    registry = FakeRegistry(images=dict([remote("26.02-py3", machine="arm64")]))

    outcome = bases(
        Bases(snapshot=tmp_path / "arm", mirror=REGISTRY, limit=8), services(registry=registry)
    )

    assert outcome.result.machine == "arm64"
    assert listed(outcome)[0].image == f"{MIRRORED}:26.02-py3"


SLIM = f"{REGISTRY}/library/ubuntu:24.04"


def slim_of(*layers: int) -> RemoteImage:
    """Return a plain Ubuntu whose layers have these sizes."""
    digests = [f"sha256:{number:064}" for number in range(len(layers))]
    return RemoteImage(
        ref=ImageRef.parse(SLIM).at(digests[0]),
        config_digest=digests[0],
        layers=tuple(
            Layer(digest=digest, size_bytes=size)
            for digest, size in zip(digests, layers, strict=True)
        ),
        diff_ids=tuple(digests),
        labels={},
        variables={},
        machine="amd64",
    )


def with_layers(*diff_ids: str, **labels: str) -> Image:
    return Image(
        id="sha256:of-ours",
        diff_ids=diff_ids,
        labels=labels,
        variables={},
        machine="amd64",
        size_bytes=1,
    )


def test_each_family_is_told_with_what_it_moves_and_what_it_is_for(folder: Path) -> None:
    registry = FakeRegistry(images={**dict([remote("26.02-py3")]), SLIM: slim_of(30_000_000)})

    outcome = bases(Bases(snapshot=folder, mirror=REGISTRY), services(registry=registry))

    assert [(one.family, one.missing_bytes, one.local) for one in outcome.result.families] == [
        ("pytorch", 9_840_000_000, False),
        ("slim", 30_000_000, False),
        ("cuda", None, False),
    ]
    at = outcome.lines.index("what --base-family takes, and what would be pulled")
    assert outcome.lines[at + 1 :] == wording(
        (
            "pytorch     9.8 GB",
            "    localhost:5000/nvidia/pytorch:26.02-py3",
            "    compilers and CUDA's tools: torch.compile, extensions",
            "    built at run time",
            "slim       30.0 MB",
            "    localhost:5000/library/ubuntu:24.04",
            "    the smallest: the packages bring torch and its CUDA",
            "    libraries",
            "cuda             ?",
            "    localhost:5000/nvidia/cuda:13.0.2-runtime-ubuntu24.04",
            "    extensions that load CUDA's libraries from the system",
        )
    )


def test_layers_that_an_image_of_snapenv_s_has_are_not_pulled(folder: Path) -> None:
    slim = slim_of(30_000_000, 2_000_000)
    ours = with_layers(slim.diff_ids[0], "sha256:another", **{SNAPSHOT_LABEL: "sha256:1"})
    engine = EngineWithBase(images={"snapenv:train-py3.12-base-cpu": ours})
    request = Bases(snapshot=folder, mirror=REGISTRY)

    outcome = bases(request, services(engine, registry=FakeRegistry(images={SLIM: slim})))

    found = of_family(outcome, "slim")
    assert (found.size_bytes, found.missing_bytes, found.local) == (32_000_000, 2_000_000, False)


def test_an_image_that_the_engine_has_moves_nothing(folder: Path) -> None:
    engine = EngineWithBase(images={SLIM: with_layers("sha256:0")})
    registry = FakeRegistry(images={SLIM: slim_of(30_000_000)})

    outcome = bases(Bases(snapshot=folder, mirror=REGISTRY), services(engine, registry=registry))

    found = of_family(outcome, "slim")
    assert (found.missing_bytes, found.local) == (0, True)


def test_packages_of_nvidia_s_image_leave_no_other_family(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(sample_lock(facts=sample_base_facts())), tmp_path / "own")

    outcome = bases(Bases(snapshot=tmp_path / "own"), services())

    assert [one.family for one in outcome.result.families] == ["pytorch"]
    assert outcome.result.families[0].image == "nvcr.io/nvidia/pytorch:25.01-py3"
