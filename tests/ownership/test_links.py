"""What others put where snapenv writes is not followed, changed or waited for.

Another process swaps the place, or the folder that it is in, for a link to what is the victim's,
over and over, while each kind of writing goes on. The tests run as root, who may write anywhere,
so that a link that is followed is seen.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snapenv.errors import SnapenvError
from snapenv.ownership.claim import claim_path
from snapenv.ownership.file_set import write_files
from snapenv.ownership.leftovers import remove, scratch_folder
from snapenv.ownership.lock_file import HeldError, LockFile
from snapenv.ownership.new_folder import new_folder
from snapenv.ownership.staging import make_parents, replace_file, staged
from snapenv.places import give_folder, open_plain, pinned
from snapenv.targets.sensors import wake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
NOBODY = 65_534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user can only be played by root")

# Swaps a place for a link and back, by one system call each, and makes the link again, until it is
# killed.
SWAPPING = """
import ctypes, os, sys
place, link, target = sys.argv[1:]
rename = ctypes.CDLL(None).renameat2
print(flush=True)
while True:
    if rename(-100, os.fsencode(place), -100, os.fsencode(link), 2) and not os.path.islink(place):
        try:
            os.symlink(target, link)
            os.chown(link, 65534, 65534, follow_symlinks=False)
        except OSError:
            pass
    if not os.path.islink(place) and not os.path.islink(link):
        try:
            os.symlink(target, link + ".new")
            os.chown(link + ".new", 65534, 65534, follow_symlinks=False)
            rename(-100, os.fsencode(link + ".new"), -100, os.fsencode(place), 2)
            os.rename(link + ".new", link)
        except OSError:
            pass
"""


def _file(place: Path) -> None:
    replace_file(place, b"new", mode=0o666)


def _public_file(place: Path) -> None:
    replace_file(place, b"new", mode=0o644, masked=False)


def _staged_file(place: Path) -> None:
    with staged(place) as made:
        made.write_bytes(b"new")
        made.chmod(0o644)


def _staged_folder(place: Path) -> None:
    with staged(place, folder=0o755) as made:
        (made / "below").mkdir()
        (made / "below" / "file").write_bytes(b"new")
        (made / "secret").write_bytes(b"new")
        made.chmod(0o755)


def _files(place: Path) -> None:
    write_files(place, {"secret": b"new", "below/file": b"new"}, executable=["secret"])


def _lock(place: Path) -> None:
    held = LockFile.take(place)
    held.write("new")
    held.remove()


def _parents(place: Path) -> None:
    make_parents(place / "below" / "file")


WRITING: dict[str, Callable[[Path], None]] = {
    "a file in the place of another": _file,
    "a file that others may read": _public_file,
    "a new file": _staged_file,
    "a new folder": _staged_folder,
    "several files": _files,
    "a lock": _lock,
    "folders above": _parents,
}


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A folder that must stay as it is."""
    folder = tmp_path / "victim"
    folder.mkdir()
    for name in ("secret", "one", "snapenv.toml"):
        (folder / name).write_bytes(b"the victim's")
        (folder / name).chmod(0o600)
    before = looks(folder)
    yield folder
    assert looks(folder) == before


def looks(folder: Path) -> list[tuple[str, int, bytes]]:
    return [
        (str(path), path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in (folder, *sorted(folder.rglob("*")))
    ]


def _pipe(place: Path, victim: Path) -> None:
    del victim
    os.mkfifo(place)


def _socket(place: Path, victim: Path) -> None:
    del victim
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(place))


def _device(place: Path, victim: Path) -> None:
    del victim
    os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 3))


PLACED: dict[str, Callable[[Path, Path], object]] = {
    "a link to a file": lambda place, victim: place.symlink_to(victim / "secret"),
    "a link to a folder": lambda place, victim: place.symlink_to(victim),
    "a link to nothing": lambda place, victim: place.symlink_to(victim / "new"),
    "another name": lambda place, victim: place.hardlink_to(victim / "secret"),
    "a pipe": _pipe,
    "a socket": _socket,
    "a device": _device,
    "a link to a device": lambda place, _: place.symlink_to("/dev/null"),
}


