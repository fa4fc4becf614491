from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import NotFoundError, RegistryError
from snapenv.lock.store import write_snapshot
from snapenv.model.conda import CondaEnvironment, CondaLock
from snapenv.model.facts import Kernels, Native
from snapenv.model.hardware import Driver
from snapenv.model.host import NEEDS_LABEL, GpuPlumbing, Unread
from snapenv.model.image import ImageRef, RemoteImage
from snapenv.model.needs_label import make_label, read_label
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL, SNAPSHOT_LABEL
from snapenv.nvidia.catalogue import dotted, load_catalogue
from snapenv.preflight.needs import for_device, of_labels, of_lock
from snapenv.preflight.needs_of import RunOptions, missing_layers, needs_of_archive
from snapenv.steps.host import inspect_host, judge_host
from snapenv.steps.source import resolve_source
from snapenv.workflows.build import Build, build
from snapenv.workflows.doctor import needs_of
from tests.samples import (
    DRIVER,
    sample_base_lock,
    sample_environment,
    sample_facts,
    sample_hardware,
    sample_lock,
    sample_native,
    sample_snapshot,
)
from tests.workflows.services import (
    BASE,
    LOCK,
    NAME,
    REGISTRY,
    REPOSITORY,
    TOOLKIT,
    EngineWithBase,
    FakeRegistry,
    NoEngine,
    remote,
    services,
    target,
)

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.host import Needs
    from snapenv.ports import Services

CATALOGUE = load_catalogue()
NVIDIA_ENV = {
    "CUDA_VERSION": "13.0.2.006",
    "CUDA_DRIVER_VERSION": "580.95.05",
    "PYTORCH_VERSION": "2.9.0a0+145a3a7",
    "TORCH_CUDA_ARCH_LIST": "7.5 8.0 9.0 12.0+PTX",
    "NVIDIA_REQUIRE_CUDA": "cuda>=9.0",
    "_CUDA_COMPAT_PATH": "/usr/local/cuda/compat",
    "LD_LIBRARY_PATH": "/usr/local/cuda/compat/lib:/usr/local/nvidia/lib",
}


def told(ref: ImageRef | Path, there: Services, **asked: object) -> Needs:
    options = replace(RunOptions(), **asked)
    source = resolve_source(str(ref), repository=REPOSITORY, services=there)
    host = inspect_host(there)
    return needs_of(source, there, host=host, options=options, repository=REPOSITORY)


def test_a_lock_with_packages_of_conda_says_so() -> None:
    locked = CondaLock(environment=CondaEnvironment(packages=()), archives={})
    conda = replace(sample_lock(), conda=locked)

    assert [of_lock(lock, "x").conda for lock in (conda, sample_lock())] == [True, False]


def test_a_host_is_hardware_plumbing_engine_and_the_helpers_that_are_missing() -> None:
    there = replace(services(), missing_helpers=lambda: ("docker-credential-gone",))

    host = inspect_host(there)

    assert host.hardware == sample_hardware()
    assert host.plumbing == TOOLKIT
    assert host.engine == EngineWithBase().described
    assert host.missing_helpers == ("docker-credential-gone",)


def test_an_engine_that_is_missing_is_a_fact_of_the_host() -> None:
    host = inspect_host(services(NoEngine()))

    assert host.engine is None
    assert (host.engine_error, host.engine_hint) == (
        wording("no Docker engine answers at x"),
        "Start Docker.",
    )


def test_an_engine_is_not_asked_where_none_takes_part() -> None:
    host = inspect_host(services(NoEngine()), engine=False)

    assert (host.engine, host.engine_error) == (None, None)


def test_the_label_gives_back_what_the_lock_says() -> None:
    base = next(one for one in CATALOGUE.images if one.datacenter_branches and one.cuda)
    image = remote(labels={NEEDS_LABEL: make_label(LOCK), BASE_NAME_LABEL: base.reference})

    needs = of_labels(image, image.ref, CATALOGUE)

    assert base.cuda
    assert needs == replace(
        of_lock(LOCK, NAME),
        glibc=None,
        image_cuda=dotted(base.cuda),
        datacenter_branches=base.datacenter_branches,
    )


