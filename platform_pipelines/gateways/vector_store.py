"""The vector store's role: immutable collections, aliases that readers follow, and two searches."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Matrix: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a probe saw a server do: fill, index, load and search, not merely accept."""

    product: str  # `milvus-lite` | `milvus`
    version: str
    index_kinds: tuple[str, ...]  # e.g. ("FLAT", "IVF_FLAT", "HNSW")
    keyword_search: bool  # BM25 function
    notes: Mapping[str, str] = field(
        default_factory=dict[str, str]
    )  # what failed, and with which words


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """What a collection is to be; both kinds of parameters are the server's own."""

    name: str
    dimension: int
    metric: str  # COSINE | IP | L2
    index_kind: str  # resolved: never `auto`
    keyword: bool
    index_parameters: Mapping[str, int] = field(default_factory=dict[str, int])
    search_parameters: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Row:
    """One chunk as it is stored. `keywords` is already tokenised by us, separated by spaces."""

    chunk_id: str
    document_key: str
    tenant: str
    text: str
    title: str
    place: str  # JSON of core.documents.place_record
    language: str
    document_type: str
    keywords: str
    vector: "npt.NDArray[np.float32]"  # [dimension]


@dataclass(frozen=True, slots=True)
class Hit:
    """One found chunk. `score` is higher for better, whatever the metric."""

    chunk_id: str
    score: float
    document_key: str
    text: str
    title: str
    place: str
    language: str
    document_type: str


class VectorStore(Protocol):
    """Immutable collections behind aliases.

    Raises (from every method): UnavailableError (no answer), CapabilityError (cannot),
    DimensionError, UnknownNameError, MissingTenantError (empty tenant), StorageFullError.
    """

    def server(self) -> tuple[str, str]:
        """(product, version): `milvus-lite` or `milvus`, and what it says of itself."""
        ...

    def capabilities(self, kinds: Sequence[str] | None = None) -> Capabilities:
        """Probe index kinds and keyword search on tiny collections, each with a time-out.

        With `kinds` those alone are tried; without, all that the product may have, once: the answer
        is kept.
        """
        ...

    def collections(self, prefix: str) -> list[str]:
        """Names of collections that start with `prefix`, sorted."""
        ...

    def create(self, spec: CollectionSpec, *, owner: str = "") -> None:
        """Make an empty collection, marked with its owner. It must not exist (ConflictError)."""
        ...

    def owner(self, collection: str) -> str | None:
        """The owner that a collection was made for; None when it has no mark."""
        ...

    def insert(self, collection: str, rows: Sequence[Row]) -> int:
        """Insert; returns how many. Duplicate ids from one writer: IntegrityError."""
        ...

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Delete rows by their chunk ids; absent is fine. They stay deleted when it returns."""
        ...

    def unload(self, collection: str) -> None:
        """Give back the memory of a collection that nobody searches; `seal` loads it again."""
        ...

    def seal(self, spec: CollectionSpec, *, timeout_seconds: float) -> None:
        """Flush, build the indexes, load; returns when all rows are searchable."""
        ...

    def is_sealed(self, spec: CollectionSpec) -> bool:
        """Whether it has all its indexes and is loaded: `seal` came to its end."""
        ...

    def count(self, collection: str) -> int:
        """Rows as `count(*)` at Strong consistency."""
        ...

    def chunk_ids(self, collection: str) -> Iterable[str]:
        """All chunk ids, streamed, in no order (verification)."""
        ...

    def ids_mark(self, collection: str) -> tuple[int, int]:
        """`core.knowledge_base.ids.ids_mark` of all chunk ids, counted where they are if it can."""
        ...

    def vectors(
        self, collection: str, chunk_ids: Sequence[str]
    ) -> "Mapping[str, npt.NDArray[np.float32]]":
        """Stored vectors of some chunks (verification, sampling)."""
        ...

    def drop(self, collection: str) -> None:
        """Drop; absent is fine. A collection that an alias points to is refused (ConflictError)."""
        ...

    def alias(self, alias: str) -> str | None:
        """The collection behind an alias, or None."""
        ...

    def point_alias(self, alias: str, collection: str) -> None:
        """Create or move the alias; idempotent. UnknownNameError when the collection is absent."""
        ...

    def search_dense(
        self,
        target: str,
        vectors: "Matrix",
        *,
        k: int,
        tenant: str,
        search_parameters: Mapping[str, int] | None = None,
        strong: bool = False,
    ) -> list[list[Hit]]:
        """Nearest chunks of each query vector. `target` is an alias or a collection."""
        ...

    def search_keywords(
        self, target: str, keywords: Sequence[str], *, k: int, tenant: str, strong: bool = False
    ) -> list[list[Hit]]:
        """BM25 over the keyword field; queries are already tokenised by us."""
        ...

    def close(self) -> None:
        """Give back the connection; safe to call twice."""
        ...
