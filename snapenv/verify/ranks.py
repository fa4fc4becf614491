"""Judge what several devices came to together. Pure: values in, checks out.

Sums and parameters are right or wrong by themselves. Losses and bandwidth are compared with a
capture of as many ranks: with another number of them both are other ones.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from snapenv.model.outcome import Check
from snapenv.sizes import counted
from snapenv.toml import one_line
from snapenv.verify.fingerprint import tier_limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from snapenv.model.fingerprint import Fingerprint, RankPair, Ranks, RanksSpeed, Tier
    from snapenv.verify.train_ranks import Measured, MissingRanks, RanksAnswer

SLOW = 0.9
"""The share of the capture's bandwidth below which it is called slow.

Source: NVIDIA AICR passes all-reduce from 90 % of what is expected:
https://github.com/NVIDIA/aicr/tree/main/recipes/validators
"""

APART = 0.95
"""The share of the fastest pair's bandwidth below which another of its kind is called slow.

Source: SuperBench calls more than 5 % below a defect:
https://microsoft.github.io/superbenchmark/docs/user-tutorial/data-diagnosis
"""

_CPU = "cpu"
_DIGITS = 12  # of a checksum, that people compare
_LOOK = "Look for Xid errors with dmesg, and at nvidia-smi topo -m."
_ALONE = "Run it again with each device alone, such as --device {}, to find the one that is wrong."


def check_ranks(
    wanted: int, answer: RanksAnswer, baseline: Fingerprint | None
) -> tuple[Check, ...]:
    """Return the checks of a training on several devices, of which ``asked`` were wanted.

    ``baseline`` is the capture's; what it tells of as many ranks is compared.
    """
    checks = [_count(wanted, answer.seen)]
    if answer.missing or answer.measured:
        checks.append(_present(answer))
    if answer.measured:
        checks += _measured(answer.measured, baseline)
    return tuple(checks)


def find_defect(wanted: int, answer: RanksAnswer) -> Check | None:
    """Return the first thing for which what ranks came to can be no baseline."""
    checks = check_ranks(wanted, answer, None)
    return next((check for check in checks if check.fails), None)


def compare_topology(
    expected: Mapping[str, tuple[str, ...]], actual: Mapping[str, tuple[str, ...]]
) -> Check | None:
    """Compare the ways between GPUs; None where either side knows of none."""
    if not (expected and actual):
        return None
    ok = _ways(expected) == _ways(actual)
    return Check(
        id="ranks.links",
        ok=ok,
        expected=_describe_ways(expected),
        actual=_describe_ways(actual),
        fix=None
        if ok
        else "Choose GPUs that are connected as at the capture: see nvidia-smi topo -m.",
        part="host",
        severity="warning",
    )


def _count(wanted: int, seen: int) -> Check:
    return Check(
        id="ranks.count",
        ok=seen == wanted,
        expected=counted(wanted, "device"),
        actual=counted(seen, "device"),
        fix=None
        if seen == wanted
        else "Check that nvidia-smi -L lists them, and that the container was given them.",
        part="host",
    )


def _present(answer: RanksAnswer) -> Check:
    """Name the rank that did not come along."""
    missing = answer.missing
    return Check(
        id="ranks.present",
        ok=missing is None,
        expected=f"{counted(answer.seen, 'rank')} to the end",
        actual=_describe_missing(missing) if missing else counted(answer.seen, "rank"),
        fix=_fix_missing(missing.ranks, missing.why) if missing else None,
        part="host",
    )


def _describe_missing(missing: MissingRanks) -> str:
    doing = one_line(missing.doing)
    who = f"{_name(missing.ranks)} did not come past" if missing.ranks else "all ranks stand at"
    return f"{who} {doing}: {one_line(missing.why)}"


def _fix_missing(ranks: Sequence[int], why: str) -> str:
    if not ranks:
        return "Look at the links with nvidia-smi topo -m; NCCL says more with NCCL_DEBUG=INFO."
    if "SIGKILL" in why:
        return "See the kernel log for what killed it: dmesg. Often memory ran out."
    return f"{_ALONE.format(ranks[0])} {_LOOK}"


def _measured(measured: Measured, baseline: Fingerprint | None) -> Iterator[Check]:
    ranks, speed = measured.ranks, measured.speed
    yield _sum(ranks)
    yield _parameters(ranks)
    before = baseline.ranks if baseline else None
    if before is not None and len(before.devices) == len(ranks.devices):
        yield _losses(before, ranks)
    elif baseline is not None:
        yield _no_losses(before, ranks)
    was = baseline.speed.ranks if baseline and baseline.speed else None
    if before and was and _same_gpus(before, ranks):
        yield _bandwidth(was, speed)
        yield from _peers(was, speed)
    if _CPU not in ranks.devices:
        yield from _pairs(speed.pairs)


def _sum(ranks: Ranks) -> Check:
    ok = not ranks.inexact
    return Check(
        id="ranks.sum",
        ok=ok,
        expected="the exact sum of whole numbers on every rank",
        actual="exact on every rank" if ok else f"wrong on {_name(ranks.inexact)}",
        fix=None if ok else f"{_ALONE.format(ranks.inexact[0])} {_LOOK}",
        part="host",
    )


def _parameters(ranks: Ranks) -> Check:
    ok = ranks.parted_at is None and len(set(ranks.checksums)) == 1
    return Check(
        id="ranks.parameters",
        ok=ok,
        expected="the same parameters on every rank",
        actual=f"all {ranks.checksums[0][:_DIGITS]}" if ok else _describe_parted(ranks),
        fix=None if ok else f"{_ALONE.format(_odd_ranks(ranks.checksums)[0])} {_LOOK}",
        part="host",
    )


def _describe_parted(ranks: Ranks) -> str:
    odd = _odd_ranks(ranks.checksums)
    others = [name for rank, name in enumerate(ranks.checksums) if rank not in odd]
    against = f", the others {others[0][:_DIGITS]}" if others else ""
    step = f" from step {ranks.parted_at} on" if ranks.parted_at else ""
    return f"{_name(odd)} has others{step}: {ranks.checksums[odd[0]][:_DIGITS]}{against}"


def _odd_ranks(checksums: Sequence[str]) -> list[int]:
    """Return those unlike most; where there is no most, those unlike rank 0."""
    common = max(checksums, key=lambda each: (checksums.count(each), each == checksums[0]))
    return [rank for rank, each in enumerate(checksums) if each != common] or [0]


def _losses(expected: Ranks, actual: Ranks) -> Check:
    tier, largest, step = _compare_losses(expected, actual)
    ok = tier != "different"
    limits = tier_limits(tier)
    if tier == "identical":
        words = "every loss bit for bit", f"{tier}: all {len(actual.losses)} losses are the same"
    else:
        wanted = f"within {limits[0]:.0e} at step 1 and {limits[1]:.0e} after it" if limits else ""
        actual_text = f"{tier}: the losses differ from step {step}, by at most {largest:.1e}"
        words = wanted or "the losses of the capture", actual_text
    return Check(
        id="ranks.losses",
        ok=ok,
        expected=f"{words[0]}, of {counted(len(expected.devices), 'rank')}",
        actual=words[1],
        fix=None
        if ok
        else "See whether the smoke-train on one device differs too; if not, "
        "compare NCCL's version and its variables with the capture's.",
        part="workload",
    )


def _compare_losses(expected: Ranks, actual: Ranks) -> tuple[Tier, float, int | None]:
    """Return the tier, the largest relative difference, and the first step that differs."""
    steps = list(zip(expected.losses, actual.losses, strict=False))
    first = next((step for step, pair in enumerate(steps, 1) if pair[0] != pair[1]), None)
    if len(expected.losses) != len(actual.losses):
        return "different", math.inf, len(steps) + 1
    if first is None:
        return "identical", 0.0, None
    apart = [_relative(float.fromhex(left), float.fromhex(right)) for left, right in steps]
    tier: Tier = (
        "close" if _CPU in actual.devices or expected.devices == actual.devices else "other device"
    )
    at_first, later = tier_limits(tier) or (0.0, 0.0)
    within = apart[0] <= at_first and all(each <= later for each in apart[1:])
    return (tier if within else "different"), max(apart), first


def _relative(left: float, right: float) -> float:
    if not (math.isfinite(left) and math.isfinite(right)):
        return math.inf
    return abs(left - right) / max(abs(left), abs(right)) if left != right else 0.0


def _no_losses(expected: Ranks | None, actual: Ranks) -> Check:
    world = len(actual.devices)
    devices = ",".join(map(str, range(world)))
    return Check(
        id="ranks.losses",
        ok=False,
        expected=f"a capture with {counted(world, 'rank')} to compare with",
        actual=f"it was captured with {counted(len(expected.devices), 'rank')}"
        if expected
        else "it was captured with one device",
        fix=f"Capture with --device {devices} where it is known to be right.",
        part="workload",
        severity="warning",
    )


def _same_gpus(expected: Ranks, actual: Ranks) -> bool:
    """Return whether speeds can be compared: on CPUs what else a machine does counts for more."""
    return expected.devices == actual.devices and _CPU not in actual.devices


def _bandwidth(expected: RanksSpeed, actual: RanksSpeed) -> Check:
    share = actual.bytes_per_s / expected.bytes_per_s if expected.bytes_per_s > 0 else 1.0
    ok = share >= SLOW
    return Check(
        id="ranks.bandwidth",
        ok=ok,
        expected=f"at least {SLOW:.0%} of {_rate(expected.bytes_per_s)}",
        actual=f"{_rate(actual.bytes_per_s)}, {share:.0%} of the capture's",
        fix=None
        if ok
        else "Look at the links with nvidia-smi nvlink -s and nvidia-smi topo -m, and for other "
        "programs with nvidia-smi.",
        part="host",
        severity="warning",
    )


def _peers(expected: RanksSpeed, actual: RanksSpeed) -> Iterator[Check]:
    """Name the pairs that reached each other's memory at the capture, and do not now."""
    before = {pair.ranks: pair.peer for pair in expected.pairs}
    lost = [pair.ranks for pair in actual.pairs if before.get(pair.ranks) and pair.peer is False]
    yield Check(
        id="ranks.peers",
        ok=not lost,
        expected=f"{_count_peers(expected)} of {counted(len(expected.pairs), 'pair')} "
        "with peer access",
        actual=f"{_count_peers(actual)} of {counted(len(actual.pairs), 'pair')}"
        + (f", none between {_name_pairs(lost)}" if lost else ""),
        fix="Turn off the IOMMU or ACS of the PCIe bridges, and see nvidia-smi topo -p2p r."
        if lost
        else None,
        part="host",
        severity="warning",
    )


