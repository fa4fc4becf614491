"""What is fetched of what travels, and what is given again."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.content import read_chunks
from snapenv.errors import LeakError
from snapenv.lock.carry import Carried, Travelling, carry, find_folders
from snapenv.lock.overlay import plan_overlay
from snapenv.lock.pins import pinned, vendored
from snapenv.model.python import UntrackedFile
from snapenv.ports import Completed, Services
from snapenv.probe.collect import MARK
from snapenv.secrets.model import Secret
from snapenv.steps.locking import fetch_from
from tests.samples import sample_distribution, sample_environment, sample_facts, sample_files
from tests.workflows.services import services

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from snapenv.model.carried import Content
    from snapenv.model.python import Environment

CANARY = "hunter2-canary-of-the-index"
SECRET = Secret(value=CANARY, what="the password of index.example.com")
EVERYTHING = ["ours", "theirs", "site/edited.py", "site/loose.bin"]


@dataclass
class Machine:
    """A target that gives whatever it is asked for, and remembers that."""

    says: str = "content"
    python: str = "/env/bin/python"
    asked: list[str] = field(default_factory=list)

    def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, Content] | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        stdout: BinaryIO | None = None,
    ) -> Completed:
        del argv, environment, on_line
        assert files is not None
        assert stdout is not None
        content = files["request.json"]
        assert isinstance(content, bytes)
        request = json.loads(content)
        self.asked += [*request["distributions"], *request["files"]]
        stdout.write(MARK)
        with tarfile.open(fileobj=stdout, mode="w|") as archive:
            for name in request["distributions"]:
                metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
                add(archive, f"dist/{name}/site/{name}-1.0.dist-info/METADATA", metadata)
                add(archive, f"dist/{name}/site/{name}.py", self.says)
            for name in request["files"]:
                add(archive, f"files/{name}", self.says)
        return Completed(exit_code=0, stdout="", stderr="")


def add(archive: tarfile.TarFile, name: str, content: str) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o755
    archive.addfile(member, io.BytesIO(content.encode()))


def environment_with(
    *, ours: str = "1", theirs: str = "1", edited: str = "1", loose: str = "1"
) -> Environment:
    """Return an environment of two wheels, an edited and a loose file; each word is its bytes."""
    found = (
        sample_distribution("ours", "1.0", origin="local", files=sample_files(ours)),
        sample_distribution("theirs", "1.0", origin="local", files=sample_files(theirs)),
        sample_distribution("pinned", files=sample_files(edited, edited=("edited.py",))),
    )
    sha256 = sample_files(loose).sha256
    untracked = (UntrackedFile(path="loose.bin", sha256=sha256),)
    return sample_environment(distributions=found, untracked=untracked)


def carried(
    machine: Machine,
    around: Services,
    environment: Environment | None = None,
    *,
    allow: Sequence[str] = (),
    anew: bool = False,
) -> Carried:
    """Return what travels, with its bytes."""
    chosen = environment or environment_with()
    with tempfile.TemporaryDirectory() as into:
        travelling = Travelling(
            distributions=vendored(chosen),
            plan=plan_overlay(chosen, {found.name for found in pinned(chosen)}),
            facts=replace(sample_facts(), environment=chosen),
            into=Path(into),
        )
        found = carry(travelling, fetch_from(machine, around), around, allow=allow, anew=anew)
        wheels = {place: b"".join(read_chunks(one)) for place, one in found.wheels.items()}
    return replace(found, wheels=wheels)


@pytest.fixture
def around(tmp_path: Path) -> Services:
    return replace(services(), cache=tmp_path / "cache")


def test_what_has_not_changed_is_not_fetched_again(around: Services) -> None:
    first, again = Machine(), Machine()

    before = carried(first, around)

    assert carried(again, around) == before
    assert sorted(first.asked) == sorted(EVERYTHING)
    assert again.asked == []


@pytest.mark.parametrize(
    ("changed", "fetched"),
    [
        ("ours", "ours"),
        ("theirs", "theirs"),
        ("edited", "site/edited.py"),
        ("loose", "site/loose.bin"),
    ],
)
def test_what_has_changed_alone_is_fetched(around: Services, changed: str, fetched: str) -> None:
    carried(Machine(), around)
    machine = Machine(says="changed")

    found = carried(machine, around, environment_with(**{changed: "2"}))

    assert machine.asked == [fetched]
    contents = [*found.wheels.values(), *(file.content for file in found.files.values())]
    assert sum(b"changed" in b"".join(read_chunks(content)) for content in contents) == 1


def test_nothing_is_given_again_where_it_is_asked_for_anew(around: Services) -> None:
    carried(Machine(), around)
    machine = Machine()

    carried(machine, around, anew=True)

    assert sorted(machine.asked) == sorted(EVERYTHING)


def test_a_file_of_which_nothing_is_known_hangs_on_the_whole_environment(
    around: Services, tmp_path: Path
) -> None:
    def fetch(environment: Environment) -> list[str]:
        machine = Machine()
        plan = replace(plan_overlay(environment, ()), files=("site/other.sh",))
        facts = replace(sample_facts(), environment=environment)
        carry(
            Travelling(distributions=(), plan=plan, facts=facts, into=tmp_path),
            fetch_from(machine, around),
            around,
        )
        return machine.asked

    asked = ["site/other.sh"]

    assert fetch(environment_with()) == asked
    assert fetch(environment_with()) == []
    assert fetch(environment_with(theirs="2")) == asked


def test_a_distribution_that_nothing_identifies_is_fetched_each_time(around: Services) -> None:
    environment = environment_with()
    unknown = tuple(replace(found, files=None) for found in environment.distributions[:1])
    environment = replace(environment, distributions=unknown, untracked=())
    machine = Machine()

    carried(machine, around, environment)
    carried(machine, around, environment)

    assert machine.asked == ["ours", "ours"]


def test_without_a_folder_all_is_fetched_each_time() -> None:
    machine = Machine()

    carried(machine, services())
    carried(machine, services())

    assert sorted(machine.asked) == sorted(2 * EVERYTHING)


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 500])
def test_what_is_damaged_is_fetched_again(around: Services, content: bytes) -> None:
    before = carried(Machine(), around)
    folder = around.made().folder
    assert folder
    for path in folder.iterdir():
        path.write_bytes(content)
    machine = Machine()

    assert carried(machine, around) == before
    assert sorted(machine.asked) == sorted(EVERYTHING)


def test_a_kept_wheel_that_is_damaged_is_made_again(around: Services) -> None:
    before = carried(Machine(), around)
    damaged, _ = kept_wheels(around)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    machine = Machine()

    assert carried(machine, around) == before
    assert machine.asked in (["ours"], ["theirs"])
    assert carried(again := Machine(), around) == before
    assert again.asked == []


def kept_wheels(around: Services) -> list[Path]:
    folder = around.kept("wheels")
    assert folder
    return sorted(folder.iterdir())


def test_for_a_new_credential_all_is_searched_again(around: Services) -> None:
    carried(Machine(says=CANARY), around)

    with pytest.raises(LeakError):
        carried(Machine(says=CANARY), replace(around, secrets=lambda: (SECRET,)))


def test_what_was_allowed_once_is_refused_when_it_is_not(around: Services) -> None:
    secretive = replace(around, secrets=lambda: (SECRET,))
    before = carried(Machine(says=CANARY), secretive, allow=["site"])
    machine = Machine()

    assert carried(machine, secretive, allow=["site"]) == before
    assert before.allowed == ("site/edited.py", "site/loose.bin", "site/ours.py", "site/theirs.py")
    with pytest.raises(LeakError) as caught:
        carried(machine, secretive)

    assert str(caught.value) == wording(
        "site/ours.py line 1 holds the password of index.example.com; site/theirs.py line 1 holds the password of index.example.com; site/edited.py line 1 holds the password of index.example.com; site/loose.bin line 1 holds the password of index.example.com"
    )
    assert machine.asked == []


def test_no_credential_stands_in_what_is_kept(around: Services) -> None:
    carried(Machine(), replace(around, secrets=lambda: (SECRET,)))
    folder = around.made().folder
    assert folder

    kept = [path.name.encode() + path.read_bytes() for path in folder.iterdir()]
    wheels = [path.read_bytes() for path in kept_wheels(around)]

    assert len(kept) == 7  # a head of each, the contents of the two files, and the key
    assert len(wheels) == 2
    assert not any(CANARY.encode() in one for one in wheels)
    assert not any(CANARY.encode() in one for one in kept)


FOLDERS = {"this environment's folder": ("/home/alice/env",), "your home folder": ("/home/alice",)}


def test_each_kind_of_folder_is_named_with_its_first_line() -> None:
    text = b"x = 1\nA = '/home/alice/env/lib'\nB = '/home/alice/data'\nC = '/home/alice/env'\n"

    found = find_folders("site/x.py", text, FOLDERS)

    assert [(one.line, one.what) for one in found] == [
        (2, "this environment's folder"),
        (3, "your home folder"),
    ]
    assert str(found[0]) == wording(
        "site/x.py line 2 names this environment's folder, and travels as it is: it will lead nowhere elsewhere"
    )


@given(
    before=st.text("ab \n'", max_size=5),
    after=st.sampled_from(["", "/", "'", "\n", ":", " "]),
)
def test_a_folder_is_found_wherever_it_stands(before: str, after: str) -> None:
    text = f"{before}/home/alice/env{after}"

    (found,) = find_folders("x", text.encode(), FOLDERS)

    assert found.line == before.count("\n") + 1


def test_another_folder_and_machine_code_are_passed_over() -> None:
    assert find_folders("x", b"/home/alice2/x /home/alice-old /home/alice.bak", FOLDERS) == ()
    assert find_folders("x", b"\x7fELF\0/home/alice/env", FOLDERS) == ()
    assert find_folders("x", b"/home/alice/env", {}) == ()
