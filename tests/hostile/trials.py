"""A trial: a command is answered wrongly, and then all that it said, made and sent is looked at."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import uuid
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from snapenv.model.oci import MANIFESTS
from tests.command import EXIT_CODES
from tests.fire.attempts import untidy
from tests.fire.look import Tree, below, differences, shape, tree, without
from tests.fire.room import Done
from tests.hostile.cases import OWN, VENV
from tests.hostile.liar import Wrong
from tests.hostile.making import SECRET, USER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.hostile.cases import Case
    from tests.hostile.lies import Lie
    from tests.hostile.making import Scene

_LISTED = "sha256-"  # the tag of a list of what is attached, in the place of the API of referrers
_USUAL = {0, 1, 3, 4, 5, 6}  # a wrong answer is no wrong command line, and nothing was started
_OF_INSTALLERS = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
_CODED = b64encode(f"{USER}:{SECRET}".encode()).decode()


@dataclass(frozen=True)
class Undisturbed:
    """What a command does where all answers are right."""

    before: Tree
    after: Tree
    done: Done
    asked: tuple[str, ...]
    pushed: str | None
    outside_before: Mapping[str, str]  # what its engine holds
    outside_after: Mapping[str, str]


@dataclass(frozen=True)
class Tried:
    """What came of a command that was answered wrongly; ``wrong`` names what must not be."""

    code: int
    wrong: tuple[str, ...]
    said: str  # what it says of an error, or as its last line


def do_undisturbed(scene: Scene, case: Case) -> Undisturbed:
    """Run a command that is answered rightly."""
    scene.room.renew()
    if scene.index:
        scene.index.form = case.form
    before, outside = tree(scene.room.work), scene.room.outside()
    scene.liar.begin(None)
    words, place = _words(scene, case)
    done = scene.run(*words, patient=True)
    assert done.code in {0, 1}, (words, done)
    assert scene.liar.asked, words
    return Undisturbed(
        before,
        tree(scene.room.work),
        done,
        tuple(scene.liar.asked),
        _served(scene, case, place),
        outside,
        scene.room.outside(),
    )


def wrongs(
    usual: Undisturbed, lies: tuple[Lie, ...], *, for_ever: tuple[bool, ...]
) -> Iterator[Wrong]:
    """List each wrong answer to each request of a command, once and for ever."""
    for lie in lies:
        for number, line in enumerate(usual.asked, 1):
            for lasting in for_ever:
                if lie.only in line:
                    yield Wrong(lie, number, for_ever=lasting)


def attempt(scene: Scene, case: Case, wrong: Wrong, usual: Undisturbed) -> Tried:
    """Let a command be answered wrongly, and then rightly."""
    scene.room.renew()
    liar = scene.liar
    liar.begin(wrong)
    words, place = _words(scene, case)
    attached = _attached(scene, case)
    begun = time.monotonic()
    done = scene.run(*words)
    lasted_s = time.monotonic() - begun
    elsewhere = "\n\n".join(liar.heard_elsewhere)
    found = [
        *_wrong_end(done, lasted_s, scene.bound_s),
        *_wrong_yes(case, done, wrong, usual),
        *_wrong_words(done, elsewhere),
        *_wrong_places(scene, case, done, wrong, usual),
        *_wrong_pushed(scene, case, done, place, usual),
        *_wrong_outside(scene, done, usual),
        *_wrong_attached(scene, case, done, attached),
        *(f"{one} is left" for one in untidy(scene.room)),
    ]
    liar.begin(None)
    again = scene.run(*words, patient=True)
    found.extend(f"next: {one}" for one in _wrong_next(scene, case, again, place, usual))
    return Tried(done.code, tuple(found), _told(done))


def _told(done: Done) -> str:
    lines = [line for line in done.stderr.splitlines() if line.startswith(("error:", "warning:"))]
    return " ".join(lines or done.stdout.splitlines()[-1:])


def _words(scene: Scene, case: Case) -> tuple[tuple[str, ...], str]:
    place = f"hostile/{uuid.uuid4().hex}"
    meanings = {**scene.room.stand_for, "FREE": place}
    words = list(case.words)
    for name, value in meanings.items():
        words = [word.replace(name, value) for word in words]
    return tuple(words), place


def _served(scene: Scene, case: Case, place: str) -> str | None:
    """Return the digest of what a push left under its tag; None where nothing is.

    What is attached to it is counted: a signature is another one each time.
    """
    if not case.pushes:
        return None
    tags = _tags(scene, place)
    named = (hashlib.sha256(tags[tag]).hexdigest() for tag in tags if not tag.startswith(_LISTED))
    return f"{', '.join(named)}, and {_count(tags)} attached" if tags else None


def _attached(scene: Scene, case: Case) -> int:
    """Count the documents that are attached to what a command attests."""
    return _count(_tags(scene, OWN.rpartition(":")[0].partition("/")[2])) if case.attests else 0


def _count(tags: Mapping[str, bytes]) -> int:
    lists = (json.loads(tags[tag]) for tag in tags if tag.startswith(_LISTED))
    return sum(len(each["manifests"]) for each in lists)


def _tags(scene: Scene, place: str) -> Mapping[str, bytes]:
    """Return the manifest that each tag of a repository leads to, as the registry has it."""
    repository = f"http://{scene.real_registry}/v2/{place}"
    answer = requests.get(f"{repository}/tags/list", timeout=10)
    accept = {"Accept": ", ".join(MANIFESTS)}
    return {
        tag: requests.get(f"{repository}/manifests/{tag}", headers=accept, timeout=10).content
        for tag in sorted((answer.json()["tags"] if answer.ok else None) or ())
    }


def _wrong_end(done: Done, lasted_s: float, bound_s: float) -> Iterator[str]:
    if done.code not in _USUAL:
        yield f"exit code {done.code}: {done.stderr[-500:]}"
    if "Traceback" in done.stderr:
        yield f"a traceback: {done.stderr[-900:]}"
    if done.code not in {0, 1} and "error:" not in done.stderr:
        yield f"exit code {done.code} without an error: {done.stderr[-300:]!r}"
    if lasted_s > bound_s:
        yield f"it lasted {lasted_s:.0f} s"


def _wrong_yes(case: Case, done: Done, wrong: Wrong, usual: Undisturbed) -> Iterator[str]:
    if done.code == 0 != usual.done.code and not _may_say_other(case, wrong):
        yield f"it says yes: {done.stdout[-300:]!r}"


def _may_say_other(case: Case, wrong: Wrong) -> bool:
    """Return whether a wrong answer may be a right one to another question."""
    return wrong.lie.is_other or (wrong.lie.is_flipped and not case.is_sworn)


def _wrong_words(done: Done, elsewhere: str) -> Iterator[str]:
    said = done.stdout + done.stderr
    for where, text in (("its output", said), ("another host", elsewhere)):
        if SECRET in text or _CODED in text:
            yield f"{where} has the login: {text[-600:]}"
    if "\x1b" in said:
        yield f"its output steers the terminal: {said[-300:]!r}"
    if "root:x:" in said:
        yield "its output has a file of this machine"


def _wrong_places(
    scene: Scene, case: Case, done: Done, wrong: Wrong, usual: Undisturbed
) -> Iterator[str]:
    now = tree(scene.room.work)
    made = (case.makes,) if case.makes else ()
    yield from differences(without(usual.before, made), without(now, made))
    if done.code != usual.done.code:
        yield from (f"{path} was made, with exit code {done.code}" for path in _made(now, case))
        return
    other = differences(_made(usual.after, case), _made(now, case))
    if other and case.locks and done.code == 0:
        yield from _wrong_lock(scene, case)
        return
    yield from other
    same = shape(done.stdout) == shape(usual.done.stdout)
    if not same and not case.some_may_fail and not _may_say_other(case, wrong):
        yield f"it ends with {done.code} and says {done.stdout[-600:]!r}"


def _wrong_lock(scene: Scene, case: Case) -> Iterator[str]:
    """Restore a snapshot that is another one: an index may have said that it has no such package.

    What comes of it is proved, and, of a capture, compared with the environment.
    """
    scene.liar.begin(None)
    words = ("restore", str(case.makes), *VENV, "--no-smoke", "--into", "again")
    done = scene.run(*words, patient=True)
    if done.code:
        yield f"what it made is not restored: exit code {done.code}: {done.stderr[-500:]}"
    elif case.name.startswith("capture"):
        then, now = (_installed(scene.room.work / name) for name in ("environment", "again"))
        yield from differences(then, now)
    shutil.rmtree(scene.room.work / "again", ignore_errors=True)


def _installed(venv: Path) -> Tree:
    """Return what lies in the packages of a venv, but what each installer writes for itself."""
    (site,) = venv.glob("lib/*/site-packages")
    return {
        path: entry
        for path, entry in tree(site).items()
        if path.rpartition("/")[2] not in _OF_INSTALLERS
    }


def _made(found: Tree, case: Case) -> Tree:
    return below(found, case.makes) if case.makes else {}


def _wrong_outside(scene: Scene, done: Done, usual: Undisturbed) -> Iterator[str]:
    """Compare what its engine holds with before and with afterwards."""
    now = scene.room.outside()
    if done.code == usual.done.code:
        yield from differences(usual.outside_after, now)
    elif now not in (usual.outside_before, usual.outside_after):
        yield f"with exit code {done.code}: {differences(usual.outside_before, now)}"


def _wrong_pushed(
    scene: Scene, case: Case, done: Done, place: str, usual: Undisturbed
) -> Iterator[str]:
    served = _served(scene, case, place)
    in_part = case.attaches and done.code != 0
    if case.pushes and served != usual.pushed and (served or done.code == 0) and not in_part:
        yield f"with exit code {done.code}, the registry has {served}"


def _wrong_attached(scene: Scene, case: Case, done: Done, before: int) -> Iterator[str]:
    if case.attests and done.code == 0 and _attached(scene, case) <= before:
        yield "it says yes, and has attached nothing"


def _wrong_next(
    scene: Scene, case: Case, again: Done, place: str, usual: Undisturbed
) -> Iterator[str]:
    made_before = again.code == EXIT_CODES["place-taken"] and case.makes
    if case.locks and made_before:
        return  # it was looked at
    if again.code != usual.done.code and not made_before:
        yield f"exit code {again.code}: {again.stderr[-500:]}"
    elif shape(again.stdout) != shape(usual.done.stdout) and not (
        made_before or case.pushes or scene.room.engine  # which may have the image already
    ):
        yield f"it says {again.stdout[-300:]!r}"
    yield from differences(usual.after, tree(scene.room.work))
    yield from _wrong_pushed(scene, case, again, place, usual)
    yield from differences(usual.outside_after, scene.room.outside())
    yield from (f"{one} is left" for one in untidy(scene.room) if not made_before)
