from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import ConflictError, SnapshotDamagedError
from snapenv.lock.keep_edits import KeptEdits, installed_place, keep_edits
from snapenv.model.update import Move
from snapenv.model.wheels import Vendored
from tests.samples import (
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_files,
    sample_lock,
    sample_snapshot,
    sample_wheel,
)

if TYPE_CHECKING:
    from snapenv.model.snapshot import Snapshot
    from snapenv.model.update import Edits
    from snapenv.model.wheels import IndexWheel

RECORDS = {
    "1.0": "tool.py,,\ntool-1.0.data/scripts/tool,,\n",
    "2.0": "tool.py,,\nloose.py,,\n",
}
ENTRIES = {
    "site/tool.py": {"sha256": "a" * 64},
    "site/loose.py": {"sha256": "b" * 64},
    "site/other.py": {"sha256": "a" * 64},
    "prefix/bin/tool": {"mode": "755"},
}


def edited() -> Snapshot:
    """Return a snapshot with an edit of tool, a mode of it, one of another, and a loose file."""
    tool = sample_distribution("tool", "1.0", files=sample_files(edited=("tool.py",)))
    other = sample_distribution("other", "1.0", files=sample_files(edited=("other.py",)))
    environment = sample_environment(torch=None, distributions=[tool, other])
    plain = sample_snapshot(sample_lock(facts=sample_facts(environment=environment)))
    split = {name: name.partition("/") for name in ENTRIES}
    index = [
        {"root": split[name][0], "path": split[name][2], **entry} for name, entry in ENTRIES.items()
    ]
    overlay = {
        "overlay/index.json": json.dumps(index).encode(),
        "overlay/apply.py": b"",
        f"overlay/{'a' * 64}": b"edited",
        f"overlay/{'b' * 64}": b"loose",
    }
    return replace(plain, files={**plain.files, **overlay})


def kept(move: Move, edits: Edits | None, snapshot: Snapshot | None = None) -> KeptEdits:
    def read_record(wheel: IndexWheel) -> str:
        return RECORDS[wheel.version]

    arriving = {"tool": sample_wheel("tool", move.after)} if move.after else {}
    return keep_edits(snapshot or edited(), (move,), arriving, read_record=read_record, edits=edits)


UPGRADE = Move(name="tool", before="1.0", after="2.0", requested=True)
REMOVAL = replace(UPGRADE, after=None)


def test_an_edit_and_a_file_in_the_way_are_the_user_s_to_decide() -> None:
    with pytest.raises(ConflictError, match=r"site/tool\.py, site/loose\.py"):
        kept(UPGRADE, None)


def test_kept_edits_lie_over_the_new_version_without_the_modes_of_the_old() -> None:
    result = kept(UPGRADE, "keep")

    assert result.names == ("site/loose.py", "site/other.py", "site/tool.py")
    assert result.dropped == ()
    assert [entry["path"] for entry in json.loads(bytes(result.files["overlay/index.json"]))] == [
        "tool.py",
        "loose.py",
        "other.py",
    ]


def test_dropped_edits_are_named_and_their_bytes_do_not_travel() -> None:
    result = kept(UPGRADE, "drop")

    assert result.names == ("site/other.py",)
    assert result.dropped == ("site/loose.py", "site/tool.py")
    assert sorted(result.files) == [
        f"overlay/{'a' * 64}",
        "overlay/apply.py",
        "overlay/index.json",
    ]


def test_the_edits_of_a_package_that_goes_go_with_it() -> None:
    result = kept(REMOVAL, None)

    assert (result.names, result.dropped) == (("site/loose.py", "site/other.py"), ("site/tool.py",))


def test_where_nothing_moves_the_overlay_stays_to_the_byte() -> None:
    snapshot = edited()

    result = keep_edits(snapshot, (), {}, read_record=lambda _: "", edits=None)

    assert result.names == tuple(sorted(ENTRIES))
    assert json.loads(bytes(result.files["overlay/index.json"])) == json.loads(
        snapshot.text("overlay/index.json")
    )


def test_edits_inside_a_wheel_that_travels_are_not_lost_unseen() -> None:
    snapshot = edited()
    packages = {**snapshot.lock.packages, "tool": Vendored()}
    own = replace(snapshot, lock=replace(snapshot.lock, packages=packages))

    undecided: tuple[Edits | None, ...] = (None, "keep")
    for edits in undecided:
        with pytest.raises(ConflictError) as caught:
            kept(UPGRADE, edits, own)

        assert str(caught.value) == wording(
            "tool 1.0 travels as it is installed, with edited files (tool.py), and would be replaced by the index's"
        )
    assert kept(UPGRADE, "drop", own).dropped == ("site/loose.py", "site/tool.py")


@pytest.mark.parametrize(
    "index", [b"[", b"[1]", b'[{"root": "site"}]', b'[{"root": "a", "path": "b", "sha256": "c"}]']
)
def test_an_overlay_of_another_form_is_damage(index: bytes) -> None:
    whole = edited()
    snapshot = replace(whole, files={**whole.files, "overlay/index.json": index})

    with pytest.raises(SnapshotDamagedError, match=r"overlay/index\.json is not of its form"):
        kept(UPGRADE, "keep", snapshot)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("x/y.py", "site/x/y.py"),
        ("x-1.0.data/scripts/run", "prefix/bin/run"),
        ("x-1.0.data/data/share/x", "prefix/share/x"),
        ("x-1.0.data/purelib/x.py", "site/x.py"),
        ("x-1.0.data/headers/x.h", None),
    ],
)
def test_a_file_of_a_wheel_lies_where_installers_put_it(path: str, place: str | None) -> None:
    assert installed_place(path) == place
