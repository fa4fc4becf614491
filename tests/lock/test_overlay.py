from __future__ import annotations

import hashlib
import json
import os
import random
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording
from msgspec.structs import replace
from uv import find_uv_bin

from snapenv.errors import LockError
from snapenv.lock.overlay import OverlayPlan, plan_overlay
from snapenv.lock.overlay import make_overlay as make_any_overlay
from snapenv.model.carried import CarriedFile
from snapenv.model.python import UntrackedFile
from tests.samples import sample_distribution, sample_environment, sample_files
from tests.steady import steady

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from snapenv.model.python import Distribution, Environment, OriginKind

NOTHING = OverlayPlan(links={}, sha256={})


def make_overlay(plan: OverlayPlan, files: Mapping[str, CarriedFile]) -> Mapping[str, bytes]:
    """Make an overlay of small files."""
    made = make_any_overlay(plan, files)
    return {name: content for name, content in made.items() if isinstance(content, bytes)}


def carried(content: str, *, executable: bool = False) -> CarriedFile:
    return CarriedFile(content=content.encode(), executable=executable)


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def tool(origin: OriginKind = "index", **found: tuple[str, ...]) -> Distribution:
    return sample_distribution("our-tool", "1.2", origin=origin, files=sample_files("", **found))


def environment(
    *distributions: Distribution, untracked: tuple[UntrackedFile, ...] = ()
) -> Environment:
    return replace(sample_environment(distributions=distributions), untracked=untracked)


def test_edited_files_of_a_pinned_package_are_collected_and_missing_ones_deleted() -> None:
    ours = tool(edited=("our_tool/b.py", "our_tool/a.py"), missing=("our_tool/c.py",))

    plan = plan_overlay(environment(ours), {"our-tool"})

    assert plan == replace(
        NOTHING,
        files=("site/our_tool/a.py", "site/our_tool/b.py"),
        deleted=("site/our_tool/c.py",),
    )
    assert plan.names == ("site/our_tool/a.py", "site/our_tool/b.py", "site/our_tool/c.py")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("../../../bin/tool", "prefix/bin/tool"),
        ("../../../share/x/y.txt", "prefix/share/x/y.txt"),
        ("../x.txt", "prefix/lib/python3.11/x.txt"),
        ("../site-packages/x.txt", "site/x.txt"),
        ("tool/x.txt", "site/tool/x.txt"),
    ],
)
def test_what_record_names_outside_of_site_packages_is_named_from_the_prefix(
    path: str, name: str
) -> None:
    plan = plan_overlay(environment(tool(edited=(path,))), {"our-tool"})

    assert plan.files == (name,)


@pytest.mark.parametrize("path", ["../../../../x", "/etc/x", "~/x", "a/../../x"])
def test_an_edited_file_outside_of_the_environment_is_refused(path: str) -> None:
    with pytest.raises(LockError) as caught:
        plan_overlay(environment(tool(edited=(path,))), {"our-tool"})

    assert caught.value.message.partition(" of ")[2] == wording(
        "our-tool lies outside of the environment"
    )


@pytest.mark.parametrize("name", ["a\nb.py", "a\x85b.py", "\udcff.py"])
def test_a_file_whose_name_no_line_can_hold_is_refused(name: str) -> None:
    with pytest.raises(LockError) as caught:
        plan_overlay(environment(untracked=(UntrackedFile(path=name, sha256=sha256("")),)), ())

    assert steady(caught.value, name=name) == wording(
        "the name NAME of site-packages has a control character or is no UTF-8"
    )


def test_of_a_vendored_package_only_scripts_are_in_the_overlay() -> None:
    ours = tool(
        "vcs",
        edited=("our_tool/a.py", "../../../bin/tool"),
        missing=("our_tool/c.py", "../../../bin/other"),
    )

    plan = plan_overlay(environment(ours), ())

    assert plan == replace(NOTHING, files=("prefix/bin/tool",), deleted=("prefix/bin/other",))


def test_what_a_base_image_edited_comes_back_with_it() -> None:
    ours = tool("base", edited=("our_tool/a.py", "../../../bin/tool"), missing=("b.py",))

    assert plan_overlay(environment(ours), ()) == NOTHING


def test_a_file_that_one_package_misses_and_another_edited_is_not_deleted() -> None:
    other = replace(tool(edited=("shared/a.py",)), name="other")

    plan = plan_overlay(environment(tool(missing=("shared/a.py",)), other), {"our-tool", "other"})

    assert plan == replace(NOTHING, files=("site/shared/a.py",))


