"""Times the steps of ultralytics' trainer, and the phases of each.

A step is from the end of the one before to its own end. Its batch is waited for, preprocessed, and
goes forward (with the loss), backward and into the optimizer. On a GPU each mark waits for what was
started before it.
Source of the callbacks: https://docs.ultralytics.com/usage/callbacks/
"""

from __future__ import annotations

import time
from typing import Any, Callable

from snapenv_bench import cpu

PHASES = ("wait", "preprocess", "forward", "backward", "optimizer")


class Steps:
    """Hears the trainer; ``warmup`` steps come before those that count."""

    def __init__(
        self, *, warmup: int, workers: int, device: str, say: Callable[[str], None]
    ) -> None:
        self.losses: list[float] = []
        self.step_ms: list[float] = []
        self.phases_ms = dict.fromkeys(PHASES, 0.0)
        self.cpu: dict[str, object] = {}
        self.memory_peak = 0
        self.validation_ms: float | None = None  # of all images
        self.first: float | None = None  # when the first step began
        self.trainer: Any = None
        self.on_count: list[Callable[[], None]] = []  # called when the steps that count begin
        self.on_step: list[Callable[[float], None]] = []  # called with the time of each of these
        self._warmup, self._workers, self._say = warmup, workers, say
        self._wait_for_gpu = _wait_for_gpu if device != "cpu" else lambda: None
        self._last = self._mark = 0.0
        self._began: cpu.Moment | None = None
        self._val_began = 0.0

    def listen(self, model: Any) -> None:  # noqa: ANN401
        """Add the callbacks to a model."""
        for name, heard in (
            ("on_pretrain_routine_start", self._prepare),
            ("on_train_start", self._start),
            ("on_train_batch_start", self._begin),
            ("on_train_batch_end", self._end),
            ("on_val_start", self._start_validation),
            ("on_val_end", self._end_validation),
        ):
            model.add_callback(name, heard)

    def _prepare(self, trainer: Any) -> None:  # noqa: ANN401
        """Ask for the workers again: on a CPU ultralytics takes them away."""
        trainer.args.workers = self._workers

    def _start(self, trainer: Any) -> None:  # noqa: ANN401
        """Listen to the model and to what the trainer calls for each batch."""
        self.trainer = trainer
        trainer.model.register_forward_pre_hook(lambda *_: self._reach("preprocess", add=False))
        trainer.model.register_forward_hook(lambda *_: self._reach("forward"))
        preprocess, step = trainer.preprocess_batch, trainer.optimizer_step

        def timed_preprocess(batch: Any) -> Any:  # noqa: ANN401
            self._reach("preprocess", add=False)
            prepared = preprocess(batch)
            self._reach("preprocess")
            return prepared

        def timed_step() -> None:
            self._reach("backward")
            step()
            self._reach("optimizer")

        trainer.preprocess_batch, trainer.optimizer_step = timed_preprocess, timed_step
        self._last = self._now()
        self._count_from(0)

    def _begin(self, _trainer: Any) -> None:  # noqa: ANN401
        """Note that the batch of the next step is there."""
        now = self._now()
        if self.first is None:
            self.first = time.time()
        self._add("wait", now - self._last)
        self._mark = now

    def _end(self, trainer: Any) -> None:  # noqa: ANN401
        """Note that a step has ended."""
        self.losses.append(float(trainer.loss.detach()))
        now = self._now()
        self._say(f"step {len(self.losses)}")
        if self._began is not None:
            self.step_ms.append(now - self._last)
            self.memory_peak = max(self.memory_peak, cpu.memory_bytes())
            for hear in self.on_step:
                hear(self.step_ms[-1])
        self._last = self._now()
        self._count_from(len(self.losses))

    def _count_from(self, step: int) -> None:
        """Begin to count once the steps before are done."""
        if step == self._warmup:
            self._began = cpu.read_moment()
            for begin in self.on_count:
                begin()
            self._last = self._now()

    def finish(self) -> None:
        """Sum up the CPU's time; called when the last step has ended."""
        if self._began is not None and not self.cpu:
            self.cpu = cpu.describe(self._began, cpu.read_moment())

    def _reach(self, phase: str, *, add: bool = True) -> None:
        """Note that a phase has ended, or only that the time until now is none of its."""
        now = self._now()
        if add:
            self._add(phase, now - self._mark)
        self._mark = now

    def _add(self, phase: str, ms: float) -> None:
        if self._began is not None:
            self.phases_ms[phase] += ms

    def _now(self) -> float:
        self._wait_for_gpu()
        return time.perf_counter() * 1000

    def _start_validation(self, _validator: Any) -> None:  # noqa: ANN401
        self.finish()
        self._val_began = self._now()

    def _end_validation(self, _validator: Any) -> None:  # noqa: ANN401
        if self.validation_ms is None:
            self.validation_ms = self._now() - self._val_began


def _wait_for_gpu() -> None:
    import torch

    torch.cuda.synchronize()
