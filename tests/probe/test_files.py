"""What a distribution put on disk, and what nobody put there."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.model.python import Distribution, Files, UntrackedFile
from tests.probe.environments import (
    PLAIN,
    WHEEL,
    add_distribution,
    digest,
    files,
    install,
    make_venv,
    record_hash,
    write_files,
    write_wheel,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.probe.environments import Venv

SCRIPT = "[console_scripts]\nplain = plain:main\n"


def test_an_installed_wheel_is_described_whole(venv: Venv, tmp_path: Path) -> None:
    contents = {
        **PLAIN,
        "plain-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: plain\nVersion: 1.0\n",
        "plain-1.0.dist-info/WHEEL": WHEEL + "Tag: cp311-abi3-linux_x86_64\n",
        "plain-1.0.dist-info/entry_points.txt": SCRIPT,
    }
    venv.install(write_wheel(tmp_path, "plain", contents))
    (venv.site / "plain-1.0.dist-info" / "direct_url.json").unlink()

    assert venv.look().environment.distributions == (
        Distribution(
            name="plain",
            version="1.0",
            origin="index",
            installer="uv",
            tags=("cp311-abi3-linux_x86_64", "py3-none-any"),
            files=Files(
                count=len(contents),
                size_bytes=sum(map(len, contents.values())),
                sha256=digest(contents),
                executable=(),
            ),
        ),
    )


def test_pip_and_uv_install_the_same_files(venv: Venv, tmp_path: Path) -> None:
    scripts = {"plain-1.0.dist-info/entry_points.txt": SCRIPT}
    wheel = write_wheel(tmp_path, "plain", {**PLAIN, **scripts})
    venv.install(wheel)
    by_uv = venv.find("plain")
    install(venv, wheel, "pip")

    by_pip = venv.find("plain")

    assert (by_uv.installer, by_pip.installer) == ("uv", "pip")
    assert by_uv.files == by_pip.files


def test_an_edited_file_is_named_and_changes_the_digest(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", PLAIN))
    before = files(venv)
    edited = venv.site / "plain" / "__init__.py"
    edited.unlink()  # else the file in uv's cache changes too
    edited.write_text("ANSWER = 41\n")

    after = files(venv)

    assert before.edited == ()
    assert after.edited == ("plain/__init__.py",)
    assert after.sha256 != before.sha256


def test_a_missing_file_is_named_and_is_no_part_of_the_digest(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", PLAIN))
    before = files(venv)
    (venv.site / "plain" / "data.bin").unlink()

    after = files(venv)

    assert after.missing == ("plain/data.bin",)
    assert (after.count, after.size_bytes) == (before.count - 1, before.size_bytes - 100_000)
    assert after.sha256 != before.sha256


def test_compiled_files_and_what_installers_note_are_no_part(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", PLAIN))
    before = files(venv)
    info = venv.site / "plain-1.0.dist-info"
    listed = "".join(f"plain-1.0.dist-info/{name},,\n" for name in ("uv_cache.json", "REQUESTED"))
    with (info / "RECORD").open("a") as record:
        record.write("plain/__pycache__/main.nbi,,\nplain/legacy.pyc,,\n")
        record.write(listed)
    write_files(info, {"INSTALLER": "conda-less", "REQUESTED": "", "uv_cache.json": "{}"})

    assert files(venv) == before


def test_records_of_odd_forms_are_read(venv: Venv) -> None:
    odd = 'odd/with, comma "quoted".txt'
    outside = venv.folder / "share" / "odd.txt"
    write_files(venv.site, {odd: "1", "odd/long.txt": "2", "odd/not-utf8.txt": "3"})
    write_files(venv.folder, {"share/odd.txt": "4"})
    quoted = odd.replace('"', '""')
    add_distribution(
        venv.site,
        "odd",
        f'"{quoted}",{record_hash("1")},1\n'
        f"./odd/long.txt,{record_hash('2', 'sha512')},1\r\n"
        f"odd/../odd/not-utf8.txt,{record_hash('other', 'sha384')},1\n"
        f"odd/not-utf8.txt,{record_hash('other', 'sha384')}\n"
        f"{outside},{record_hash('4')},1\n"
        "odd/,,\nodd,,\n\nno/such,md5=1,\n",
    )

    found = files(venv, "odd")

    assert (found.count, found.size_bytes) == (4, 4)
    assert found.edited == ("odd/not-utf8.txt",)
    assert found.missing == ("no/such",)


def test_files_of_a_home_folder_are_named_without_it(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "alice"))
    others = "/home/bob/b.txt,,\n../../../../../home/carol/c.txt,,\nodd/home/here/d.txt,,\n"
    add_distribution(venv.site, "odd", f"{tmp_path}/alice/a.txt,,\n{others}")

    assert sorted(files(venv, "odd").missing) == [
        "odd/home/here/d.txt",
        "~/a.txt",
        "~/b.txt",
        "~/c.txt",
    ]


def test_what_is_no_file_does_not_stop_the_probe(venv: Venv) -> None:
    os.mkfifo(venv.site / "pipe")
    (venv.site / "loop").symlink_to("loop")
    add_distribution(venv.site, "odd", "pipe,,\nloop,,\n")

    assert files(venv, "odd").missing == ("loop", "pipe")


def loose_paths(venv: Venv) -> list[str]:
    return [loose.path for loose in venv.look().environment.untracked]


def test_an_added_file_belongs_to_nobody_and_is_told_with_its_hash(
    venv: Venv, tmp_path: Path
) -> None:
    venv.install(write_wheel(tmp_path, "plain", PLAIN))
    added = {"plain/added.py": "a = 1\n", "alone.py": "", "~lain/left.py": "", "new/d/é ü.txt": ""}
    write_files(venv.site, added)
    write_files(venv.site, {"plain/__pycache__/added.pyc": "", "plain/added.pyc": ""})

    assert venv.look().environment.untracked == tuple(
        UntrackedFile(
            path=path, sha256=hashlib.sha256(content.encode()).hexdigest(), executable=False
        )
        for path, content in sorted(added.items())
    )


def test_a_compiled_module_without_its_source_is_a_file_as_any_other(venv: Venv) -> None:
    write_files(venv.site, {"alone.pyc": "compiled"})

    assert loose_paths(venv) == ["alone.pyc"]


def test_every_untracked_file_is_told(venv: Venv) -> None:
    write_files(venv.site, {f"many/{number:03}.txt": "" for number in range(305)})

    assert loose_paths(venv) == [f"many/{number:03}.txt" for number in range(305)]


def test_a_link_that_stays_inside_is_told_as_a_link(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", PLAIN))
    (venv.site / "other").symlink_to("plain")
    (venv.site / "plain" / "again.py").symlink_to(venv.site / "plain" / "__init__.py")

    assert venv.look().environment.untracked == (
        UntrackedFile(path="other", link="plain"),
        UntrackedFile(path="plain/again.py", link="__init__.py"),
    )


def test_a_link_to_a_file_outside_is_taken_for_that_file(venv: Venv, tmp_path: Path) -> None:
    write_files(tmp_path, {"elsewhere/tool.py": "TOOL = 1\n"})
    (venv.site / "tool.py").symlink_to(tmp_path / "elsewhere" / "tool.py")

    environment = venv.look().environment

    content = hashlib.sha256(b"TOOL = 1\n").hexdigest()
    assert environment.untracked == (
        UntrackedFile(path="tool.py", sha256=content, executable=False),
    )
    assert environment.outside == ()


def test_what_lies_around_site_packages_is_named_as_record_names_files(
    venv: Venv, tmp_path: Path
) -> None:
    files = {
        "plain-1.0.data/data/share/plain.txt": "owned",
        "plain-1.0.data/scripts/tool": "#!python\n",
    }
    venv.install(write_wheel(tmp_path, "plain", {**PLAIN, **files}))
    write_files(venv.folder, {"etc/a.cfg": "a", "include/b.h": "b", "lib/c/d.so": "", "bin/e": "e"})
    (venv.folder / "share" / "latest").symlink_to("plain.txt")
    none = {".lock": "", "run/x": "", "share/__pycache__/x.pyc": "", "lib/python3.9/os.py": ""}
    write_files(venv.folder, none)

    assert venv.look().environment.untracked == (
        *(
            UntrackedFile(
                path=f"../../../{path}",
                sha256=hashlib.sha256(content.encode()).hexdigest(),
                executable=False,
            )
            for path, content in (("bin/e", "e"), ("etc/a.cfg", "a"), ("include/b.h", "b"))
        ),
        UntrackedFile(path="../../../share/latest", link="plain.txt"),
        UntrackedFile(path="../../c/d.so", sha256=hashlib.sha256().hexdigest(), executable=False),
    )


def test_a_script_of_nobody_is_the_same_wherever_its_environment_lies(venv: Venv) -> None:
    lines = {"bin/ours": "import ours\n", "bin/inner/ours": ""}
    write_files(venv.folder, {name: f"#!{venv.python}\n{rest}" for name, rest in lines.items()})

    loose = {one.path: one.sha256 for one in venv.look().environment.untracked}

    assert loose == {
        "../../../bin/ours": hashlib.sha256(b"#!python\nimport ours\n").hexdigest(),
        "../../../bin/inner/ours": hashlib.sha256(f"#!{venv.python}\n".encode()).hexdigest(),
    }


def test_scripts_of_a_distribution_without_record_are_not_of_nobody(venv: Venv) -> None:
    points = "[console_scripts]\nroar = old:roar\n"
    info = {"PKG-INFO": "Name: old\nVersion: 1\n", "entry_points.txt": points, "scripts/own": ""}
    write_files(venv.site, {f"old.egg/EGG-INFO/{name}": text for name, text in info.items()})
    write_files(venv.site, {"easy-install.pth": "./old.egg\n"})
    write_files(venv.folder, {f"bin/{name}": "#!/bin/sh\n" for name in ("roar", "own", "ours")})

    assert [path for path in loose_paths(venv) if "bin" in path] == ["../../../bin/ours"]


def test_files_of_the_user_count_as_if_they_were_in_site_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = make_venv(tmp_path / "venv", "--system-site-packages")
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path / "user"))
    user = tmp_path / "user" / venv.site.relative_to(venv.folder)
    add_distribution(user, "mine", f"mine.py,{record_hash('MINE = 1')},8\n")
    write_files(user, {"mine.py": "MINE = 1", "sitecustomize.py": ""})

    environment = venv.look().environment

    found = environment.find("mine")
    assert found
    assert found.origin == "index"
    assert found.files
    assert found.files.edited == ()
    assert "sitecustomize.py" in [loose.path for loose in environment.untracked]


def test_of_two_that_own_a_file_the_one_that_lost_it_shows_it_as_edited(
    venv: Venv, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        venv.install(write_wheel(tmp_path, name, {"shared/__init__.py": f"OF = '{name}'\n"}))

    assert files(venv, "first").edited == ("shared/__init__.py",)
    assert files(venv, "second").edited == ()


def test_a_folder_that_is_reached_by_two_names_is_looked_at_once(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.install(write_wheel(tmp_path, "plain", PLAIN))
    (tmp_path / "link").symlink_to(venv.site)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "link"))

    environment = venv.look().environment

    assert [found.name for found in environment.distributions] == ["plain"]
    assert environment.untracked == ()


def test_files_that_conda_lists_are_owned(venv: Venv) -> None:
    path = (venv.site / "native.so").relative_to(venv.folder)
    write_files(venv.site, {"native.so": "", "other.so": ""})
    write_files(venv.folder, {"conda-meta/native-1.0-0.json": f'{{"files": ["{path}"]}}'})
    write_files(venv.folder, {"conda-meta/broken.json": "{", "conda-meta/list.json": "[]"})

    assert loose_paths(venv) == ["other.so"]


@pytest.fixture
def deep(venv: Venv) -> Iterator[Callable[[int], None]]:
    """Make folders in folders, past what a path can name, with a file in the last."""

    def nest(depth: int) -> None:
        descriptor = os.open(venv.site, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir("d", dir_fd=descriptor)
            inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        os.close(os.open("deep.so", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
        os.close(descriptor)

    yield nest
    subprocess.run(["rm", "-r", venv.site / "d"], check=True)  # too deep for shutil


def test_a_file_below_a_thousand_folders_is_told(venv: Venv, deep: Callable[[int], None]) -> None:
    deep(1200)

    facts = venv.look()

    assert [loose.path for loose in facts.environment.untracked] == ["d/" * 1200 + "deep.so"]
    assert facts.native


def test_a_folder_that_cannot_be_read_is_named(venv: Venv, deep: Callable[[int], None]) -> None:
    deep(2100)

    environment = venv.look().environment

    (told,) = environment.outside
    assert environment.untracked == ()
    assert told.startswith("d/d/")
    assert told.endswith("d/d: no file that can be read")


def test_the_files_that_may_be_run_are_named(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", PLAIN))
    write_files(venv.site, {"tool.sh": "", "plain/ours.sh": ""})
    before = venv.look().environment
    for name in ("plain/data.bin", "tool.sh"):
        (venv.site / name).chmod(0o755)

    after = venv.look().environment

    assert [one.files and one.files.executable for one in before.distributions] == [()]
    assert [one.files and one.files.executable for one in after.distributions] == [
        ("plain/data.bin",)
    ]
    assert {one.path: one.executable for one in after.untracked} == {
        "plain/ours.sh": False,
        "tool.sh": True,
    }


def test_where_every_file_may_be_run_the_bit_says_nothing(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", PLAIN))
    for file in venv.site.rglob("*"):
        file.chmod(0o777)

    assert files(venv).executable is None


def test_a_script_that_may_no_longer_be_run_is_edited(venv: Venv, tmp_path: Path) -> None:
    scripts = {"plain-1.0.dist-info/entry_points.txt": SCRIPT}
    venv.install(write_wheel(tmp_path, "plain", {**PLAIN, **scripts}))
    (venv.folder / "bin" / "plain").chmod(0o644)

    assert files(venv).edited == ("../../../bin/plain",)


def test_an_empty_folder_that_can_be_imported_is_told(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", PLAIN))
    for name in ("space/inner", "plain/plugins", "no-module", "compiled/__pycache__"):
        (venv.site / name).mkdir(parents=True)
    (venv.site / "compiled" / "__pycache__" / "gone.cpython-311.pyc").touch()

    assert venv.look().environment.untracked == tuple(
        UntrackedFile(path=path, folder=True)
        for path in ("compiled", "plain/plugins", "space/inner")
    )


ODD_NAMES = ("a\\names.txt", "a\\xff.py", "b\u00a0c.txt", "\U0001fae9.py")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_that_is_odd_and_yet_one_line_of_utf_8_is_told_as_it_is(
    name: str, venv: Venv, tmp_path: Path
) -> None:
    venv.install(write_wheel(tmp_path, "plain", {**PLAIN, f"plain/{name}": ""}))
    (venv.site / "plain" / name).write_text("edited")
    write_files(venv.site, {name: ""})

    environment = venv.look().environment

    assert [loose.path for loose in environment.untracked] == [name]
    assert [one.files and one.files.edited for one in environment.distributions] == [
        (f"plain/{name}",)
    ]
    assert environment.outside == ()


@pytest.mark.parametrize("name", [b"two\nlines.py", b"\xff.py", "\u2028.py".encode(), b"\x85.py"])
def test_a_name_that_no_line_can_hold_is_refused_for_that_reason(name: bytes, venv: Venv) -> None:
    Path(os.fsdecode(os.fsencode(venv.site) + b"/" + name)).touch()

    (told,) = venv.look().environment.outside

    assert told.rpartition(": ")[2] == wording("its name has a control character, or is no UTF-8")


@pytest.mark.parametrize("leads", ["alice@workstation.42:1700000000", "{host}-4711"])
def test_a_link_that_locks_a_file_names_nobody(venv: Venv, leads: str) -> None:
    (venv.site / ".#core.py").symlink_to(leads.format(host=socket.gethostname()))
    (venv.site / "latest").symlink_to("run-3")

    assert venv.look().environment.untracked == (UntrackedFile(path="latest", link="run-3"),)
