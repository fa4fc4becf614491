"""Add up on all ranks, exactly and quickly, and send between each two.

Bandwidth is that of the bus, which does not depend on the number of ranks: bytes over time, times
2 (n - 1) / n. Source: https://github.com/NVIDIA/nccl-tests/blob/master/doc/PERFORMANCE.md
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from snapenv_ranks.group import Group

_NUMBERS = 65_536
_PRIME = 1_000_003
_SUM_BYTES = 64 << 20
_PAIR_BYTES = 16 << 20
_WARM, _MEASURED = 2, 5


def sum_is_exact(group: Group) -> bool:
    """Return whether a sum of whole numbers over all ranks is what this rank computes alone."""
    import torch
    import torch.distributed as dist

    count = torch.arange(_NUMBERS, dtype=torch.int64)
    parts = [count * (rank + 1) * _PRIME + rank for rank in range(group.world)]
    total = parts[group.rank].clone().to(group.device)  # the sum takes its place
    dist.all_reduce(total)
    return bool(torch.equal(total.cpu(), torch.stack(parts).sum(0)))


def measure_sum(group: Group) -> float:
    """Return the bytes per second of an all-reduce of 64 MiB, the median of five."""
    import torch
    import torch.distributed as dist

    numbers = torch.zeros(_SUM_BYTES // 4, dtype=torch.float32, device=group.device)
    seconds = _time(group, lambda: dist.all_reduce(numbers))
    return _SUM_BYTES / seconds * 2 * (group.world - 1) / group.world


def measure_pairs(group: Group) -> list[dict[str, object]]:
    """Send 16 MiB from the first to the second of each pair, while all others wait."""
    return [
        _measure_pair(group, first, second)
        for first in range(group.world)
        for second in range(first + 1, group.world)
    ]


def _measure_pair(group: Group, first: int, second: int) -> dict[str, object]:
    import torch
    import torch.distributed as dist

    numbers = torch.zeros(_PAIR_BYTES // 4, dtype=torch.float32, device=group.device)

    def send() -> None:
        if group.rank == first:
            dist.send(numbers, second)
        elif group.rank == second:
            dist.recv(numbers, first)

    group.meet(f"pair {first}-{second}")
    seconds = group.gather(_time(group, send))[second]
    return {
        "ranks": (first, second),
        "peer": _can_reach(group, first, second),
        "bytes_per_s": _PAIR_BYTES / seconds,
    }


def _can_reach(group: Group, first: int, second: int) -> bool | None:
    """Return whether both GPUs read each other's memory directly; None on the CPU."""
    import torch

    if group.device.type != "cuda":
        return None
    ways = ((first, second), (second, first))
    return all(torch.cuda.can_device_access_peer(*way) for way in ways)


def _time(group: Group, exchange: Callable[[], Any]) -> float:
    """Return the seconds that an exchange takes, the median of five after two."""
    seconds = []
    for _ in range(_WARM + _MEASURED):
        _finish(group)
        began = time.perf_counter()
        exchange()
        _finish(group)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[_WARM:])


def _finish(group: Group) -> None:
    import torch

    if group.device.type == "cuda":
        torch.cuda.synchronize(group.device)
