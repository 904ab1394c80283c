"""How often evidence without labels refuses a good corpus: `python -m benchmarks.own_document`.

    python -m benchmarks.own_document [--home HOME] FOLDER...

Each folder of documents (guides that their readers search today, so that an alarm is a false one)
becomes a knowledge base with the shipped embedder. Of its sentences, 160 are searched for as the
evidence does; from what is found, the sampling plan is played 20,000 times.
"""

import json
import random
import sys
import tempfile
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import Any

from platform_pipelines.core.knowledge_base.declaration import GateSpec, parse_declaration
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.settings import load_settings
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.building import sealed_collection
from platform_pipelines.stages.knowledge_base.chunks import refresh_chunks
from platform_pipelines.stages.knowledge_base.documents import refresh_documents
from platform_pipelines.stages.knowledge_base.index import refresh_index
from platform_pipelines.stages.knowledge_base.retrieve import Retriever
from platform_pipelines.stages.knowledge_base.revisions import candidate
from platform_pipelines.stages.knowledge_base.sampling import (
    SAMPLED_AT_FIRST,
    SAMPLED_SENTENCES,
    LookedFor,
    drawn_of,
    looked_for,
    sampled_of,
)
from platform_pipelines.stages.knowledge_base.tables import read_batches
from platform_pipelines.stages.knowledge_base.vectors import refresh_vectors
from platform_pipelines.stages.knowledge_base.workspace import Workspace, open_workspace

SENTENCES = 160
DRAWN_FROM = ("chunk_id", "document_key", "text")
TIMES = 20_000
GATE = GateSpec()


def false_alarms(found: list[bool], *, floor: float, seed: int = 0) -> float:
    """How often the plan refuses a corpus of whose sentences these were found."""
    drawn = random.Random(seed)
    refused = 0
    for _ in range(TIMES):
        sample = drawn.sample(found, min(SAMPLED_SENTENCES, len(found)))
        whole = not all(sample[:SAMPLED_AT_FIRST])
        refused += whole and sum(sample) / len(sample) < floor
    return refused / TIMES


def look_through(workspace: Workspace) -> list[LookedFor]:
    """Build the candidate, and search for its sentences."""
    for stage in (refresh_documents, refresh_chunks, refresh_vectors, refresh_index):
        stage(workspace)
    with connect.vectors_of(workspace.settings) as store:
        revision = candidate(workspace)
        collection = sealed_collection(workspace, store, revision)
        embed = revision.recipe.embed
        embedder = connect.open_embedder(workspace.settings, embed, workspace.progress)
        try:
            retriever = Retriever(store, embedder, revision, collection)
            return looked_for(retriever, drawn(workspace, revision), k=GATE.k)
        finally:
            embedder.close()


def drawn(workspace: Workspace, revision: Revision) -> list[tuple[str, str]]:
    """(sentence, document key), drawn as the evidence draws them."""
    found: list[tuple[str, str, str]] = []
    for shard in revision.chunks:
        rows = [
            row
            for batch in read_batches(workspace.store, shard.path, DRAWN_FROM)
            for row in zip(*(batch.column(n).to_pylist() for n in DRAWN_FROM), strict=True)
        ]
        found += drawn_of(rows, shards=len(revision.chunks), sentences=SENTENCES)
    return sampled_of(found, sentences=SENTENCES)


def figures(name: str, found: list[LookedFor]) -> dict[str, Any]:
    """One corpus' line."""
    ranks = [one.rank for one in found]
    hits = [rank is not None for rank in ranks]
    return {
        "corpus": name,
        "sentences": len(found),
        "first": round(ranks.count(1) / len(found), 3),
        f"among_{GATE.k}": round(sum(hits) / len(found), 3),
        "by_copy": sum(one.by_copy for one in found),
        "false_alarms": round(false_alarms(hits, floor=GATE.own_document_floor), 4),
    }


def main() -> None:
    """One JSON line a corpus."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path)
    parser.add_argument("folders", nargs="+", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        home = options.home or Path(made)
        settings = load_settings()
        settings = replace(
            settings, home=home, store_url=(home / "store").as_uri(), milvus_uri=None
        )
        for folder in options.folders:
            name = folder.parent.name if folder.name == "documents" else folder.name
            declared = {
                "name": name.replace("-", "_").lower(),
                "source": {"url": folder.resolve().as_uri(), "shards": 4},
            }
            spec = parse_declaration(declared, where=str(folder))
            workspace = open_workspace(spec, settings, run_id="measured", progress=lambda _: None)
            sys.stdout.write(json.dumps(figures(name, look_through(workspace))) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
