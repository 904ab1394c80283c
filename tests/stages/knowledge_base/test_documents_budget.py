"""What one document may cost, and that a budget that changed is a reason to try it again."""

import unicodedata
from typing import Any, Literal

import pytest

from tests.knowledge import Knowledge, changed_stages


def quarantine(outcome: Any) -> dict[str, str]:
    return {one["key"]: one["reason"] for one in outcome.snapshot.details["quarantine"]}


@pytest.fixture
def heavy(knowledge: Knowledge) -> Knowledge:
    """Six guides and a document of more than a MiB."""
    text = "# Heavy\n\n" + "Ballast of the heavy document. " * 40_000
    (knowledge.documents / "heavy.md").write_text(text, encoding="utf-8")
    return knowledge


def test_a_document_over_the_limit_waits_for_a_higher_one(heavy: Knowledge) -> None:
    """It alone is quarantined, with its reason, and it alone is read again."""
    small = heavy.declared(parse={"max_document_mb": 1})
    first = small.run("documents")
    assert list(quarantine(first)) == ["heavy.md"]
    assert "large" in quarantine(first)["heavy.md"]
    assert first.snapshot.counts["parsed"] == 6
    assert not small.run("documents").is_changed
    second = heavy.declared(parse={"max_document_mb": 2}).run("documents")
    assert quarantine(second) == {}
    assert second.changes["read_again"] == 1
    assert second.snapshot.counts["parsed"] == 7


def test_documents_left_out_by_their_name_are_counted(knowledge: Knowledge) -> None:
    """`include` and `exclude` choose; hidden files are told, never taken."""
    (knowledge.documents / ".hidden.md").write_text("# Hidden\n", encoding="utf-8")
    source = {"url": "documents", "shards": 2, "include": ["guide*"], "exclude": ["guide3*"]}
    outcome = knowledge.declared(source=source).run("documents")
    assert outcome.snapshot.counts["parsed"] == 5
    assert outcome.snapshot.counts["left_out"] >= 1


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_korean_patterns_choose_in_either_normal_form(
    knowledge: Knowledge, form: Literal["NFC", "NFD"]
) -> None:
    """A decomposed pattern matched nothing: the secret folder that it leaves out was indexed."""
    for name in ("운영 안내.md", "운영 초안.md"):
        (knowledge.documents / name).write_text("# 안내\n\n연락망\n", encoding="utf-8")
    include, exclude = (unicodedata.normalize(form, glob) for glob in ("운영*", "*초안*"))
    source = {"url": "documents", "shards": 2, "include": [include], "exclude": [exclude]}
    assert knowledge.declared(source=source).run("documents").snapshot.counts["parsed"] == 1


def test_korean_names_in_either_normal_form_are_one_document(knowledge: Knowledge) -> None:
    """A Mac stores names decomposed: the same corpus from a Mac is the same corpus."""
    composed = "운영 안내서.md"
    text = "# 안내\n\n비상 연락망은 분기마다 갱신합니다.\n"
    (knowledge.documents / composed).write_text(text, encoding="utf-8")
    first = knowledge.refresh()
    assert knowledge.found("비상 연락망")[0] == composed
    (knowledge.documents / composed).unlink()
    decomposed = unicodedata.normalize("NFD", composed)
    (knowledge.documents / decomposed).write_text(text, encoding="utf-8")
    again = knowledge.refresh()
    assert again["documents"].snapshot.digest == first["documents"].snapshot.digest
    assert set(changed_stages(again)) <= {"documents"}
