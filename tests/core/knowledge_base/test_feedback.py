"""What people said becomes golden candidates: each question once, with the best that is known."""

from dataclasses import replace

from platform_pipelines.core.knowledge_base.feedback import Feedback, golden_candidates

SAID = Feedback(
    tenant="acme", revision="r", day="2026-11-27", trace_id="t", score=-1,
    question="휴가는 며칠인가요?", answer="", comment="no",
)  # fmt: skip


def test_said_twice_it_has_one_key_and_said_otherwise_another() -> None:
    """A client that sends again doubles nothing."""
    assert SAID.key == replace(SAID).key
    assert SAID.key != replace(SAID, score=1).key
    assert SAID.key.startswith("feedback/2026-11-27/t-")


def test_an_answer_is_not_lost_to_a_later_word_without_one() -> None:
    """The newest answer counts; a bare thumb does not undo it."""
    corrected = replace(SAID, answer="15일", day="2026-11-26")
    newer = replace(SAID, answer="16일", day="2026-11-28")
    (row,) = golden_candidates([corrected, SAID])
    assert row["answer"] == "15일"
    (row,) = golden_candidates([newer, corrected, SAID])
    assert (row["answer"], row["language"], row["tenant"]) == ("16일", "ko", "acme")
    assert row["state"] == "candidate"


def test_candidates_with_answers_come_first() -> None:
    """A person reviews what is nearly done before what is not."""
    other = replace(SAID, question="Who pays?", answer="The company.")
    rows = golden_candidates([SAID, other])
    assert [row["question"] for row in rows] == ["Who pays?", SAID.question]
    assert [row["answerable"] for row in rows] == [True, False]
    assert golden_candidates([]) == []
