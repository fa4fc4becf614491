"""``snapenv doctor`` and ``snapenv verify`` as a user runs them: real engines, a real registry."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from snapenv.lock.store import write_snapshot
from snapenv.model.host import NEEDS_LABEL
from snapenv.model.needs_label import make_label
from snapenv.model.snapshot import SNAPSHOT_LABEL
from tests.command import Command
from tests.engines.engine import connect
from tests.engines.newer_engine import NEWER, start_newer
from tests.engines.provide import provide
from tests.probe.environments import compile_library
from tests.probe.nvml import NVML
from tests.registry.pushed import Shelf
from tests.samples import TAG, sample_lock, sample_native, sample_snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.registry.pushed import Pushed

LABELS = {
    SNAPSHOT_LABEL: "sha256:abc",
    NEEDS_LABEL: make_label(replace(sample_lock(), native=sample_native())),
    "org.opencontainers.image.version": TAG,
}
NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


@pytest.fixture
def there(registry: str) -> Pushed:
    """An image that is in a registry alone."""
    return Shelf.new(registry).push(TAG, labels=LABELS)


@pytest.fixture
def gpu(tmp_path: Path) -> dict[str, str]:
    """Variables that give a program a driver 550.54.15 with one H200."""
    compile_library(tmp_path / "nvml" / "libnvidia-ml.so.1", NVML)
    return {"LD_LIBRARY_PATH": str(tmp_path / "nvml"), "STUB_GPUS": "1", "STUB_UUIDS": "1"}


def checks(document: dict[str, Any]) -> dict[str, bool]:
    return {check["id"]: check["ok"] for check in document["checks"]}


@pytest.mark.docker
def test_an_image_of_a_registry_is_judged_and_not_pulled(there: Pushed) -> None:
    document = Command().document("doctor", there.ref.tagged, "--device", "cpu")

    assert document["ok"]
    found = checks(document)
    assert found.pop("disk.inodes", True)  # of a file system that has a fixed number
    assert found == {"engine": True, "engine.api": True, "platform": True, "disk": True}
    assert len(document["result"]["needs"]["missing"]) == len(there.layer_sizes)
    Command().error("not-found", "verify", there.ref.tagged)


@pytest.mark.docker
def test_it_takes_about_a_second(there: Pushed) -> None:
    Command().run("doctor", there.ref.tagged)

    began = time.monotonic()
    Command().run("doctor", there.ref.tagged)

    assert time.monotonic() - began < 60  # alone 0.5 s; others may be at work here


@pytest.mark.docker
def test_a_driver_that_is_too_old_for_an_image_is_told_before_a_layer_moves(
    there: Pushed, gpu: dict[str, str]
) -> None:
    for command in ("doctor", "restore"):
        short_lived = {**gpu, "STUB_DRIVER": "555.42.06"}  # without forward compatibility

        document = Command(short_lived).document(command, there.ref.tagged)

        assert document["exit_code"] == 1
        assert document["verdict"]["check"] == "driver.cuda"
        assert not checks(document)["driver.cuda"]
    Command().error("not-found", "verify", there.ref.tagged)


@pytest.mark.docker
def test_a_newer_engine_without_a_toolkit_cannot_hand_on_the_gpu(
    there: Pushed, gpu: dict[str, str]
) -> None:
    host = provide(lambda place: start_newer(place, NEWER))

    document = Command({**gpu, "DOCKER_HOST": host}).document("doctor", there.ref.tagged)

    failed = {check["id"] for check in document["checks"] if not check["ok"]}
    assert "driver.cuda" in failed
    assert "gpu.plumbing" in failed


@pytest.mark.docker
def test_this_machine_is_described_without_a_ref(gpu: dict[str, str], engine_host: str) -> None:
    with connect(engine_host, timeout_s=60) as client:
        told = client.version()

    result = Command(gpu).document("doctor")["result"]

    assert result["machine"]["driver"] == "550.54.15"
    assert result["machine"]["image"].startswith("nvcr.io/nvidia/pytorch:")
    assert result["host"]["engine"]["version"] == told["Version"]


def test_without_an_engine_the_answer_names_it(there: Pushed) -> None:
    document = Command(NOWHERE).document("doctor", there.ref.tagged)

    assert document["exit_code"] == 1
    assert document["verdict"]["check"] == "engine"


def test_a_driver_whose_halves_differ_asks_for_a_reboot(gpu: dict[str, str]) -> None:
    document = Command({**NOWHERE, **gpu, "STUB_ERROR": "18"}).document("doctor")

    assert "driver.fault" in checks(document) or "driver.mismatch" in checks(document)


@pytest.mark.parametrize(
    ("device", "wrong"),
    [("GPU-2", []), ("MIG-103", []), ("GPU-9", ["gpu.present"]), ("2", ["gpu.silent"])],
)
def test_what_is_named_is_judged_alone_and_no_uuid_is_shown(
    gpu: dict[str, str], device: str, wrong: list[str]
) -> None:
    several = {"STUB_GPUS": "3", "STUB_MIG": "1", "STUB_LOST": " 2 " if device == "2" else ""}

    document = Command({**gpu, **several}).document(
        "doctor", "--engine", "venv", "--device", device
    )

    assert [name for name, ok in checks(document).items() if not ok] == wrong
    shown = json.dumps(document["result"])
    assert "GPU-" not in shown
    assert "MIG-" not in shown


def test_a_snapshot_folder_is_judged(tmp_path: Path, gpu: dict[str, str]) -> None:
    write_snapshot(sample_snapshot(), tmp_path / "s")

    document = Command({**NOWHERE, **gpu}).document(
        "doctor", str(tmp_path / "s"), "--mirror", "localhost:1"
    )

    assert document["result"]["needs"]["cuda"] == "13.0"
    assert not checks(document)["engine"]


def test_a_ref_that_is_nowhere_is_not_found(registry: str) -> None:
    document = Command(NOWHERE).document("doctor", f"{registry}/team/none:{TAG}")

    assert document["error"]["kind"] == "not-found"


@pytest.mark.parametrize("device", ["gpu", "0,", "GPU", "MIG-a;b"])
def test_a_device_that_is_none_is_a_usage_error(device: str) -> None:
    assert Command(NOWHERE).run("doctor", "--device", device).returncode == 2
