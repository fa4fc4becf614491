"""An environment that stands on the base image's own torch: capture, build, push, restore."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from docker import DockerClient

from snapenv.lock.store import read_snapshot
from snapenv.model.attachment import SBOM_TYPE, STATEMENT_TYPE, VERIFICATION
from snapenv.model.oci import OCI_MANIFEST
from snapenv.model.snapshot import IMAGE_CHECK
from snapenv.verify.fingerprint import compare_fingerprints, fingerprint_check
from snapenv.verify.smoke_train import parse_fingerprint
from tests.attest.keys import write_keys
from tests.command import Command
from tests.end_to_end.containers import Working, install, pip, run_in
from tests.end_to_end.projects import EPOCHS, Project
from tests.engines.clients import make_clients
from tests.engines.provide import provide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container

    from tests.engines.browser import Browser

pytestmark = pytest.mark.docker

RECORDED = Path(__file__).parents[1] / "recorded" / "smoke_train"
ULTRALYTICS = "8.4.190"
TAG = f"train-yolov{ULTRALYTICS}-base-cpu"


@dataclass(frozen=True)
class Built:
    """What the way from a container to a registry has left."""

    client: DockerClient
    command: Command
    snapshot: Path
    repository: str
    captured: dict[str, object]
    built: dict[str, object]

    @property
    def reference(self) -> str:
        return f"{self.repository}:{TAG}"


@pytest.fixture(scope="module")
def client(engine_host: str) -> Iterator[DockerClient]:
    client = DockerClient(base_url=engine_host, timeout=600)
    yield client
    client.close()


@pytest.fixture(scope="module")
def working(client: DockerClient, torch_image: str) -> Iterator[Container]:
    """A container that someone has been pip-installing into."""
    with Working(client, torch_image) as container:
        run_in(container, "python3 -m venv --system-site-packages --without-pip --clear /env")
        install(container, "pip")
        run_in(container, pip(f"ultralytics=={ULTRALYTICS}"))
        yield container


@pytest.fixture(scope="module")
def built(
    client: DockerClient,
    engine_host: str,
    working: Container,
    registry: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Built:
    snapshot = tmp_path_factory.mktemp("base-world") / "snapshot"
    repository = f"{registry}/team/env"
    command = Command({"DOCKER_HOST": engine_host})
    captured = command.result(
        "capture",
        "--container",
        str(working.name),
        "--python",
        "/env/bin/python",
        "--smoke",
        "--device",
        "cpu",
        "-o",
        str(snapshot),
    )
    built = command.result(
        "build",
        str(snapshot),
        "--repository",
        repository,
        "--mirror",
        registry,
        "--push",
        "--replace",
    )
    return Built(client, command, snapshot, repository, captured, built)


def test_the_image_is_named_by_the_convention_and_pushed(built: Built) -> None:
    assert built.captured["tag"] == TAG
    assert built.built["image"] == built.reference
    assert built.built["pushed"] is True
    there = built.client.images.get_registry_data(built.reference)
    assert there.id == built.built["digest"]


def test_the_snapshot_asserts_what_the_base_has_and_installs_the_rest(built: Built) -> None:
    pylock = (built.snapshot / "pylock.toml").read_text()
    lock = (built.snapshot / "snapenv.toml").read_text()

    assert 'name = "ultralytics"' in pylock
    assert 'name = "torch"' not in pylock
    assert 'site_packages = "inherited"' in lock


def test_a_removed_image_comes_back_by_its_tag_and_is_identical(built: Built) -> None:
    built.client.images.remove(built.reference, force=True)

    done = built.command.result("restore", TAG, "--repository", built.repository, "--device", "cpu")

    assert done["tier"] == "identical"
    assert done["digest"] == built.built["digest"]
    assert done["image"] == built.reference


def purls_in_opencv(built: Built) -> set[str]:
    """Return what the bill in the registry says is in the wheel of OpenCV, without versions."""
    host, _, path = built.repository.partition("/")
    digest = built.built["attached"][0]["digest"]  # type: ignore[index]
    manifest = f"http://{host}/v2/{path}/manifests/{digest}"
    with urlopen(Request(manifest, headers={"Accept": OCI_MANIFEST})) as answer:
        (layer,) = json.load(answer)["layers"]
    with urlopen(f"http://{host}/v2/{path}/blobs/{layer['digest']}") as answer:
        components = json.load(answer)["components"]
    (opencv,) = [each for each in components if each["bom-ref"] == "pypi/opencv-python"]
    return {each.get("purl", "").partition("@")[0] for each in opencv["components"]}


def test_what_is_attached_is_checked_by_cosign_and_lets_a_restore_through(
    built: Built, tmp_path: Path
) -> None:
    private, public = write_keys(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    words = (TAG, "--repository", built.repository, "--device", "cpu")
    required = ("--require-verified", "--verify-key", str(public))
    built.command.error("not-verified", "restore", *words, *required)

    done = built.command.result("verify", *words, "--attest", "--sign-key", str(private))

    attached = [each["type"] for each in built.built["attached"]]  # type: ignore[attr-defined]
    assert attached == [SBOM_TYPE, STATEMENT_TYPE]
    assert "pkg:rpm/almalinux/libXau" in purls_in_opencv(built)  # which its own wheel names
    assert done["attached"]["predicate"] == VERIFICATION
    checked = provide(make_clients).run(
        tmp_path,
        *("cosign", "verify-attestation", "--key", str(public), "--insecure-ignore-tlog=true"),
        *("--type", VERIFICATION, f"{built.repository}@{built.built['digest']}"),
    )
    assert checked.returncode == 0, checked.stderr
    envelope = json.loads(checked.stdout.splitlines()[-1])
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["predicate"]["tier"] == "identical"
    assert statement["predicate"]["snapshot"] == built.captured["digest"]
    built.client.images.remove(built.reference, force=True)
    restored = built.command.result("restore", *words, "--no-smoke", *required)
    assert restored["verified_at"] == statement["predicate"]["date"]
    shown = built.command.result("show", built.reference)
    assert {each["digest"] for each in shown["attached"]} >= {done["attached"]["digest"]}


def test_another_torch_is_named_with_the_step_at_which_the_losses_part(built: Built) -> None:
    recorded = RECORDED / f"ultralytics-{ULTRALYTICS}-cpu.txt"
    exact = parse_fingerprint(recorded.read_text(encoding="utf-8"))
    baseline = read_snapshot(built.snapshot).lock.baseline
    assert baseline

    match = compare_fingerprints(exact, baseline, same_packages=True)

    check = fingerprint_check(match)
    assert (match.tier, check.ok, check.part) == ("different", False, "environment")
    assert f"torch {exact.conditions.torch} → {baseline.conditions.torch}" in (check.fix or "")
    assert match.first_differing_step is not None
    assert f"differ from step {match.first_differing_step} of 10" in check.actual


@pytest.mark.browser
@pytest.mark.parametrize("command", ["restore", "verify"])
def test_a_proof_is_told_on_a_page_that_needs_nothing_else(
    built: Built, browser: Browser, tmp_path: Path, command: str
) -> None:
    words = (command, built.reference, "--device", "cpu", "--report", str(tmp_path / "page.html"))

    document = built.command.document(*words)

    page = (tmp_path / "page.html").read_bytes()
    text = html.unescape(page.decode())
    told = [document["verdict"]["summary"], document["result"]["tier"]]
    told += [check[key] for check in document["checks"] for key in ("id", "actual")]
    assert [word for word in told if word not in text] == []
    assert document["result"]["tier"] == "identical"
    seen = browser.measure(page, width=360, height=800, dark=True)
    assert (seen["points"]["expected"], seen["points"]["actual"]) == ([10], [10])
    assert (seen["scroll_width"], seen["outside"], seen["cut"]) == (360, [], [])
    assert browser.requests(page) == []
    assert text.count("debian 13") == 2  # on both machines


def test_a_local_image_and_a_snapshot_folder_are_restored_without_a_registry(built: Built) -> None:
    by_reference = built.command.result("restore", built.reference, "--no-smoke", "--device", "cpu")
    by_folder = built.command.result(
        "restore",
        str(built.snapshot),
        "--repository",
        built.repository,
        "--no-smoke",
        "--device",
        "cpu",
    )

    assert by_reference["snapshot"] == by_folder["snapshot"] == built.captured["digest"]
    assert by_reference["tier"] is None


def test_an_image_in_which_someone_edited_a_file_is_found_out(built: Built, tmp_path: Path) -> None:
    loss = "/opt/snapenv/venv/lib/python3*/site-packages/ultralytics/utils/loss.py"
    edit = f"for file in {loss}; do echo '# one more line' >> $file; done"
    container = built.client.containers.create(built.reference, ["sh", "-c", edit], user="0")
    container.start()
    assert container.wait()["StatusCode"] == 0
    container.commit(repository=built.repository, tag="edited")
    container.remove()

    words = ("restore", f"{built.repository}:edited", "--no-smoke", "--device", "cpu")
    done = built.command.run(*words, "--report", str(tmp_path / "page.html"))

    page = (tmp_path / "page.html").read_text()
    assert done.returncode == 1
    for told in (done.stdout, page):
        assert "distribution.ultralytics" in told
        assert "loss.py" in told


def test_the_venv_engine_refuses_what_only_the_base_image_has(built: Built, tmp_path: Path) -> None:
    into = tmp_path / "venv"

    said = built.command.error(
        "install", "restore", str(built.snapshot), "--engine", "venv", "--into", str(into)
    )

    assert "--engine docker" in said
    assert not into.exists()


def test_the_image_itself_trains_as_its_lock_says_without_network(built: Built) -> None:
    said = built.client.containers.run(
        built.reference,
        [IMAGE_CHECK, "--smoke-train", "--device", "cpu", "--json"],
        entrypoint=[],
        network_mode="none",
        remove=True,
    )

    document = json.loads(said)
    trained = document["smoke_train"]
    assert (document["ok"], document["by"], document["findings"]) == (True, "record", [])
    assert (trained["tier"], trained["device"], trained["steps"]) == ("identical", "cpu", 10)
    assert trained["first_differing_step"] is None


def test_a_run_warns_of_an_edited_image_and_strict_starts_nothing(
    built: Built, tmp_path: Path
) -> None:
    edited = f"{built.repository}:edited"
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    command = Command({**built.command.environment, **state})

    warned = command.run("run", edited, "--", "echo", "ran", folder=tmp_path)
    refused = command.run("run", "--strict", edited, "--", "echo", "ran", folder=tmp_path)
    same = command.run("run", "--strict", built.reference, "--", "echo", "ran", folder=tmp_path)

    assert (warned.returncode, refused.returncode, same.returncode) == (0, 5, 0)
    assert "not as locked: ultralytics" in warned.stderr
    assert "not as locked: ultralytics" in refused.stderr
    assert "not as locked" not in same.stderr
    assert ("ran" in warned.stdout, "ran" in refused.stdout) == (True, False)


def test_building_twice_gives_the_image_that_is_there(built: Built) -> None:
    again = built.command.result("build", str(built.snapshot), "--repository", built.repository)

    assert again["image"] == built.reference
    assert again["snapshot"] == built.captured["digest"]


def test_a_tag_is_not_moved_from_an_image_that_was_changed(built: Built) -> None:
    repository = f"{built.repository}-taken"
    built.client.images.get(f"{built.repository}:edited").tag(repository, TAG)

    words = ("build", str(built.snapshot), "--repository", repository)
    said = built.command.error("tag-taken", *words)

    assert "changed after it was built" in said
    assert "--replace" in said


def test_an_environment_edited_by_hand_comes_back_in_an_image(
    built: Built, working: Container, registry: str, tmp_path: Path
) -> None:
    site = "/alone/lib/python3.13/site-packages"
    run_in(working, "python3 -m venv --without-pip /alone")
    install(working, "click docopt==0.6.2", python="/alone/bin/python")
    for command in (
        f"sh -c 'echo EDITED = 42 >> {site}/click/core.py; rm {site}/click/testing.py'",
        f"sh -c 'echo ANSWER = 42 > {site}/ours.py'",
        "sh -c 'printf \"#!/alone/bin/python\\nprint(7)\\n\" > /alone/bin/ours'",
        "chmod 755 /alone/bin/ours",
    ):
        run_in(working, command)
    snapshot = str(tmp_path / "snapshot")
    words = ("--container", str(working.name), "--python", "/alone/bin/python", "-o", snapshot)
    captured = built.command.result("capture", *words)

    made = built.command.result(
        "build", snapshot, "--base", f"{registry}/nvidia/pytorch:25.01-py3", "--replace"
    )
    restored = built.command.result("restore", snapshot)

    assert captured["tag"] == "train-py3.13-base-cpu"
    assert made["image"] == restored["image"] == "snapenv:train-py3.13-base-cpu"
    assert restored["tier"] is None
    assert 'site_packages = "isolated"' in Path(snapshot, "snapenv.toml").read_text()
    code = "import click.core, docopt, ours; print(click.core.EDITED, ours.ANSWER)"
    python = ["/opt/snapenv/venv/bin/python", "-c", code]
    said = built.client.containers.run(made["image"], python, entrypoint=[], remove=True)
    assert said == b"42 42\n"
    said = built.client.containers.run(made["image"], ["ours"], entrypoint=[], remove=True)
    assert said == b"7\n"


@pytest.mark.full
def test_a_training_that_is_killed_in_a_container_goes_on(built: Built, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", built.reference)
    words = ("--restart", "on-failure:1", "--", "python", "train.py", str(EPOCHS))
    with project.running(project.environment, *words) as process:
        project.wait_for_epochs(2, process)
        run = project.written("run.json")[0]["run"]
        built.client.containers.get(f"snapenv-{run}").kill("KILL")
        _, err = process.communicate()

    assert process.returncode == 0, err
    assert "note: exit code 137: it was killed" in err
    assert "continued, not identical" in err
    assert project.epochs() == list(range(1, EPOCHS + 1))
    runs = [one["run"] for one in project.written("run.json")]
    assert len(runs) == 2
    left = built.client.containers.list(all=True)
    assert not {f"snapenv-{one}" for one in runs} & {one.name for one in left}
