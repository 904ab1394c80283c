"""An embedder that costs next to nothing: signed feature hashing of words, word pairs, syllables.

For tests, and for benchmarks that measure everything but the model: its vectors find texts that
share words, and know no meaning. A word is a run of letters and digits, lower-cased; Hangul gives
its syllable pairs as well, so that particles do not hide a noun.
Feature hashing: Weinberger et al. 2009, https://arxiv.org/abs/0902.2206.
"""

import functools
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.errors import ConfigurationError, IntegrityError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Matrix: TypeAlias = npt.NDArray[np.float32]
    Hashes: TypeAlias = npt.NDArray[np.uint64]
    Positions: TypeAlias = npt.NDArray[np.int64]

VERSION = 1
PART_CHARACTERS = 1 << 18  # hashed at a time: it fits a processor's cache, and bounds memory
PART_TEXTS = 1024
BYTES_OF_A_TOKEN = 4
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_BASE_INVERSE = pow(_BASE, -1, 1 << 64)
_MIX = 0xBF58476D1CE4E5B9  # of splitmix64, https://prng.di.unimi.it/splitmix64.c
_HANGUL_FIRST, _HANGUL_LAST = 0xAC00, 0xD7A3
_PLANE = 1 << 16


class HashTokenCounter:
    """One token for every four bytes of UTF-8, which is near what real tokenizers make of both
    English and Korean."""

    def __init__(self, window_tokens: int) -> None:
        self.window_tokens = window_tokens

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [-(-_utf8_bytes(text) // BYTES_OF_A_TOKEN) for text in texts]


def _utf8_bytes(text: str) -> int:
    if text.isascii():
        return len(text)
    return len(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass"))


class HashEmbedder:
    """An `Embedder` without a model. Passages and queries are embedded alike."""

    def __init__(self, dimension: int = 384, *, window_tokens: int = 512) -> None:
        if dimension < 1 or window_tokens < 1:
            raise ConfigurationError(
                "dimension and window_tokens of the embedder count from 1",
                stored=f"dimension={dimension}, window_tokens={window_tokens}",
            )
        self.name = f"hash-{dimension}"
        self.dimension = dimension
        self.window_tokens = window_tokens
        self.digest = digest_json(
            {"hash": VERSION, "dimension": dimension, "window_tokens": window_tokens}
        )
        self._counter = HashTokenCounter(window_tokens)

    def embed_passages(self, texts: Sequence[str]) -> "Matrix":
        """[len(texts), dimension] float32, unit rows. A passage over the window: IntegrityError."""
        for index, tokens in enumerate(self._counter.count(texts)):
            if tokens > self.window_tokens:
                raise IntegrityError(
                    "a passage is longer than the embedder's window",
                    where=f"passage {index} of the list",
                    stored=f"{tokens} tokens",
                    expected=f"at most {self.window_tokens} tokens",
                    remedy="chunk with this embedder's own token counter",
                )
        return self.embed_queries(texts)

    def embed_queries(self, texts: Sequence[str]) -> "Matrix":
        """[len(texts), dimension] float32, unit rows."""
        import numpy as np

        vectors = np.empty((len(texts), self.dimension), np.float32)
        done = 0
        for part in _parts(texts):
            vectors[done : done + len(part)] = _embed(part, self.dimension)
            done += len(part)
        return vectors

    def token_counter(self) -> HashTokenCounter:
        """A counter by length alone."""
        return self._counter

    def close(self) -> None:
        """Nothing to give back."""


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """Normalised texts, a bounded number of characters at a time (a longer text comes alone)."""
    part: list[str] = []
    characters = 0
    for text in texts:
        clean = unicodedata.normalize("NFC", text).lower()
        if part and (characters + len(clean) > PART_CHARACTERS or len(part) == PART_TEXTS):
            yield part
            part, characters = [], 0
        part.append(clean)
        characters += len(clean)
    if part:
        yield part


def _embed(texts: Sequence[str], dimension: int) -> "Matrix":
    import numpy as np

    data = " ".join(texts).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(data, "<u4").astype(np.uint64)
    first = np.cumsum([0, *(len(text) + 1 for text in texts)])[:-1]  # position of each text
    starts, words = _words(codes)
    of_word = np.searchsorted(first, starts, "right") - 1
    together = of_word[1:] == of_word[:-1]
    pairs = _mixed(words[:-1] * np.uint64(3) + words[1:])[together]
    at, syllables = _syllable_pairs(codes)
    rows = np.concatenate([of_word, of_word[1:][together], np.searchsorted(first, at, "right") - 1])
    hashes = np.concatenate([words, pairs, syllables])
    return _folded(rows, hashes, shape=(len(texts), dimension))


def _words(codes: "Hashes") -> "tuple[Positions, Hashes]":
    """Where words start, and the hash of each.

    A polynomial hash from prefix sums: all words of a part in a few passes, none in Python.
    """
    import numpy as np

    is_word = _word_characters()[np.minimum(codes, np.uint64(_PLANE)).astype(np.int64)]
    edges = np.flatnonzero(np.diff(is_word, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    powers, inverses = _powers(len(codes))
    prefix = np.concatenate([np.zeros(1, np.uint64), np.cumsum((codes + np.uint64(1)) * powers)])
    return starts, _mixed((prefix[ends] - prefix[starts]) * inverses[starts])


def _syllable_pairs(codes: "Hashes") -> "tuple[Positions, Hashes]":
    """Where two Hangul syllables stand together, and the hash of each such pair."""
    import numpy as np

    hangul = (codes >= np.uint64(_HANGUL_FIRST)) & (codes <= np.uint64(_HANGUL_LAST))
    at = np.flatnonzero(hangul[:-1] & hangul[1:])
    return at, _mixed(codes[at] * np.uint64(_PLANE) + codes[at + 1])


def _folded(rows: "Positions", hashes: "Hashes", *, shape: tuple[int, int]) -> "Matrix":
    """Adds +1 or -1 for each feature into its row and bucket; rows of unit length."""
    import numpy as np

    count, dimension = shape
    signs = (hashes & np.uint64(1)).astype(np.float64) * 2 - 1
    buckets = ((hashes >> np.uint64(1)) % np.uint64(dimension)).astype(np.int64)
    sums = np.bincount(rows * dimension + buckets, weights=signs, minlength=count * dimension)
    vectors = sums.reshape(count, dimension)
    # no word at all, or signs that cancel out: any one direction, but the same each time
    vectors[~vectors.any(axis=1), 0] = 1.0
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _mixed(values: "Hashes") -> "Hashes":
    """Spreads a change of any bit over the low bits (splitmix64's finaliser)."""
    import numpy as np

    values = (values ^ (values >> np.uint64(30))) * np.uint64(_MIX)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(_BASE)
    return values ^ (values >> np.uint64(31))


@functools.cache
def _word_characters() -> "npt.NDArray[np.bool_]":
    """[65537] whether a code point belongs to a word; the last entry is for all above."""
    import numpy as np

    return np.array([*(chr(code).isalnum() for code in range(_PLANE)), True])


@functools.lru_cache(maxsize=1)
def _cached_powers(length: int) -> "tuple[Hashes, Hashes]":
    import numpy as np

    def powers(base: int) -> "Hashes":
        steps = np.full(length, base, np.uint64)
        steps[0] = 1
        return np.cumprod(steps)

    return powers(_BASE), powers(_BASE_INVERSE)


def _powers(length: int) -> "tuple[Hashes, Hashes]":
    """Powers of the base and of its inverse modulo 2^64, at least `length` of each, as views."""
    powers, inverses = _cached_powers(max(length, 2 * PART_CHARACTERS))
    return powers[:length], inverses[:length]
