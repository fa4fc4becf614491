"""Fetching the bytes of what no index gives back."""

from __future__ import annotations

import io
import os
import re
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.content import read_chunks
from snapenv.errors import ProbeError
from snapenv.model.carried import CarriedFile
from snapenv.ports import Completed
from snapenv.probe.collect import LIMIT_BYTES, MARK, collect
from snapenv.targets.local import LocalTarget
from tests.probe.environments import (
    WHEEL,
    WITH_SCRIPTS,
    edit,
    make_repository,
    run_uv,
    serve,
    write_files,
    write_project,
    write_wheel,
)
from tests.steady import steady

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from snapenv.model.carried import Collected
    from tests.probe.environments import Venv

METADATA = "Metadata-Version: 2.1\nName: plain\nVersion: 1.0\n"


def fetch(venv: Venv, *, distributions: Sequence[str] = (), files: Sequence[str] = ()) -> Collected:
    return collect(LocalTarget(venv.python), distributions=distributions, files=files)


def text(content: str) -> CarriedFile:
    return CarriedFile(content=content.encode(), executable=False)


def program(content: str) -> CarriedFile:
    return CarriedFile(content=content.encode(), executable=True)


def test_a_distribution_comes_with_everything_that_an_installer_would_not_make(
    venv: Venv, tmp_path: Path
) -> None:
    data = {"plain-1.0.data/data/share/plain/é ü.txt": "data", "plain.txt": "x" * 1_000_000}
    venv.install(write_wheel(tmp_path, "plain", {**WITH_SCRIPTS, **data}))
    write_files(venv.site, {"__pycache__/plain.cpython-311.pyc": "compiled", "alone.py": ""})

    found = fetch(venv, distributions=["plain"])

    assert found.files == {}
    assert found.distributions == {
        "plain": {
            "site/plain.py": text(WITH_SCRIPTS["plain.py"]),
            "site/plain.txt": text("x" * 1_000_000),
            "site/plain-1.0.dist-info/METADATA": text(METADATA),
            "site/plain-1.0.dist-info/WHEEL": text(WHEEL),
            "site/plain-1.0.dist-info/entry_points.txt": text(
                "[console_scripts]\nmade = plain:main\n"
            ),
            "scripts/written": program("#!python\nprint('written')\n"),
            "scripts/shell.sh": program("#!/bin/sh\necho shell\n"),
            "scripts/program": program("\x7fELF, no text"),
            "data/share/plain/é ü.txt": text("data"),
        }
    }


