"""The command line of snapenv-check: check, or make ready in an image.

Exit codes: 0 is as locked, 1 is not, 2 is a wrong command line, 3 is that it cannot be told,
70 is a bug.
"""

from __future__ import annotations

import argparse
import sys
import traceback

from snapenv_check import answer, expected

_IS_LOCKED, _IS_NOT, _UNKNOWN, _BUG = 0, 1, 3, 70


def main(words: list[str]) -> int:
    """Do what the words of a command line ask for, and return the exit code."""
    options = _parse(words)
    try:
        if options.install or options.record:
            from snapenv_check import install

            install.install() if options.install else install.write_record()
            return _IS_LOCKED
        return _check(options)
    except expected.UnknownError as error:
        return _tell(options, answer.unknown(str(error)), _UNKNOWN)
    except Exception as error:  # noqa: BLE001 - an exit code of 1 would be an answer
        traceback.print_exc()
        return _tell(options, answer.unknown(f"a bug in snapenv-check: {error}"), _BUG)


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="snapenv-check",
        description="Tell whether the environment of this container still is the locked one.",
        epilog="Exit codes: 0 it is, 1 it is not, 2 usage, 3 it cannot be told, 70 a bug.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rehash", action="store_true", help="read every file, changed or not")
    parser.add_argument(
        "--smoke-train",
        action="store_true",
        help="train for a few steps without network, and compare the losses with the lock's",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        help="what to train on (default: a GPU where there is one)",
    )
    for step in ("--install", "--record"):  # of making an image
        parser.add_argument(step, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.device and not options.smoke_train:
        parser.error("--device is for --smoke-train")
    return options


def _check(options: argparse.Namespace) -> int:
    from snapenv_check import environment

    lock = expected.read()
    examined = environment.examine(lock, rehash=options.rehash)
    trained = untrained = None
    if options.smoke_train:
        from snapenv_check import training

        device = options.device or "auto"
        try:
            trained = training.compare_with_baseline(lock, device, examined.findings)
        except expected.UnknownError as error:
            untrained = str(error)
    document = answer.document(lock, examined, trained, untrained)
    codes = {True: _IS_LOCKED, False: _IS_NOT, None: _UNKNOWN}
    return _tell(options, document, codes[document["ok"]])


def _tell(options: argparse.Namespace, document: answer.Document, code: int) -> int:
    """Print an answer, and leave its last line where Kubernetes takes it from."""
    answer.leave_message(document)
    sys.stdout.write(answer.as_json(document) if options.json else answer.as_text(document))
    sys.stdout.flush()
    return code
