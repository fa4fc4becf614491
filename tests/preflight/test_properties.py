from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.model.facts import Kernels
from snapenv.model.hardware import Driver, DriverFault, Gpu, Hardware, System
from snapenv.model.host import CdiSpec, GpuPlumbing, Host, HostEngine, Needs
from snapenv.model.image import Layer
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.checks import preflight
from snapenv.preflight.machine import describe_machine
from tests.preflight.hosts import CUDA_OF, ROWS

if TYPE_CHECKING:
    from collections.abc import Callable

KNOWN = load_catalogue()

VERSIONS = st.sampled_from(sorted(CUDA_OF)) | st.text(max_size=8)
CAPABILITIES = st.tuples(st.integers(0, 14), st.integers(0, 9))
CODES = st.from_regex(r"\A(sm|compute)_[0-9]{2,3}[af]?\Z") | st.text(max_size=6)
GPUS = st.builds(
    Gpu,
    name=st.sampled_from(sorted({gpu.name for row in ROWS for gpu in row.host.hardware.gpus})),
    compute_capability=CAPABILITIES,
    mig_devices=st.lists(st.sampled_from(["1g.10gb", "2g.20gb"]), max_size=3).map(tuple),
)
DRIVERS = st.builds(Driver, version=VERSIONS, cuda=CAPABILITIES, kernel_module=st.none() | VERSIONS)
FAULTS = st.builds(DriverFault, kernel_module=st.none() | VERSIONS, library=st.none() | VERSIONS)
HARDWARE = st.builds(
    Hardware,
    system=st.builds(
        System,
        machine=st.sampled_from(["x86_64", "aarch64", "riscv64"]),
        glibc=st.none() | VERSIONS,
    ),
    driver=st.none() | DRIVERS,
    driver_fault=st.none() | FAULTS,
    gpus=st.lists(GPUS, max_size=3).map(tuple),
)
DEVICES = st.sampled_from(["nvidia.com/gpu=all", "nvidia.com/gpu=0", "amd.com/gpu=0", ""])
SPECS = st.builds(
    CdiSpec, devices=st.lists(DEVICES, max_size=2).map(tuple), driver=st.none() | VERSIONS
)
PLUMBING = st.builds(GpuPlumbing, cdi=st.lists(SPECS, max_size=2).map(tuple))
ENGINES = st.builds(
    HostEngine,
    version=st.sampled_from(["20.10.24", "25.0.5", "28.5.2"]) | st.text(max_size=6),
    api=st.tuples(st.just(1), st.integers(0, 70)),
    root=st.sampled_from(["/var/lib/docker", "/var/snap/docker/common"]),
    runtimes=st.sampled_from([("runc",), ("nvidia", "runc")]),
    cdi_devices=st.lists(DEVICES, max_size=2).map(tuple),
    cgroup_driver=st.sampled_from(["systemd", "cgroupfs"]),
)
HOSTS = st.builds(Host, hardware=HARDWARE, plumbing=PLUMBING, engine=st.none() | ENGINES)
NEEDS = st.builds(
    Needs,
    architecture=st.none() | st.sampled_from(["amd64", "arm64"]),
    torch=st.none() | st.sampled_from(["2.11.0", "2.9.0+cpu", "2.7.1+cu126", "odd"]),
    cuda=st.none() | st.sampled_from(["11.8", "12.8", "13.0", "14.1", "odd"]),
    kernels=st.lists(
        st.builds(
            Kernels,
            distribution=st.sampled_from([None, "torch", "torchvision", "nvidia-cufft", "x"]),
            architectures=st.lists(CODES, max_size=4).map(tuple),
            common=st.lists(CODES, max_size=2).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    image_cuda=st.none() | st.sampled_from(["12.8.0.038", "13.0.2", "odd"]),
    requires=st.dictionaries(
        st.sampled_from(["NVIDIA_REQUIRE_CUDA", "NVIDIA_REQUIRE_DRIVER", "CUDA_VERSION"]),
        st.sampled_from(["cuda>=12.8", "cuda>=9.0 driver<1", "", " "]),
        max_size=2,
    ),
    image_driver=st.none() | VERSIONS,
    captured_driver=st.none() | DRIVERS,
    missing=st.lists(st.builds(Layer, size_bytes=st.integers(-1, 10**11)), max_size=3).map(tuple),
    shm_bytes=st.none() | st.integers(0, 2**40),
)
REAL = st.sampled_from([row.host for row in ROWS])
ENVIRONMENTS = st.sampled_from([row.needs for row in ROWS])


def failing(host: Host, needs: Needs) -> set[str]:
    return {check.id for check in preflight(host, needs, KNOWN) if check.fails}


@given(host=HOSTS | REAL, needs=NEEDS | ENVIRONMENTS)
def test_every_machine_and_environment_has_an_answer(host: Host, needs: Needs) -> None:
    checks = preflight(host, needs, KNOWN)

    ids = [check.id for check in checks]
    assert len(set(ids)) == len(ids)
    assert all((check.fix is None) == check.ok for check in checks)
    assert all(check.expected and isinstance(check.actual, str) for check in checks)


@given(host=HOSTS | REAL)
def test_every_machine_can_be_described(host: Host) -> None:
    report = describe_machine(host, KNOWN)

    assert report.lines
    assert len(report.machine.gpus) == len(host.hardware.gpus)


@given(host=HOSTS | REAL, needs=NEEDS | ENVIRONMENTS)
def test_nothing_is_said_of_gpus_where_none_is_wanted(host: Host, needs: Needs) -> None:
    checks = preflight(host, replace(needs, gpu=False), KNOWN)

    assert not [check.id for check in checks if check.id.startswith(("gpu", "driver"))]


@given(host=HOSTS | REAL, needs=NEEDS | ENVIRONMENTS)
def test_a_venv_asks_nothing_of_an_engine(host: Host, needs: Needs) -> None:
    made = replace(needs, venv=True)

    assert preflight(host, made, KNOWN) == preflight(replace(host, engine=None), made, KNOWN)


@given(host=HOSTS | REAL, needs=NEEDS | ENVIRONMENTS, engine=ENGINES)
def test_of_an_engine_elsewhere_this_machine_tells_nothing(
    host: Host, needs: Needs, engine: HostEngine
) -> None:
    far = replace(engine, local=False)
    there = replace(needs, venv=False)
    empty = replace(host, hardware=Hardware(system=host.hardware.system), plumbing=GpuPlumbing())

    actual = preflight(replace(host, engine=far), there, KNOWN)

    assert actual == preflight(replace(empty, engine=far), there, KNOWN)


def engine_of(host: Host, **changes: object) -> Host:
    return replace(host, engine=replace(host.engine, **changes)) if host.engine else host


def plumbing_of(host: Host, **changes: object) -> Host:
    return replace(host, plumbing=replace(host.plumbing, **changes))


def hardware_of(host: Host, **changes: object) -> Host:
    return replace(host, hardware=replace(host.hardware, **changes))


def new_driver(host: Host) -> Host:
    """Load the newest driver, in both halves, and make the CDI specifications again."""
    driver = Driver(version="620.10", cuda=(14, 1), kernel_module="620.10")
    specs = tuple(replace(one, driver="620.10") for one in host.plumbing.cdi)
    loaded = hardware_of(host, driver=driver, driver_fault=None)
    return plumbing_of(loaded, cdi=specs) if host.hardware.driver else host


def more_disk(host: Host) -> Host:
    return engine_of(host, free_bytes=10**13)


def helpers(host: Host) -> Host:
    return replace(host, missing_helpers=())


def current_engine(host: Host) -> Host:
    return engine_of(host, api=(1, 51), oldest_api=(1, 24), buildkit=True)


def char_links(host: Host) -> Host:
    return plumbing_of(host, char_links=True)


def uvm(host: Host) -> Host:
    devices = host.plumbing.devices
    return plumbing_of(host, devices=(*devices, "/dev/nvidia-uvm")) if devices else host


def undivided(host: Host) -> Host:
    whole = tuple(replace(gpu, mig=False, mig_devices=()) for gpu in host.hardware.gpus)
    return hardware_of(host, gpus=whole)


def fresh_specs(host: Host) -> Host:
    driver = host.hardware.driver
    specs = tuple(
        replace(one, driver=driver.version if driver else None) for one in host.plumbing.cdi
    )
    return plumbing_of(host, cdi=specs)


def cdi_everywhere(host: Host) -> Host:
    """Let the engine take CDI devices, with a specification that fits and that it has found."""
    driver = host.hardware.driver
    fitting = CdiSpec(
        path="/etc/cdi/nvidia.yaml",
        devices=("nvidia.com/gpu=all", *(f"nvidia.com/gpu={number}" for number in range(8))),
        driver=driver.version if driver else None,
    )
    switched = engine_of(host, cdi=True, cdi_devices=fitting.devices)
    return uvm(plumbing_of(switched, cdi=(fitting,)))


MENDS = (
    new_driver,
    more_disk,
    helpers,
    current_engine,
    char_links,
    uvm,
    undivided,
    fresh_specs,
    cdi_everywhere,
)


@pytest.mark.parametrize("mend", MENDS)
@given(host=HOSTS | REAL, needs=NEEDS | ENVIRONMENTS)
def test_what_is_mended_breaks_nothing_else(
    mend: Callable[[Host], Host], host: Host, needs: Needs
) -> None:
    assert failing(mend(host), needs) <= failing(host, needs)


@pytest.mark.parametrize(
    ("mend", "mended"),
    [
        (new_driver, {"driver.cuda", "driver.requirement", "gpu.ptx"}),
        (more_disk, {"disk"}),
        (current_engine, {"engine.api", "engine.buildkit"}),
        (uvm, {"gpu.uvm"}),
        (undivided, {"gpu.mig"}),
        (cdi_everywhere, {"gpu.plumbing", "gpu.cdi", "gpu.cdi-feature", "engine.rootless"}),
    ],
)
def test_a_mend_mends_what_it_is_for(mend: Callable[[Host], Host], mended: set[str]) -> None:
    left = {name for row in ROWS for name in failing(mend(row.host), row.needs)}

    assert not left & mended