def test_the_label_stays_below_2_kb_and_keeps_torch_where_packages_are_many() -> None:
    names = tuple(f"sm_{number}" for number in range(50, 121, 5))
    many = [Kernels(distribution=f"a{i}", architectures=names) for i in range(100)]
    torch = Kernels(distribution="torch", architectures=names)
    lock = replace(LOCK, native=Native(kernels=(*many, torch)))

    text = make_label(lock)

    label = read_label({NEEDS_LABEL: text})
    assert len(text.encode()) < 2048
    assert label is not None
    assert label.kernels[0][0] == "torch"
    assert len(label.kernels) > 5


def test_a_lock_without_torch_has_a_label_too() -> None:
    label = read_label({NEEDS_LABEL: make_label(sample_base_lock())})

    assert label is not None
    assert (label.cuda, label.packages, label.kernels) == ("12.8", 7, ())


def test_layers_above_the_same_layers_are_missing_and_no_others() -> None:
    image = remote(diff_ids=("a", "b", "c", "d"))
    below = replace(BASE, diff_ids=("a", "b"))
    beside = replace(BASE, diff_ids=("x", "c", "d"))

    assert [one.digest for one in missing_layers(image, [below, beside])] == [
        "packed-c",
        "packed-d",
    ]
    assert len(missing_layers(image, [])) == 4


def test_a_local_base_leaves_its_layers_out_of_what_is_missing() -> None:
    base = f"{REGISTRY}/nvidia/pytorch:25.10-py3"
    engine = EngineWithBase()
    engine.images[f"{REGISTRY}/nvidia/pytorch@sha256:{'1' * 64}"] = BASE
    labels = {BASE_NAME_LABEL: base, BASE_DIGEST_LABEL: f"sha256:{'1' * 64}"}
    registry = FakeRegistry(images={NAME: remote(labels=labels)})

    needs = told(ImageRef.parse(NAME), services(engine, registry=registry))

    assert [one.digest for one in needs.missing] == ["packed-sha256:1", "packed-sha256:2"]
    assert not needs.local


def test_a_sister_of_the_same_repository_leaves_its_layers_out_too() -> None:
    engine = EngineWithBase()
    sister = replace(BASE, diff_ids=("sha256:0", "sha256:1"), labels={SNAPSHOT_LABEL: "other"})
    engine.images[f"{REPOSITORY}:train-py3.11-base-cpu"] = sister
    registry = FakeRegistry(images={NAME: remote()})

    needs = told(ImageRef.parse(NAME), services(engine, registry=registry))

    assert [one.digest for one in needs.missing] == ["packed-sha256:2"]


def test_an_image_of_the_registry_is_known_without_an_engine() -> None:
    registry = FakeRegistry(images={NAME: remote(labels={NEEDS_LABEL: make_label(LOCK)})})

    needs = told(ImageRef.parse(NAME), services(NoEngine(), registry=registry))

    assert (needs.torch, needs.architecture, len(needs.missing)) == ("2.11.0+cu130", "amd64", 3)


def test_an_image_for_another_machine_is_told_as_one() -> None:
    registry = FakeRegistry(images={NAME: remote(machine="arm64")})

    assert told(ImageRef.parse(NAME), services(registry=registry)).architecture == "arm64"


def test_an_image_that_is_nowhere_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="there is no"):
        told(ImageRef.parse(NAME), services())
    with pytest.raises(NotFoundError) as caught:
        told(ImageRef.parse("snapenv:x"), services())

    assert str(caught.value) == wording(
        "there is no snapshot folder, no archive and no local image snapenv:x"
    )


def test_nvidias_own_image_tells_by_its_variables() -> None:
    name = f"{REGISTRY}/nvidia/pytorch:25.10-py3"
    registry = FakeRegistry(images={name: remote(labels={}, variables=NVIDIA_ENV, name=name)})
    engine = EngineWithBase()

    needs = told(ImageRef.parse(name), services(engine, registry=registry))

    assert needs == replace(
        needs,
        torch="2.9.0a0+145a3a7",
        cuda="13.0.2.006",
        kernels=(
            Kernels(
                distribution="torch",
                architectures=("sm_75", "sm_80", "sm_90", "sm_120", "compute_120"),
            ),
        ),
        image_cuda="13.0.2.006",
        image_driver="580.95.05",
        requires={"NVIDIA_REQUIRE_CUDA": "cuda>=9.0"},
        compat=True,
        gpu=True,
        gpu_required=False,
    )


def test_what_an_image_does_not_say_the_catalogue_does() -> None:
    name = f"{REGISTRY}/nvidia/pytorch:25.10-py3"
    image = remote(labels={}, name=name)

    needs = of_labels(image, image.ref, CATALOGUE)

    assert needs.cuda == needs.image_cuda == "13.0"