def test_loose_files_are_collected_and_links_are_noted() -> None:
    loose = (
        UntrackedFile(path="mine.py", sha256=sha256("x")),
        UntrackedFile(path="link.py", link="mine.py"),
    )

    plan = plan_overlay(environment(untracked=loose), ())

    assert plan == OverlayPlan(
        files=("site/mine.py",),
        links={"site/link.py": "mine.py"},
        sha256={"site/mine.py": sha256("x")},
    )


def test_an_empty_folder_is_put_in_place() -> None:
    plan = plan_overlay(environment(untracked=(UntrackedFile(path="space/x", folder=True),)), ())

    assert plan == replace(NOTHING, folders=("site/space/x",))


@given(own=st.sets(st.sampled_from("abcde")), given_by_wheel=st.sets(st.sampled_from("abcde")))
def test_what_may_be_run_other_than_the_wheel_gives_it_is_changed_back(
    own: set[str], given_by_wheel: set[str]
) -> None:
    ours = tool(edited=("a",), missing=("b",))
    assert ours.files
    ours = replace(ours, files=replace(ours.files, executable=tuple(own)))

    plan = plan_overlay(
        environment(ours), {"our-tool"}, executable={"our-tool": tuple(given_by_wheel)}
    )

    changed = (own ^ given_by_wheel) - {"a", "b"}
    assert plan.modes == {f"site/{name}": name in own for name in changed}


@pytest.mark.parametrize(("own", "given_by_wheel"), [(None, ("a",)), (("a",), None)])
def test_what_may_be_run_is_left_alone_where_a_side_is_not_known(
    own: tuple[str, ...] | None, given_by_wheel: tuple[str, ...] | None
) -> None:
    ours = tool()
    assert ours.files
    ours = replace(ours, files=replace(ours.files, executable=own))

    plan = plan_overlay(environment(ours), {"our-tool"}, executable={"our-tool": given_by_wheel})

    assert plan == NOTHING


def test_where_nothing_differs_there_is_no_overlay() -> None:
    plan = plan_overlay(environment(tool()), {"our-tool"})

    assert make_overlay(plan, {}) == {}


def test_the_index_lists_every_entry_by_its_place() -> None:
    plan = OverlayPlan(
        files=("prefix/bin/tool", "site/b.py"),
        links={"site/c.py": "b.py"},
        deleted=("site/a.py",),
        sha256={},
    )
    script = carried("#!python\nprint()\n", executable=True)

    made = make_overlay(plan, {"prefix/bin/tool": script, "site/b.py": carried("#!python\n")})

    script_hash, file_hash = sha256("#!python\nprint()\n"), sha256("#!python\n")
    assert json.loads(made["overlay/index.json"]) == [
        {
            "root": "prefix",
            "path": "bin/tool",
            "sha256": script_hash,
            "executable": True,
            "script": True,
        },
        {"root": "site", "path": "a.py", "deleted": True},
        {"root": "site", "path": "b.py", "sha256": file_hash, "executable": False},
        {"root": "site", "path": "c.py", "link": "b.py"},
    ]
    assert set(made) == {
        "overlay/index.json",
        "overlay/apply.py",
        f"overlay/{script_hash}",
        f"overlay/{file_hash}",
    }
    assert made[f"overlay/{file_hash}"] == b"#!python\n"


@pytest.mark.parametrize("files", [{}, {"site/mine.py": carried("y")}])
def test_a_file_that_is_not_what_the_probe_saw_is_named(files: Mapping[str, CarriedFile]) -> None:
    loose = UntrackedFile(path="mine.py", sha256=sha256("x"))
    plan = plan_overlay(environment(untracked=(loose,)), ())

    with pytest.raises(LockError) as caught:
        make_overlay(plan, files)

    assert caught.value.message == wording("site/mine.py changed while it was captured")


names = st.from_regex(r"[a-z]{1,3}\.py", fullmatch=True)


@given(st.dictionaries(names, st.text(max_size=3), min_size=1, max_size=5), st.integers())
def test_any_files_in_any_order_give_the_same_overlay(files: dict[str, str], seed: int) -> None:
    found = {f"site/{path}": carried(content) for path, content in files.items()}
    loose = [UntrackedFile(path=path, sha256=sha256(content)) for path, content in files.items()]
    made = make_overlay(plan_overlay(environment(untracked=tuple(loose)), ()), found)
    random.Random(seed).shuffle(loose)

    again = make_overlay(
        plan_overlay(environment(untracked=tuple(loose)), ()), dict(reversed(found.items()))
    )

    assert list(again.items()) == list(made.items())


