"""What may not work on any base: the captured torch against the captured driver and GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.nvidia.catalogue import dotted, major_minor
from snapenv.nvidia.driver import own_cuda, serve
from snapenv.nvidia.kernels import cover_by_torch, is_jetson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.facts import Facts
    from snapenv.model.python import Torch
    from snapenv.model.snapshot import SitePackages
    from snapenv.nvidia.catalogue import Catalogue


def warnings_of_environment(
    facts: Facts, catalogue: Catalogue, *, site_packages: SitePackages
) -> tuple[str, ...]:
    """Say what the captured torch, driver and GPUs hold against one another.

    A torch of the base image's own has that image's CUDA and release, so they are not asked here.
    """
    torch = facts.environment.torch
    if torch is None:
        return ()
    found = list(_of_kernels(torch, facts, catalogue))
    if site_packages == "isolated":
        found += [*_of_driver(torch, facts, catalogue), *_of_release(torch, catalogue)]
        found += _of_jetson(facts)
    return tuple(found)


def _of_kernels(torch: Torch, facts: Facts, catalogue: Catalogue) -> Iterator[str]:
    """Warn of each kind of GPU that torch cannot run on, or only by PTX that is too new."""
    kinds = {gpu.compute_capability: gpu.label for gpu in facts.hardware.gpus}
    for capability, gpu in sorted((pair, label) for pair, label in kinds.items() if pair):
        covered = cover_by_torch(facts, capability, catalogue)
        if covered == "none":
            yield f"torch {torch.version} has no kernels for {gpu}"
        if covered == "ptx" and not _translates(torch, facts, catalogue):
            yield f"torch {torch.version} has only PTX for {gpu}, newer than what the driver reads"


def _translates(torch: Torch, facts: Facts, catalogue: Catalogue) -> bool:
    """Say whether the driver is as new as the CUDA that torch's PTX is of."""
    driver, cuda = facts.hardware.driver, major_minor(torch.cuda or "")
    own = own_cuda(driver, catalogue) if driver else None
    return cuda is None or own is None or own >= cuda


def _of_driver(torch: Torch, facts: Facts, catalogue: Catalogue) -> Iterator[str]:
    driver, cuda = facts.hardware.driver, major_minor(torch.cuda or "")
    if driver is None or cuda is None:
        return
    served = serve(facts.hardware, cuda, catalogue)
    if served == "no":
        yield f"driver {driver.version} does not serve CUDA {dotted(cuda)} of torch"
    if served in {None, "perhaps"}:
        yield f"it is not known whether driver {driver.version} serves CUDA {dotted(cuda)} of torch"
    if served == "forward":
        yield (
            f"driver {driver.version} serves CUDA {dotted(cuda)} of torch "
            f"by forward compatibility alone (cuda-compat)"
        )


def _of_release(torch: Torch, catalogue: Catalogue) -> Iterator[str]:
    known = {major_minor(one.version) for one in catalogue.torch}
    if known and major_minor(torch.version) not in known:
        yield f"torch {torch.version} is not in the catalogue of {catalogue.date}"


def _of_jetson(facts: Facts) -> Iterator[str]:
    if is_jetson(facts.hardware):
        yield "NVIDIA's images for a Jetson's GPU are tagged -igpu: name one with --base"
