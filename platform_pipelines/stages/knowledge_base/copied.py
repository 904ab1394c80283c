"""Looking through a revision's chunks for documents that say what others say."""

from collections.abc import Sequence

from platform_pipelines.core.knowledge_base.copied import Copied, Corpus
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.tables import read_batches


def copied_documents(store: ObjectStore, chunks: Sequence[str]) -> Copied:
    """All of them counted, the first named; a batch of a shard is held at a time, and few marks."""
    corpus = Corpus()
    for path in chunks:
        for batch in read_batches(store, path, ["document_key", "text"]):
            columns = (batch.column(name).to_pylist() for name in ("document_key", "text"))
            for key, text in zip(*columns, strict=True):
                corpus.add(key, text)
    return corpus.copied()
