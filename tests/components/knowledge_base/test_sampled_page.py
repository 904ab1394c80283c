"""What a person reads of evidence without labels: what was found, copies, what was not read."""

from typing import Any

from platform_pipelines.components.knowledge_base.sampled import copies, own_document, unread
from platform_pipelines.core.knowledge_base import evidence as known
from platform_pipelines.core.knowledge_base.copied import Copied
from platform_pipelines.core.knowledge_base.evidence import RowCounts, SentenceSample, Unread
from platform_pipelines.core.road.evidence import Evidence

MISSED = {"document": "a.pdf", "asked": "The quota of the"}


def evidence(sample: SentenceSample | None = None, **facts: Any) -> Evidence:
    return Evidence(
        component="knowledge_base", revision="r", baseline=None, golden_digest=None,
        conditions=known.conditions(k=10, evaluation="7"), metrics=(), samples=0, rows=(),
        facts=known.facts(RowCounts(1, 1), sample=sample, **facts),
    )  # fmt: skip


def test_own_document_is_explained_with_its_shares() -> None:
    """`own_document_at_k: 29` said nothing to anybody."""
    page = own_document(evidence(SentenceSample(32, 24, 29, 3, (MISSED,))))
    assert "or one that says the same" in page["own_document_means"].value
    table = page["own_document"].value
    assert "| own document among the first 10 | 29 of 32, 91% |" in table
    assert "| of these by a copy | 3 of 32, 9% |" in table
    assert "| a.pdf | The quota of the |" in page["not_found"].value
    assert own_document(evidence()) == {}


def test_copies_are_named_with_what_they_are_like() -> None:
    """A person decides whether the PDF is to stay."""
    one = {"document": "a.pdf", "share": 0.98, "like": "a.html"}
    made = evidence()
    made.facts.update(known.copied_fact(Copied(1, (one,))))  # type: ignore[attr-defined]
    assert "| a.pdf | 98% | a.html |" in copies(made)["copies"].value
    assert copies(evidence()) == {}


def test_what_was_not_read_is_counted_and_listed() -> None:
    """In the evidence, too: a candidate is judged by what was read."""
    noted = {"key": "a.xlsx", "not_read": "no_value: B7"}
    page = unread(evidence(unread=Unread(4, 1, {"no_value": 1}, (noted,))))
    assert page["not_wholly_read"].value == "1 of 4 documents (25%): no_value 1"
    assert "| a.xlsx | no_value: B7 |" in page["not_read"].value
    assert unread(evidence(unread=Unread(4, 0, {}))) == {}
