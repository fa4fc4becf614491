"""What is attached to an image in its registry, and a restore that takes nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from inline_snapshot import snapshot as wording
from msgspec.structs import replace
from sigstore.models import ClientTrustConfig

from snapenv.attest.statement import read_verification
from snapenv.errors import (
    KeyFileError,
    NotFoundError,
    NotVerifiedError,
    RegistryError,
    SigstoreError,
    UsageError,
)
from snapenv.lock.store import write_snapshot
from snapenv.model.attachment import (
    BUNDLE_TYPE,
    PROVENANCE,
    SBOM_TYPE,
    STATEMENT_TYPE,
    VERIFICATION,
    TrustedSigner,
)
from snapenv.model.exports import Export
from snapenv.ports import Completed
from snapenv.workflows.build import Build, build
from snapenv.workflows.restore import Restore, restore
from snapenv.workflows.show import show
from snapenv.workflows.verify import Verify, verify
from tests.attest.keys import write_keys
from tests.attest.sigstore_instance import IDENTITY, ISSUER, running, token
from tests.command import Command
from tests.samples import TAG, sample_facts, sample_fingerprint, sample_lock, sample_snapshot
from tests.steady import steady
from tests.workflows.services import (
    REGISTRY,
    REPOSITORY,
    EngineWithBase,
    FakeRegistry,
    services,
    target,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.outcome import Outcome
    from snapenv.model.results import BuildResult, ProofResult
    from snapenv.ports import Services
    from tests.attest.sigstore_instance import Instance

BASELINE = sample_fingerprint((3.5, 2.5), device="cpu")
OTHER = sample_fingerprint((9.5, 8.5), device="cpu")
SNAPSHOT = sample_snapshot(sample_lock(baseline=BASELINE))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "snapshot"
    write_snapshot(SNAPSHOT, place)
    return place


class World:
    """An engine, its registry, and the image of the snapshot, pushed."""

    sign = False

    def __init__(self, folder: Path, *, sign_key: Path | None = None) -> None:
        self.engine = EngineWithBase(inside=target(sample_facts(), BASELINE))
        self.registry = FakeRegistry(pushed=self.engine.served)
        self.folder, self.sign_key = folder, sign_key
        self.built = self.build()

    def services(self) -> Services:
        return replace(services(self.engine), registry=self.registry)

    def build(self) -> Outcome[BuildResult]:
        request = Build(repository=REPOSITORY, mirror=REGISTRY, push=True, sign_key=self.sign_key)
        request = replace(request, sign=self.sign)
        return build(self.folder, request, self.services())

    def verify(self, **options: Any) -> Outcome[ProofResult]:  # noqa: ANN401
        request = Verify(ref=TAG, repository=REPOSITORY, device="cpu", attest=True)
        return verify(replace(request, **options), self.services())

    def restore(self, **options: Any) -> Outcome[ProofResult]:  # noqa: ANN401
        request = Restore(ref=TAG, repository=REPOSITORY, device="cpu", require_verified=True)
        return restore(replace(request, **options), self.services())

    @property
    def documents(self) -> list[bytes]:
        (attached,) = self.registry.attached.values()
        return [each.content for _, each in attached]


@pytest.fixture
def world(folder: Path) -> World:
    return World(folder)


def kinds(outcome: Outcome[BuildResult]) -> list[tuple[str, str | None, bool]]:
    return [(each.type, each.predicate, each.signed) for each in outcome.result.attached]


def test_a_push_attaches_a_bill_and_provenance(world: World) -> None:
    assert kinds(world.built) == [(SBOM_TYPE, None, False), (STATEMENT_TYPE, PROVENANCE, False)]
    bill, provenance = map(json.loads, world.documents)
    assert bill["bomFormat"] == "CycloneDX"
    digest = world.built.result.digest.removeprefix("sha256:")
    assert provenance["subject"] == [{"name": REPOSITORY, "digest": {"sha256": digest}}]


def test_without_a_push_nothing_is_attached(folder: Path) -> None:
    engine = EngineWithBase(inside=target(sample_facts(), BASELINE))

    built = build(folder, Build(repository=REPOSITORY, mirror=REGISTRY), services(engine))

    assert built.result.attached == ()


def test_a_registry_that_takes_none_is_a_warning_and_with_a_key_a_failure(
    world: World, tmp_path: Path
) -> None:
    private, _ = write_keys(tmp_path / "keys", ed25519.Ed25519PrivateKey.generate())
    world.registry.takes_artifacts = False

    built = world.build()

    assert built.exit_code == 0
    assert any("takes no artifacts" in warning for warning in built.warnings)
    world.sign_key = private
    with pytest.raises(RegistryError):
        world.build()


def test_a_key_is_read_before_anything_is_built(folder: Path, tmp_path: Path) -> None:
    engine = EngineWithBase(inside=target(sample_facts(), BASELINE))
    request = Build(repository=REPOSITORY, mirror=REGISTRY, push=True, sign_key=tmp_path / "none")

    with pytest.raises(KeyFileError):
        build(folder, request, services(engine))

    assert engine.built == []


def test_a_verification_says_what_was_found(world: World) -> None:
    done = world.verify()

    assert done.result.attached
    assert done.result.attached.predicate == VERIFICATION
    said = read_verification(world.documents[-1], digest=str(done.result.digest))
    assert said
    assert (said.passed, said.tier, said.failed_checks) == (True, "identical", ())
    assert said.expected == said.actual
    assert said.snapshot == SNAPSHOT.digest


def test_a_verified_image_is_restored_and_another_is_not(world: World) -> None:
    with pytest.raises(NotVerifiedError):
        world.restore()
    world.verify()
    world.engine.remove(f"{REPOSITORY}:{TAG}")

    done = world.restore()

    assert done.exit_code == 0
    assert done.result.verified_at
    assert done.result.verified_at in done.lines[-1]


def test_what_was_found_different_or_was_not_trained_in_does_not_count(world: World) -> None:
    world.verify(smoke=False)
    world.engine.inside = target(sample_facts(), OTHER)
    failed = world.verify()

    assert failed.exit_code == 1
    assert len(world.documents) == 4
    with pytest.raises(NotVerifiedError) as caught:
        world.restore()
    assert ": 2 did not" in caught.value.message


def test_exports_are_required_where_they_are_asked_for_and_only_there(world: World) -> None:
    export = Export(format="torchscript", box_difference=7e-5, score_difference=6e-5)
    answer = f"snapenv-export: {msgspec.json.encode([export]).decode()}\n"
    world.engine.inside.answers["snapenv_export.pyz"] = Completed(
        exit_code=0, stdout=answer, stderr=""
    )
    world.verify()
    assert world.restore().exit_code == 0
    with pytest.raises(NotVerifiedError) as caught:
        world.restore(exports=("torchscript",))
    assert caught.value.message.endswith(
        "has no verification that passed with exports to torchscript: 1 did not"
    )

    world.verify(exports=("torchscript",))

    assert world.restore(exports=("torchscript",)).exit_code == 0
    said = read_verification(world.documents[-1], digest=str(world.built.result.digest))
    assert said
    assert [(each.format, each.passed) for each in said.exports] == [("torchscript", True)]
    with pytest.raises(NotVerifiedError):
        world.restore(exports=("torchscript", "onnx"))


def test_only_what_the_key_has_signed_counts(world: World, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path / "ours", ed25519.Ed25519PrivateKey.generate())
    _, other = write_keys(tmp_path / "theirs", ed25519.Ed25519PrivateKey.generate())
    world.verify()  # by anybody
    with pytest.raises(NotVerifiedError):
        world.restore(signer=TrustedSigner(key=public))

    signed = world.verify(sign_key=private)

    assert signed.result.attached
    assert (signed.result.attached.type, signed.result.attached.signed) == (BUNDLE_TYPE, True)
    assert world.restore(signer=TrustedSigner(key=public)).exit_code == 0
    assert world.restore().exit_code == 0
    with pytest.raises(NotVerifiedError) as caught:
        world.restore(signer=TrustedSigner(key=other))
    assert str(other) in caught.value.message


@pytest.fixture
def sigstore(monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    """A job of GitLab, to which an instance of our own is the public one."""
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", token())
    with running() as instance:
        monkeypatch.setattr(ClientTrustConfig, "production", lambda: instance.config)
        yield instance


def test_only_what_the_identity_has_signed_counts(world: World, sigstore: Instance) -> None:
    ours = TrustedSigner(identity=IDENTITY, issuer=ISSUER)
    world.verify()  # by anybody
    with pytest.raises(NotVerifiedError) as caught:
        world.restore(signer=ours)
    assert caught.value.hint.endswith("--attest --sign")

    signed = world.verify(sign=True)

    assert signed.result.attached
    assert (signed.result.attached.type, signed.result.attached.signed) == (BUNDLE_TYPE, True)
    assert world.restore(signer=ours).exit_code == 0
    assert world.restore().exit_code == 0
    with pytest.raises(NotVerifiedError) as caught:
        world.restore(signer=replace(ours, identity="https://example.com/other"))
    assert "that https://example.com/other has signed" in caught.value.message
    assert len(sigstore.logged) == 1


def test_what_sigstore_does_not_sign_is_not_attached(world: World, sigstore: Instance) -> None:
    before = world.documents
    sigstore.is_down = True
    world.sign = True

    for act in (world.build, lambda: world.verify(sign=True)):
        with pytest.raises(SigstoreError):
            act()

    assert world.documents == before


def test_an_identity_is_asked_for_before_anything_is_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE"):
        monkeypatch.delenv(name, raising=False)
    engine = EngineWithBase(inside=target(sample_facts(), BASELINE))
    request = Build(repository=REPOSITORY, mirror=REGISTRY, push=True, sign=True)

    with pytest.raises(SigstoreError) as caught:
        build(folder, request, services(engine))
    assert caught.value.message.startswith("there is no identity")
    with pytest.raises(UsageError):
        build(folder, replace(request, sign_key=Path("key")), services(engine))

    assert engine.built == []


@pytest.mark.parametrize(
    "words",
    [
        ("--verify-identity", "a", "--verify-issuer", "b"),
        ("--require-verified", "--verify-identity", "a"),
        ("--require-verified", "--verify-issuer", "b"),
        (
            *("--require-verified", "--verify-key", "k"),
            *("--verify-identity", "a", "--verify-issuer", "b"),
        ),
    ],
)
def test_who_must_have_signed_is_asked_for_whole(words: tuple[str, ...]) -> None:
    Command().error("usage", "restore", TAG, *words)


def test_a_verification_of_another_image_does_not_count(world: World) -> None:
    world.verify()
    (attached,) = world.registry.attached.values()
    digest = str(world.built.result.digest)
    another = f"sha256:{'f' * 64}"
    world.registry.attached[digest] = [
        (
            entry,
            replace(each, content=each.content.replace(digest[7:].encode(), another[7:].encode())),
        )
        for entry, each in attached
    ]

    with pytest.raises(NotVerifiedError):
        world.restore()


def test_damage_that_somebody_attached_is_passed_over(world: World) -> None:
    world.verify()
    (attached,) = world.registry.attached.values()
    attached.extend([(entry, replace(each, content=b"{")) for entry, each in attached[-1:]])

    assert world.restore().exit_code == 0


@pytest.mark.parametrize("options", [{"engine": "venv"}, {"container": "a"}])
def test_only_an_image_is_attested(world: World, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        world.verify(**options)


def test_an_image_that_was_never_pushed_is_not_attested(folder: Path) -> None:
    engine = EngineWithBase(inside=target(sample_facts(), BASELINE))
    build(folder, Build(repository=REPOSITORY, mirror=REGISTRY), services(engine))
    request = Verify(ref=TAG, repository=REPOSITORY, device="cpu", attest=True)

    with pytest.raises(NotFoundError) as caught:
        verify(request, services(engine))

    assert steady(caught.value.message) == wording(
        "localhost:5000/team/env:train-yolov8.4.190-base-cu130 is on this machine alone"
    )


def test_a_snapshot_folder_cannot_be_required_to_be_verified(world: World, folder: Path) -> None:
    with pytest.raises(UsageError):
        world.restore(ref=str(folder))


def test_what_is_attached_is_shown(world: World) -> None:
    world.verify()

    card = show(TAG, world.services(), repository=REPOSITORY)

    assert [each.predicate or each.type for each in card.result.attached] == [
        SBOM_TYPE,
        PROVENANCE,
        VERIFICATION,
    ]
    lines = [line for line in card.lines if "sha256:" in line and "verification" in line]
    assert len(lines) == 1


def test_a_registry_that_does_not_answer_shows_nothing_attached(world: World) -> None:
    world.registry.answers = ("nowhere",)

    card = show(TAG, world.services(), repository=REPOSITORY)

    assert card.result.attached == ()
