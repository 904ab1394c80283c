"""A change costs what changed, and what was there before stays for a rollback."""

from collections.abc import Callable

import pytest

from platform_pipelines.stages.road.outcome import StageOutcome
from tests.knowledge import Knowledge, changed_stages, guide

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def released(knowledge: Knowledge) -> Knowledge:
    """Six guides, released."""
    knowledge.refresh()
    return knowledge


def work_of(outcomes: dict[str, StageOutcome]) -> tuple[int, int, int]:
    """Documents read, chunks made, texts embedded."""
    documents, chunks, vectors = (outcomes[s].changes for s in ("documents", "chunks", "vectors"))
    read = documents.get("added", 0) + documents.get("read_again", 0)
    return read, chunks.get("made", 0), vectors.get("embedded", 0)


def chunks_of(knowledge: Knowledge, key: str) -> int:
    hits = knowledge.search("guide quota 장애", k=100)[0]
    return sum(hit.document_key == key for hit in hits)


def test_an_added_document_is_the_only_one_read(released: Knowledge) -> None:
    """One of a million: one is parsed, cut and embedded."""
    before = released.log()[-1]
    (released.documents / "guide77.md").write_text(guide(77), encoding="utf-8")
    outcomes = released.refresh()
    made = chunks_of(released, "guide77.md")
    assert made >= 1
    assert work_of(outcomes) == (1, made, made)
    assert released.found("quota of pool number 77")[0] == "guide77.md"
    after = released.log()[-1]
    assert after.revision != before.revision
    assert after.previous_revision == before.revision
    assert set(released.collections()) == {before.target, after.target}


def test_a_changed_document_is_the_only_one_read(released: Knowledge) -> None:
    """Its old text must not be found any more, and its new text must be."""
    path = released.documents / "guide2.md"
    path.write_text(guide(2).replace("committee C2", "Zanzibar council"), encoding="utf-8")
    outcomes = released.refresh()
    made = chunks_of(released, "guide2.md")
    assert work_of(outcomes) == (1, made, made)
    assert released.found("Zanzibar council")[0] == "guide2.md"
    assert "committee C2" not in "".join(h.text for h in released.search("committee C2", k=50)[0])


def test_a_deleted_document_is_not_found_any_more(released: Knowledge) -> None:
    """LangChain's record manager says success and keeps it: ours must not find it."""
    assert released.found("quota of pool number 5")[0] == "guide5.md"
    (released.documents / "guide5.md").unlink()
    outcomes = released.refresh()
    assert work_of(outcomes) == (0, 0, 0)
    assert outcomes["documents"].changes["removed"] == 1
    assert "guide5.md" not in released.found("quota of pool number 5", k=100)
    assert outcomes["documents"].snapshot.counts["parsed"] == 5
    stored = outcomes["index"].snapshot.counts["rows"]
    assert stored == len(released.chunk_ids()) == outcomes["vectors"].snapshot.rows


def test_a_renamed_document_is_cited_by_its_new_name(released: Knowledge) -> None:
    """The text is the same, so that nothing is embedded again; the citation is not."""
    (released.documents / "guide4.md").rename(released.documents / "moved4.md")
    outcomes = released.refresh()
    read, _, embedded = work_of(outcomes)
    assert (read, embedded) == (1, 0)
    found = released.found("quota of pool number 4", k=100)
    assert found[0] == "moved4.md"
    assert "guide4.md" not in found


def test_two_documents_of_equal_content_are_both_found_and_both_deletable(
    released: Knowledge,
) -> None:
    """LlamaIndex never deletes documents of equal content; ids must not collide either."""
    (released.documents / "copy1.md").write_text(guide(1), encoding="utf-8")
    outcomes = released.refresh()
    assert work_of(outcomes)[2] == 0
    first = released.search("quota of pool number 1", k=4)[0][0]
    assert {"copy1.md", "guide1.md"} == {first.document_key, *(o.document_key for o in first.also)}
    (released.documents / "guide1.md").unlink()
    released.refresh()
    found = released.found("quota of pool number 1", k=100)
    assert found[0] == "copy1.md"
    assert "guide1.md" not in found


def test_a_document_that_comes_back_costs_nothing_but_a_release(released: Knowledge) -> None:
    """A deletion that was a mistake: the vectors of kept releases are used again."""
    path = released.documents / "guide3.md"
    text = path.read_text(encoding="utf-8")
    first = released.log()[-1]
    path.unlink()
    released.refresh()
    path.write_text(text, encoding="utf-8")
    outcomes = released.refresh()
    assert released.log()[-1].revision == first.revision
    assert released.log()[-1].target == first.target
    assert outcomes["index"].changes["inserted"] == 0
    assert released.found("quota of pool number 3")[0] == "guide3.md"


def test_a_document_that_cannot_be_parsed_does_not_stop_the_others(released: Knowledge) -> None:
    """It is quarantined with a reason, and tried again only when it changes."""
    broken = released.documents / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\nnothing that follows is a PDF")
    outcomes = released.refresh()
    assert changed_stages(outcomes) == ["documents"]
    quarantine = outcomes["documents"].snapshot.details["quarantine"]
    assert [one["key"] for one in quarantine] == ["broken.pdf"]
    assert quarantine[0]["reason"]
    assert changed_stages(released.refresh()) == []
    broken.unlink()
    (released.documents / "broken.md").write_text(guide(9), encoding="utf-8")
    assert released.refresh()["documents"].snapshot.counts["quarantined"] == 0
    assert released.found("quota of pool number 9")[0] == "broken.md"


def test_another_chunk_policy_reads_no_document(released: Knowledge) -> None:
    """Documents stand as they were parsed; only chunks and what follows are made again."""
    recut = released.declared(chunk={"default": {"kind": "tokens", "size": 24, "overlap": 0}})
    outcomes = recut.refresh()
    assert changed_stages(outcomes) == ["chunks", "vectors", "index", "evidence", "release"]
    assert outcomes["chunks"].snapshot.rows > 6
    assert outcomes["chunks"].snapshot.counts["longest"] <= 64


def test_another_tenant_is_another_revision(
    released: Knowledge, make_knowledge: Callable[..., Knowledge]
) -> None:
    """Nobody finds another tenant's documents, whatever was released before."""
    assert released.search("quota", tenant="finance")[0] == []
    moved = released.declared(tenant="finance")
    outcomes = moved.refresh()
    assert changed_stages(outcomes) == ["index", "evidence", "release"]
    assert moved.search("quota", tenant="default")[0] == []
    assert len(moved.search("quota", tenant="finance")[0]) > 0