class Place:
    """A real venv, and a folder beside it for an overlay."""

    def __init__(self, folder: Path, venv: Path) -> None:
        self.overlay = folder / "overlay"
        self.venv = venv
        (self.site,) = venv.glob("lib/python3.*/site-packages")

    def apply(self, files: Mapping[str, bytes]) -> subprocess.CompletedProcess[str]:
        self.overlay.mkdir(exist_ok=True)
        for name, content in files.items():
            (self.overlay.parent / name).write_bytes(content)
        argv = (str(self.venv / "bin" / "python"), "-B", str(self.overlay / "apply.py"))
        return subprocess.run(argv, check=False, capture_output=True, text=True)

    def apply_index(
        self, index: object, contents: Mapping[str, bytes] | None = None
    ) -> subprocess.CompletedProcess[str]:
        script = make_overlay(replace(NOTHING, deleted=("site/x",)), {})["overlay/apply.py"]
        listed = index if isinstance(index, bytes) else json.dumps(index).encode()
        files = {"index.json": listed, "apply.py": script, **(contents or {})}
        return self.apply({f"overlay/{name}": content for name, content in files.items()})

    def seen(self) -> dict[str, str]:
        """Return what is in the venv: contents and modes of files, and where links point."""
        return {
            str(path.relative_to(self.venv)): _describe(path)
            for path in sorted(self.venv.rglob("*"))
        }


