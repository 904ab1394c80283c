"""In how many chunks of a revision each word stands: what tells a rare word from one that lacks.

Counted once a revision, when its evidence is made, and read when the first question is asked.
"""

from collections import Counter
from threading import Lock

from platform_pipelines.core.knowledge_base.answers import TermWeights
from platform_pipelines.core.knowledge_base.keywords import KEYWORDS_VERSION, keyword_tokens
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.tables import read_batches, read_table, write_table

FOLDER = "terms"
MOST_TERMS = 200_000  # the commonest; a rarer one weighs as if one chunk held it: 25 MB read
_ROWS = ""  # the name under which the number of chunks is stored: no word is empty


def terms_key(revision: Revision) -> str:
    """Where a revision's counts are; revisions of equal chunks share them."""
    return f"{FOLDER}/{digest_parts(revision.chunks_digest, str(KEYWORDS_VERSION))}.parquet"


def ensure_terms(store: ObjectStore, revision: Revision) -> None:
    """Count a revision's words, unless that was done."""
    import pyarrow as pa

    key = terms_key(revision)
    if store.exists(key):
        return
    held: Counter[str] = Counter()
    for shard in revision.chunks:
        for batch in read_batches(store, shard.path, ["search_text"]):
            for text in batch.column("search_text").to_pylist():
                held.update(set(keyword_tokens(text)))
    kept = sorted(held.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_TERMS]
    names, counts = [_ROWS, *(n for n, _ in kept)], [revision.rows, *(c for _, c in kept)]
    write_table(store, key, pa.table({"term": names, "chunks": pa.array(counts, pa.int32())}))


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
        table = read_table(self._store, self._key)
        columns = (table.column(name).to_pylist() for name in ("term", "chunks"))
        held = dict(zip(*columns, strict=True))
        return TermWeights(texts=held.pop(_ROWS), holding=held)
