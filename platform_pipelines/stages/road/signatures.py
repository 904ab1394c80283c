"""Signatures of evidence: where a key is configured, what it did not sign releases nothing."""

from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.settings import Settings


def signature_key(digest: str) -> str:
    """Where the signature of some evidence is."""
    return f"evidence/{digest}.sig"


def sign_evidence(settings: Settings, store: ObjectStore, digest: str) -> None:
    """Sign evidence that this process made, where it has a key.

    Raises:
        ConfigurationError: the key is none.
    """
    if settings.signing_key is None:
        return
    from platform_pipelines.gateways.signing import sign

    signature = sign(settings.signing_key.value, _message(digest))
    store.put(signature_key(digest), signature.encode())


def is_signed(settings: Settings, store: ObjectStore, digest: str) -> bool:
    """Whether a configured key signed it; without any key, everything counts as signed.

    Raises:
        ConfigurationError: a key is none.
    """
    signers = _signers(settings)
    if not signers:
        return True
    key = signature_key(digest)
    if not store.exists(key):
        return False
    from platform_pipelines.gateways.signing import verifies

    signature = store.get(key)[0].decode(errors="replace")
    return any(verifies(signer, signature, _message(digest)) for signer in signers)


def require_signature(settings: Settings, store: ObjectStore, digest: str) -> None:
    """Raises IntegrityError: keys are configured, and none of them signed this evidence."""
    if is_signed(settings, store, digest):
        return
    raise IntegrityError(
        "the evidence is not signed by a configured key",
        where=f"{store.url}/{signature_key(digest)}",
        stored="no signature, or another's",
        expected=f"a signature of {', '.join(_signers(settings))}",
        remedy="evaluate again where PLATFORM_SIGNING_KEY is set",
    )


def _signers(settings: Settings) -> tuple[str, ...]:
    if settings.signer_keys or settings.signing_key is None:
        return settings.signer_keys
    from platform_pipelines.gateways.signing import public_key

    return (public_key(settings.signing_key.value),)


def _message(digest: str) -> bytes:
    return f"platform-pipelines evidence {digest}".encode()
