"""In how many chunks of a revision each word stands: what tells a rare word from one that lacks.

Counted once a revision, when its evidence is made, and read when the first question is asked.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any

from platform_pipelines.core.knowledge_base.answers import TermWeights
from platform_pipelines.core.knowledge_base.keywords import KEYWORDS_VERSION, keyword_tokens
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.layering import replaced_rows, take_rows
from platform_pipelines.stages.knowledge_base.tables import (
    read_batches,
    read_table,
    texts_column,
    write_table,
)

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "terms"
MOST_TERMS = 200_000  # the commonest; a rarer one weighs as if one chunk held it: 25 MB read
MOST_COUNTED = 1_000_000  # are kept, to go on from; of more words each revision's are counted anew
COLUMNS = ("term", "chunks")
_ROWS = ""  # the name under which the number of chunks is stored: no word is empty


def terms_key(revision: Revision) -> str:
    """Where a revision's counts are; revisions of equal chunks share them."""
    return f"{FOLDER}/{digest_parts(revision.chunks_digest, str(KEYWORDS_VERSION))}.parquet"


def ensure_terms(store: ObjectStore, revision: Revision, earlier: Revision | None = None) -> None:
    """Count a revision's words, unless that was done.

    From an earlier revision's counts, where they are there, by the chunks that went and came: the
    file is the same as if all had been counted.
    """
    key = terms_key(revision)
    if store.exists(key):
        return
    held = _from_earlier(store, revision, earlier) if earlier else None
    write_table(store, key, _ordered(revision.rows, held or _count_all(store, revision)))


def _count_all(store: ObjectStore, revision: Revision) -> "pa.Table":
    held: Counter[str] = Counter()
    for shard in revision.chunks:
        for batch in read_batches(store, shard.path, ["search_text"]):
            _count(held, batch)
    return _table(held)


def _count(held: Counter[str], texts: "pa.Table | pa.RecordBatch") -> None:
    for text in texts.column("search_text").to_pylist():
        held.update(set(keyword_tokens(text)))


def _from_earlier(store: ObjectStore, revision: Revision, earlier: Revision) -> "pa.Table | None":
    """None: not all of them are there, or counting what differs takes longer than counting all."""
    import pyarrow as pa
    from pyarrow import compute

    functions: Any = compute
    key = terms_key(earlier)
    if not store.exists(key):
        return None
    stood = read_table(store, key)
    if stood.num_rows in (MOST_TERMS + 1, MOST_COUNTED + 1):
        return None  # cut: an earlier version kept `MOST_TERMS`
    if stood.slice(0, 1).to_pylist() != [{"term": _ROWS, "chunks": earlier.rows}]:
        return None
    change = _change(store, revision, earlier)
    if change is None:
        return None
    stood = stood.slice(1)
    is_other = functions.is_in(stood["term"], value_set=texts_column(list(change)))
    others = stood.filter(is_other)
    for term, number in zip(*(others[c].to_pylist() for c in COLUMNS), strict=True):
        change[term] += number
    if min(change.values(), default=0) < 0:
        return None  # they are not of these chunks
    same = stood.filter(functions.invert(is_other))
    return pa.concat_tables([same, _table({t: n for t, n in change.items() if n})])


def _change(store: ObjectStore, revision: Revision, earlier: Revision) -> Counter[str] | None:
    """In how many more chunks each word stands; None: most chunks are others."""
    gone, come = replaced_rows(store, earlier.chunks, revision.chunks)
    if sum(map(len, (*gone.values(), *come.values()))) > revision.rows:
        return None
    counted = [Counter[str](), Counter[str]()]
    for held, files in zip(counted, (come, gone), strict=True):
        for path, places in files.items():
            _count(held, take_rows(store, path, places, ["search_text"]))
    more, less = counted
    more.subtract(less)
    return more


def _table(held: Mapping[str, int]) -> "pa.Table":
    import numpy as np
    import pyarrow as pa

    numbers = np.fromiter(held.values(), np.int32, len(held))
    counts = pa.Array.from_buffers(pa.int32(), len(held), [None, pa.py_buffer(numbers)])
    return pa.table(dict(zip(COLUMNS, (texts_column(list(held)), counts), strict=True)))


def _ordered(rows: int, terms: "pa.Table") -> "pa.Table":
    """As it is stored: the commonest first, those as common by name."""
    import pyarrow as pa
    from pyarrow import compute

    functions: Any = compute
    keys = [("chunks", "descending"), ("term", "ascending")]
    order = functions.sort_indices(terms, sort_keys=keys).slice(0, MOST_COUNTED)
    return pa.concat_tables([_table({_ROWS: rows}), terms.take(order)]).combine_chunks()


class CorpusTerms:
    """A revision's counts, read when first asked for. Safe to share between threads."""

    def __init__(self, store: ObjectStore, revision: Revision) -> None:
        self._store = store
        self._key = terms_key(revision)
        self._lock = Lock()
        self._read = False
        self._weights: TermWeights | None = None

    def weights(self) -> TermWeights | None:
        """None for a release of an earlier version, which counted nothing."""
        with self._lock:
            if not self._read:
                self._weights = self._counted()
                self._read = True
            return self._weights

    def _counted(self) -> TermWeights | None:
        if not self._store.exists(self._key):
            return None
        held: dict[str, int] = {}
        for batch in read_batches(self._store, self._key, COLUMNS):
            columns = (batch.column(name).to_pylist() for name in COLUMNS)
            held |= islice(zip(*columns, strict=True), MOST_TERMS + 1 - len(held))
            if len(held) > MOST_TERMS:
                break
        return TermWeights(texts=held.pop(_ROWS), holding=held)
