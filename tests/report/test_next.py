from __future__ import annotations

import shlex

import pytest
from msgspec.structs import replace

from snapenv.model.host import Host, Needs
from snapenv.model.outcome import Check, Outcome, Result
from snapenv.model.results import (
    ArchiveResult,
    BasesResult,
    BuildResult,
    CaptureResult,
    DiffResult,
    DiffSide,
    DoctorResult,
    ListedImage,
    ListResult,
    LogEntry,
    LogResult,
    ProofResult,
    RankedBase,
    ShowResult,
    UpdateResult,
)
from snapenv.report.next import next_command
from tests.command import parse
from tests.samples import sample_hardware

IMAGE = "example.com/team/env:tag"
NO = Check(id="abi", ok=False, expected="the same", actual="1 different")
CAPTURE = CaptureResult(
    path="my snapshots/tag",
    tag="tag",
    digest="sha256:1",
    python="/env/bin/python",
    packages=1,
    origins={"index": 1},
    edited_files=0,
    missing_files=0,
    carried_packages=0,
    carried_files=0,
    not_importable=(),
)
BUILD = BuildResult(
    image=IMAGE, digest="sha256:1", pushed=True, base=None, snapshot="sha256:2", size_bytes=1
)
ARCHIVE = ArchiveResult(
    path="env.tar.zst",
    image=IMAGE,
    digest="sha256:1",
    config="sha256:2",
    snapshot="sha256:3",
    delta=False,
    size_bytes=1,
)
UPDATED = UpdateResult(parent="sha256:1", moves=(), path="new")
NEWER = LogEntry(digest="sha256:2", parent="sha256:1", place="new")
OLDER = LogEntry(digest="sha256:1", parent=None, place="old")
HOST = Host(hardware=sample_hardware())
LIVE = DiffSide(kind="environment", place="/env/bin/python", digest=None)
SNAPSHOT = DiffSide(kind="snapshot", place="snapshot", digest="sha256:1")
RANKED = RankedBase(
    rank=1,
    image="example.com/pytorch:26.02-py3",
    digest=None,
    python=None,
    cuda=None,
    torch=None,
    cudnn=None,
    nccl=None,
    size_bytes=None,
    local=False,
    inspected=False,
    reason="",
    warnings=(),
)
BASES = BasesResult(
    snapshot=None,
    site_packages="isolated",
    reason="",
    machine="amd64",
    catalogue="",
    bases=(RANKED,),
    families=(),
)


def diff(left: DiffSide, right: DiffSide) -> DiffResult:
    return DiffResult(left=left, right=right, differences=())


def listed(*names: str) -> ListResult:
    images = tuple(ListedImage(name=name, repository="", tag="") for name in names)
    return ListResult(repository="snapenv", remote=False, images=images)


@pytest.mark.parametrize(
    ("command", "result", "following"),
    [
        ("capture", CAPTURE, "snapenv build 'my snapshots/tag'"),
        ("update", UPDATED, "snapenv build new"),
        ("update", replace(UPDATED, path=None), None),
        ("log", LogResult(entries=(NEWER, OLDER), searched=()), "snapenv diff old new"),
        ("log", LogResult(entries=(NEWER,), searched=()), None),
        ("build", BUILD, f"snapenv restore {IMAGE}"),
        ("build", replace(BUILD, pushed=False), f"snapenv verify {IMAGE}"),
        ("restore", ProofResult(image=IMAGE), f"snapenv shell {IMAGE}"),
        ("verify", ProofResult(path="a venv"), "snapenv shell 'a venv'"),
        ("doctor", DoctorResult(ref=None, host=HOST), "snapenv capture"),
        ("doctor", DoctorResult(ref=IMAGE, host=HOST), f"snapenv restore {IMAGE}"),
        (
            "doctor",
            DoctorResult(ref="tag", host=HOST, needs=Needs(name="tag", venv=True)),
            "snapenv restore tag --engine venv",
        ),
        ("diff", diff(SNAPSHOT, LIVE), None),
        ("bases", BASES, "snapenv capture --base example.com/pytorch:26.02-py3"),
        (
            "bases",
            replace(BASES, snapshot="snapshot"),
            "snapenv build snapshot --base example.com/pytorch:26.02-py3",
        ),
        ("export", ARCHIVE, "snapenv import env.tar.zst"),
        ("import", ARCHIVE, f"snapenv verify {IMAGE}"),
        ("list", listed(IMAGE, "other"), f"snapenv show {IMAGE}"),
        ("list", listed(), "snapenv capture"),
        ("show", ShowResult(kind="image", name=IMAGE), f"snapenv restore {IMAGE}"),
    ],
)
def test_what_follows_an_answer(command: str, result: Result, following: str | None) -> None:
    assert next_command(Outcome(command=command, result=result)) == following
    if following:
        parse(shlex.split(following)[1:])


@pytest.mark.parametrize(
    ("command", "result", "following"),
    [
        ("doctor", DoctorResult(ref=IMAGE, host=HOST), None),  # the verdict says what to do
        ("restore", ProofResult(image=IMAGE), None),
        ("diff", diff(SNAPSHOT, LIVE), "snapenv restore snapshot"),
        ("diff", diff(LIVE, SNAPSHOT), "snapenv restore snapshot"),
        ("diff", diff(LIVE, LIVE), None),
    ],
)
def test_what_follows_a_no(command: str, result: Result, following: str | None) -> None:
    assert next_command(Outcome(command=command, result=result, checks=(NO,))) == following
