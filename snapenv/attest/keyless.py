"""Signatures without keys, by Sigstore: of an identity that a CI gives, in a public log.

Source: https://docs.sigstore.dev/cosign/signing/overview/, and for what a bundle proves
https://github.com/sigstore/architecture-docs/blob/main/client-spec.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sigstore.dsse import Statement
from sigstore.errors import Error, TUFError
from sigstore.models import Bundle, ClientTrustConfig
from sigstore.oidc import IdentityError, IdentityToken, detect_credential
from sigstore.sign import SigningContext
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity

from snapenv.errors import SigstoreError
from snapenv.model.attachment import STATEMENT_TYPE

if TYPE_CHECKING:
    from sigstore.models import TrustedRoot

_ANOTHER_WAY = "or sign with a key: --sign-key FILE."


class KeylessSigner:
    """Signs statements as whoever this machine is to its CI."""

    def __init__(self, config: ClientTrustConfig) -> None:
        self._config = config

    def sign(self, statement: bytes) -> bytes:
        """Return a bundle that holds a statement, its signature, and proof that it is logged.

        Raises:
            SigstoreError: No identity is given any more, or Sigstore does not answer or refuses.
        """
        identity = read_identity()
        try:
            with SigningContext.from_trust_config(self._config).signer(identity) as signer:
                return signer.sign_dsse(Statement(statement)).to_json().encode()
        except Exception as error:
            raise SigstoreError(
                f"Sigstore has not signed: {_words(error)}",
                hint=f"See that this machine reaches its hosts, {_ANOTHER_WAY}",
            ) from error


class KeylessVerifier:
    """Checks signatures of one identity, as its issuer calls it."""

    def __init__(self, root: TrustedRoot, *, identity: str, issuer: str) -> None:
        self._verifier = Verifier(trusted_root=root)
        self._policy = Identity(identity=identity, issuer=issuer)

    def statement(self, bundle: bytes) -> bytes | None:
        """Return the statement of a bundle; None where this identity has not signed it.

        Nothing is asked over the network: the bundle holds the proofs.
        """
        try:
            kind, statement = self._verifier.verify_dsse(Bundle.from_json(bundle), self._policy)
        except (Error, ValueError):
            return None
        return statement if kind == STATEMENT_TYPE else None


def read_identity() -> IdentityToken:
    """Ask the CI for a token, which holds for minutes.

    Raises:
        SigstoreError: This is no CI that gives one, or it gives none.
    """
    try:
        raw = detect_credential()
        if raw:
            return IdentityToken(raw)
        why = "this is no CI that gives one"
    except IdentityError as error:
        why = _words(error)
    raise SigstoreError(
        f"there is no identity to sign with: {why}",
        hint="In GitHub Actions set permissions: id-token: write; in GitLab CI id_tokens: "
        f"SIGSTORE_ID_TOKEN: aud: sigstore; {_ANOTHER_WAY}",
    )


def public_signer() -> KeylessSigner:
    """Return what signs by the public instance of Sigstore.

    Raises:
        SigstoreError: This machine has no identity, or Sigstore's keys cannot be had.
    """
    read_identity()  # what is missing is told before anything is fetched
    try:
        return KeylessSigner(ClientTrustConfig.production())
    except TUFError as error:
        raise _no_keys(error) from error


def public_verifier(*, identity: str, issuer: str) -> KeylessVerifier:
    """Return what checks signatures of the public instance of Sigstore.

    Raises:
        SigstoreError: Sigstore's keys cannot be had.
    """
    try:
        root = ClientTrustConfig.production().trusted_root
    except TUFError as error:
        raise _no_keys(error) from error
    return KeylessVerifier(root, identity=identity, issuer=issuer)


def _no_keys(error: TUFError) -> SigstoreError:
    return SigstoreError(
        f"the keys of Sigstore cannot be fetched: {_words(error.__cause__ or error)}",
        hint="See that this machine reaches tuf-repo-cdn.sigstore.dev, or use keys: --sign-key "
        "FILE and --verify-key FILE.",
    )


def _words(error: BaseException) -> str:
    """Return what an error says on one line, or what caused it, or its name."""
    text = str(error) or str(error.__cause__ or "")
    return " ".join(text.split()) or type(error).__name__