def _describe(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    if path.is_dir():
        return "folder"
    return f"{path.stat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.fixture
def place(tmp_path: Path, venv_name: str) -> Iterator[Place]:
    venv = tmp_path / venv_name
    subprocess.run(
        (find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(venv)), check=True
    )
    made = Place(tmp_path, venv)
    (made.site / "tool").mkdir()
    (made.site / "tool" / "a.py").write_text("x = 1\n")
    (made.site / "tool" / "gone.py").write_text("")
    yield made
    assert not list(tmp_path.rglob(".snapenv-new*"))


@pytest.fixture(params=["venv"])
def venv_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def whole_overlay() -> Mapping[str, bytes]:
    files = {
        "site/tool/a.py": carried("x = 2\n"),
        "site/new/deep/ü \u3000.txt": carried("new", executable=True),
        "prefix/bin/run": carried(
            "#!python\nimport sys\nprint(sys.prefix, *sys.argv[1:])\n", executable=True
        ),
        "prefix/share/x.txt": carried("share"),
    }
    plan = OverlayPlan(
        files=tuple(sorted(files)),
        links={"site/link.py": "tool/a.py", "site/tool/up": "../new"},
        deleted=("site/tool/gone.py", "site/never/there.py"),
        sha256={},
    )
    return make_overlay(plan, files)


@pytest.mark.parametrize("times", [1, 2])
def test_an_overlay_puts_everything_in_place_also_when_it_is_run_again(
    place: Place, times: int
) -> None:
    for _ in range(times):
        done = place.apply(whole_overlay())
        assert (done.returncode, done.stderr) == (0, "")

    assert (place.site / "tool" / "a.py").read_text() == "x = 2\n"
    assert (place.site / "link.py").read_text() == "x = 2\n"
    assert str((place.site / "tool" / "up").readlink()) == "../new"
    new = place.site / "new" / "deep" / "ü \u3000.txt"
    assert stat.S_IMODE(new.stat().st_mode) == 0o755
    assert stat.S_IMODE((place.venv / "share" / "x.txt").stat().st_mode) == 0o644
    assert not (place.site / "tool" / "gone.py").exists()
    assert not (place.site / "never").exists()


@pytest.mark.parametrize(
    ("first", "said"),
    [("#!python -I", "1"), ("#!python", "0"), ("#!python\r", "0"), ("#!python3", None)],
)
@pytest.mark.parametrize("venv_name", ["venv", "with space"])
def test_what_follows_the_interpreter_in_the_first_line_of_a_script_stays(
    place: Place, first: str, said: str | None
) -> None:
    script = f"{first}\nimport sys\nprint(sys.flags.isolated)\n"
    plan = replace(NOTHING, files=("prefix/bin/run",))

    place.apply(make_overlay(plan, {"prefix/bin/run": carried(script, executable=True)}))

    run = place.venv / "bin" / "run"
    if said is None:
        assert run.read_text() == script
    else:
        assert subprocess.check_output((str(run),), text=True) == f"{said}\n"


@pytest.mark.parametrize("venv_name", ["venv", "with space", "with'quote $x", "l" * 240])
def test_a_script_starts_with_the_interpreter_of_its_environment(place: Place) -> None:
    place.apply(whole_overlay())

    said = subprocess.run(
        (str(place.venv / "bin" / "run"), "a b"), check=True, capture_output=True, text=True
    ).stdout

    assert said == f"{place.venv} a b\n"


def test_a_file_that_shares_its_place_on_disk_with_a_cache_leaves_the_cache_alone(
    place: Place,
) -> None:
    cached = place.venv.parent / "cached.py"
    os.link(place.site / "tool" / "a.py", cached)

    place.apply(whole_overlay())

    assert cached.read_text() == "x = 1\n"
    assert (place.site / "tool" / "a.py").read_text() == "x = 2\n"


@pytest.mark.parametrize("mode", [True, False])
def test_a_file_may_be_run_as_it_was_and_the_cache_it_came_from_stays(
    place: Place, *, mode: bool
) -> None:
    file, cached = place.site / "tool" / "a.py", place.venv.parent / "cached.py"
    file.chmod(0o644 if mode else 0o755)
    before = stat.S_IMODE(file.stat().st_mode)
    os.link(file, cached)
    plan = replace(NOTHING, modes={"site/tool/a.py": mode}, folders=("site/new/space",))

    done = place.apply(make_overlay(plan, {}))

    assert (done.returncode, done.stderr) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == (0o755 if mode else 0o644)
    assert file.read_text() == "x = 1\n"
    assert stat.S_IMODE(cached.stat().st_mode) == before
    assert list((place.site / "new" / "space").iterdir()) == []


@pytest.mark.parametrize("venv_name", ["venv", "with space"])
def test_placeholders_become_the_folders_of_the_environment(place: Place) -> None:
    loose = UntrackedFile(path="ours.pth", sha256=sha256("@snapenv:site@/x\n"), placeholders=True)
    kernel = UntrackedFile(path="../../../share/kernel.json", placeholders=True)
    plain = UntrackedFile(path="ours.txt")
    files = {
        "site/ours.pth": carried("@snapenv:site@/x\n"),
        "prefix/share/kernel.json": carried('["@snapenv:prefix@/bin/python", "@snapenv:@site@"]'),
        "site/ours.txt": carried("@snapenv:site@"),
    }

    done = place.apply(
        make_overlay(plan_overlay(environment(untracked=(loose, kernel, plain)), ()), files)
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert (place.site / "ours.pth").read_text() == f"{place.site}/x\n"
    assert json.loads((place.venv / "share" / "kernel.json").read_text()) == [
        f"{place.venv}/bin/python",
        "@snapenv:site@",
    ]
    assert (place.site / "ours.txt").read_text() == "@snapenv:site@"


def test_python_does_not_go_on_with_what_it_compiled_before(place: Place) -> None:
    python, source = str(place.venv / "bin" / "python"), place.site / "tool" / "a.py"
    show = (python, "-c", "import tool.a; print(tool.a.x)")
    subprocess.run((python, "-m", "compileall", "-q", str(source)), check=True)
    compiled = source.stat()

    place.apply(whole_overlay())
    os.utime(source, ns=(compiled.st_atime_ns, compiled.st_mtime_ns))

    assert subprocess.run(show, check=True, capture_output=True, text=True).stdout == "2\n"


def test_a_link_is_replaced_and_not_followed(place: Place) -> None:
    outside = place.venv.parent / "outside.py"
    outside.write_text("mine")
    (place.site / "tool" / "a.py").unlink()
    (place.site / "tool" / "a.py").symlink_to(outside)

    done = place.apply_index([entry("tool/a.py")], {sha256("x"): b"x"})

    assert done.returncode == 0
    assert outside.read_text() == "mine"
    assert not (place.site / "tool" / "a.py").is_symlink()


def entry(path: object = "new.py", root: object = "site", **more: object) -> dict[str, object]:
    return {"root": root, "path": path, **(more or {"sha256": sha256("x"), "executable": False})}


GOOD = entry("good.py")


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (b"", "index.json: "),
        (b"\xff", "index.json: "),
        (b"[" * 100_000, "index.json: "),
        ({}, "index.json: should be a list"),
        (["x"], "index.json: 'x' should be a table"),
        ([GOOD, entry("../x.py")], "names no file of the environment"),
        ([GOOD, entry("/etc/x.py")], "names no file of the environment"),
        ([GOOD, entry("a/../x.py")], "names no file of the environment"),
        ([GOOD, entry("a//x.py")], "names no file of the environment"),
        ([GOOD, entry("a\nx.py")], "names no file of the environment"),
        ([GOOD, entry("a\0x.py")], "names no file of the environment"),
        ([GOOD, entry("\udcff.py")], "names no file of the environment"),
        ([GOOD, entry("")], "names no file of the environment"),
        ([GOOD, entry(None)], "names no file of the environment"),
        ([GOOD, entry(root="home")], "names no file of the environment"),
        ([GOOD, entry(root=["site"])], "names no file of the environment"),
        ([GOOD, {"root": "site", "path": "x.py"}], "site/x.py is not of a known form"),
        ([GOOD, entry(sha256=1)], "site/new.py is not of a known form"),
        ([GOOD, entry(deleted=False)], "site/new.py is not of a known form"),
        ([GOOD, entry(deleted=1)], "site/new.py is not of a known form"),
        ([GOOD, entry(link="a", sha256=sha256("x"))], "site/new.py is not of a known form"),
        ([GOOD, entry(sha256=sha256("x"), mode=0o4755)], "site/new.py is not of a known form"),
        ([GOOD, GOOD], "site/good.py is there twice"),
        ([GOOD, entry("good.py/x.py")], "site/good.py is a file, so site/good.py/x.py cannot be"),
        ([entry("d", link="tool"), entry("d/x.py")], "site/d is a file, so site/d/x.py cannot be"),
        ([GOOD, entry(sha256=sha256("y"))], "site/new.py: its content cannot be read"),
        ([GOOD, entry(sha256=sha256("forged"))], "its content is not what index.json says"),
        ([GOOD, entry(sha256="../apply.py")], "site/new.py: its content is not named by a hash"),
        ([GOOD, entry(sha256=sha256("linked"))], "its content is not named by a hash"),
        ([GOOD, entry("tool")], "site/tool: a folder is there"),
        ([GOOD, entry("tool", deleted=True)], "site/tool: a folder is there"),
        ([GOOD, entry("tool/a.py", folder=True)], "a file is where a folder should be"),
        ([GOOD, entry("tool/a.py", mode="4755")], "the mode '4755' is not known"),
        ([GOOD, entry("tool/none.py", mode="755")], "site/tool/none.py: no file is there"),
        ([GOOD, entry("round", mode="755")], "site/round: no file is there"),
        ([GOOD, entry("tool/a.py/x.py")], "a file is where its folder should be"),
        ([GOOD, entry("away/x.py")], "site/away/x.py: its folder leads out of the environment"),
        ([GOOD, entry("away/deep/x.py")], "its folder leads out of the environment"),
        ([GOOD, entry("away/x", deleted=True)], "its folder leads out of the environment"),
        ([GOOD, entry("round/x.py")], "overlay: "),
        ([GOOD, entry(link="/etc/passwd")], "the link '/etc/passwd' leads out"),
        ([GOOD, entry(link="../../../../x")], "the link '../../../../x' leads out"),
        ([GOOD, entry(link="away/x")], "the link 'away/x' leads out"),
        ([GOOD, entry(link="tool/../../../../../x")], "leads out of the environment"),
        ([GOOD, entry(link="tool/../x.py")], "leads out of the environment"),
        ([GOOD, entry(link="")], "not of a known form|leads out"),
        ([GOOD, entry(link="a\nb")], "leads out of the environment"),
        ([GOOD, entry("n" * 300)], "File name too long"),
    ],
)
def test_a_hostile_index_changes_nothing_and_the_culprit_is_named(
    place: Place, index: object, said: str
) -> None:
    (place.site / "away").symlink_to(place.venv.parent)
    (place.site / "round").symlink_to("round")
    contents = {sha256("x"): b"x", sha256("forged"): b"other"}
    place.overlay.mkdir()
    (place.overlay / sha256("linked")).symlink_to("/etc/passwd")
    before = place.seen()

    done = place.apply_index(index, contents)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert any(one in done.stderr for one in said.split("|"))
    assert place.seen() == before


def test_the_good_entry_of_the_hostile_indexes_is_good(place: Place) -> None:
    done = place.apply_index([GOOD], {sha256("x"): b"x"})

    assert done.returncode == 0
    assert (place.site / "good.py").read_text() == "x"


def test_without_its_index_the_script_says_so(place: Place) -> None:
    script = make_overlay(replace(NOTHING, deleted=("site/x",)), {})["overlay/apply.py"]

    done = place.apply({"overlay/apply.py": script})

    assert done.returncode == 1
    assert "index.json" in done.stderr


def test_a_script_that_an_installer_cut_is_brought_back_as_it_is() -> None:
    cut = {"our-tool": ("../../../bin/run", "../../../bin/gone")}
    ours = tool(missing=("../../../bin/gone",))

    plan = plan_overlay(environment(ours), {"our-tool"}, cut_scripts=cut)

    assert (plan.files, plan.deleted) == (("prefix/bin/run",), ("prefix/bin/gone",))
