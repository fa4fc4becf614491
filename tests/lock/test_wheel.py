from __future__ import annotations

import base64
import csv
import hashlib
import io
import platform
import random
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording
from msgspec.structs import replace
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename
from uv import find_uv_bin

from snapenv.errors import LockError
from snapenv.lock.tags import Platform
from snapenv.lock.wheel import as_files, is_installable, make_wheel, scripts_of
from snapenv.model.carried import CarriedFile
from snapenv.model.python import Distribution
from tests.steady import steady

if TYPE_CHECKING:
    from collections.abc import Mapping

INFO = "site/our_tool-1.2.dist-info"
METADATA = "Metadata-Version: 2.1\nName: our-tool\nVersion: 1.2\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: anyone\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
OURS = Distribution(name="our-tool", version="1.2", origin="local")
PLATFORM = Platform(python="3.11", machine="x86_64", glibc="2.36")
OF_INSTALLER = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json")


def carried(content: str = "", *, executable: bool = False) -> CarriedFile:
    return CarriedFile(content=content.encode(), executable=executable)


def tool(**more: str) -> dict[str, CarriedFile]:
    """Return the files of a small distribution, with more of them by path."""
    files = {f"{INFO}/METADATA": METADATA, f"{INFO}/WHEEL": WHEEL, "site/our_tool.py": "x = 1\n"}
    return {path: carried(content) for path, content in {**files, **more}.items()}


def rebuild_wheel(
    distribution: Distribution, files: Mapping[str, CarriedFile], platform: Platform
) -> tuple[str, bytes]:
    name, content = make_wheel(distribution, files, platform, into=Path())
    assert isinstance(content, bytes)
    return name, content


def rebuilt(
    files: Mapping[str, CarriedFile], distribution: Distribution = OURS
) -> tuple[str, zipfile.ZipFile]:
    name, content = rebuild_wheel(distribution, files, PLATFORM)
    return name, zipfile.ZipFile(io.BytesIO(content))


def refusal(files: Mapping[str, CarriedFile], distribution: Distribution = OURS) -> str:
    with pytest.raises(LockError) as caught:
        rebuild_wheel(distribution, files, PLATFORM)
    return caught.value.message


def test_files_go_where_an_installer_takes_them_from() -> None:
    files = tool(
        **{
            "site/our_tool/data.txt": "1",
            "scripts/run": "#!python\n",
            "data/share/our/x.txt": "2",
            f"{INFO}/licenses/LICENSE": "3",
        }
    )

    _, archive = rebuilt(files)

    assert archive.namelist() == [
        "our_tool-1.2.data/data/share/our/x.txt",
        "our_tool-1.2.data/scripts/run",
        "our_tool.py",
        "our_tool/data.txt",
        "our_tool-1.2.dist-info/METADATA",
        "our_tool-1.2.dist-info/WHEEL",
        "our_tool-1.2.dist-info/licenses/LICENSE",
        "our_tool-1.2.dist-info/RECORD",
    ]


def test_record_lists_every_file_with_its_hash_and_size() -> None:
    _, archive = rebuilt(tool(**{'site/our_tool/a "b", c.txt': "odd"}))

    rows = list(csv.reader(io.StringIO(archive.read(f"{INFO[5:]}/RECORD").decode())))

    assert [row[0] for row in rows] == archive.namelist()
    assert rows[-1][1:] == ["", ""]
    for path, digest, size in rows[:-1]:
        content = archive.read(path)
        encoded = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        assert (digest, size) == (f"sha256={encoded}", str(len(content)))


def test_what_may_be_run_may_be_run_in_the_wheel() -> None:
    files = {**tool(), "scripts/run": carried("#!/bin/sh\n", executable=True)}

    _, archive = rebuilt(files)

    modes = {entry.filename: oct(entry.external_attr >> 16) for entry in archive.infolist()}
    assert modes["our_tool-1.2.data/scripts/run"] == "0o100755"
    assert modes["our_tool.py"] == "0o100644"


