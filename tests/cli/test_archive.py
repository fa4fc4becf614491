"""``snapenv export`` and ``import`` as a user sees them."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import zstandard
from inline_snapshot import snapshot as wording

from snapenv.archive.layout import END, make_header
from snapenv.errors import WriteError
from tests.archive.making import blob, digest, make_archive
from tests.command import EXIT_CODES, Command
from tests.steady import steady

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {"schema", "command", "ok", "exit_code", "result", "checks", "warnings", "verdict", "error"}
NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
MEMORY_MIB = 200  # Python with its imports needs most of it


@pytest.mark.parametrize("words", [("export", "x"), ("import",)])
def test_what_is_missing_is_a_matter_of_usage(words: tuple[str, ...]) -> None:
    done = Command().document(*words)

    assert done["exit_code"] == 2
    assert done.keys() == KEYS


def test_a_damaged_archive_is_named_without_a_traceback(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a")
    path.write_bytes(path.read_bytes()[:-99])

    stderr = Command(NOWHERE).error("archive", "import", str(path))

    assert steady(stderr, path=path) == wording("""\
error: PATH is not a complete archive: its end is missing
hint: Nothing was loaded. Get it again from where snapenv export wrote it.
""")
    assert "Get it again" in stderr
    assert "Traceback" not in stderr


def test_a_damaged_archive_is_a_document_too(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no archive")

    done = Command(NOWHERE).document("import", str(tmp_path / "a"))

    assert done.keys() == KEYS
    assert (done["command"], done["error"]["kind"]) == ("import", "archive")


def test_a_whole_archive_asks_for_an_engine(tmp_path: Path) -> None:
    done = Command(NOWHERE).document("import", str(make_archive(tmp_path / "a")))

    assert (done["exit_code"], done["error"]["kind"]) == (4, "engine-missing")


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = Command(NOWHERE).document("import", str(tmp_path / "none"))

    assert (done["exit_code"], done["error"]["kind"]) == (3, "not-found")
    assert str(tmp_path / "none") in done["error"]["message"]


def test_a_file_that_is_there_is_refused_before_an_engine_is_asked(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")

    done = Command(NOWHERE).document("export", "x", "-o", str(tmp_path / "a"))

    assert (done["exit_code"], done["error"]["kind"]) == (3, "place-taken")
    assert (tmp_path / "a").read_text() == "mine"


def test_a_full_disk_leaves_nothing(full_disk: Path) -> None:
    noise = random.Random(1).randbytes(300_000)

    with pytest.raises(WriteError) as caught:
        make_archive(full_disk / "a", (noise,))

    assert steady(caught.value) == wording("cannot write TMP/full/a: No space left on device")
    assert [path.name for path in full_disk.iterdir()] == ["filler"]


def test_an_archive_far_larger_than_the_memory_it_may_use_is_read(tmp_path: Path) -> None:
    layer = random.Random(1).randbytes(1 << 20) * 400
    make_archive(tmp_path / "a", (layer,))
    code = (
        "import sys; from snapenv.cli.main import main; code = main(sys.argv[1:]);"
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]); sys.exit(code)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, "import", str(tmp_path / "a")],
        check=False,
        capture_output=True,
        text=True,
        env=NOWHERE,
    )

    assert done.returncode == EXIT_CODES["engine-missing"], done.stderr
    assert int(done.stdout) >> 10 < MEMORY_MIB


@pytest.mark.parametrize("size_gib", [1, 1000])
def test_a_bomb_is_refused_with_little_memory(size_gib: int, tmp_path: Path) -> None:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    part = bytes(1 << 20)
    with (tmp_path / "bomb").open("wb") as file:
        file.write(packer.compress(make_header(blob(digest(b"x")), size_gib << 30)))
        for _ in range(3 << 10):
            file.write(packer.compress(part))
        file.write(packer.compress(END) + packer.flush())

    done = subprocess.run(
        [sys.executable, "-m", "snapenv", "import", str(tmp_path / "bomb")],
        check=False,
        capture_output=True,
        text=True,
        env=NOWHERE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
    )

    assert done.returncode == EXIT_CODES["archive"], done.stderr
    assert "Traceback" not in done.stderr