def _pairs(pairs: Sequence[RankPair]) -> Iterator[Check]:
    """Compare pairs with others of their kind, which is with or without peer access."""
    slow = [
        pair
        for pair in pairs
        if pair.bytes_per_s
        < APART * max(other.bytes_per_s for other in pairs if other.peer == pair.peer)
    ]
    if len(pairs) < 2:  # noqa: PLR2004 - nothing to compare with
        return
    rates = [pair.bytes_per_s for pair in pairs]
    yield Check(
        id="ranks.pairs",
        ok=not slow,
        expected=f"each pair within {1 - APART:.0%} of the fastest of its kind",
        actual=f"{_rate(min(rates))} to {_rate(max(rates))}"
        + (f", slow: {_name_pairs([pair.ranks for pair in slow])}" if slow else ""),
        fix=f"Look at the links of these: nvidia-smi nvlink -s. {_LOOK}" if slow else None,
        part="host",
        severity="warning",
    )


def _count_peers(speed: RanksSpeed) -> int:
    return sum(pair.peer is True for pair in speed.pairs)


def _rate(bytes_per_s: float) -> str:
    return f"{bytes_per_s / 1e9:.1f} GB/s"


def _name(ranks: Sequence[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"


def _name_pairs(pairs: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{first}-{second}" for first, second in pairs)


def _ways(topology: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Count the pairs of each way, as the driver may number GPUs otherwise."""
    return {way: len(pairs) for way, pairs in topology.items() if pairs}


def _describe_ways(topology: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{counted(count, 'pair')} by {way}" for way, count in _ways(topology).items())
