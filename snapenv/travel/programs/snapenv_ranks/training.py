"""Train the smoke-train's model on all ranks with DistributedDataParallel, ten steps.

ultralytics' own trainer does this on GPUs alone, so that the steps are made here: its model, its
loss, images of the smoke-train, plain SGD. Every rank has its own images, and all must hold the
same parameters after each step. What batch norm counts is each rank's own, and is left out.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from snapenv_train import failures
from snapenv_train.images import CLASSES, SIDE, draw_image
from snapenv_train.surroundings import settle_arithmetic
from snapenv_train.training import MODEL, STEPS, ultralytics_utils

if TYPE_CHECKING:
    from snapenv_ranks.group import Group

BATCH = 2  # images of one rank in a step
_LEARNING_RATE, _MOMENTUM = 0.001, 0.9


class Trained(NamedTuple):
    """What one rank knows after its steps; one value a step."""

    losses: tuple[float, ...]  # the sum over all ranks, in their order; the same on each
    checksums: tuple[str, ...]  # sha256 over this rank's own parameters
    step_ms: tuple[float, ...]


def load() -> None:
    """Import what takes long, before anybody waits for this rank."""
    importlib.import_module("ultralytics.nn.tasks")
    importlib.import_module("torch.nn.parallel")
    ultralytics_utils()


def train(group: Group) -> Trained:
    """Train for ten steps.

    Raises:
        NotFiniteError: The loss of this rank is no number.
    """
    import torch

    group.meet("train")
    torch.manual_seed(0)
    network = _make_network(group)
    ids = [group.device.index] if group.device.type == "cuda" else None
    model = torch.nn.parallel.DistributedDataParallel(
        network,
        device_ids=ids,
        broadcast_buffers=False,  # as ultralytics has it
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=_LEARNING_RATE, momentum=_MOMENTUM)
    settle_arithmetic()
    losses, checksums, step_ms = [], [], []
    for step in range(1, STEPS + 1):
        began = time.perf_counter()
        loss = _step(group, network, model, optimizer, step)
        checksums.append(checksum(network))
        losses.append(math.fsum(group.gather(loss)))
        step_ms.append((time.perf_counter() - began) * 1000)
    return Trained(tuple(losses), tuple(checksums), tuple(step_ms))


def checksum(network: Any) -> str:  # noqa: ANN401
    """Return the sha256 over the names and bytes of all parameters."""
    content = hashlib.sha256()
    for name, parameter in network.named_parameters():
        content.update(name.encode())
        content.update(parameter.detach().cpu().numpy().tobytes())
    return content.hexdigest()


def _step(group: Group, network: Any, model: Any, optimizer: Any, step: int) -> float:  # noqa: ANN401
    """Do one step, and return this rank's own loss."""
    group.marks.pass_(f"step {step}: images")
    batch = _batch(group, step)
    group.marks.pass_(f"step {step}: wait for all")  # to agree on the order of gradients
    began = network.register_forward_pre_hook(
        lambda *_given: group.marks.pass_(f"step {step}: forward")
    )
    loss, _ = model(batch)
    began.remove()
    own = float(loss.detach().sum())
    if not math.isfinite(own):
        raise failures.NotFiniteError(f"the loss of step {step} on rank {group.rank} is {own}")
    group.marks.pass_(f"step {step}: backward")
    optimizer.zero_grad()
    # The first parameter's gradient is computed last: who waits is so told from who hangs.
    first = next(parameter for parameter in network.parameters() if parameter.requires_grad)
    hook = first.register_hook(lambda _own: group.marks.pass_(f"step {step}: wait for all"))
    loss.sum().backward()
    hook.remove()
    group.marks.pass_(f"step {step}: optimizer")
    optimizer.step()
    return own


def _make_network(group: Group) -> Any:  # noqa: ANN401
    from ultralytics.nn.tasks import DetectionModel

    configuration = importlib.import_module(
        f"{ultralytics_utils().__name__.rpartition('.')[0]}.cfg"
    )
    network = DetectionModel(MODEL, ch=3, nc=len(CLASSES), verbose=False)
    network.args = configuration.get_cfg()
    for name, parameter in network.named_parameters():
        if ".dfl" in name:  # which ultralytics holds fixed, too
            parameter.requires_grad = False
    return network.to(group.device).train()


def _batch(group: Group, step: int) -> dict[str, Any]:
    """Return this rank's images of a step, as ultralytics' loss takes them."""
    import torch

    first = ((step - 1) * group.world + group.rank) * BATCH
    drawn = [draw_image(first + number) for number in range(BATCH)]
    pixels = [torch.frombuffer(bytearray(image), dtype=torch.uint8) for image, _ in drawn]
    images = torch.stack(pixels).reshape(BATCH, SIDE, SIDE, 3).permute(0, 3, 1, 2)
    rows = [
        (number, *map(float, line.split()))
        for number, (_, labels) in enumerate(drawn)
        for line in labels.decode().splitlines()
    ]
    labels = torch.tensor(rows, dtype=torch.float32)
    batch = {
        "img": images.contiguous().float() / 255,
        "batch_idx": labels[:, 0],
        "cls": labels[:, 1:2],
        "bboxes": labels[:, 2:],
    }
    return {name: value.to(group.device) for name, value in batch.items()}
