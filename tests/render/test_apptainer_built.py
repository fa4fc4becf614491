"""Definitions that Apptainer builds for real, and what runs of them."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from snapenv.model.image import ImageRef
from snapenv.model.oci import DOCKER_MANIFEST
from snapenv.model.snapshot import IMAGE_CHECK
from snapenv.render.apptainer import ApptainerOptions, file_of_image, render_apptainer
from tests.archive.making import make_archive, make_config
from tests.engines.apptainer import UID, make_apptainer
from tests.engines.busybox import small_layer
from tests.engines.place import install
from tests.engines.provide import provide
from tests.registry.pushed import Shelf
from tests.render.workloads import workload

if TYPE_CHECKING:
    from pathlib import Path

LINKS = ("cat", "env", "id", "pwd", "sh", "test")
CHECK = "#!/bin/sh\necho checked >&2; exit ${CHECK_EXITS:-0}\n"


@pytest.fixture(scope="module")
def layer() -> bytes:
    """A layer with a shell and a check."""
    return provide(lambda _: small_layer({IMAGE_CHECK: CHECK}, links=LINKS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of somebody without rights, in which apptainer works."""
    return tmp_path_factory.mktemp("apptainer")


@pytest.fixture(scope="module")
def apptainer(folder: Path) -> str:
    return str(provide(lambda place: make_apptainer(place, folder)))


@pytest.fixture(scope="module")
def image(layer: bytes, registry: str) -> ImageRef:
    """An image in the registry."""
    shelf = Shelf.new(registry)
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": shelf.put_blob(
            make_config([layer]), "application/vnd.docker.container.image.v1+json"
        ),
        "layers": [shelf.put_blob(layer, "application/vnd.docker.image.rootfs.diff.tar")],
    }
    return shelf.put_manifest("train", json.dumps(manifest).encode(), DOCKER_MANIFEST)


def run(
    *words: str, folder: Path, variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


def build(
    apptainer: str, definition: str, *, image: ImageRef, folder: Path
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Build a definition; return the file, and what was told."""
    (folder / "env.def").write_text(definition)
    sif = folder / file_of_image(image, "sif")
    return sif, run(apptainer, "build", "--force", sif.name, "env.def", folder=folder)


def test_an_image_of_a_registry_is_built_checked_and_run(
    apptainer: str, image: ImageRef, folder: Path
) -> None:
    work = workload("sh", "-c", "exit 7", image=image, project="demo", variables={"A": "a b's $x"})
    definition = render_apptainer(work, ApptainerOptions()).files[0].content

    sif, built = build(apptainer, definition, image=image, folder=folder)

    assert built.returncode == 0, built.stderr
    assert "checked" in built.stderr  # by %test
    labels = json.loads(
        run(apptainer, "inspect", "--json", "--labels", sif.name, folder=folder).stdout
    )["data"]["attributes"]["labels"]
    assert labels["io.snapenv.image"] == str(image)
    assert labels["io.snapenv.project"] == "demo"
    shell = ("sh", "-c", 'echo "$(id -u) $A $YOLO_OFFLINE"; exit 5')
    done = run(apptainer, "run", "--containall", sif.name, *shell, folder=folder)
    assert (done.returncode, done.stdout) == (5, f"{UID} a b's $x true\n")
    assert run(apptainer, "run", sif.name, folder=folder).returncode == 7


def test_an_archive_is_built_without_a_registry(apptainer: str, layer: bytes, folder: Path) -> None:
    provide(lambda _: install({"zstd": "zstd"}))
    archive = make_archive(folder / "train.snapenv", [layer], config=make_config([layer]))
    work = workload(image=ImageRef(repository="a", tag="b", digest=f"sha256:{'1' * 64}"))
    rendered = render_apptainer(work, ApptainerOptions(archive=archive.name))

    unpacking = rendered.start.rpartition(" && apptainer")[0]
    unpacked = run("sh", "-euc", unpacking, folder=folder)
    assert unpacked.returncode == 0, unpacked.stderr
    sif, built = build(apptainer, rendered.files[0].content, image=work.image, folder=folder)

    assert built.returncode == 0, built.stderr
    assert run(apptainer, "exec", sif.name, "sh", "-c", "exit 3", folder=folder).returncode == 3
