"""The embedder's role: texts in, unit vectors out, and its own way of counting tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Matrix: TypeAlias = npt.NDArray[np.float32]


class TokenCounter(Protocol):
    """Counts tokens as the embedder does, special tokens and the passage prefix included."""

    window_tokens: int

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as a passage; one number a text."""
        ...


class Embedder(Protocol):
    """Makes vectors. All of one `digest` are comparable; those of two digests never are.

    Raises (from every method): ModelFileError, UnavailableError, RateLimitedError, DimensionError.
    """

    name: str  # for people, e.g. `multilingual-e5-small`
    digest: str  # of everything that decides the numbers: weights, precision, prefixes
    dimension: int
    window_tokens: int

    def embed_passages(self, texts: Sequence[str]) -> "Matrix":
        """[len(texts), dimension] float32, rows of unit length."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> "Matrix":
        """[len(texts), dimension] float32, rows of unit length."""
        ...

    def token_counter(self) -> TokenCounter:
        """The counter that chunking uses, so that no chunk exceeds the window."""
        ...

    def close(self) -> None:
        """Give back threads and connections; safe to call twice."""
        ...
