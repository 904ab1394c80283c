"""Digests: the one way in which this package names content.

A digest is 32 lower-case hex characters (the first 128 bits of SHA-256). Two things with the same
digest are the same thing; nothing is named by a time, a path or a counter.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

DIGEST_CHARACTERS = 32
_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


def digest_bytes(data: bytes) -> str:
    """Digest of raw bytes."""
    return hashlib.sha256(data).hexdigest()[:DIGEST_CHARACTERS]


def digest_text(text: str) -> str:
    """Digest of a text's UTF-8 bytes; the caller has normalised it."""
    return digest_bytes(text.encode("utf-8", "surrogatepass"))


def canonical_json(value: Json) -> str:
    """One text per value: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: the value holds NaN or an infinity.
    """
    return _CANONICAL.encode(value)


def digest_json(value: Json) -> str:
    """Digest of a JSON value, independent of key order."""
    return digest_text(canonical_json(value))


def digest_parts(*parts: str) -> str:
    """Digest of an ordered list of strings; unambiguous where they touch (length-prefixed)."""
    data = [part.encode("utf-8", "surrogatepass") for part in parts]
    return digest_bytes(b"".join([len(part).to_bytes(8, "big") + part for part in data]))


def shard_of(key: str, shards: int) -> int:
    """The shard of a document key: a hash that does not change between processes or versions."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8")).digest()[:8], "big") % shards
