"""``snapenv run --resume`` and ``--restart`` as a user types them, up to what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.command import Command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--resume", "none"), 3, "there is no run none"),
        (("--resume", "../../etc"), 3, "'../../etc' is no run"),
        (("--resume", "none", "--memory", "8g", "--data", "/d"), 3, "there is no run none"),
        (("--resume", "none", "--cpus", "2"), 2, "--cpus is given beside --resume"),
        (("--resume", "none", "tag"), 2, "REF is given beside --resume"),
        (("--resume", "none", "tag", "--", "true"), 2, "REF is given beside --resume"),
        ((), 2, "Missing argument 'REF'"),
        (("tag",), 2, "no command to run"),
        (("tag", "--restart", "always", "--", "true"), 2, "'always' is not such as on-failure:3"),
        (
            ("tag", "--detach", "--restart", "on-failure:3", "--", "true"),
            2,
            "--restart watches the run: leave --detach out",
        ),
    ],
)
def test_what_cannot_be_continued(
    words: tuple[str, ...], code: int, message: str, tmp_path: Path
) -> None:
    command = Command({"XDG_STATE_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)})

    done = command.run("run", *words)

    assert done.returncode == code, done.stderr
    assert message in done.stderr
