"""Choose the checkpoint to go on from: the newest that loads and has what a training needs."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import Any, Sequence

from snapenv_resume.answer import NothingToResumeError
from snapenv_resume.files import damage, list_checkpoints, replace

_TRUSTS_ITS_OWN = (8, 3)  # from here on ultralytics loads its checkpoints on every torch


class Checkpoint:
    """A checkpoint that was loaded; ``refused`` are those that came before it, with a reason."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        arguments = content["train_args"]
        self.path = path
        self.refused: tuple[tuple[Path, str], ...] = ()
        self.epoch: int = content["epoch"]  # the last that is done, counted from 0
        self.ultralytics = str(content.get("version"))
        self._content = content
        self._arguments = arguments if isinstance(arguments, dict) else dict(vars(arguments))
        self.epochs: int = self._arguments["epochs"]

    @property
    def finished(self) -> bool:
        """Whether ultralytics has stripped it at the training's end."""
        return self.epoch < 0 or self._content.get("optimizer") is None

    def place_in(self, save_dir: Path, moved: Sequence[Sequence[str]]) -> None:
        """Let the training go on in ``save_dir``, with its data where they are now.

        Versions differ in which arguments they obey beside a checkpoint; all obey its own.

        Raises:
            NothingToResumeError: The data are not there.
        """
        self._arguments.update(
            data=find_data(str(self._arguments["data"]), moved),
            save_dir=str(save_dir),
            project=str(save_dir.parent),
            name=save_dir.name,
            exist_ok=True,
        )
        self._content["train_args"] = self._arguments

    def save(self, path: Path) -> None:
        """Write it, whole."""
        import torch

        replace(path, lambda temporary: torch.save(self._content, temporary))


def choose(save_dir: Path) -> Checkpoint:
    """Load the newest checkpoint that is whole and that a training can go on from.

    Raises:
        NothingToResumeError: There is none, or the training is finished.
    """
    refused: list[tuple[Path, str]] = []
    for path in list_checkpoints(save_dir):
        reason = damage(path)
        if reason is None:
            try:
                checkpoint = Checkpoint(path, _load(path))
            except Exception as error:  # noqa: BLE001 - whatever unpickling somebody's classes raises
                reason = f"it does not load: {type(error).__name__}: {error}"
            else:
                _refuse_finished(checkpoint, save_dir)
                checkpoint.refused = tuple(refused)
                return checkpoint
        refused.append((path, reason))
    reasons = "; ".join(f"{path}: {reason}" for path, reason in refused)
    raise NothingToResumeError(
        f"no checkpoint in {save_dir} can be continued: {reasons or 'there is none yet'}",
        "Start the training anew.",
    )


def _refuse_finished(checkpoint: Checkpoint, save_dir: Path) -> None:
    if checkpoint.finished:
        raise NothingToResumeError(
            f"the training in {save_dir} is finished: nothing is left to train",
            "To train for longer, start a new training from weights/best.pt.",
        )
    if checkpoint.epoch + 1 >= checkpoint.epochs:
        raise NothingToResumeError(
            f"all {checkpoint.epochs} epochs in {save_dir} are trained: only the last validation "
            "is missing",
            f"Validate {checkpoint.path} with: yolo val model={checkpoint.path}",
        )


def find_data(data: str, moved: Sequence[Sequence[str]]) -> str:
    """Return the absolute path of a data set, or of its YAML file, where it is now.

    ``moved`` are folders of then, each with where it is now. A name without a folder may be one of
    the files that come with ultralytics.

    Raises:
        NothingToResumeError: It is not there.
    """
    import ultralytics

    for old, new in moved:
        if Path(data) == Path(old) or Path(old) in Path(data).parents:
            data = str(new / Path(data).relative_to(old))
    if Path(data).exists():
        return str(Path(data).resolve())
    own = Path(ultralytics.__file__).parent
    shipped = next(own.rglob(data), None) if Path(data).name == data else None
    if shipped is None:
        raise NothingToResumeError(
            f"the data of the training are not at {Path(data).absolute()}",
            "Mount them where they were, or name their folder with --data.",
        )
    return str(shipped)


def _load(path: Path) -> dict[str, Any]:
    """Load a checkpoint that this user's own training has written, with the classes in it."""
    import torch
    import ultralytics

    if _release(ultralytics.__version__) < _TRUSTS_ITS_OWN:
        os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # for ultralytics' own loading too
    all_of_it = "weights_only" in inspect.signature(torch.load).parameters  # torch 1.13 on
    loaded = torch.load(path, map_location="cpu", **({"weights_only": False} if all_of_it else {}))
    return dict(loaded)


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]+", version)[:2])
