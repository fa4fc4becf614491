"""``snapenv bases`` as a user sees it; but for the last test, no registry answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.lock.store import write_snapshot
from tests.command import Command
from tests.samples import (
    sample_base_facts,
    sample_environment,
    sample_facts,
    sample_lock,
    sample_snapshot,
)

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock", "VIRTUAL_ENV": "", "CONDA_PREFIX": ""}
SILENT = "localhost:9"
KEYS = {"schema", "command", "ok", "exit_code", "result", "checks", "warnings", "verdict", "error"}


@pytest.fixture
def folder(tmp_path: Path) -> str:
    facts = sample_facts(environment=sample_environment(python="3.12.3"))
    write_snapshot(sample_snapshot(sample_lock(facts=facts)), tmp_path / "snapshot")
    return str(tmp_path / "snapshot")


def test_the_list_is_shown_although_no_registry_answers(folder: str) -> None:
    done = Command(NOWHERE).run("bases", folder, "--mirror", SILENT)

    assert done.returncode == 0
    assert " 1  26.02-py3       3.12    13.1   2.11   ?" in done.stdout.splitlines()
    assert done.stderr.count("warning: ") == 1
    assert f"not every size is known: {SILENT}" in done.stderr


def test_every_line_fits_60_columns(folder: str) -> None:
    done = Command(NOWHERE).run("bases", folder, "--mirror", SILENT)

    assert max(len(line) for line in done.stdout.splitlines()) <= 60


def test_the_document_has_the_usual_keys(folder: str) -> None:
    document = Command(NOWHERE).document("bases", folder, "--mirror", SILENT, "--limit", "3")

    assert document.keys() == KEYS
    assert document["command"] == "bases"
    assert document["ok"] is True
    assert document["result"].keys() == {
        "snapshot",
        "site_packages",
        "reason",
        "machine",
        "catalogue",
        "bases",
        "families",
    }
    assert [one["rank"] for one in document["result"]["bases"]] == [1, 2, 3]


def test_each_family_is_listed_with_what_one_would_choose_it_for(folder: str) -> None:
    document = Command(NOWHERE).document("bases", folder, "--mirror", SILENT)

    assert [
        (one["family"], one["image"], one["missing_bytes"], one["local"])
        for one in document["result"]["families"]
    ] == [
        ("pytorch", f"{SILENT}/nvidia/pytorch:26.02-py3", None, False),
        ("slim", f"{SILENT}/library/ubuntu:24.04", None, False),
        ("cuda", f"{SILENT}/nvidia/cuda:13.0.2-runtime-ubuntu24.04", None, False),
    ]


@pytest.mark.docker
def test_a_real_registry_tells_what_a_plain_debian_moves(
    plain_bookworm: str, tmp_path: Path
) -> None:
    write_snapshot(sample_snapshot(sample_lock()), tmp_path / "snapshot")
    host = plain_bookworm.partition("/")[0]

    result = Command().result("bases", str(tmp_path / "snapshot"), "--mirror", host)

    (slim,) = (one for one in result["families"] if one["family"] == "slim")
    assert slim["image"] == plain_bookworm
    assert 20_000_000 < slim["size_bytes"] < 100_000_000
    assert slim["missing_bytes"] in (0, slim["size_bytes"])  # the engine may have it


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_a_limit_that_is_no_number_of_images_is_a_usage_error(folder: str, limit: str) -> None:
    assert Command(NOWHERE).run("bases", folder, "--limit", limit).returncode == 2


def test_a_folder_that_is_no_snapshot_is_named(tmp_path: Path) -> None:
    assert str(tmp_path) in Command(NOWHERE).error("not-found", "bases", str(tmp_path))


def test_no_active_environment_is_said() -> None:
    said = Command({**NOWHERE, "PATH": "/nowhere"}).error("environment-missing", "bases")

    assert "no environment is active" in said


@pytest.mark.docker
def test_a_real_registry_tells_the_size_and_what_the_image_says(
    torch_image: str, tmp_path: Path
) -> None:
    write_snapshot(sample_snapshot(sample_lock(facts=sample_base_facts())), tmp_path / "own")
    host = torch_image.partition("/")[0]

    result = Command().result("bases", str(tmp_path / "own"), "--mirror", host, "--limit", "2")

    first, second = result["bases"]
    assert first["image"] == torch_image
    assert first["digest"].startswith("sha256:")
    assert first["size_bytes"] > 100_000_000
    assert (second["size_bytes"], second["local"]) == (None, False)
