"""One mark of a whole set of ids: two sets are compared without a list of either."""

import hashlib
from collections.abc import Iterable
from itertools import islice

DIGEST_CHARACTERS = 32  # a chunk's id: a digest in hexadecimal
BATCH_IDS = 4096

Mark = tuple[int, int]


def ids_mark(ids: Iterable[str]) -> Mark:
    """How many, and a sum of hashes: two collections of ids with one mark are equal.

    In any order, and in no memory (an additive multiset hash; 128 bits against accidents). An id
    that is a digest is its own hash.
    """
    number = total = 0
    rest = iter(ids)
    while batch := list(islice(rest, BATCH_IDS)):
        number += len(batch)
        total += _digests_sum(batch)
    return number, total % 2**128


def _digests_sum(batch: list[str]) -> int:
    import numpy as np

    data = _decoded("".join(batch)) if {len(one) for one in batch} == {DIGEST_CHARACTERS} else None
    if data is None:
        return sum(_hash(one) for one in batch)
    words = np.frombuffer(data, ">u4").reshape(-1, 4)
    sums: list[int] = words.sum(axis=0, dtype=np.uint64).tolist()
    return sum(one << shift for one, shift in zip(sums, (96, 64, 32, 0), strict=True))


def _hash(one: str) -> int:
    data = _decoded(one) if len(one) == DIGEST_CHARACTERS else None
    if data is None:
        data = hashlib.blake2b(one.encode(), digest_size=16).digest()
    return int.from_bytes(data, "big")


def _decoded(text: str) -> bytes | None:
    """Of lower-case hexadecimal digits alone; `fromhex` also takes capitals and spaces."""
    if not text.isalnum() or text != text.lower():
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None
