"""Which index a revision gets from what is known of the embedded Milvus, and what is tried."""

import pytest

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