@pytest.mark.parametrize("limit", [zipfile.ZIP64_LIMIT, 1000])
def test_a_wheel_with_a_large_file_is_written_to_a_file_whatever_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """From a limit of 2 GiB on a zip needs fields of another form; here it is as low as asked."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit)
    content = bytes(range(256)) * 20
    (tmp_path / "large").write_bytes(content)
    large = CarriedFile(content=tmp_path / "large", executable=False)
    small = CarriedFile(content=content, executable=False)

    name, place = make_wheel(OURS, {**tool(), "site/w.pt": large}, PLATFORM, into=tmp_path)

    assert place == tmp_path / name
    assert (tmp_path / name).read_bytes() == rebuilt_bytes({**tool(), "site/w.pt": small})
    with zipfile.ZipFile(tmp_path / name) as archive:
        assert archive.read("w.pt") == content
        assert archive.testzip() is None


def rebuilt_bytes(files: Mapping[str, CarriedFile]) -> bytes:
    return rebuild_wheel(OURS, files, PLATFORM)[1]


def test_no_date_and_no_compressor_is_in_the_wheel() -> None:
    _, archive = rebuilt(tool())

    for entry in archive.infolist():
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        assert (entry.compress_type, entry.create_system) == (zipfile.ZIP_STORED, 3)


@pytest.mark.parametrize(
    ("lines", "tags"),
    [
        ("Tag: py3-none-any", "py3-none-any"),
        ("Tag: py3-none-any\nTag: py2-none-any", "py2.py3-none-any"),
        ("Tag: py2.py3-none-any\r", "py2.py3-none-any"),
        (
            "Tag: cp311-cp311-manylinux_2_17_x86_64\nTag: cp311-cp311-manylinux2014_x86_64",
            "cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64",
        ),
        ("Root-Is-Purelib: false\nTag: cp38-abi3-linux_x86_64", "cp38-abi3-linux_x86_64"),
    ],
)
def test_the_tags_of_the_wheel_file_name_the_wheel_and_the_file_stays(
    lines: str, tags: str
) -> None:
    wheel_file = f"Wheel-Version: 1.0\n{lines}\n"

    name, archive = rebuilt(tool(**{f"{INFO}/WHEEL": wheel_file}))

    assert name == f"our_tool-1.2-{tags}.whl"
    assert archive.read(f"{INFO[5:]}/WHEEL").decode() == wheel_file


ODD_TAGS = (
    "cp36-cp36m-manylinux2010_x86_64",
    "cp311-cp311-win_amd64",
    "cp311-cp311-manylinux_2_17_aarch64",
    "cp312-abi3-linux_x86_64",
    "py2-none-any",
    "../../x-none-any",
    "0001-01-01",
    "py3-none",
    "",
)


@pytest.mark.parametrize("tag", ODD_TAGS)
@pytest.mark.parametrize(
    ("path", "named"),
    [("site/a.py", "py3-none-any"), ("site/lib/libours.so", "cp311-cp311-linux_x86_64")],
)
def test_tags_that_do_not_fit_name_no_wheel_and_the_file_stays(
    tag: str, path: str, named: str
) -> None:
    wheel_file = f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n"

    name, archive = rebuilt(tool(**{f"{INFO}/WHEEL": wheel_file, path: ""}))

    assert name == f"our_tool-1.2-{named}.whl"
    assert archive.read(f"{INFO[5:]}/WHEEL").decode() == wheel_file


tag_parts = (
    st.sampled_from(["py3", "py2", "py2.py3", "cp36", "cp38", "cp311", "cp314", "pp310", "x"]),
    st.sampled_from(["none", "abi3", "cp311", "cp36m", "cp314t", "cp311.none", "y"]),
    st.sampled_from(["any", "linux_x86_64", "manylinux2014_x86_64", "manylinux_2_99_x86_64"])
    | st.sampled_from(["manylinux1_i686.manylinux_2_17_x86_64", "macosx_11_0_arm64", "z"]),
)


@given(st.lists(st.tuples(*tag_parts).map("-".join)))
def test_whatever_tags_were_written_the_wheel_fits_where_it_was_captured(tags: list[str]) -> None:
    here = Platform(
        python=f"3.{sys.version_info.minor}",
        machine=platform.machine(),
        glibc=platform.libc_ver()[1],
    )
    lines = "".join(f"Tag: {tag}\n" for tag in tags)
    files = tool(**{f"{INFO}/WHEEL": f"Wheel-Version: 1.0\n{lines}"})

    name, _ = rebuild_wheel(OURS, files, here)

    _, _, _, named = parse_wheel_filename(name)
    assert named & set(sys_tags())


@pytest.mark.parametrize(
    ("path", "tag", "pure"),
    [
        ("site/our_tool/data.txt", "py3-none-any", "true"),
        ("site/our_tool/fast.cpython-311-x86_64-linux-gnu.so", "cp311-cp311-linux_x86_64", "false"),
        ("site/our_tool/libfast.so.2.1", "cp311-cp311-linux_x86_64", "false"),
        ("site/our_tool/any.so.txt", "py3-none-any", "true"),
    ],
)
def test_without_a_wheel_file_the_tag_says_whether_something_is_compiled(
    path: str, tag: str, pure: str
) -> None:
    files = tool(**{path: "x"})
    del files[f"{INFO}/WHEEL"]

    name, archive = rebuilt(files)

    assert name == f"our_tool-1.2-{tag}.whl"
    made = archive.read(f"{INFO[5:]}/WHEEL").decode()
    assert made == (
        f"Wheel-Version: 1.0\nGenerator: snapenv\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"
    )


@pytest.mark.parametrize("pure", ["true", "false"])
def test_another_folder_that_an_installer_would_take_for_its_own_is_moved_aside(pure: str) -> None:
    wheel_file = WHEEL.replace("true", pure)
    files = tool(
        **{f"{INFO}/WHEEL": wheel_file, "site/x.data/a": "", "site/other-1.dist-info/b": ""}
    )

    _, archive = rebuilt(files)

    lib = f"our_tool-1.2.data/{'purelib' if pure == 'true' else 'platlib'}"
    assert archive.namelist()[:2] == [f"{lib}/other-1.dist-info/b", f"{lib}/x.data/a"]


def test_what_an_installer_writes_itself_is_left_to_it() -> None:
    files = tool(
        **{f"{INFO}/{name}": "x" for name in OF_INSTALLER},
        **{
            f"{INFO}/entry_points.txt": "[console_scripts]\nour-tool = our_tool:main\n",
            "scripts/our-tool": "#!python\n",
            "scripts/our-other": "#!python\n",
        },
    )

    _, archive = rebuilt(files)

    assert archive.namelist() == [
        "our_tool-1.2.data/scripts/our-other",
        "our_tool.py",
        f"{INFO[5:]}/METADATA",
        f"{INFO[5:]}/WHEEL",
        f"{INFO[5:]}/entry_points.txt",
        f"{INFO[5:]}/RECORD",
    ]


@pytest.mark.parametrize("entry_points", ["", "[other]\nrun = x:y\n"])
def test_entry_points_that_generate_nothing_leave_the_scripts(entry_points: str) -> None:
    files = tool(**{f"{INFO}/entry_points.txt": entry_points, "scripts/run": ""})

    _, archive = rebuilt(files)

    assert "our_tool-1.2.data/scripts/run" in archive.namelist()


def test_an_egg_info_becomes_a_dist_info() -> None:
    files = {
        "site/our_tool.py": carried("x = 1\n"),
        "site/our_tool.egg-info/PKG-INFO": carried(METADATA),
        "site/our_tool.egg-info/SOURCES.txt": carried(),
        "site/our_tool.egg-info/top_level.txt": carried("our_tool\n"),
    }

    name, archive = rebuilt(files)

    assert name == "our_tool-1.2-py3-none-any.whl"
    assert archive.namelist() == [
        "our_tool.py",
        *(f"our_tool-1.2.dist-info/{found}" for found in ("METADATA", "WHEEL", "top_level.txt")),
        "our_tool-1.2.dist-info/RECORD",
    ]


def test_an_egg_info_that_is_a_file_becomes_a_dist_info() -> None:
    files = {"site/our_tool-1.2.egg-info": carried(METADATA), "site/our_tool.py": carried()}

    _, archive = rebuilt(files)

    assert archive.read("our_tool-1.2.dist-info/METADATA").decode() == METADATA


@pytest.mark.parametrize(
    ("name", "version", "info"),
    [
        ("Our.Tool", "1.2", "Our.Tool-1.2.dist-info"),
        ("our_tool", "1.2.0", "our_tool-1.2.dist-info"),
        ("our-tool", "1.2", "our_tool-1.3.dist-info"),
        ("our-tool", "1.2", "our_tool-unknown.dist-info"),
    ],
)
def test_a_dist_info_keeps_its_name_where_it_is_that_of_its_distribution(
    name: str, version: str, info: str
) -> None:
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {f"site/{info}/METADATA": carried(metadata), f"site/{info}/WHEEL": carried(WHEEL)}

    file_name, archive = rebuilt(files)

    assert file_name == f"our_tool-{version}-py3-none-any.whl"
    assert archive.namelist()[0] == f"{info}/METADATA"


@pytest.mark.parametrize(
    ("version", "spelled"), [("2.1.0+CU.121", "2.1.0+cu.121"), ("1!2.0-rc1", "1!2.0rc1")]
)
def test_the_file_name_has_the_version_as_the_standard_writes_it(
    version: str, spelled: str
) -> None:
    metadata = METADATA.replace("1.2", version)
    files = {f"{INFO}/METADATA": carried(metadata)}

    name, _ = rebuilt(files)

    parsed, found, _, _ = parse_wheel_filename(name)
    assert (parsed, str(found)) == ("our-tool", spelled)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "its metadata is missing"),
        ({"site/our_tool.py": ""}, "its metadata is missing"),
        ({f"{INFO}/METADATA": "Name: other\nVersion: 1.2\n"}, "its metadata is missing"),
        ({f"{INFO}/METADATA": "\n\nName: our-tool\n"}, "its metadata is missing"),
        (
            {f"{INFO}/METADATA": "Name: our-tool\nVersion: new/../..\n"},
            "'new/../..' is not a version that a wheel can have",
        ),
        (
            {f"{INFO}/METADATA": METADATA, f"{INFO}/WHEEL": ""},
            "our_tool-1.2.dist-info/WHEEL is not of version 1",
        ),
        (
            {f"{INFO}/METADATA": METADATA, f"{INFO}/WHEEL": WHEEL.replace("1.0", "2.0")},
            "our_tool-1.2.dist-info/WHEEL is not of version 1",
        ),
        (
            {"site/other-1.2.dist-info/METADATA": METADATA},
            "its metadata lies in other-1.2.dist-info, which is not named after it",
        ),
        (
            {
                f"{INFO}/METADATA": METADATA,
                f"{INFO}/entry_points.txt": "[gui_scripts]\na = b\n",
            },
            "its entry_points.txt is not one that an installer takes",
        ),
        (
            {f"{INFO}/METADATA": METADATA, "site/a": "", "site/a/b": ""},
            "a would be a file and a folder",
        ),
        (
            {
                "site/our_tool.egg-info/PKG-INFO": METADATA,
                "site/our_tool.egg-info/METADATA": METADATA,
            },
            "two of its files would be our_tool-1.2.dist-info/METADATA",
        ),
    ],
)
def test_what_makes_no_wheel_is_refused_by_name(files: Mapping[str, str], why: str) -> None:
    found = {path: carried(content) for path, content in files.items()}

    assert steady(refusal(found), why=why) == wording("no wheel can be made of our-tool 1.2: WHY")


@pytest.mark.parametrize("name", ["../our-tool", "our-tool\n", "", "-"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    files = tool(**{f"{INFO}/METADATA": f"Name: {name}\nVersion: 1.2\n"})

    message = refusal(files, replace(OURS, name=name))
    assert message.partition(" of ")[0] == wording("no wheel can be made")


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "a//b", "./a", "~/project/x"])
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    message = refusal(tool(**{f"site/{path}": ""} if path[0] not in "/~" else {path: ""}))

    assert message.partition(" of ")[2] == wording("our-tool lies outside of the environment")


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\0b", "\udcff.py"])
def test_a_name_that_no_line_can_hold_is_refused(name: str) -> None:
    message = refusal({**tool(), f"site/{name}": carried()})

    assert message.partition(" of ")[2] == wording(
        "our-tool has a control character or is no UTF-8"
    )


parts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp"), exclude_characters="/\\"),
    min_size=1,
    max_size=8,
).filter(lambda part: part not in (".", "..", "~"))
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
contents = st.builds(CarriedFile, content=st.binary(max_size=40), executable=st.booleans())
filesets = st.dictionaries(
    st.tuples(st.sampled_from(("site/our_tool", "data/share")), paths).map("/".join),
    contents,
    max_size=6,
).filter(lambda files: not _has_file_as_folder(files))


def _has_file_as_folder(files: Mapping[str, CarriedFile]) -> bool:
    return any(str(above) in files for path in files for above in PurePosixPath(path).parents)


@given(filesets, st.integers())
def test_any_files_in_any_order_give_the_same_bytes_and_come_out_again(
    files: dict[str, CarriedFile], seed: int
) -> None:
    everything = {**tool(), **files}
    shuffled = list(everything.items())
    random.Random(seed).shuffle(shuffled)

    name, archive = rebuilt(everything)

    again, other = rebuilt(dict(shuffled))
    assert (name, archive.fp.getvalue()) == (again, other.fp.getvalue())  # type: ignore[union-attr]
    assert archive.testzip() is None
    assert unpacked(archive) == everything


@given(filesets, filesets)
def test_other_files_are_another_wheel(
    one: dict[str, CarriedFile], two: dict[str, CarriedFile]
) -> None:
    wheels = [rebuild_wheel(OURS, {**tool(), **files}, PLATFORM) for files in (one, two)]

    assert (wheels[0] == wheels[1]) == (one == two)


def unpacked(archive: zipfile.ZipFile) -> dict[str, CarriedFile]:
    """Return the files of a wheel as they are collected where it is installed."""
    return {
        _collected(entry.filename): CarriedFile(
            content=archive.read(entry), executable=bool(entry.external_attr >> 16 & 0o100)
        )
        for entry in archive.infolist()
        if not entry.filename.endswith("/RECORD") or entry.filename.count("/") > 1
    }


def _collected(name: str) -> str:
    top, _, rest = name.partition("/")
    return rest if top.endswith(".data") else f"site/{name}"


@pytest.fixture(scope="module")
def installed_by_uv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("uv"), find_uv_bin(), "pip", "install", "--offline")


@pytest.fixture(scope="module")
def installed_by_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pip")
    pip = (sys.executable, "-m", "pip")
    if subprocess.run((*pip, "--version"), check=False, capture_output=True).returncode != 0:
        pytest.skip("there is no pip beside the tests")
    return install(folder, *pip, "install", "--no-index")


def real_tool() -> dict[str, CarriedFile]:
    """Return a distribution with everything that can be carried, its names in odd spellings."""
    info = "site/Our.Tool-1!2.0+CU1.dist-info"
    files = {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: Our.Tool\nVersion: 1!2.0+cu1\n",
        f"{info}/WHEEL": WHEEL + "Tag: py2-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nour-tool = our_tool:main\n",
        "site/our_tool/__init__.py": "def main():\n    print('installed')\n",
        'site/our_tool/ü "b", \u3000c.txt': "odd",
        "site/other.data/x.txt": "a folder of the same form",
        "site/left-1.dist-info/x.txt": "another's",
        "data/share/our/x.txt": "data",
    }
    script = carried("#!python\nimport our_tool\nour_tool.main()\n", executable=True)
    return {**{path: carried(text) for path, text in files.items()}, "scripts/run": script}


def install(folder: Path, *words: str) -> Path:
    """Install the wheel of ``real_tool`` into a venv of its own, and give the venv."""
    name, content = rebuild_wheel(
        OURS, real_tool(), Platform(python=f"3.{sys.version_info.minor}", machine="x86_64")
    )
    (folder / name).write_bytes(content)
    venv = folder / "venv"
    run(find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(venv))
    is_uv = words[0] == find_uv_bin()
    where = (
        ("--python", str(venv)) if is_uv else ("--prefix", str(venv), "--no-warn-script-location")
    )
    run(*words, "--quiet", *where, str(folder / name))
    return venv


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def collect(venv: Path) -> dict[str, CarriedFile]:
    """Return what ``real_tool`` put into a venv, less what an installer makes."""
    (site,) = venv.glob("lib/python3.*/site-packages")
    info = site / "Our.Tool-1!2.0+CU1.dist-info"
    found = [
        *(
            (f"site/{path.relative_to(site)}", path)
            for top in (info, site / "our_tool", site / "other.data", site / "left-1.dist-info")
            for path in top.rglob("*")
            if path.name not in OF_INSTALLER and "__pycache__" not in path.parts
        ),
        ("data/share/our/x.txt", venv / "share" / "our" / "x.txt"),
    ]
    files = {
        name: CarriedFile(content=path.read_bytes(), executable=bool(path.stat().st_mode & 0o100))
        for name, path in found
        if path.is_file()
    }
    script = (venv / "bin" / "run").read_bytes().partition(b"\n")[2]
    return {**files, "scripts/run": CarriedFile(content=b"#!python\n" + script, executable=True)}


@pytest.mark.parametrize("installer", ["installed_by_uv", "installed_by_pip"])
def test_what_was_installed_from_a_rebuilt_wheel_gives_the_same_wheel_again(
    installer: str, request: pytest.FixtureRequest
) -> None:
    venv: Path = request.getfixturevalue(installer)

    again = rebuild_wheel(OURS, collect(venv), PLATFORM)

    assert again == rebuild_wheel(OURS, real_tool(), PLATFORM)


@pytest.mark.parametrize("script", ["our-tool", "run"])
def test_the_scripts_of_a_rebuilt_wheel_run(installed_by_uv: Path, script: str) -> None:
    assert run(str(installed_by_uv / "bin" / script)) == "installed\n"


OURS_INFO = "ours-2.0_x.dist-info"
POINTS = b"[console_scripts]\nrun = ours:main.start [extra]\n[other]\nx = y\n"
SCRIPT = b"""#!python
import sys
from ours import main
if __name__ == '__main__':
    sys.exit(main.start())
