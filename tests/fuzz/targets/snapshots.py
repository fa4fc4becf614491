"""What lies in a snapshot's folder: its lock, checksums, overlay and profile."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from typing import TYPE_CHECKING, Any

from snapenv.conda_lock import parse_conda_lock, write_conda_lock, write_explicit
from snapenv.launch.profile import read_profile
from snapenv.lock import keep_edits
from snapenv.lock.document import lock_from_toml, lock_to_toml
from snapenv.lock.store import parse_snapshot, read_digest, read_snapshot
from snapenv.model.needs_label import make_label
from snapenv.model.snapshot import SUMS_FILE
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight import needs
from snapenv.pylock import parse_pylock, write_pylock
from snapenv.render.dockerfile import render_dockerfile
from snapenv.report.card import card_lines, snapshot_card
from snapenv.toml import read_toml, write_toml
from snapenv.verify.compare import compare_facts
from tests.fuzz.target import BrokenRuleError, Target, scratch

if TYPE_CHECKING:
    from snapenv.model.carried import Content
    from snapenv.model.snapshot import Snapshot

_DATE = "# captured at 2026-03-01T12:00:00+00:00\n"
_NAME = re.compile(r"(?:overlay/|vendor/)?[A-Za-z0-9][A-Za-z0-9._+!-]{0,79}")


def bundle(content: bytes) -> dict[str, bytes]:
    """Return the texts of a bundle by their names; any bytes are one too."""
    try:
        parts = json.loads(content)
    except (ValueError, RecursionError):
        return {"": content}
    return {
        name: text.encode("utf-8", "surrogatepass")
        for name, text in (parts.items() if isinstance(parts, dict) else ())
        if isinstance(text, str) and _encodable(name)
    }


def _encodable(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _in_order(value: object) -> object:
    """Sort the keys of tables, whose order TOML does not keep."""
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value)}
    return [_in_order(each) for each in value] if isinstance(value, list) else value


def _toml(content: bytes) -> None:
    """Read TOML of our own, write it, and read it as it was."""
    value = read_toml(content.decode())
    text = write_toml(value)
    if repr(_in_order(read_toml(text))) != repr(_in_order(value)) and '"""' not in text:
        raise BrokenRuleError(f"comes back otherwise: {value!r:.200} as {text!r:.200}")


def _lock(content: bytes) -> None:
    """Read a lock and what lies beside it, write it, and read it as it was."""
    parts = bundle(content)
    lock = lock_from_toml(
        parts.get("snapenv.toml", b""),
        parts.get("pylock.toml", b""),
        parts.get("conda-lock.json"),
        where="here",
    )
    again = lock_from_toml(
        lock_to_toml(lock),
        write_pylock(
            lock.packages,
            machine=lock.hardware.system.machine,
            python=lock.environment.interpreter.minor,
        ),
        write_conda_lock(lock.conda) if lock.conda else None,
        where="again",
    )
    if again != lock:
        raise BrokenRuleError("the lock comes back otherwise")


def _snapshot(content: bytes) -> None:
    """Read a whole snapshot whose checksums fit, and do with it what commands do."""
    parts: dict[str, Content] = {
        name: text for name, text in bundle(content).items() if name != SUMS_FILE
    }
    sums = {name: hashlib.sha256(bytes(text)).hexdigest() for name, text in parts.items()}
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    parts[SUMS_FILE] = f"{_DATE}{lines}".encode()
    use(parse_snapshot(parts, where="here"))


def use(snapshot: Snapshot) -> None:
    """Do with the snapshot of somebody else what doctor, show, build and diff do."""
    lock = snapshot.lock
    make_label(lock)
    wanted = needs.of_lock(lock, "here")
    if not wanted.name:
        raise BrokenRuleError("needs of nothing")
    render_dockerfile(lock)
    list(card_lines(snapshot_card(snapshot, kind="snapshot", name="here"), packages=True))
    compare_facts(lock.facts, lock.facts)
    if "overlay/index.json" in snapshot.files:
        keep_edits._entries(snapshot)


def _sums(content: bytes) -> None:
    """Read checksums that anybody wrote, beside files that do not matter."""
    with scratch() as folder:
        (folder / SUMS_FILE).write_bytes(content)
        (folder / "snapenv.toml").write_bytes(b"schema = 2\n")
        if read_digest(folder) is None:
            read_snapshot(folder)
            raise BrokenRuleError("a snapshot without a digest")


def _pylock(content: bytes) -> None:
    for package in parse_pylock(content, where="here").packages:
        str(package.version)


def _conda_lock(content: bytes) -> None:
    lock = parse_conda_lock(content, where="here")
    if parse_conda_lock(write_conda_lock(lock)) != lock:
        raise BrokenRuleError("the lock of conda comes back otherwise")
    write_explicit(lock).decode()


def _profile(content: bytes) -> None:
    with scratch() as folder:
        (folder / "profile.toml").write_bytes(content)
        read_profile(folder / "profile.toml")


def _overlay(content: bytes) -> None:
    """Put an overlay in place; nothing outside of the environment changes."""
    script: Any = SCRIPT
    with scratch() as folder:
        roots = {name: folder / "environment" / name for name in ("site", "prefix")}
        outside, files = folder / "outside", folder / "overlay"
        for place in (*roots.values(), outside, files):
            place.mkdir(parents=True)
        (outside / "kept").write_bytes(b"kept")
        (roots["site"] / "out").symlink_to(outside)
        (roots["site"] / "a.py").write_bytes(b"a")
        (roots["site"] / "pkg").mkdir()
        (roots["prefix"] / "link").symlink_to(outside / "kept")
        for text in (b"", b"#!@snapenv:python@\nx", b"@snapenv:site@ @snapenv:prefix@"):
            (files / hashlib.sha256(text).hexdigest()).write_bytes(text)
        (files / "index.json").write_bytes(content)
        script.HERE, script.ROOTS = files, roots
        script.main()
        if [(one.name, one.read_bytes()) for one in outside.iterdir()] != [("kept", b"kept")]:
            raise BrokenRuleError("something outside was changed")
        if {one.name for one in folder.iterdir()} != {"environment", "outside", "overlay"}:
            raise BrokenRuleError("something was put beside the environment")


SCRIPT: Any = importlib.import_module("snapenv.lock.in_snapshot.apply_overlay")
CATALOGUE = load_catalogue()
TARGETS = (
    Target(name="toml", read=_toml, form="toml", refuses=(ValueError,)),
    Target(name="lock", read=_lock, form="bundle", most_bytes=1 << 16),
    Target(name="snapshot", read=_snapshot, form="bundle", most_bytes=1 << 16),
    Target(name="sha256sums", read=_sums, form="text"),
    Target(name="pylock", read=_pylock, form="toml"),
    Target(name="conda-lock", read=_conda_lock, form="json"),
    Target(name="profile", read=_profile, form="toml"),
    Target(name="overlay", read=_overlay, form="json", refuses=(SCRIPT.Refused, OSError)),
)
