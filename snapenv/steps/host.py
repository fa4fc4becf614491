"""Look at this machine, and check it against what is needed of it."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from snapenv.errors import EngineError, EngineMissingError
from snapenv.model.host import Host
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.checks import preflight
from snapenv.probe.host import probe_host
from snapenv.program import has_rattler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snapenv.model.host import HostEngine, Needs
    from snapenv.model.outcome import Check
    from snapenv.ports import Services


@contextmanager
def inspecting_host(services: Services, *, engine: bool = True) -> Iterator[Callable[[], Host]]:
    """Inspect this machine beside whatever is done meanwhile; what it yields waits for it.

    The engine is asked before the block, as connecting to it takes as long as the machine's probe.
    Without ``engine``, none is asked. That none answers is no failure, but stands in the host.
    """
    with ThreadPoolExecutor(1) as pool:
        own, hashes = services.local(sys.executable), services.kept("hashes")
        machine = pool.submit(probe_host, own, hashes=hashes)
        helpers = services.missing_helpers() if engine else ()
        described, error = _describe(services) if engine else (None, None)

        def result() -> Host:
            seen = machine.result()
            return Host(
                hardware=seen.hardware,
                gpu_states=seen.gpu_states,
                plumbing=seen.plumbing,
                engine=described,
                engine_error=error.message if error else None,
                engine_hint=error.hint if error else None,
                missing_helpers=helpers,
                rattler=has_rattler(),
            )

        yield result


def inspect_host(services: Services, *, engine: bool = True) -> Host:
    """Inspect the machine's hardware, how its GPUs get into containers, and its engine at once."""
    with inspecting_host(services, engine=engine) as host:
        return host()


def judge_host(host: Host, needs: Needs) -> tuple[Check, ...]:
    """Check a machine against what is needed of it."""
    return preflight(host, needs, load_catalogue())


def _describe(
    services: Services,
) -> tuple[HostEngine | None, EngineMissingError | EngineError | None]:
    try:
        return services.engine.describe(), None
    except (EngineMissingError, EngineError) as error:
        return None, error