"""


def carried_bytes(content: bytes, *, executable: bool = False) -> CarriedFile:
    return CarriedFile(content=content, executable=executable)


FILES = {
    f"site/{OURS_INFO}/METADATA": carried_bytes(b"Name: ours\nVersion: 2.0-x\n"),
    f"site/{OURS_INFO}/entry_points.txt": carried_bytes(POINTS),
    "site/ours.py": carried_bytes(b"x = 1\n"),
    "scripts/tool": carried_bytes(b"#!/bin/sh\n", executable=True),
    "data/share/ours/a, b.txt": carried_bytes(b""),
}


def test_files_and_scripts_stand_where_an_installer_puts_them() -> None:
    placed = as_files(FILES)

    assert placed["site/ours.py"] == FILES["site/ours.py"]
    assert placed["prefix/bin/tool"] == FILES["scripts/tool"]
    assert placed["prefix/share/ours/a, b.txt"] == FILES["data/share/ours/a, b.txt"]
    assert placed["prefix/bin/run"] == carried_bytes(SCRIPT, executable=True)


def test_record_lists_all_and_tells_no_hash_of_what_is_written_anew() -> None:
    record = as_files(FILES)[f"site/{OURS_INFO}/RECORD"].text.decode().splitlines()

    assert [line.rpartition(",")[0].rpartition(",")[0] for line in record] == [
        "../../../bin/run",
        "../../../bin/tool",
        '"../../../share/ours/a, b.txt"',
        f"{OURS_INFO}/INSTALLER",
        f"{OURS_INFO}/METADATA",
        f"{OURS_INFO}/entry_points.txt",
        "ours.py",
        f"{OURS_INFO}/RECORD",
    ]
    assert [line for line in record if line.endswith(",,")] == [
        "../../../bin/run,,",
        "../../../bin/tool,,",
        f"{OURS_INFO}/RECORD,,",
    ]


def test_a_script_that_lies_there_by_hand_is_left_to_what_brings_it_back() -> None:
    assert "prefix/bin/run" not in as_files(FILES, untracked={"prefix/bin/run"})


def test_without_a_dist_info_there_is_no_record() -> None:
    files = {"site/ours.egg-info/PKG-INFO": carried_bytes(b"Name: ours\nVersion: x\n")}

    assert as_files(files) == files


@pytest.mark.parametrize(
    "text",
    [
        b"garbage\n",
        b"run = ours:main\n",
        b"[console_scripts]\nrun = ours\n",
        b"[gui_scripts]\n../run = ours:main\n",
        b"[console_scripts]\nrun = ours:main\nrun = ours:other\n",
        b"\xff\xfe",
    ],
)
def test_entry_points_that_uv_refuses_are_known(text: bytes) -> None:
    """Each of these was given to uv 0.13.9 in a wheel."""
    assert not is_installable(text)


@given(st.from_regex(r"[a-z]\w{0,8}(\.[a-z]\w{0,8})?", fullmatch=True).filter(str.isascii))
def test_entry_points_that_uv_takes_become_scripts(name: str) -> None:
    text = f"[console_scripts]\n{name} = {name}:{name}\n".encode()

    assert is_installable(text)
    assert scripts_of(text)[name].endswith(f"sys.exit({name}())\n".encode())
