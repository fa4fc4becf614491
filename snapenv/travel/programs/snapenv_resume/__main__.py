"""Continue a training of ultralytics from the newest checkpoint that is whole.

Runs on the environment's own Python, from 3.8 on, with its torch and ultralytics, as the run that
was interrupted: same folder, same variables. What it continues from, or why it does not, is
written to ``snapenv/resumed.json`` in the training's folder before the training goes on.
Exit code 3: there is nothing to continue.

With ``--keep-next`` it trains nothing: beside a training that goes on, it waits for the next
checkpoint and keeps a copy, whose path is its answer on stdout. ``--keep-saved`` keeps one of the
last epoch that is done.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from snapenv_resume.answer import NothingToResumeError, write_answer
from snapenv_resume.choose import choose
from snapenv_resume.files import (
    keep_copy,
    keep_newest,
    keep_saved,
    own_folder,
    remove_own,
    wait_for_next,
)
from snapenv_resume.results import keep_rows

_ANSWER = "snapenv-resume: "
_NOTHING = 3
_INTERRUPTED = 130


def main() -> int:
    """Prepare the checkpoint, train on, and return the exit code."""
    parser = argparse.ArgumentParser(prog="snapenv_resume")
    parser.add_argument("save_dir", type=Path, help="the training's folder, with weights/ in it")
    parser.add_argument("--moved", nargs=2, action="append", default=[], metavar=("FROM", "TO"))
    parser.add_argument("--keep-next", action="store_true")
    parser.add_argument("--keep-saved", action="store_true")
    options = parser.parse_args()
    save_dir = options.save_dir.resolve()
    if options.keep_next:
        print(f"{_ANSWER}{json.dumps(str(wait_for_next(save_dir)))}")
        return 0
    if options.keep_saved:
        print(f"{_ANSWER}{json.dumps(str(keep_saved(save_dir) or ''))}")
        return 0
    return _resume(save_dir, options.moved)


def _resume(save_dir: Path, moved: list[tuple[str, str]]) -> int:
    sys.path.append(str(Path.cwd()))  # checkpoints name the classes of a user's own modules
    try:
        checkpoint = _prepare(save_dir, moved)
    except NothingToResumeError as error:
        write_answer(save_dir, {"problem": error.message, "hint": error.hint})
        return _NOTHING
    from ultralytics import YOLO

    try:
        YOLO(str(checkpoint)).train(resume=True)
    except KeyboardInterrupt:
        return _INTERRUPTED
    remove_own(save_dir)  # the training is finished: nothing will go on from these
    return 0


def _prepare(save_dir: Path, moved: list[tuple[str, str]]) -> Path:
    """Keep the newest checkpoint, and write the one that ultralytics is to go on from.

    Raises:
        NothingToResumeError: The training is finished, or no checkpoint of it is whole.
    """
    keep_copy(save_dir)
    chosen = choose(save_dir)
    chosen.place_in(save_dir, moved)
    resumed = own_folder(save_dir) / "resume.pt"
    chosen.save(resumed)
    keep_newest(save_dir)
    keep_rows(save_dir / "results.csv", chosen.epoch + 1)
    write_answer(
        save_dir,
        {
            "checkpoint": str(chosen.path),
            "epoch": chosen.epoch + 1,
            "epochs": chosen.epochs,
            "ultralytics": chosen.ultralytics,
            "refused": [f"{path}: {reason}" for path, reason in chosen.refused],
        },
    )
    for path, reason in chosen.refused:
        _say(f"not {path}: {reason}")
    _say(
        f"{chosen.epoch + 1} of {chosen.epochs} epochs are done in {chosen.path}: continued, not "
        "identical, since ultralytics starts its random numbers anew"
    )
    return resumed


def _say(text: str) -> None:
    print(f"snapenv: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
