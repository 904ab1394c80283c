"""What a refresh costs beside its model: documents to index with multilingual-e5-small, over the
bare embedder on exactly the same texts. Both load the model; imports and files are there before.
The bare embedder runs before the refresh and after it, because a shared machine changes its speed.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.contestant import cpu_seconds, local_server
from benchmarks.corpus import write_corpus
from benchmarks.ours import REFRESHES, settings_under
from benchmarks.report import Figure, Progress
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec, parse_declaration
from platform_pipelines.settings import Settings, load_settings
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.tables import read_table
from platform_pipelines.stages.knowledge_base.workspace import Workspace, open_workspace

TARGET = 1.10
DOCUMENTS = 1_000
WARM_DOCUMENTS = 20


def measure_real(progress: Progress) -> Iterator[Figure]:
    """One figure: the refresh over the mean of the bare embedder before and after it."""
    progress("real embedder: imports and model files")
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        _bare(_refresh(Path(folder), WARM_DOCUMENTS).texts)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        texts = _refresh(Path(folder), DOCUMENTS, stages=2).texts
    progress(f"real embedder: {len(texts):,} chunks, bare")
    bare = [_bare(texts)]
    progress(f"real embedder: refresh of {DOCUMENTS:,} documents")
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        refresh = _refresh(Path(folder), DOCUMENTS)
    progress("real embedder: bare again")
    bare.append(_bare(texts))
    assert refresh.texts == texts
    chunks = len(texts)
    whole, alone = refresh.spent, _mean(bare)
    yield Figure(
        name=f"real embedder, {chunks:,} chunks: refresh / embedder alone",
        value=whole.seconds / alone.seconds,
        target=TARGET,
        detail=f"{whole.seconds:.1f} s / {alone.seconds:.1f} s; processor "
        f"{whole.cpu_seconds:.1f} s / {alone.cpu_seconds:.1f} s; "
        f"{chunks / alone.seconds:.1f} chunks/s alone",
        record={
            "refresh": {**asdict(refresh.spent), "stages": refresh.stages},
            "bare": [asdict(one) for one in bare],
        },
    )


@dataclass(frozen=True, slots=True)
class _Spent:
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class _Refresh:
    texts: list[str]  # what was embedded, each once, in its order
    spent: _Spent
    stages: dict[str, float]  # seconds


def _mean(of: Sequence[_Spent]) -> _Spent:
    return _Spent(
        statistics.mean(one.seconds for one in of), statistics.mean(one.cpu_seconds for one in of)
    )


def _since(start: float, cpu: float) -> _Spent:
    return _Spent(time.perf_counter() - start, cpu_seconds() - cpu)


def _refresh(folder: Path, documents: int, *, stages: int = 4) -> _Refresh:
    """The first `stages` of documents, chunks, vectors and index."""
    corpus, home = folder / "corpus", folder / "home"
    write_corpus(corpus, documents)
    with local_server(home / "milvus"):
        workspace = open_workspace(_declaration(corpus), _settings(home), run_id="benchmark")
        connect.ensure_model(workspace.settings, workspace.spec.embed, workspace.progress)
        seconds: dict[str, float] = {}
        begun, cpu = time.perf_counter(), cpu_seconds()
        for refresh in REFRESHES[:stages]:
            start = time.perf_counter()
            stage = refresh(workspace).snapshot.stage
            seconds[stage] = time.perf_counter() - start
        spent = _since(begun, cpu)
        return _Refresh(_texts(workspace), spent, seconds)


def _texts(workspace: Workspace) -> list[str]:
    chunks, _ = workspace.head("chunks")
    assert chunks is not None
    tables = (read_table(workspace.store, s.path, ["search_text"]) for s in chunks.shards)
    return list(dict.fromkeys(t for one in tables for t in one.column(0).to_pylist()))


def _bare(texts: list[str]) -> _Spent:
    settings = _settings(Path())
    embed = _declaration(Path("/")).embed
    start, cpu = time.perf_counter(), cpu_seconds()
    embedder = connect.open_embedder(settings, embed, lambda _: None)
    try:
        embedder.embed_passages(texts)
    finally:
        embedder.close()
    return _since(start, cpu)


def _declaration(corpus: Path) -> KnowledgeBaseSpec:
    """The shortest declaration: everything as it is shipped."""
    values = {"name": "benchmark", "source": {"url": corpus.as_uri()}}
    return parse_declaration(values, where="benchmarks")


def _settings(home: Path) -> Settings:
    """As in `settings_under`, with this machine's model files."""
    return replace(settings_under(home), model_dir=load_settings().model_dir)