UBUNTU = "org.opencontainers.image.ref.name"
VERSION = "org.opencontainers.image.version"


@pytest.mark.parametrize(
    ("labels", "name", "glibc"),
    [
        ({UBUNTU: "ubuntu", VERSION: "22.04"}, "example.com/team/env:1", "2.35"),
        ({UBUNTU: "ubuntu", VERSION: "20.04"}, f"{REGISTRY}/nvidia/pytorch:25.10-py3", "2.31"),
        ({VERSION: "22.04"}, f"{REGISTRY}/nvidia/pytorch:25.10-py3", "2.39"),
        ({VERSION: "22.04"}, "example.com/team/env:1", None),
        ({UBUNTU: "ubuntu", VERSION: "77.04"}, "example.com/team/env:1", None),
        ({}, "debian:12-slim", "2.36"),
        ({}, f"{REGISTRY}/library/ubuntu:24.04", "2.39"),
        ({}, f"{REGISTRY}/nvidia/cuda:12.4.1-runtime-ubuntu22.04", "2.35"),
        ({}, "debian:77-slim", None),
    ],
)
def test_the_c_library_of_an_image_is_that_of_its_distribution(
    labels: dict[str, str], name: str, glibc: str | None
) -> None:
    image = remote(labels=labels, name=name)

    assert of_labels(image, image.ref, CATALOGUE).image_glibc == glibc


def test_any_other_image_needs_nothing_that_is_known() -> None:
    image = remote(labels={}, name="example.com/team/plain:1")

    needs = for_device(of_labels(image, image.ref, CATALOGUE), "auto")

    assert (needs.cuda, needs.kernels, needs.gpu) == (None, (), False)


def test_an_image_of_cuda_alone_needs_a_driver_for_it() -> None:
    image = remote(labels={}, variables={"CUDA_VERSION": "12.8.1"}, name="example.com/cuda:1")

    needs = for_device(of_labels(image, image.ref, CATALOGUE), "auto")

    assert (needs.torch, needs.cuda, needs.gpu) == (None, "12.8.1", True)


def test_an_environment_without_torch_wants_no_gpu(tmp_path: Path) -> None:
    lock = sample_lock(facts=sample_facts(environment=sample_environment(torch=None)))
    write_snapshot(sample_snapshot(lock), tmp_path / "s")

    assert not told(tmp_path / "s", services()).gpu


def test_a_snapshot_whose_image_is_here_needs_nothing_fetched(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(LOCK), tmp_path / "s")
    engine = EngineWithBase(inside=target(sample_facts(native=sample_native())))
    build(tmp_path / "s", Build(repository=REPOSITORY, mirror=REGISTRY), services(engine))

    needs = told(tmp_path / "s", services(engine))

    assert (needs.local, needs.builds, needs.missing) == (True, False, ())
    assert needs.kernels == sample_native().kernels


def test_a_snapshot_that_is_to_be_built_needs_the_layers_of_its_base(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(LOCK), tmp_path / "s")
    name = f"{REGISTRY}/nvidia/pytorch:25.10-py3"
    base = remote(labels={}, variables=NVIDIA_ENV, name=name)

    needs = told(
        tmp_path / "s", services(registry=FakeRegistry(images={name: base})), mirror=REGISTRY
    )

    assert (needs.local, needs.builds, len(needs.missing)) == (False, True, 3)
    assert (needs.image_cuda, needs.compat) == ("13.0.2.006", False)


def test_an_archive_needs_as_much_as_it_is_large_and_no_build(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(5_000))

    needs = needs_of_archive(
        sample_snapshot(LOCK), tmp_path / "a", services(), options=RunOptions()
    )

    assert [layer.size_bytes for layer in needs.missing] == [5_000]
    assert (needs.builds, needs.local, needs.cuda) == (False, False, "13.0")


def test_the_base_world_keeps_the_compat_layer_of_its_base(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(sample_base_lock()), tmp_path / "s")
    name = f"{REGISTRY}/nvidia/pytorch:25.01-py3"
    base = remote(labels={}, variables=NVIDIA_ENV, name=name)

    needs = told(
        tmp_path / "s", services(registry=FakeRegistry(images={name: base})), mirror=REGISTRY
    )

    assert needs.compat