def test_what_was_edited_comes_as_it_is_now(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", WITH_SCRIPTS))
    edit(venv.site / "plain.py", "pass", "return 1")
    edit(venv.folder / "bin" / "made", "    sys.exit(main())", "    sys.exit(1)")

    found = fetch(venv, distributions=["plain"]).distributions["plain"]

    assert found["site/plain.py"].content == b"def main(): return 1\n"
    assert found["scripts/made"].text.startswith(b"#!python\n")
    assert b"    sys.exit(1)" in found["scripts/made"].text


def test_what_is_missing_is_left_out(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", WITH_SCRIPTS))
    (venv.site / "plain.py").unlink()

    found = fetch(venv, distributions=["plain"]).distributions["plain"]

    assert "site/plain.py" not in found
    assert "site/plain-1.0.dist-info/METADATA" in found


def test_files_come_by_name_from_site_packages_and_from_the_prefix(
    venv: Venv, tmp_path: Path
) -> None:
    venv.install(write_wheel(tmp_path, "plain", WITH_SCRIPTS))
    write_files(tmp_path, {"elsewhere.py": "ELSEWHERE = 1\n"})
    (venv.site / "linked.py").symlink_to(tmp_path / "elsewhere.py")
    write_files(venv.site, {"dir/with space/ü.py": "", "own.sh": "#!/bin/sh\n"})
    (venv.site / "own.sh").chmod(0o750)
    asked = {
        "site/linked.py": text("ELSEWHERE = 1\n"),
        "site/dir/with space/ü.py": text(""),
        "site/own.sh": program("#!/bin/sh\n"),
        "prefix/bin/written": program("#!python\nprint('written')\n"),
    }

    found = fetch(venv, files=list(asked))

    assert found.distributions == {}
    assert found.files == asked


def test_only_a_script_of_bin_itself_loses_its_first_line(venv: Venv) -> None:
    line = f"#!{venv.python}\n"
    write_files(venv.folder, {"bin/x": line, "bin/inner/x": line, "share/x": line})
    names = ["prefix/bin/x", "prefix/bin/inner/x", "prefix/share/x"]

    found = fetch(venv, files=names).files

    assert [found[name].text.decode() for name in names] == ["#!python\n", line, line]


def test_a_file_of_the_user_that_hides_another_comes_as_it_is_imported(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = {"METADATA": METADATA, "RECORD": "plain.py,,\n"}
    write_files(tmp_path / "first" / "plain-1.0.dist-info", info)
    write_files(tmp_path / "first", {"plain.py": "FIRST = 1\n"})
    venv.install(write_wheel(tmp_path, "plain", {"plain.py": "SECOND = 1\n"}))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "first"))

    assert fetch(venv, files=["site/plain.py"]).files == {"site/plain.py": text("FIRST = 1\n")}


def test_from_version_control_all_comes_without_the_repository(venv: Venv, tmp_path: Path) -> None:
    project = write_project(tmp_path / "repository", "plain", {"plain.py": "OF_GIT = 1\n"})
    make_repository(project)
    venv.install(f"plain @ git+file://{project}")
    project.rename(tmp_path / "gone")

    found = fetch(venv, distributions=["plain"]).distributions["plain"]

    assert found["site/plain.py"] == text("OF_GIT = 1\n")


def test_from_a_url_all_comes_without_the_server(venv: Venv, tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "plain", {"plain.py": "OF_URL = 1\n"})
    with serve(tmp_path) as address:
        run_uv("pip", "install", "--python", venv.python, f"plain @ http://{address}/{wheel.name}")

    found = fetch(venv, distributions=["plain"]).distributions["plain"]

    assert found["site/plain.py"] == text("OF_URL = 1\n")


@pytest.mark.parametrize(
    ("distributions", "files", "named"),
    [
        (["absent"], [], "absent is not installed"),
        ([], ["site/absent.py"], "site/absent.py is not there"),
        ([], ["prefix/share/absent"], "prefix/share/absent is not there"),
        ([], ["site/folder"], "site/folder is not there"),
    ],
)
def test_what_is_not_there_is_named(
    venv: Venv, distributions: list[str], files: list[str], named: str
) -> None:
    write_files(venv.site, {"folder/module.py": ""})

    with pytest.raises(ProbeError, match=re.escape(f": {named}")):
        fetch(venv, distributions=distributions, files=files)


@pytest.mark.parametrize("path", ["site/../x", "site//x", "site/./x", "/etc/passwd", "site/x\0"])
def test_no_path_that_leads_out_is_asked_for(venv: Venv, path: str) -> None:
    with pytest.raises(ProbeError) as caught:
        fetch(venv, files=[path])

    assert steady(caught.value, path=path) == wording(
        "the environment's files cannot be fetched: PATH leads out of the environment"
    )


def test_nothing_is_asked_where_nothing_is_wanted() -> None:
    found = collect(LocalTarget("/no/such/python"), distributions=[], files=[])

    assert (found.distributions, found.files) == ({}, {})


def test_what_python_prints_when_it_starts_does_no_harm(venv: Venv) -> None:
    write_files(venv.site, {"loud.pth": "import sys; sys.stdout.write('hello')\n", "x.py": ""})

    assert fetch(venv, files=["site/x.py"]).files == {"site/x.py": text("")}


def test_collecting_changes_nothing_where_it_runs(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", WITH_SCRIPTS))
    before = sorted(venv.folder.rglob("*"))

    fetch(venv, distributions=["plain"])

    assert sorted(venv.folder.rglob("*")) == before


@dataclass(frozen=True, slots=True)
class Told:
    """A target that answers with bytes of the test's own."""

    answer: bytes
    python: str = "/env/bin/python"

    def run(self, argv: Sequence[str], *, stdout: BinaryIO | None = None, **_: object) -> Completed:
        assert argv[0] == self.python
        assert stdout
        stdout.write(self.answer)
        return Completed(exit_code=0, stdout="", stderr="")


def archive(*members: tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return MARK + stream.getvalue()


def member(name: str, *, kind: bytes = tarfile.REGTYPE, size: int = 1) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, "/etc/passwd"
    return info


WHOLE = archive(member("files/site/x.py"))
HOSTILE = {
    "nothing came": b"",
    "no archive came": b"hello",
    "the archive is damaged": WHOLE[: len(MARK) + 700].replace(b"x.py", b"y.py", 1),
    "site/x.py did not come": archive(),
    "'files/site/../../x' came, and was not asked for": archive(member("files/site/../../x")),
    "'/etc/passwd' came, and was not asked for": archive(member("/etc/passwd")),
    "'dist/other/site/x' came, and was not asked": archive(member("dist/other/site/x")),
    "'site/../../x' leads out": archive(member("dist/plain/site/../../x")),
    "came twice, or is no plain": archive(member("files/site/x.py", kind=tarfile.SYMTYPE, size=0)),
    "'files/site/x.py' came twice": archive(member("files/site/x.py"), member("files/site/x.py")),
}


@pytest.mark.parametrize(("why", "answer"), HOSTILE.items(), ids=HOSTILE.keys())
def test_an_answer_that_was_not_asked_for_is_refused(why: str, answer: bytes) -> None:
    asked = ["plain"] if "dist/plain" in repr(answer) else []

    with pytest.raises(ProbeError, match=f"(?s)cannot be fetched: .*{why}"):
        collect(Told(answer), distributions=asked, files=["site/x.py"])


def test_more_than_a_snapshot_can_hold_is_refused_before_it_is_read() -> None:
    header = member("files/site/x.py", size=LIMIT_BYTES + 1).tobuf()

    with pytest.raises(ProbeError) as caught:
        collect(Told(MARK + header), distributions=[], files=["site/x.py"])

    assert str(caught.value) == wording(
        "the environment's files cannot be fetched: more came than a snapshot can hold"
    )


def test_only_who_may_run_a_file_is_kept_of_its_mode(venv: Venv) -> None:
    write_files(venv.site, {"a": "", "b": ""})
    (venv.site / "a").chmod(stat.S_IRUSR | stat.S_IWOTH)
    (venv.site / "b").chmod(stat.S_IRWXU | stat.S_ISUID)
    os.utime(venv.site / "a", (1, 1))

    assert fetch(venv, files=["site/a", "site/b"]).files == {
        "site/a": text(""),
        "site/b": program(""),
    }


def test_what_is_large_is_put_into_files_and_is_the_same(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapenv.probe.collect.LARGE_BYTES", 10)
    write_files(venv.site, {"small.txt": "small", "large.txt": "larger than ten bytes"})
    asked = ["site/large.txt", "site/small.txt"]
    target = LocalTarget(venv.python)

    found = collect(target, distributions=[], files=asked, into=tmp_path).files
    whole = collect(target, distributions=[], files=asked).files

    assert [isinstance(found[name].content, Path) for name in asked] == [True, False]
    assert found["site/large.txt"].text == b""
    for name in asked:
        assert b"".join(read_chunks(found[name].content)) == whole[name].content
