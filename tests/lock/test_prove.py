from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.lock.prove import installed_digest, installed_executables, is_proof, prove
from snapenv.model.wheels import WheelRecord
from tests.samples import sample_distribution, sample_files, sample_wheel

if TYPE_CHECKING:
    from snapenv.model.python import Distribution
    from snapenv.model.wheels import IndexWheel


def row(path: str, content: str = "x") -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=")
    return f"{path},sha256={digest.decode()},{len(content)}\n"


def digest_of(*paths: str, content: str = "x") -> str:
    """Return ``Files.sha256`` of installed files that all hold the same."""
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    text = "".join(f"{path}\0{sha256}\n" for path in sorted(paths))
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("path", "installed"),
    [
        ("a/b.py", "a/b.py"),
        ("a-1.data/purelib/b.py", "b.py"),
        ("a-1.data/platlib/b/c.so", "b/c.so"),
        ("a-1.data/scripts/run", "../../../bin/run"),
        ("a-1.data/data/share/x", "../../../share/x"),
        ("a-1.data/data/lib/python3.11/site-packages/x.pth", "x.pth"),
        ("a-1.data/headers/a.h", "../../../include/site/python3.11/a/a.h"),
        ("lib/a-1.data/scripts/x", "lib/a-1.data/scripts/x"),
        ('"with,comma.py"', "with,comma.py"),
        ("./a//b.py", "a/b.py"),
    ],
)
def test_a_file_counts_where_an_installer_puts_it(path: str, installed: str) -> None:
    assert installed_digest(row(path), name="a", python="3.11") == digest_of(installed)


@pytest.mark.parametrize(
    "left_out",
    [
        "a-1.dist-info/RECORD,,\n",
        "a-1.dist-info/RECORD.jws,,\n",
        row("a-1.dist-info/INSTALLER"),
        row("a-1.dist-info/REQUESTED"),
        row("a-1.dist-info/direct_url.json"),
        row("a/__pycache__/b.cpython-311.pyc"),
        row("a/b.pyc"),
        row("a/b.pyo"),
        "a/,,\n",
        "a,,\n",
    ],
)
def test_what_an_installer_writes_or_python_makes_anew_does_not_count(left_out: str) -> None:
    record = row("a/b.py") + left_out

    assert installed_digest(record, name="a", python="3.11") == digest_of("a/b.py")


def test_a_compiled_file_without_its_source_counts() -> None:
    assert installed_digest(row("a/b.pyc"), name="a", python="3.11") == digest_of("a/b.pyc")


@pytest.mark.parametrize("bad", ["b.py,,\n", "b.py,sha512=AAAA,1\n", "b.py,sha256=*,1\n"])
def test_a_file_without_a_sha256_proves_nothing(bad: str) -> None:
    assert installed_digest(row("a.py") + bad, name="a", python="3.11") is None


@given(st.text())
def test_any_text_is_no_crash(text: str) -> None:
    digest = installed_digest(text, name="a", python="3.11")

    assert digest is None or len(digest) == 64


def pin(sha256: str) -> Distribution:
    return sample_distribution("a", "1", files=replace(sample_files(), sha256=sha256))


def test_equal_files_are_the_proof() -> None:
    assert is_proof(row("a.py"), pin(digest_of("a.py")), "3.11")
    assert not is_proof(row("a.py", "y"), pin(digest_of("a.py")), "3.11")
    assert not is_proof(row("a.py") + row("b.py"), pin(digest_of("a.py")), "3.11")


@pytest.mark.parametrize("dirt", ["edited", "missing"])
def test_of_dirty_files_those_of_the_installed_record_count(dirt: str) -> None:
    files = sample_files("", **{dirt: ("a.py",)})
    dirty = replace(files, sha256=digest_of("a.py", content="edited"))
    without = replace(pin(""), files=dirty)

    recorded = replace(pin(""), files=replace(dirty, recorded=digest_of("a.py")))

    assert not is_proof(row("a.py", "edited"), without, "3.11")
    assert is_proof(row("a.py"), recorded, "3.11")
    assert not is_proof(row("a.py", "edited"), recorded, "3.11")


def test_what_has_no_files_is_not_proved() -> None:
    assert not is_proof(row("a.py"), replace(pin(""), files=None), "3.11")


def test_of_the_offered_wheels_the_first_whose_record_fits_is_the_installed_one() -> None:
    records = {"a-1-py2-none-any.whl": row("a.py", "y"), "a-1-py3-none-any.whl": row("a.py")}
    wheels = [
        replace(sample_wheel("a", "1"), url=f"https://example.com/{name}") for name in records
    ]
    known, unknown = pin(digest_of("a.py")), sample_distribution("b", "1")
    asked: list[IndexWheel] = []

    def record(wheel: IndexWheel) -> WheelRecord:
        asked.append(wheel)
        return WheelRecord(text=records[wheel.filename], size_bytes=7, executable=("a.py", "x"))

    found = prove([known, unknown], {"a": wheels}, record=record, python="3.11")

    assert found == {"a": replace(wheels[1], size_bytes=7, executable=("a.py",)), "b": None}
    assert asked == wheels


@pytest.mark.parametrize("cuts", [True, False])
def test_a_script_counts_with_and_without_the_options_of_its_first_line(*, cuts: bool) -> None:
    script = "a-1.data/scripts/run"
    cut = row("", "left").split(",")[1]
    own = WheelRecord(text=row("a.py") + row(script), size_bytes=7, cut_scripts={script: cut})
    lines = [("../../../bin/run", "left" if cuts else "x"), ("a.py", "x")]
    text = "".join(f"{path}\0{hashlib.sha256(has.encode()).hexdigest()}\n" for path, has in lines)
    files = replace(sample_files(), sha256=hashlib.sha256(text.encode()).hexdigest())
    pin, wheel = replace(sample_distribution("a", "1"), files=files), sample_wheel("a", "1")

    found = prove([pin], {"a": [wheel]}, record=lambda _: own, python="3.11")["a"]

    assert found is not None
    assert found.cut_scripts == (("../../../bin/run",) if cuts else ())


def test_scripts_and_what_the_archive_says_may_be_run() -> None:
    paths = ("a/x.so", "a/y.so", "a-1.data/scripts/run", "a-1.data/data/bin/x", "a/z.pyc", "a/z.py")
    record = WheelRecord(
        text="".join(map(row, paths)),
        size_bytes=None,
        executable=("./a/x.so", "a-1.data/data/bin/x", "a/z.pyc", "a/", "not/in/record"),
    )

    found = installed_executables(record, name="a", python="3.11")

    assert found == ("../../../bin/run", "../../../bin/x", "a/x.so")
