"""The product: all six stages through their plain functions, with the embedded Milvus."""

import time
from pathlib import Path

from benchmarks.contestant import CHUNK_CHARACTERS, CHUNK_OVERLAP, DIMENSION
from benchmarks.milvus_index import KIND
from platform_pipelines.compute.pool import WorkerPool
from platform_pipelines.compute.protocol import Budget, Task
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec, parse_declaration
from platform_pipelines.settings import Settings, load_settings
from platform_pipelines.stages.knowledge_base.chunks import refresh_chunks
from platform_pipelines.stages.knowledge_base.documents import refresh_documents
from platform_pipelines.stages.knowledge_base.evidence import refresh_evidence
from platform_pipelines.stages.knowledge_base.index import refresh_index
from platform_pipelines.stages.knowledge_base.release import refresh_release
from platform_pipelines.stages.knowledge_base.vectors import refresh_vectors
from platform_pipelines.stages.knowledge_base.workspace import open_workspace
from platform_pipelines.stages.road.access import access_record

REFRESHES = (
    refresh_documents, refresh_chunks, refresh_vectors, refresh_index, refresh_evidence,
    refresh_release,
)  # fmt: skip


class Ours:
    """A refresh of a knowledge base that declares no golden set."""

    name = "ours"

    def __init__(self, corpus: Path, home: Path, uri: str) -> None:
        del uri  # found through `home`, as every process of the product does
        self._spec = hash_declaration(corpus)
        self._settings = settings_under(home)
        self.stage_seconds: dict[str, float] = {}
        self.changed_stages: tuple[str, ...] = ()

    def refresh(self) -> int:
        """See `Contestant`."""
        workspace = open_workspace(self._spec, self._settings, run_id="benchmark")
        rows, changed = 0, list[str]()
        for refresh in REFRESHES:
            start = time.perf_counter()
            outcome = refresh(workspace)
            stage = outcome.snapshot.stage
            self.stage_seconds[stage] = time.perf_counter() - start
            if outcome.is_changed:
                changed.append(stage)
            if stage == "index":
                rows = outcome.snapshot.counts["rows"]
        self.changed_stages = tuple(changed)
        return rows

    def start_up(self) -> int:
        """One parser's process, from nothing to its first answer and its end.

        Every refresh that reads a document pays it once: documents are parsed by a process that can
        see no secret. The others read documents in their own process.
        """
        access = access_record(self._settings)
        budget = Budget(seconds_per_item=60.0, memory_bytes=1024**3)
        task = Task("start", ({"key": "a.md", "data": b"# A\n\nB.\n"},))
        with WorkerPool(workers=1, budget=budget, environment=access["parser_environment"]) as pool:
            outcomes = list(pool.run("documents.parse", [task], shared={"max_bytes": 1024}))
        return len(outcomes)


def hash_declaration(corpus: Path) -> KnowledgeBaseSpec:
    """The declaration that does what the floor does."""
    fixed = {"kind": "fixed", "size": CHUNK_CHARACTERS, "overlap": CHUNK_OVERLAP}
    values = {
        "name": "benchmark",
        "source": {"url": corpus.as_uri()},
        "chunk": {"default": fixed},
        "embed": {"provider": "hash", "dimension": DIMENSION},
        "index": {"kind": KIND},
    }
    return parse_declaration(values, where="benchmarks")


def settings_under(home: Path) -> Settings:
    """Everything under one temporary folder; the environment plays no part."""
    return load_settings({"PLATFORM_HOME": str(home)})
