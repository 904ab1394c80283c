"""Ed25519 signatures (RFC 8032): who made a report, for whoever only has its bytes."""

from platform_pipelines.errors import ConfigurationError

KEY_BYTES = 32


def public_key(key: str) -> str:
    """The public half of a private key, in hex.

    Raises:
        ConfigurationError: it is no key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    seed = key_bytes(key, "PLATFORM_SIGNING_KEY")
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw().hex()


def sign(key: str, message: bytes) -> str:
    """A signature in hex.

    Raises:
        ConfigurationError: it is no key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    seed = key_bytes(key, "PLATFORM_SIGNING_KEY")
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message).hex()


def verifies(public: str, signature: str, message: bytes) -> bool:
    """Whether the holder of this public key signed this message.

    Raises:
        ConfigurationError: it is no key.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    known = Ed25519PublicKey.from_public_bytes(key_bytes(public, "PLATFORM_SIGNER_KEYS"))
    try:
        known.verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def key_bytes(text: str, named: str) -> bytes:
    """The bytes of a key. Raises ConfigurationError; the key is not shown."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"{named} holds no Ed25519 key", stored=f"{len(text)} characters, not shown",
            expected=f"{2 * KEY_BYTES} hex digits", remedy="openssl rand -hex 32 makes one",
        )  # fmt: skip
    return key
