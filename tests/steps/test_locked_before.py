"""When a lock that was made before is given again: never, where anything that it hangs on differs."""

from __future__ import annotations

import hashlib
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.kept import KeptFiles
from snapenv.model.results import CaptureResult
from snapenv.model.uv import Call, UvSettings
from snapenv.secrets.model import Secret
from snapenv.steps.capture_request import Capture
from snapenv.steps.locked_before import Told, find_lock, keep_lock, name_lock, write_again
from tests.fakes import FakeTarget
from tests.workflows.services import FakeWheels, services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.carried import Content
    from snapenv.ports import Services

REQUEST = Capture(smoke=False)
ANSWER = 'snapenv-facts: {"schema":1}'
SUMS = b"0" * 64 + b"  snapenv.toml\n"
FILES: dict[str, Content] = {
    "snapenv.toml": b"schema = 2\n",
    "SHA256SUMS": b"# captured at 2026-11-29T12:00:00+00:00\n" + SUMS,
}
TOLD = Told(
    result=CaptureResult(
        path="",
        tag="train-py3.11-base-cpu",
        digest="sha256:ab",
        python="",
        packages=1,
        origins={"index": 1},
        edited_files=0,
        missing_files=0,
        carried_packages=0,
        carried_files=0,
        not_importable=(),
    ),
    lines=("Python 3.11.9",),
    of_base=("an old base",),
    notes=("a note",),
)


@dataclass
class Wheels(FakeWheels):
    """Of a machine that is told other settings."""

    settings: UvSettings = UvSettings()  # noqa: RUF009 - it is frozen

    def uv_settings(self, call: Call) -> UvSettings:
        assert call == "ask"
        return self.settings


def of_machine(
    folder: Path,
    *,
    settings: UvSettings = UvSettings(),  # noqa: B008 - it is frozen
    secrets: tuple[Secret, ...] = (),
    uv: str = "uv",
) -> Services:
    given = services(wheels=Wheels(settings=settings))
    return replace(given, cache=folder / "cache", secrets=lambda: secrets, uv=lambda: uv)


