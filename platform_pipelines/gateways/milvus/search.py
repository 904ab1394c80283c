"""Searching a collection or an alias: inside one tenant, in the dimension that is stored there."""

import functools
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from platform_pipelines.errors import CapabilityError, DimensionError, UnavailableError
from platform_pipelines.gateways.milvus.connection import Connection
from platform_pipelines.gateways.milvus.failures import is_released
from platform_pipelines.gateways.milvus.schema import (
    SHOWN_FIELDS,
    SPARSE_FIELD,
    VECTOR_FIELD,
    hits_of,
    keyword_words,
    tenant_filter,
)
from platform_pipelines.gateways.vector_store import Hit

if TYPE_CHECKING:
    from platform_pipelines.gateways.vector_store import Matrix

SEARCH_QUERIES_PER_CALL = 256
SEARCH_AGAIN_AFTER_SECONDS = (0.02, 0.1, 0.3)
BREADTHS = ("ef", "search_list", "reorder_k", "itopk_size")
HIGHER_IS_BETTER = ("COSINE", "IP")

STRONG = "Strong"
BOUNDED = "Bounded"


class Searcher:
    """Searches over one connection. Remembers what collections look like: they do not change."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._layouts: dict[str, tuple[int, bool]] = {}

    def remember(self, collection: str, *, dimension: int, keyword: bool) -> None:
        """This collection was just made."""
        self._layouts[collection] = (dimension, keyword)

    def forget(self, collection: str) -> None:
        """This collection is gone."""
        self._layouts.pop(collection, None)

    def layout(self, target: str) -> tuple[int, bool]:
        """Dimension of the vectors, and whether there is a keyword index.

        Raises:
            UnknownNameError: no such collection or alias.
        """
        if target not in self._layouts:
            self._layouts[target] = self._read_layout(target)
        return self._layouts[target]

    def dense(
        self,
        target: str,
        vectors: "Matrix",
        *,
        k: int,
        tenant: str,
        search_parameters: Mapping[str, int],
        strong: bool,
    ) -> list[list[Hit]]:
        """See `VectorStore.search_dense`; `vectors` is [queries, dimension]."""
        chosen = tenant_filter(tenant)
        self._check_dimension(target, int(vectors.shape[1]))
        search = functools.partial(
            self._search, target, field=VECTOR_FIELD, k=k, chosen=chosen, strong=strong
        )
        parameters = _wide_enough(search_parameters, k=k)
        found: list[Any] = []
        for start in range(0, len(vectors), SEARCH_QUERIES_PER_CALL):
            page = list(vectors[start : start + SEARCH_QUERIES_PER_CALL])
            found += search(page, parameters=parameters)
        sign = self._sign(target, found)
        return [hits_of(one, sign=sign) for one in found]

    def keywords(
        self, target: str, queries: Sequence[str], *, k: int, tenant: str, strong: bool
    ) -> list[list[Hit]]:
        """See `VectorStore.search_keywords`. A query without a word finds nothing."""
        chosen = tenant_filter(tenant)
        self._check_keywords(target)
        asked = [number for number, query in enumerate(queries) if query.strip()]
        found: list[list[Hit]] = [[] for _ in queries]
        for start in range(0, len(asked), SEARCH_QUERIES_PER_CALL):
            page = asked[start : start + SEARCH_QUERIES_PER_CALL]
            texts = [keyword_words(queries[number]) for number in page]
            answers = self._search(
                target, texts, field=SPARSE_FIELD, k=k, chosen=chosen, strong=strong
            )
            for number, answer in zip(page, answers, strict=True):
                found[number] = _keyword_hits(answer)
        return found

    def _search(self, target: str, data: list[Any], **asked: Any) -> list[Any]:
        """Ask, and ask again when the server fails quickly: a search changes nothing.

        While an alias moves, Milvus 2.3 fails some searches ("failed to get delegator"): its proxy
        then holds the shards of one collection and the id of the other.
        """
        give_up = time.monotonic() + self._connection.timeout_seconds / 2
        for pause_seconds in SEARCH_AGAIN_AFTER_SECONDS:
            try:
                return self._ask(target, data, **asked)
            except UnavailableError as error:
                if is_released(error):
                    self._load(target)
                if time.monotonic() > give_up:
                    raise
                time.sleep(pause_seconds)
        return self._ask(target, data, **asked)

    def _load(self, target: str) -> None:
        """Somebody released what is live (a person, or a server that made room): load it again."""
        with self._connection.use(f"load {target}, which was released") as client:
            client.load_collection(target, timeout=self._connection.timeout_seconds)

    def _ask(
        self,
        target: str,
        data: list[Any],
        *,
        field: str,
        k: int,
        chosen: str,
        strong: bool,
        parameters: Mapping[str, int] | None = None,
    ) -> list[Any]:
        with self._connection.use(f"search {target}") as client:
            return list(
                client.search(
                    target,
                    data,
                    anns_field=field,
                    filter=chosen,
                    limit=k,
                    output_fields=SHOWN_FIELDS,
                    search_params={"params": dict(parameters or {})},
                    consistency_level=STRONG if strong else BOUNDED,
                    timeout=self._connection.timeout_seconds,
                )
            )

    def _read_layout(self, target: str) -> tuple[int, bool]:
        with self._connection.use(f"describe {target}") as client:
            described = client.describe_collection(target, timeout=self._connection.timeout_seconds)
        by_name = {str(field["name"]): field for field in described["fields"]}
        return int(by_name[VECTOR_FIELD]["params"]["dim"]), SPARSE_FIELD in by_name

    def _check_dimension(self, target: str, dimension: int) -> None:
        if self.layout(target)[0] == dimension:
            return
        # An alias may have moved to a collection of another dimension since it was remembered.
        self.forget(target)
        stored = self.layout(target)[0]
        if stored != dimension:
            raise DimensionError(
                "the query's vector does not fit the collection",
                where=target,
                stored=stored,
                expected=dimension,
                remedy="search with the embedder that the release was built with",
            )

    def _check_keywords(self, target: str) -> None:
        if self.layout(target)[1]:
            return
        self.forget(target)
        if not self.layout(target)[1]:
            raise CapabilityError(
                "the collection has no keyword index",
                where=target,
                remedy="declare `index.keyword: true` on a server that has BM25, and refresh",
            )

    def _sign(self, target: str, found: Sequence[Sequence[Mapping[str, Any]]]) -> float:
        """-1 where the server's distance is lower for better (L2), else 1.

        Read off the order of the hits, which is right even while an alias moves between metrics;
        asked for only when no query has two hits of different distance.
        """
        for one in found:
            if one and one[0]["distance"] != one[-1]["distance"]:
                return -1.0 if one[0]["distance"] < one[-1]["distance"] else 1.0
        if not any(found):
            return 1.0
        with self._connection.use(f"describe the index of {target}") as client:
            index = client.describe_index(
                target, VECTOR_FIELD, timeout=self._connection.timeout_seconds
            )
        return 1.0 if index["metric_type"] in HIGHER_IS_BETTER else -1.0


def _wide_enough(parameters: Mapping[str, int], *, k: int) -> dict[str, int]:
    """What a search looks through must not be less than k: Milvus refuses such a search."""
    return {
        name: max(value, k) if name in BREADTHS else value for name, value in parameters.items()
    }


def _keyword_hits(answer: Sequence[Mapping[str, Any]]) -> list[Hit]:
    """Milvus Lite gives BM25 scores below zero, a server above: best first either way.

    A chunk that shares no word with the query may be listed with the score 0.
    """
    shared = [hit for hit in answer if hit["distance"] != 0]
    sign = -1.0 if shared and shared[0]["distance"] < 0 else 1.0
    return hits_of(shared, sign=sign)
