"""The others, as one rank sees them: how to wait for them, and how to hear what they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import datetime as dt

    from snapenv_ranks.marks import Marks


class Group(NamedTuple):
    """The others, as one rank sees them."""

    rank: int
    world: int
    device: Any  # torch.device
    control: Any  # a group of gloo, on which waiting has a limit that names who is missing
    limit: dt.timedelta
    marks: Marks

    def meet(self, doing: str) -> None:
        """Pass a mark when all are there."""
        import torch.distributed as dist

        self.marks.pass_(f"{doing}: wait for all")
        dist.monitored_barrier(group=self.control, timeout=self.limit, wait_all_ranks=True)
        self.marks.pass_(doing)

    def gather(self, value: Any) -> list[Any]:  # noqa: ANN401
        """Return every rank's value, by rank."""
        import torch.distributed as dist

        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value, group=self.control)
        return values