def test_what_a_lock_hangs_on_makes_another_name(tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text("another")
    token = Secret(value="t" * 20, what="a token")
    here = of_machine(tmp_path)
    same = name_lock(REQUEST, ANSWER, here)

    names = [
        name_lock(REQUEST, ANSWER.replace("1", "2"), here),
        name_lock(replace(REQUEST, level="amp"), ANSWER, here),
        name_lock(replace(REQUEST, vendor="none"), ANSWER, here),
        name_lock(replace(REQUEST, base="debian:13-slim"), ANSWER, here),
        *(
            name_lock(REQUEST, ANSWER, other)
            for other in (
                of_machine(tmp_path, settings=UvSettings(variables={"UV_INDEX": "other"})),
                of_machine(tmp_path, settings=UvSettings(config=b"offline = true\n")),
                of_machine(tmp_path, secrets=(token,)),
                of_machine(tmp_path, uv=str(uv)),
                of_machine(tmp_path / "other folder"),
            )
        ),
    ]

    assert same == name_lock(replace(REQUEST, output=Path("x"), rehash=True), ANSWER, here)
    assert len({same, *names}) == 1 + len(names)


def test_a_lock_is_written_again_with_another_time_and_place(tmp_path: Path) -> None:
    given = of_machine(tmp_path)
    keep_lock("lock", FILES, TOLD, given, until_s=time.time() + 3600)
    kept = find_lock("lock", given)
    assert kept

    folder = tmp_path / "snapshot"
    done = write_again(*kept, replace(REQUEST, output=folder), FakeTarget(), given)

    head, _, sums = (folder / "SHA256SUMS").read_bytes().partition(b"\n")
    assert (folder / "snapenv.toml").read_bytes() == FILES["snapenv.toml"]
    assert (head[:14], sums) == (b"# captured at ", SUMS)
    assert head not in FILES["SHA256SUMS"]  # type: ignore[operator] # bytes here
    assert done.result == replace(TOLD.result, path=str(folder), python="/env/bin/python")
    assert done.warnings == ("an old base", "a note")


def test_a_lock_is_kept_for_as_long_as_the_answers_of_the_index_hold(tmp_path: Path) -> None:
    given = of_machine(tmp_path)
    keep_lock("old", FILES, TOLD, given, until_s=time.time() - 1)
    keep_lock("never", FILES, TOLD, given, until_s=None)

    assert find_lock("old", given) is None
    assert not (tmp_path / "cache" / "made" / "never").exists()


def with_wheel(content: Content) -> Mapping[str, Content]:
    """Return the files of a snapshot with a wheel."""
    sums = FILES["SHA256SUMS"]
    assert isinstance(sums, bytes)
    whole = content if isinstance(content, bytes) else content.read_bytes()
    line = f"{hashlib.sha256(whole).hexdigest()}  vendor/one.whl\n".encode()
    return {**FILES, "vendor/one.whl": content, "SHA256SUMS": sums + line}


def write(given: Services, folder: Path) -> None:
    kept = find_lock("lock", given)
    assert kept
    write_again(*kept, replace(REQUEST, output=folder), FakeTarget(), given)


def test_a_lock_with_a_file_of_the_disk_is_kept_where_that_file_is(tmp_path: Path) -> None:
    given, wheel = of_machine(tmp_path), tmp_path / "one.whl"
    wheel.write_bytes(b"a wheel")
    digest = hashlib.sha256(b"a wheel").hexdigest()

    keep_lock("lock", with_wheel(wheel), TOLD, given, until_s=time.time() + 3600)
    assert find_lock("lock", given) is None

    KeptFiles(given.kept("wheels")).keep(digest, b"a wheel")
    keep_lock("lock", with_wheel(wheel), TOLD, given, until_s=time.time() + 3600)
    write(given, tmp_path / "snapshot")
    assert (tmp_path / "snapshot" / "vendor" / "one.whl").read_bytes() == b"a wheel"
    assert wheel.stat().st_nlink == 1  # a file of somebody is never shared


def test_a_large_file_is_kept_by_itself_and_needed(tmp_path: Path) -> None:
    given, content = of_machine(tmp_path), bytes(2 << 20)
    keep_lock("lock", with_wheel(content), TOLD, given, until_s=time.time() + 3600)
    (kept,) = (tmp_path / "cache" / "wheels").iterdir()

    write(given, tmp_path / "snapshot")

    wheel = tmp_path / "snapshot" / "vendor" / "one.whl"
    assert wheel.read_bytes() == content
    assert stat.S_IMODE(wheel.stat().st_mode) == 0o644
    assert wheel.samefile(kept)
    assert (tmp_path / "cache" / "made" / "lock").stat().st_size < len(content)
    with kept.open("r+b") as file:
        file.write(b"damaged")
    assert find_lock("lock", given) is None
    assert not kept.exists()
    assert find_lock("lock", given) is None


def test_a_large_text_is_no_file_that_two_snapshots_share(tmp_path: Path) -> None:
    given, text = of_machine(tmp_path), b"#" * (2 << 20)
    files = {**FILES, "snapenv.toml": text}
    keep_lock("lock", files, TOLD, given, until_s=time.time() + 3600)

    write(given, tmp_path / "one")
    write(given, tmp_path / "other")

    one, other = (tmp_path / name / "snapenv.toml" for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes() == text
    assert not one.samefile(other)


@pytest.mark.parametrize("damage", [b"", b"{}"], ids=["cut", "replaced"])
def test_a_lock_that_is_damaged_or_anothers_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    given = of_machine(tmp_path)
    keep_lock("lock", FILES, TOLD, given, until_s=time.time() + 3600)
    file = tmp_path / "cache" / "made" / "lock"
    magic = file.read_bytes()[:15]
    file.write_bytes(magic + hashlib.sha256(damage).digest() + damage)

    assert find_lock("lock", given) is None
