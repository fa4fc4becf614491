"""What most often keeps an environment from coming back, in the words of the checks themselves.

Each is a machine, or an environment, with one thing wrong; the rules are asked as a restore asks
them, so that what a page says is what a colleague will see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.model.hardware import Driver, Gpu, Hardware, System
from snapenv.model.host import GpuPlumbing, Host, HostEngine
from snapenv.model.image import Layer
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.checks import preflight
from snapenv.report.onboarding import Trouble
from snapenv.verify.compare import compare_facts
from snapenv.verify.fingerprint import compare_fingerprints, fingerprint_check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.facts import Facts
    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.host import Needs
    from snapenv.model.outcome import Check
    from snapenv.model.snapshot import Lock

_GPU = Gpu(name="NVIDIA H200", memory_mib=143_771, compute_capability=(9, 0))
_OLD_GPU = Gpu(name="Tesla K80", memory_mib=11_441, compute_capability=(3, 7))
_OLD = Driver(version="450.80.02", cuda=(11, 0))
_DEVICES = ("/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl")
_PLENTY = 1 << 42
_USUAL_BYTES = 10 << 30  # of NVIDIA's PyTorch images, packed
_ENGINE = HostEngine(
    version="28.5.2", api=(1, 51), address="", local=True, free_bytes=_PLENTY, runtimes=("nvidia",)
)
_OTHER_LOSS = 1.1  # times


def usual_troubles(lock: Lock, needs: Needs) -> tuple[Trouble, ...]:
    """Return one trouble for each check that could say no, of machines first."""
    needs = replace(needs, gpu=needs.cuda is not None, gpu_required=needs.cuda is not None)
    checks = (*_of_machines(lock, needs), *_of_environments(lock.facts), *_of_losses(lock.baseline))
    failing = {
        check.id: check
        for check in checks
        if check.fails and check.fix and not (check.topic == "packages" and check.package is None)
    }
    return tuple(
        Trouble(id=check.id, actual=check.actual, fix=check.fix or "") for check in failing.values()
    )


def _of_machines(lock: Lock, needs: Needs) -> Iterator[Check]:
    system = System(os="linux", machine=lock.hardware.system.machine, cpu_count=8)
    driver = lock.hardware.driver or Driver(version="580.95.05", cuda=(13, 0))
    good = Host(
        hardware=Hardware(system=system, driver=driver, gpus=(_GPU,)),
        plumbing=GpuPlumbing(devices=_DEVICES, toolkit="1.18"),
        engine=_ENGINE,
    )
    without_gpu = Hardware(system=system)
    hosts = [
        replace(
            good,
            engine=None,
            engine_error="no Docker engine answers",
            engine_hint="Start Docker, or restore with --engine venv.",
        )
    ]
    if needs.gpu:
        hosts += [
            replace(good, hardware=without_gpu, plumbing=GpuPlumbing()),
            replace(good, hardware=replace(good.hardware, driver=_OLD)),
            replace(good, hardware=replace(good.hardware, gpus=(_OLD_GPU,))),
            replace(
                good,
                plumbing=GpuPlumbing(devices=_DEVICES),
                engine=replace(_ENGINE, runtimes=("runc",)),
            ),
        ]
    catalogue = load_catalogue()
    for host in hosts:
        yield from preflight(host, needs, catalogue)
    full = replace(good, engine=replace(_ENGINE, free_bytes=0))
    layers = needs.missing or (Layer(digest="", size_bytes=_USUAL_BYTES),)
    yield from preflight(full, replace(needs, missing=layers, local=False), catalogue)


def _of_environments(facts: Facts) -> Iterator[Check]:
    """Yield what a comparison says where the first package is another, and a variable is set."""
    packages = facts.environment.distributions
    if packages:
        other = (replace(packages[0], version=f"{packages[0].version}.post1"), *packages[1:])
        changed = replace(facts.environment, distributions=other)
        yield from compare_facts(facts, replace(facts, environment=changed))
    variables = {**facts.variables, "OMP_NUM_THREADS": "3"}
    yield from compare_facts(facts, replace(facts, variables=variables))


def _of_losses(baseline: Fingerprint | None) -> Iterator[Check]:
    if baseline is None:
        return
    losses = tuple((loss * _OTHER_LOSS).hex() for loss in baseline.values)
    match = compare_fingerprints(baseline, replace(baseline, losses=losses), same_packages=True)
    yield fingerprint_check(match)