@pytest.mark.parametrize("gone", [True, False])
def test_a_base_of_which_its_registry_tells_nothing_is_told(tmp_path: Path, *, gone: bool) -> None:
    write_snapshot(sample_snapshot(LOCK), tmp_path / "s")

    class Silent(FakeRegistry):
        def read(self, ref: ImageRef, *, machine: str | None = None) -> RemoteImage:
            del ref, machine
            raise (NotFoundError if gone else RegistryError)("not now", hint="Later.")

    needs = told(tmp_path / "s", services(registry=Silent()))

    assert (needs.builds, needs.missing, needs.image_cuda) == (True, (), "13.0")
    assert needs.base_unread == Unread(
        image=LOCK.base.image, error="not now", hint="Later.", gone=gone
    )


@pytest.mark.parametrize(
    ("device", "cuda", "gpu", "required"),
    [
        ("auto", "13.0", True, False),
        ("auto", None, False, False),
        ("cpu", "13.0", False, False),
        ("all", None, True, True),
        ("0,1", "13.0", True, True),
        ("MIG-0d5e", "13.0", True, True),
    ],
)
def test_a_gpu_is_needed_where_it_is_asked_for_and_wanted_where_torch_can_use_it(
    device: str, cuda: str | None, *, gpu: bool, required: bool
) -> None:
    known = replace(of_lock(LOCK, "x"), cuda=cuda)

    needs = for_device(known, device)

    assert (needs.gpu, needs.gpu_required) == (gpu, required)


def test_the_build_writes_the_label(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(LOCK), tmp_path / "s")
    engine = EngineWithBase(inside=target(sample_facts(native=sample_native())))

    build(tmp_path / "s", Build(repository=REPOSITORY, mirror=REGISTRY), services(engine))

    label = read_label(engine.images[NAME].labels)
    assert label is not None
    assert (label.python, label.driver, label.gpus) == ("3.11.7", DRIVER, ("NVIDIA H200",))
    assert isinstance(label.driver, Driver)


def test_plumbing_without_gpus_is_the_default() -> None:
    assert inspect_host(services(here=target(sample_facts(), plumbing=GpuPlumbing()))).plumbing == (
        GpuPlumbing()
    )


MIG = "MIG-4b2cd5a1-6c8b-5b6c-9d64-3b1f2f6b2a10"


@pytest.mark.parametrize(
    ("device", "devices"),
    [("auto", ()), ("cpu", ()), ("all", ()), ("0,1", ("0", "1")), (MIG, (MIG,))],
)
def test_the_gpus_that_are_named_are_told(device: str, devices: tuple[str, ...]) -> None:
    assert for_device(of_lock(LOCK, "x"), device).devices == devices


@pytest.mark.parametrize(
    ("device", "seen"),
    [
        ("all", wording("none for Tesla P100 (6.0)")),
        ("0,1", wording("none for Tesla P100 (6.0)")),
        ("1", wording("none for Tesla P100 (6.0)")),
        ("GPU-8de47821", wording("none for Tesla P100 (6.0)")),
        ("0", "machine code"),
    ],
)
def test_only_the_gpus_that_are_named_by_number_are_judged(
    tmp_path: Path, device: str, seen: str
) -> None:
    (gpu,) = sample_hardware().gpus
    old = replace(gpu, name="Tesla P100", compute_capability=(6, 0))
    hardware = replace(sample_hardware(), gpus=(gpu, old))
    there = services(here=target(sample_facts(hardware=hardware)))
    write_snapshot(sample_snapshot(LOCK), tmp_path / "s")

    needs = told(tmp_path / "s", there, device=device)
    checks = {check.id: check for check in judge_host(inspect_host(there), needs)}

    assert checks["gpu.kernels"].actual.partition(",")[0] == seen


def test_a_gpu_keeps_its_number_where_only_some_are_named(tmp_path: Path) -> None:
    (gpu,) = sample_hardware().gpus
    old = replace(gpu, name="Tesla P100", compute_capability=(6, 0))
    hardware = replace(sample_hardware(), gpus=(old, old, gpu))
    there = services(here=target(sample_facts(hardware=hardware)))
    write_snapshot(sample_snapshot(LOCK), tmp_path / "s")

    needs = told(tmp_path / "s", there, device="1,2")
    checks = {check.id: check for check in judge_host(inspect_host(there), needs)}

    assert checks["gpu.kernels"].fix == "Use --device 2."
