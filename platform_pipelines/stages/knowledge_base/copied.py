"""Looking through what was found in a revision's chunks for documents that say what others say."""

from collections.abc import Sequence

from platform_pipelines.core.knowledge_base.copied import Copied, Corpus
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.findings import marks_in, read_findings


def copied_documents(store: ObjectStore, chunks: Sequence[str]) -> Copied:
    """All of them counted, the first named. Of each chunk its few marks are held; see `findings`,
    which have to be there."""
    corpus = Corpus()
    for path in chunks:
        table = read_findings(store, path, ["document_key", "marks"])
        corpus.add_marks(table.column("document_key").to_pylist(), *marks_in(table))
    return corpus.copied()
