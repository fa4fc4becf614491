"""Smoke-train again and again in one process, with differences planted in memory.

Runs on the environment's Python, beside snapenv's own ``snapenv_train.pyz``, in an empty folder.
Each training is told on stderr as it ends, one line of JSON behind the mark. No package is edited:
the smoke-train's modules are changed in memory, for one training.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, "snapenv_train.pyz")

from snapenv_train import smoke, surroundings, training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARK = "snapenv-repeat: "
_LONGEST = 300  # characters of an error
_OFF, _ON = False, True


@contextlib.contextmanager
def _put(place: Any, name: str, value: object) -> Iterator[None]:  # noqa: ANN401
    kept = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, kept)


@contextlib.contextmanager
def _after_settling(change: Callable[[], None], undo: Callable[[], None]) -> Iterator[None]:
    """Change the arithmetic each time that the smoke-train has settled it."""
    settle = surroundings.settle_arithmetic

    def settled() -> None:
        settle()
        change()

    try:
        with (
            _put(surroundings, "settle_arithmetic", settled),
            _put(training, "settle_arithmetic", settled),
        ):
            yield
    finally:
        undo()


def _argument(name: str, value: object) -> Any:  # noqa: ANN401
    return _put(training, "_ARGUMENTS", {**training._ARGUMENTS, name: value})


def _tf32() -> Any:  # noqa: ANN401
    return _after_settling(
        lambda: surroundings.allow_tf32(allowed=True),
        lambda: surroundings.allow_tf32(allowed=False),
    )


def _cudnn_off() -> Any:  # noqa: ANN401
    import torch

    switch = functools.partial(setattr, torch.backends.cudnn, "enabled")
    return _after_settling(lambda: switch(_OFF), lambda: switch(_ON))


def _onednn_off() -> Any:  # noqa: ANN401
    import torch

    switch = torch.backends.mkldnn.set_flags
    return _after_settling(lambda: switch(_OFF), lambda: switch(_ON))


def _medium() -> Any:  # noqa: ANN401
    import torch

    switch = torch.set_float32_matmul_precision
    return _after_settling(lambda: switch("medium"), lambda: switch("highest"))


def _threads() -> Any:  # noqa: ANN401
    import torch

    switch = torch.set_num_threads
    return _after_settling(lambda: switch(2), lambda: switch(1))


def _reversed_order() -> Any:  # noqa: ANN401
    from torch.utils.data import RandomSampler

    drawn = RandomSampler.__iter__
    return _put(RandomSampler, "__iter__", lambda self: iter(list(drawn(self))[::-1]))


PLANTS: dict[str, Callable[[], Any]] = {
    "none": contextlib.nullcontext,
    "batch order": _reversed_order,
    "seed": lambda: _argument("seed", 1),
    "lr": lambda: _argument("lr0", 0.0011),
    "threads": _threads,
    "tf32": _tf32,
    "cudnn off": _cudnn_off,
    "amp": lambda: _argument("amp", _ON),
    "amp bf16": lambda: _argument("amp", "bf16"),
    "onednn off": _onednn_off,
    "matmul medium": _medium,
}


def main() -> None:
    """Train once for each word after the device, with the difference of that name."""
    device, *names = sys.argv[1:]
    smoke.claim_stdout()
    for number, name in enumerate(names):
        began = time.perf_counter()
        told: dict[str, object] = {"name": name}
        try:
            folder = Path.cwd() / str(number)
            folder.mkdir()
            with PLANTS[name]():
                told["fingerprint"] = smoke.smoke_train(device, folder)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - one fails, the next is trained
            told["error"] = f"{type(error).__name__}: {error}"[:_LONGEST]
        finally:
            # once is for ever: each call would add one more hook
            surroundings.refuse_network = lambda: None
        told["seconds"] = time.perf_counter() - began
        print(f"\n{MARK}{json.dumps(told)}", file=sys.stderr, flush=True)
        if "CUDA error" in str(told.get("error")):
            return  # nothing works in this process from now on


if __name__ == "__main__":
    main()