@as_root
@pytest.mark.parametrize("what", PLACED)
@pytest.mark.parametrize("kind", WRITING)
def test_what_lies_in_the_place_before_is_not_written_through_nor_waited_for(
    tmp_path: Path, victim: Path, kind: str, what: str
) -> None:
    """The user names a folder of several files itself, so a link to one is where they belong."""
    if kind in {"several files", "folders above"} and what == "a link to a folder":
        pytest.skip("the user's own link is followed")
    place = tmp_path / "place"
    PLACED[what](place, victim)
    before = place.lstat()

    with contextlib.suppress(SnapenvError, OSError, HeldError):
        WRITING[kind](place)

    after = place.lstat()
    odd = what in {"a pipe", "a socket", "a device", "a link to a device", "a link to a folder"}
    assert not odd or (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@contextlib.contextmanager
def swapping(place: Path, target: Path) -> Iterator[None]:
    """Let another process swap a place with a link of nobody's, until the block ends."""
    link = place.with_name("link")
    link.symlink_to(target)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    words = [sys.executable, "-c", SWAPPING, str(place), str(link), str(target)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    try:
        yield
    finally:
        process.kill()
        process.communicate()


@as_root
@pytest.mark.parametrize("times", [30, pytest.param(3_000, marks=pytest.mark.full)])
@pytest.mark.parametrize("kind", WRITING)
def test_a_folder_that_is_swapped_for_a_link_meanwhile_leads_nowhere(
    tmp_path: Path, victim: Path, kind: str, times: int
) -> None:
    (tmp_path / "shared").mkdir()

    with swapping(tmp_path / "shared", victim):
        for number in range(times):
            name = "secret" if kind.endswith(("another", "read")) else f"new-{number}"
            with contextlib.suppress(SnapenvError, OSError):
                WRITING[kind](tmp_path / "shared" / name)


@as_root
@pytest.mark.parametrize("times", [30, pytest.param(3_000, marks=pytest.mark.full)])
@pytest.mark.parametrize("kind", WRITING)
def test_a_place_that_is_swapped_for_a_link_meanwhile_leads_nowhere(
    tmp_path: Path, victim: Path, kind: str, times: int
) -> None:
    (tmp_path / "place").mkdir()
    target = victim if kind in {"several files", "folders above"} else victim / "secret"

    with swapping(tmp_path / "place", target):
        for _ in range(times):
            with contextlib.suppress(SnapenvError, OSError, HeldError):
                WRITING[kind](tmp_path / "place")
            remove(tmp_path / "place")


@as_root
@pytest.mark.parametrize("kind", ["a new file", "a new folder"])
def test_what_is_being_made_and_is_swapped_for_a_link_leads_nowhere(
    tmp_path: Path, victim: Path, kind: str
) -> None:
    """Whoever may write in the folder sees the hidden name once it is there."""
    shared = tmp_path / "shared"
    shared.mkdir()

    def make() -> None:
        with staged(shared / "one", folder=None if kind == "a new file" else 0o755) as made:
            (hidden,) = shared.iterdir()
            hidden.rename(tmp_path / "taken")
            hidden.symlink_to(victim / "secret" if kind == "a new file" else victim)
            if kind == "a new file":
                made.write_bytes(b"new")
            else:
                (made / "secret").write_bytes(b"new")
            made.chmod(0o755)

    with pytest.raises(SnapenvError, match="somebody else has moved it"):
        make()
    assert list(shared.iterdir()) == []


@as_root
def test_what_is_removed_and_swapped_for_a_link_changes_no_mode(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """shutil.rmtree follows no link; what comes after it must not either."""
    place = tmp_path / "place"
    place.mkdir()
    (victim / "open").mkdir(mode=0o755)

    def swap(path: Path, *, ignore_errors: bool) -> None:
        del path, ignore_errors
        if not place.is_symlink():
            place.rmdir()
            place.symlink_to(victim)

    monkeypatch.setattr("snapenv.ownership.leftovers.shutil.rmtree", swap)
    remove(place)

    assert stat.S_IMODE((victim / "open").stat().st_mode) == 0o755
    (victim / "open").rmdir()


@as_root
@pytest.mark.parametrize(
    ("owner", "above", "followed"),
    [(0, 0, True), (NOBODY, NOBODY, True), (NOBODY, 0, False), (1, NOBODY, False)],
)
def test_a_link_is_followed_where_it_is_one_s_own_or_of_the_owner_of_its_folder(
    tmp_path: Path, owner: int, above: int, *, followed: bool
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "link").symlink_to("../there")
    os.chown(tmp_path / "shared", above, above)
    os.chown(tmp_path / "shared" / "link", owner, owner, follow_symlinks=False)

    def write() -> None:
        replace_file(tmp_path / "shared" / "link" / "file", b"new")

    with contextlib.nullcontext() if followed else pytest.raises(PermissionError):
        write()

    assert (tmp_path / "there" / "file").exists() is followed


@as_root
def test_a_folder_is_given_away_and_a_link_in_its_place_is_not(
    tmp_path: Path, victim: Path
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "link").symlink_to(victim)

    give_folder(tmp_path / "results", NOBODY, NOBODY)
    with pytest.raises(OSError, match="link"):
        give_folder(tmp_path / "link", NOBODY, NOBODY)

    assert (tmp_path / "results").stat().st_uid == NOBODY
    assert victim.stat().st_uid == 0


def test_a_loop_of_links_and_a_file_in_the_place_of_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()

    for name in ("loop", "file", "nothing"):
        with pytest.raises(OSError, match=name), pinned(tmp_path / name):
            pass


@as_root
def test_another_user_in_a_folder_like_tmp_changes_nothing() -> None:
    """Played by a child; with fs.protected_symlinks the kernel refuses too."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shared, secret = Path(folder, "shared"), Path(folder, "secret")
        shared.mkdir()
        shared.chmod(0o1777)
        secret.write_bytes(b"root's")
        child = os.fork()
        if not child:
            os.setgid(1)
            os.setuid(1)
            (shared / "report.html").symlink_to(secret)
            (shared / "folder").symlink_to(folder)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

        for place in (shared / "report.html", shared / "folder" / "secret"):
            for write in WRITING.values():
                with contextlib.suppress(SnapenvError, OSError, HeldError):
                    write(place)

        assert secret.read_bytes() == b"root's"
        assert {path.name for path in Path(folder).iterdir()} == {"shared", "secret"}


def test_a_link_of_the_kernel_leads_where_no_name_does(tmp_path: Path) -> None:
    folder = tmp_path / "moved-away"
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    folder.rmdir()
    try:
        with pinned(Path(f"/proc/self/fd/{handle}")) as there:
            assert there.stat().st_ino == os.fstat(handle).st_ino
    finally:
        os.close(handle)


def test_temporary_folders_have_names_that_nobody_knows_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    names = set[str]()
    for _ in range(20):
        with scratch_folder() as folder:
            names.add(folder.name)
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    assert len(names) == 20


def test_a_link_in_the_place_of_a_pipe_is_not_written_to(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "wake").symlink_to(victim / "secret")

    wake(tmp_path / "wake")


def test_a_file_is_read_through_no_link_where_that_is_asked(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "link").symlink_to(victim / "secret")

    with pytest.raises(OSError, match="link"):
        open_plain(tmp_path / "link", follow=False)


def test_a_claim_and_a_folder_that_is_filled_are_not_taken_by_links(
    tmp_path: Path, victim: Path
) -> None:
    name = hashlib.sha256(os.fsencode(tmp_path / "one")).hexdigest()
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / name).symlink_to(victim / "secret")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / ".snapenv-unfinished").symlink_to(victim / "secret")

    with claim_path(tmp_path / "locks", tmp_path / "one"):
        pass
    with pytest.raises(SnapenvError), new_folder(tmp_path / "one"):
        pass


OWN = {  # what writes by itself: into a folder that it has made, or the user's own
    "snapenv/archive/snapshot.py": "a scratch folder, exclusively",
    "snapenv/archive/writer.py": "what staged gives",
    "snapenv/content.py": "called for such folders alone",
    "snapenv/engine/runs.py": "the state folder",
    "snapenv/engine/venv.py": "a scratch folder, and the cache",
    "snapenv/index/fetching.py": "a scratch folder, exclusively",
    "snapenv/kept.py": "the cache, where nobody else may write",
    "snapenv/launch/records.py": "the state folder",
    "snapenv/lock/conda_package.py": "a scratch folder",
    "snapenv/lock/wheel.py": "a scratch folder, exclusively",
    "snapenv/ownership/file_set.py": "here",
    "snapenv/ownership/lock_file.py": "here",
    "snapenv/ownership/staging.py": "here",
    "snapenv/lock/write.py": "what staged gives",
    "snapenv/probe/collect.py": "a scratch folder, exclusively",
    "snapenv/registry/client.py": "a scratch folder, exclusively",
    "snapenv/steps/workspace.py": "a new folder in the cache",
    "snapenv/targets/sensors.py": "a pipe beside the ledger",
    "snapenv/targets/venv_runs.py": "the state folder",
    "snapenv/usage/ledger.py": "the ledger, exclusively",
}
WRITES = {
    *("write_text", "write_bytes", "mkfifo", "symlink_to", "hardlink_to", "rename", "touch"),
    *("copyfile", "copy2", "copytree", "fchmod", "chown"),
}


def _writes(node: ast.AST) -> bool:
    """Return whether a call writes by its name, or opens a file to write."""
    if not isinstance(node, ast.Call):
        return False
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name in WRITES:
        return True
    modes = [one.value for one in node.args if isinstance(one, ast.Constant)]
    is_mode = any(
        isinstance(one, str) and one[:1] in {"w", "x", "a"} and len(one) < 4 for one in modes
    )
    return name == "open" and is_mode


def test_whatever_else_writes_is_known_with_where() -> None:
    """A new place that is written to is one of those above, or is added here with a reason."""
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "snapenv").rglob("*.py")
        if "programs" not in path.parts and "in_snapshot" not in path.parts
        if "in_repository" not in path.parts
        if "O_CREAT" in (text := path.read_text("utf-8"))
        or any(map(_writes, ast.walk(ast.parse(text))))
    }

    assert found == set(OWN)
