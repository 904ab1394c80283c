"""What a refresh costs beside its model: documents to index with multilingual-e5-small, over the
bare embedder on exactly the same texts. Both load the model; its files are made before.
"""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.contestant import local_server
from benchmarks.corpus import write_corpus
from benchmarks.ours import REFRESHES, settings_under
from benchmarks.report import Figure, Progress
from platform_pipelines.core.declaration import KnowledgeBaseSpec, parse_declaration
from platform_pipelines.settings import Settings, load_settings
from platform_pipelines.stages import connect
from platform_pipelines.stages.tables import read_table
from platform_pipelines.stages.workspace import Workspace, open_workspace

TARGET = 1.10
DOCUMENTS = 80
ROUNDS = 2


def measure_real(progress: Progress) -> Iterator[Figure]:
    """One figure, of as many turns of the refresh as of the bare embedder."""
    refreshes: list[float] = []
    bare: list[float] = []
    texts: list[str] = []
    for number in range(ROUNDS):
        progress(f"real embedder, round {number + 1}: refresh of {DOCUMENTS} documents")
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            seconds, texts = _refresh(Path(folder))
        refreshes.append(seconds)
        progress(f"real embedder, round {number + 1}: {len(texts)} texts, bare")
        bare.append(_bare(texts))
    yield Figure(
        name=f"real embedder, {len(texts):,} chunks: refresh / embedder alone",
        value=statistics.median(refreshes) / statistics.median(bare),
        target=TARGET,
        detail=f"{statistics.median(refreshes):.1f} s / {statistics.median(bare):.1f} s, "
        f"{len(texts) / statistics.median(bare):.1f} chunks/s alone",
        record={"refresh_seconds": refreshes, "bare_seconds": bare, "chunks": len(texts)},
    )


def _refresh(folder: Path) -> tuple[float, list[str]]:
    corpus, home = folder / "corpus", folder / "home"
    write_corpus(corpus, DOCUMENTS)
    with local_server(home / "milvus"):
        workspace = open_workspace(_declaration(corpus), _settings(home), run_id="benchmark")
        connect.ensure_model(workspace.settings, workspace.spec.embed, workspace.progress)
        start = time.perf_counter()
        for refresh in REFRESHES[:4]:  # documents, chunks, vectors, index
            refresh(workspace)
        return time.perf_counter() - start, _texts(workspace)


def _texts(workspace: Workspace) -> list[str]:
    """What the refresh embedded, each once, in its order."""
    chunks, _ = workspace.head("chunks")
    assert chunks is not None
    tables = (read_table(workspace.store, s.path, ["search_text"]) for s in chunks.shards)
    return list(dict.fromkeys(t for one in tables for t in one.column(0).to_pylist()))


def _bare(texts: list[str]) -> float:
    settings = _settings(Path())
    embed = _declaration(Path("/")).embed
    start = time.perf_counter()
    embedder = connect.open_embedder(settings, embed, lambda _: None)
    try:
        embedder.embed_passages(texts)
    finally:
        embedder.close()
    return time.perf_counter() - start


def _declaration(corpus: Path) -> KnowledgeBaseSpec:
    """The shortest declaration: everything as it is shipped."""
    values = {"name": "benchmark", "source": {"url": corpus.as_uri()}}
    return parse_declaration(values, where="benchmarks")


def _settings(home: Path) -> Settings:
    """As in `settings_under`, with this machine's model files."""
    from dataclasses import replace

    return replace(settings_under(home), model_dir=load_settings().model_dir)
