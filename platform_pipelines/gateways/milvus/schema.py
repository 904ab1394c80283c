"""The one schema of a knowledge base's collection, and the rows that fit it.

VARCHAR limits are bytes of UTF-8, not characters: a Korean syllable is three.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from platform_pipelines.core.knowledge_base.chunks import TEXT_MAX_BYTES
from platform_pipelines.errors import (
    CapabilityError,
    ConfigurationError,
    ConflictError,
    DimensionError,
    IntegrityError,
    MissingTenantError,
)
from platform_pipelines.gateways.milvus.library import pymilvus
from platform_pipelines.gateways.vector_store import CollectionSpec, Hit, Row

LITE = "milvus-lite"
SERVER = "milvus"

KEY_FIELD = "chunk_id"
VECTOR_FIELD = "vector"
KEYWORD_FIELD = "keywords"
SPARSE_FIELD = "sparse"

VARCHAR_MAX_BYTES = TEXT_MAX_BYTES
BYTE_LIMITS: dict[str, int] = {
    "chunk_id": 64,
    "document_key": 4_096,
    "tenant": 256,
    "text": VARCHAR_MAX_BYTES,
    "title": VARCHAR_MAX_BYTES,
    "place": VARCHAR_MAX_BYTES,
    "language": 64,
    "document_type": 64,
}
SHOWN_FIELDS = ["chunk_id", "document_key", "text", "title", "place", "language", "document_type"]
UTF8_MAX_BYTES_PER_CHARACTER = 4

# Whitespace alone where it exists; Milvus Lite has `standard` (runs of \w, lower-cased) and jieba.
# `keyword_words` makes of our tokens what both read alike.
ANALYZERS = {LITE: {"tokenizer": "standard"}, SERVER: {"tokenizer": "whitespace"}}

_NO_WORD = re.compile(r"[^\w\s]+")
_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def build_schema(spec: CollectionSpec, *, product: str) -> Any:
    """The collection's schema. BM25 reads `keywords` only; `text` is for display.

    `tenant` is a plain field with a filter, not a partition key: on Milvus Lite a partition key
    does not narrow a search, and splits BM25's statistics over 16 files.
    """
    library = pymilvus()
    kinds = library.DataType
    schema = library.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    for name, limit in BYTE_LIMITS.items():
        schema.add_field(name, kinds.VARCHAR, max_length=limit, is_primary=name == KEY_FIELD)
    schema.add_field(VECTOR_FIELD, kinds.FLOAT_VECTOR, dim=spec.dimension)
    if spec.keyword:
        schema.add_field(
            KEYWORD_FIELD,
            kinds.VARCHAR,
            max_length=VARCHAR_MAX_BYTES,
            enable_analyzer=True,
            analyzer_params=ANALYZERS[product],
        )
        schema.add_field(SPARSE_FIELD, kinds.SPARSE_FLOAT_VECTOR)
        schema.add_function(
            library.Function(
                name="bm25",
                function_type=library.FunctionType.BM25,
                input_field_names=[KEYWORD_FIELD],
                output_field_names=[SPARSE_FIELD],
            )
        )
    return schema


def tenant_filter(tenant: str) -> str:
    """The filter that keeps a query inside its tenant, safe for every text.

    Written out rather than as a template (`filter_params`), which Milvus before 2.5 and Milvus Lite
    do not understand.

    Raises:
        MissingTenantError: the tenant is empty.
        ConfigurationError: the tenant holds a NUL.
    """
    if not tenant.strip():
        raise MissingTenantError(
            "a query without a tenant", remedy="name the tenant; `default` is the only one at first"
        )
    if "\0" in tenant:
        raise ConfigurationError("a tenant holds a NUL character", where=repr(tenant))
    return f'tenant == "{tenant.translate(_ESCAPES)}"'


def batches(
    rows: Sequence[Row], *, dimension: int, keyword: bool, max_bytes: int
) -> Iterator[list[dict[str, Any]]]:
    """Checked rows as what the client takes, in batches of about `max_bytes` (never empty).

    Raises:
        CapabilityError: a text is longer than the field can hold.
        DimensionError: a vector has another length than the collection's.
        IntegrityError: a vector is not finite.
        MissingTenantError: a row without a tenant.
    """
    batch: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        record = _record(row, dimension=dimension, keyword=keyword)
        row_bytes = 4 * dimension + 3 * (len(row.text) + len(row.keywords))
        if batch and size + row_bytes > max_bytes:
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += row_bytes
    if batch:
        yield batch


def keyword_words(keywords: str) -> str:
    """Our tokens with `_` for what is no letter or digit, so that no analyzer splits them."""
    return _NO_WORD.sub("_", keywords)


def _record(row: Row, *, dimension: int, keyword: bool) -> dict[str, Any]:
    record: dict[str, Any] = {name: getattr(row, name) for name in BYTE_LIMITS}
    if keyword:
        record[KEYWORD_FIELD] = keyword_words(row.keywords)
    for name, value in record.items():
        _check_bytes(row.chunk_id, name, value)
    if not row.tenant.strip():
        raise MissingTenantError("a chunk without a tenant", where=f"chunk {row.chunk_id}")
    _check_vector(row, dimension)
    record[VECTOR_FIELD] = row.vector
    return record


def _check_bytes(chunk_id: str, name: str, value: str) -> None:
    limit = BYTE_LIMITS.get(name, VARCHAR_MAX_BYTES)
    if len(value) * UTF8_MAX_BYTES_PER_CHARACTER <= limit:
        return
    size = len(value.encode("utf-8", "surrogatepass"))
    if size > limit:
        raise CapabilityError(
            "a text is longer than the vector store can hold",
            where=f"chunk {chunk_id}, field {name}",
            stored=f"{size} bytes",
            expected=f"at most {limit} bytes",
            remedy="declare smaller chunks",
        )


def _check_vector(row: Row, dimension: int) -> None:
    import numpy as np

    if row.vector.shape != (dimension,):
        raise DimensionError(
            "a vector does not fit its collection",
            where=f"chunk {row.chunk_id}",
            stored=row.vector.shape,
            expected=(dimension,),
            remedy="a changed embedder needs a new collection: run a refresh",
        )
    if not np.isfinite(row.vector).all():
        raise IntegrityError("a vector is not finite", where=f"chunk {row.chunk_id}")


class Writer:
    """The chunk ids that one writer has inserted: a server accepts a key twice and keeps both rows.

    12 bytes of a digest are kept of each id: two of 10 million ids collide with p < 1e-14.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._seen: set[bytes] = set()
        self._in_doubt = False

    def claim(self, collection: str, rows: Sequence[Row]) -> None:
        """These rows are about to be inserted, by this call alone.

        Raises:
            IntegrityError: an id comes twice, within `rows` or with an earlier call.
            ConflictError: an insert failed on its way; what it stored is not known.
        """
        with self._guard:
            if self._in_doubt:
                raise ConflictError(
                    "an earlier insert failed, and nobody knows what it stored",
                    where=f"collection {collection}",
                    remedy="drop the collection and build it again",
                )
            fresh: set[bytes] = set()
            for row in rows:
                mark = _mark(row.chunk_id)
                if mark in self._seen or mark in fresh:
                    raise IntegrityError(
                        "the same chunk id twice",
                        where=f"collection {collection}, chunk {row.chunk_id}",
                        remedy="chunk ids hold an ordinal: two equal ones mean a bug upstream",
                    )
                fresh.add(mark)
            self._seen |= fresh

    def forget(self, chunk_ids: Iterable[str]) -> None:
        """These rows were deleted: they may be inserted again."""
        with self._guard:
            self._seen.difference_update(map(_mark, chunk_ids))

    def doubt(self) -> None:
        """An insert failed on its way: its rows may be stored, in part or in whole."""
        self._in_doubt = True


def _mark(chunk_id: str) -> bytes:
    return hashlib.blake2b(chunk_id.encode(), digest_size=12).digest()


def index_parameters(parameters: Mapping[str, int]) -> dict[str, Any]:
    """Parameters as a server reads them: its booleans are the words `true` and `false`."""
    return {
        name: json.dumps(value) if isinstance(value, bool) else value
        for name, value in parameters.items()
    }


def hits_of(found: Sequence[Mapping[str, Any]], *, sign: float) -> list[Hit]:
    """One query's results as hits; `sign` is -1 where the server's distance is lower for better."""
    return [_hit(one, sign) for one in found]


def _hit(one: Mapping[str, Any], sign: float) -> Hit:
    shown: Mapping[str, Any] = one["entity"]
    # The key's name: `chunk_id` on Milvus Lite, `id` on Milvus 2.3.
    chunk_id = one.get(KEY_FIELD) or one.get("id") or shown.get(KEY_FIELD)
    return Hit(
        chunk_id=str(chunk_id),
        score=sign * float(one["distance"]),
        document_key=str(shown["document_key"]),
        text=str(shown["text"]),
        title=str(shown["title"]),
        place=str(shown["place"]),
        language=str(shown["language"]),
        document_type=str(shown["document_type"]),
    )
