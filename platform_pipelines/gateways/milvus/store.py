"""The vector store on `pymilvus.MilvusClient`: Milvus Lite behind its server, or a real Milvus."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from platform_pipelines.core.knowledge_base.ids import Mark, ids_mark
from platform_pipelines.errors import (
    CapabilityError,
    ConflictError,
    PlatformError,
    UnknownNameError,
)
from platform_pipelines.gateways.milvus.connection import Connection, Deadline
from platform_pipelines.gateways.milvus.library import pymilvus
from platform_pipelines.gateways.milvus.lite_mark import ask_mark
from platform_pipelines.gateways.milvus.probe import probe, product_of
from platform_pipelines.gateways.milvus.schema import (
    KEY_FIELD,
    LITE,
    SPARSE_FIELD,
    VECTOR_FIELD,
    Writer,
    batches,
    build_schema,
    index_parameters,
)
from platform_pipelines.gateways.milvus.search import BOUNDED, STRONG, Searcher
from platform_pipelines.gateways.vector_store import Capabilities, CollectionSpec, Hit, Row

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from platform_pipelines.gateways.vector_store import Matrix

INSERT_BATCH_BYTES = 4_000_000  # gRPC allows 64 MB; a search waits for no batch, only for its turn
DELETE_IDS = 1_000  # in one request: they are written into its filter
QUERY_PAGE_ROWS = 10_000
VECTOR_PAGE_ROWS = 500
OWNER_PROPERTY = "platform_pipelines.owner"
LOADED = "Loaded"  # of pymilvus' `LoadState`


class MilvusStore:
    """`VectorStore` on one Milvus. Connects at the first call; safe to share between threads.

    `uri` may be a function that starts what it names (`LocalMilvus.uri`). `gpu` lets the probe try
    GPU indexes, which a CPU server may accept and never build.
    """

    def __init__(
        self,
        *,
        uri: str | Callable[[], str],
        token: str | None,
        timeout_seconds: float,
        gpu: bool = False,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        endpoint = uri if callable(uri) else functools.partial(str, uri)
        self._connection = Connection(endpoint, token=token, timeout_seconds=timeout_seconds)
        self._searcher = Searcher(self._connection)
        self._seconds = self._connection.timeout_seconds
        self._gpu = gpu
        self._capabilities: Capabilities | None = None
        self._on_close = on_close
        self._server: tuple[str, str] | None = None
        self._writers: dict[str, Writer] = {}
        self._owners: dict[str, str | None] = {}

    def server(self) -> tuple[str, str]:
        """See `VectorStore`."""
        if self._server is None:
            with self._connection.use("ask for its version") as client:
                self._server = product_of(client.get_server_version(timeout=self._seconds))
        return self._server

    def capabilities(self, kinds: Sequence[str] | None = None) -> Capabilities:
        """See `VectorStore`."""
        if self._capabilities is not None:
            return self._capabilities
        if kinds is not None:
            return probe(self._connection, gpu=self._gpu, kinds=kinds)
        self._capabilities = probe(self._connection, gpu=self._gpu)
        return self._capabilities

    def collections(self, prefix: str) -> list[str]:
        """See `VectorStore`."""
        with self._connection.use("list collections") as client:
            names = client.list_collections(timeout=self._seconds)
        return sorted(str(name) for name in names if str(name).startswith(prefix))

    def create(self, spec: CollectionSpec, *, owner: str = "") -> None:
        """See `VectorStore`. `keyword` on a server without BM25: CapabilityError.

        The mark is a property: Milvus Lite forgets a collection's description.
        """
        with self._connection.use(f"create collection {spec.name}") as client:
            if client.has_collection(spec.name, timeout=self._seconds):
                raise ConflictError("the collection exists already", where=spec.name)
            client.create_collection(
                spec.name,
                schema=build_schema(spec, product=self.server()[0]),
                consistency_level=BOUNDED,
                properties={OWNER_PROPERTY: owner} if owner else {},
                timeout=self._seconds,
            )
            if spec.keyword:
                self._check_keyword(client, spec.name)
        self._writers.pop(spec.name, None)
        self._owners.pop(spec.name, None)
        self._searcher.remember(spec.name, dimension=spec.dimension, keyword=spec.keyword)

    def owner(self, collection: str) -> str | None:
        """See `VectorStore`. A mark is given when a collection is made and never changes."""
        if collection not in self._owners:
            with self._connection.use(f"look at collection {collection}") as client:
                found = client.describe_collection(collection, timeout=self._seconds)
            self._owners[collection] = found.get("properties", {}).get(OWNER_PROPERTY)
        return self._owners[collection]

    def insert(self, collection: str, rows: Sequence[Row]) -> int:
        """See `VectorStore`. From two threads, one call is encoded while the other is stored."""
        if not rows:
            return 0
        writer = self._writers.setdefault(collection, Writer())
        writer.claim(collection, rows)
        dimension, keyword = self._searcher.layout(collection)
        work = batches(rows, dimension=dimension, keyword=keyword, max_bytes=INSERT_BATCH_BYTES)
        try:
            return sum(self._send(collection, batch) for batch in work)
        except PlatformError:
            writer.doubt()
            raise

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """See `VectorStore`. A server keeps what it answered; Milvus Lite does when it flushes."""
        for start in range(0, len(ids), DELETE_IDS):
            some = list(ids[start : start + DELETE_IDS])
            with self._connection.use(f"delete rows of {collection}") as client:
                client.delete(collection, ids=some, timeout=self._seconds)
        if collection in self._writers:
            self._writers[collection].forget(ids)
        if self._is_lite():
            with self._connection.use(f"flush {collection}") as client:
                client.flush(collection, timeout=self._seconds)

    def unload(self, collection: str) -> None:
        """See `VectorStore`."""
        with self._connection.use(f"unload {collection}") as client:
            client.release_collection(collection, timeout=self._seconds)

    def seal(self, spec: CollectionSpec, *, timeout_seconds: float) -> None:
        """See `VectorStore`. Ends with one search of each kind: the first one is slow."""
        deadline = Deadline(timeout_seconds)
        with self._connection.use(f"seal {spec.name}") as client:
            client.flush(spec.name, timeout=deadline.left_seconds("flush"))
            present = set(client.list_indexes(spec.name, timeout=self._seconds))
            for index in _missing_indexes(spec, present):
                # Milvus Lite builds within the call; asking it again would only sleep.
                seconds = deadline.left_seconds("build the indexes")
                client.create_index(spec.name, index, timeout=seconds, sync=not self._is_lite())
            client.load_collection(spec.name, timeout=deadline.left_seconds("load"))
        self._warm(spec)

    def is_sealed(self, spec: CollectionSpec) -> bool:
        """See `VectorStore`."""
        with self._connection.use(f"look at the indexes of {spec.name}") as client:
            present = set(client.list_indexes(spec.name, timeout=self._seconds))
            if _missing_indexes(spec, present):
                return False
            state = client.get_load_state(spec.name, timeout=self._seconds)["state"]
        return getattr(state, "name", "") == LOADED

    def count(self, collection: str) -> int:
        """See `VectorStore`."""
        with self._connection.use(f"count {collection}") as client:
            answer = client.query(
                collection,
                filter="",
                output_fields=["count(*)"],
                consistency_level=STRONG,
                timeout=self._seconds,
            )
        return int(answer[0]["count(*)"])

    def chunk_ids(self, collection: str) -> Iterator[str]:
        """See `VectorStore`."""
        doing = f"list the chunks of {collection}"
        with self._connection.use(doing) as client:
            pages = client.query_iterator(
                collection,
                batch_size=QUERY_PAGE_ROWS,
                filter="",
                output_fields=[KEY_FIELD],
                consistency_level=STRONG,
                timeout=self._seconds,
            )
        try:
            while True:
                with self._connection.use(doing):
                    page = pages.next()
                if not page:
                    return
                yield from (str(row[KEY_FIELD]) for row in page)
        finally:
            pages.close()

    def ids_mark(self, collection: str) -> Mark:
        """See `VectorStore`. Only the local server of this product counts them itself."""
        if self._is_lite():
            with self._connection.use(f"compare the chunks of {collection}"):
                mark = ask_mark(self._connection.uri, collection, timeout_seconds=self._seconds)
            if mark is not None:
                return mark
        return ids_mark(self.chunk_ids(collection))

    def vectors(
        self, collection: str, chunk_ids: Sequence[str]
    ) -> "Mapping[str, npt.NDArray[np.float32]]":
        """See `VectorStore`. Ids that are not stored are absent from the answer."""
        import numpy as np

        found: dict[str, npt.NDArray[np.float32]] = {}
        for start in range(0, len(chunk_ids), VECTOR_PAGE_ROWS):
            with self._connection.use(f"read vectors of {collection}") as client:
                rows = client.query(
                    collection,
                    ids=list(chunk_ids[start : start + VECTOR_PAGE_ROWS]),
                    output_fields=[KEY_FIELD, VECTOR_FIELD],
                    consistency_level=STRONG,
                    timeout=self._seconds,
                )
            for row in rows:
                found[str(row[KEY_FIELD])] = np.asarray(row[VECTOR_FIELD], dtype=np.float32)
        return found

    def drop(self, collection: str) -> None:
        """See `VectorStore`. Milvus itself drops what an alias points to, alias and all."""
        with self._connection.use(f"drop collection {collection}") as client:
            if not client.has_collection(collection, timeout=self._seconds):
                return
            if self.alias(collection) is not None:
                raise ConflictError("that is an alias, not a collection", where=collection)
            aliases = client.list_aliases(collection, timeout=self._seconds)["aliases"]
            if aliases:
                raise ConflictError(
                    "an alias points to the collection",
                    where=collection,
                    stored=", ".join(aliases),
                    remedy="move the alias first",
                )
            client.drop_collection(collection, timeout=self._seconds)
        self._writers.pop(collection, None)
        self._owners.pop(collection, None)
        self._searcher.forget(collection)

    def alias(self, alias: str) -> str | None:
        """See `VectorStore`."""
        try:
            with self._connection.use(f"look up alias {alias}") as client:
                return str(client.describe_alias(alias, timeout=self._seconds)["collection_name"])
        except UnknownNameError:
            return None

    def point_alias(self, alias: str, collection: str) -> None:
        """See `VectorStore`. A collection that bears the alias's name: ConflictError."""
        current = self.alias(alias)
        if current == collection:
            return
        with self._connection.use(f"point alias {alias} to {collection}") as client:
            if current is not None:
                client.alter_alias(collection, alias, timeout=self._seconds)
            elif client.has_collection(alias, timeout=self._seconds):
                raise ConflictError("a collection bears the alias's name", where=alias)
            else:
                client.create_alias(collection, alias, timeout=self._seconds)

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
        """See `VectorStore`. Send queries together: on Lite one costs 27 ms, 64 cost 80."""
        return self._searcher.dense(
            target,
            vectors,
            k=k,
            tenant=tenant,
            search_parameters=search_parameters or {},
            strong=strong,
        )

    def search_keywords(
        self, target: str, keywords: Sequence[str], *, k: int, tenant: str, strong: bool = False
    ) -> list[list[Hit]]:
        """See `VectorStore`. Chunks that share no keyword with the query are not hits."""
        return self._searcher.keywords(target, keywords, k=k, tenant=tenant, strong=strong)

    def close(self) -> None:
        """See `VectorStore`."""
        self._connection.close()
        if self._on_close is not None:
            self._on_close()

    def _send(self, collection: str, batch: list[dict[str, Any]]) -> int:
        with self._connection.use(f"insert into {collection}") as client:
            outcome = client.insert(collection, batch, timeout=self._seconds)
        return int(outcome["insert_count"])

    def _check_keyword(self, client: Any, name: str) -> None:
        """Milvus before 2.5 accepts the schema and forgets its function."""
        if client.describe_collection(name, timeout=self._seconds)["functions"]:
            return
        client.drop_collection(name, timeout=self._seconds)
        raise CapabilityError(
            "this Milvus has no keyword search (BM25)",
            where=name,
            expected="Milvus 2.5 or later, or Milvus Lite",
            remedy="declare `index.keyword: false`",
        )

    def _warm(self, spec: CollectionSpec) -> None:
        import numpy as np

        query = np.full((1, spec.dimension), 0.5, dtype=np.float32)
        self.search_dense(spec.name, query, k=1, tenant="warm", strong=True)
        if spec.keyword:
            self.search_keywords(spec.name, ["warm"], k=1, tenant="warm", strong=True)

    def _is_lite(self) -> bool:
        return self.server()[0] == LITE


def _missing_indexes(spec: CollectionSpec, present: set[str]) -> list[Any]:
    """One request for each index that is not there yet; named for its field."""
    wanted: dict[str, dict[str, Any]] = {
        VECTOR_FIELD: {
            "index_type": spec.index_kind,
            "metric_type": spec.metric,
            "params": index_parameters(spec.index_parameters),
        }
    }
    if spec.keyword:
        wanted[SPARSE_FIELD] = {"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "BM25"}
    missing: list[Any] = []
    for field, parameters in wanted.items():
        if field not in present:
            index = pymilvus().MilvusClient.prepare_index_params()
            index.add_index(field, index_name=field, **parameters)
            missing.append(index)
    return missing
