"""Which index a revision gets from what is known of the embedded Milvus, and what is tried."""

import pytest

from platform_pipelines.errors import ConflictError, EvidenceError
from platform_pipelines.gateways.milvus.store import MilvusStore
from platform_pipelines.gateways.vector_store import CollectionSpec
from platform_pipelines.settings import Settings
from tests.knowledge import Knowledge, new_knowledge


@pytest.fixture
def embedded(tmp_path, embedded_settings: Settings) -> Knowledge:
    """Guides on the default of a laptop, chunks and vectors made."""
    made = new_knowledge(tmp_path / "kb", embedded_settings)
    made.refresh(end="vectors")
    return made


def test_the_embedded_default_is_not_probed(
    embedded: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe on a busy machine must not cost keywords, nor the time of a first run."""

    def refuse(*_: object) -> None:
        pytest.fail("it was probed")

    monkeypatch.setattr(MilvusStore, "capabilities", refuse)
    details = embedded.run("index").snapshot.details
    assert details["index"]["kind"] == "FLAT"
    assert details["index"]["keyword"] is True
    assert "milvus-lite" in details["notes"]["server"]


def test_another_kind_is_tried_before_it_is_built(embedded: Knowledge) -> None:
    """What the declaration asks for beside exact search is seen to work first."""
    graph = embedded.declared(index={"kind": "HNSW"})
    details = graph.run("index").snapshot.details
    assert details["index"]["kind"] == "HNSW"
    assert details["index"]["keyword"] is True


def test_a_release_seals_no_collection_that_is_whole(
    embedded: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was sealed when it was built."""
    embedded.run("index")
    embedded.run("evidence")
    sealed: list[str] = []
    seal = MilvusStore.seal

    def recorded(store: MilvusStore, spec: CollectionSpec, **options: float) -> None:
        sealed.append(spec.name)
        seal(store, spec, **options)

    monkeypatch.setattr(MilvusStore, "seal", recorded)
    embedded.run("release")
    assert sealed == []


def test_a_declaration_that_did_not_make_the_vectors_writes_nothing(embedded: Knowledge) -> None:
    """`index` alone under another embedder rewrote the record of what is live: searches then asked
    a model that never saw these vectors."""
    embedded.refresh(start="index")
    before = embedded.stored("revisions")
    served = {"provider": "openai", "url": "http://127.0.0.1:9/v1", "model": "another"}
    other = embedded.declared(embed={**served, "dimension": 384, "window_tokens": 512})
    with pytest.raises(EvidenceError, match="another declaration"):
        other.run("index")
    assert embedded.stored("revisions") == before
    assert embedded.found("quota of pool number 3")[0] == "guide3.md"


def test_chunks_that_were_cut_otherwise_are_not_indexed(embedded: Knowledge) -> None:
    """The page would show a policy that made none of the chunks."""
    smaller = embedded.declared(chunk={"default": {"kind": "fixed", "size": 200, "overlap": 0}})
    with pytest.raises(EvidenceError, match="`chunks` were made under another declaration"):
        smaller.run("index")


def test_vectors_of_other_chunks_are_waited_for(embedded: Knowledge) -> None:
    """Chunks of 64 shards ended in a bare KeyError; those of 2 in the advice to delete vectors that
    the live revision needs."""
    (embedded.documents / "guide9.md").write_text("# New\n\nA new page.\n", encoding="utf-8")
    embedded.refresh(end="chunks")
    with pytest.raises(ConflictError, match="not of these chunks"):
        embedded.run("index")
    embedded.run("vectors")
    assert embedded.run("index").is_changed


@pytest.mark.parametrize("stage", ["documents", "chunks", "vectors"])
def test_a_file_that_was_deleted_is_made_again(embedded: Knowledge, stage: str) -> None:
    """Its error says to delete a damaged file and to run again; every later run then failed."""
    embedded.refresh(start="index")
    gone = next(key for key in embedded.stored(stage) if key.endswith(".parquet"))
    embedded.store.delete([gone])
    (embedded.documents / "guide9.md").write_text("# New\n\nA new page.\n", encoding="utf-8")
    embedded.refresh()
    assert embedded.found("a new page")[0] == "guide9.md"
    assert not any(outcome.is_changed for outcome in embedded.refresh().values())
