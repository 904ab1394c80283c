"""What of a chunk may be quoted, and with what: a quote must make sense where it is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.quotes import (
    RetrievedChunk,
    SentenceCandidate,
    echoes,
    quotable,
)


def chunk(text: str, *, score: float = 1.0, heading: tuple[str, ...] = ("Guide", "Limits")):
    return RetrievedChunk("c1", text, f"Guide\n{text}", "Guide", heading, "en", score)


def only(text: str) -> list[SentenceCandidate]:
    return quotable([chunk(text)])


def quotes(text: str) -> list[tuple[str, ...]]:
    return [c.quoted for c in only(text)]


def test_a_candidate_knows_its_chunk_and_its_place() -> None:
    """What is compared has title and innermost heading, what is quoted has not."""
    first, second = quotable([chunk("One is here now.", score=0.4), chunk("Two.", score=0.1)])
    assert first.searched == "Guide\nLimits\nOne is here now."
    assert first.quoted == ("One is here now.",)
    assert (first.rank_score, second.rank_score) == (1.0, 0.25)


def test_no_chunk_and_scores_of_zero_are_fine() -> None:
    """Weights of zero make scores of zero."""
    assert quotable([]) == []
    assert quotable([chunk("One.", score=0.0)])[0].rank_score == 0.0


def test_the_context_has_both_neighbours_of_the_same_chunk() -> None:
    """The question's words often stand in the sentence before the answer."""
    middle = only("First one here. Second one here. Third one here. Fourth.")[1]
    assert middle.context == "First one here.\nSecond one here.\nThird one here."


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("The gate has a floor. It is 0.8. Done.", 0),
        ("The gate has a floor. It is 0.8. Done.", 1),
        ("하한이 있다. 따라서 실패한다. 끝이다.", 0),
    ],
)
def test_a_sentence_that_hangs_on_the_one_before_is_quoted_with_it(text: str, at: int) -> None:
    """`It is 0.8.` alone answers nothing; both ways round they are one quote."""
    found = quotes(text)
    assert len(found[at]) == 2
    assert found[0] == found[1]
    assert len(found[2]) == 1


def test_a_sentence_that_starts_so_at_the_chunks_start_stands_alone() -> None:
    """There is nothing before it."""
    assert quotes("It is 0.8. Done.")[0] == ("It is 0.8.",)


def test_a_colon_brings_its_list() -> None:
    """Up to four items, and not what follows the list."""
    found = quotes("Take these steps:\n- one\n- two\n\nThen all is well.")
    assert found[0] == ("Take these steps:", "- one", "- two")
    many = quotes("Steps:\n" + "\n".join(f"{n}. step" for n in range(1, 8)))
    assert len(many[0]) == 5
    assert quotes("Nothing follows:") == [("Nothing follows:",)]


def test_a_term_stays_with_its_explanation() -> None:
    """`- Revision.` is no answer to `what is a revision?`, and neither is the rest without it."""
    found = quotes("- Revision. The immutable thing that takes the road.\n- A long item. And more.")
    assert found[0] == ("- Revision. The immutable thing that takes the road.",)


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("# Any heading", True),
        ("Limits", True),
        ("Two refreshes at once", True),
        ("자주 묻는 질문", True),
        ("The limit is eight.", False),
        ("dg launch --job handbook_refresh", False),
        ("8 GPUs", False),
        ("예산은 여덟 개임", False),
        ("Pool | Limit", False),
        ("a long line of plain words that goes on and on until it is no label any more", False),
    ],
)
def test_headings_and_labels_are_told_from_statements(line: str, label: bool) -> None:
    """A short heading is nearest to the question, and says nothing."""
    assert only(line)[0].is_heading is label


def test_statements_are_fuller_than_fragments_and_hangul_counts_double() -> None:
    """A Korean statement has half the characters of an English one."""
    assert only("Yes.")[0].fullness < 0.1
    assert only("가" * 39 + ".")[0].fullness == pytest.approx(79 / 80)
    assert only("word " * 40)[0].fullness == 1.0


def test_questions_are_known_by_their_mark() -> None:
    """Full-width too."""
    assert [c.is_question for c in only("Why so? Because it is so. 왜？")] == [True, False, True]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ('ask handbook "롤백은 어떻게 하나요?"', True),
        ('search handbook "how do I roll back"', True),
        ('search "GPU is gone, and how do I roll back?"', True),
        ("How do I roll back?", False),
        ('the alarm "disk is full" fires', False),
        ('an empty """""" pair', False),
    ],
)
def test_a_question_in_quotation_marks_is_an_example(sentence: str, expected: bool) -> None:
    """The manual's own example was quoted as the answer to itself."""
    question = "롤백은 어떻게 하나요?" if "롤백" in sentence else "How do I roll back?"
    question = question if "how" not in sentence else "how do I roll back?"
    assert echoes(sentence, question) is expected


@given(st.lists(st.text(max_size=80), max_size=4))
def test_any_text_gives_quotes_out_of_its_own_sentences(texts: list[str]) -> None:
    """To the letter: what is quoted stands in the chunk, white space aside."""
    for candidate in quotable([chunk(text) for text in texts]):
        assert candidate.sentence in candidate.quoted
        assert any(
            all("".join(part.split()) in "".join(text.split()) for part in candidate.quoted)
            for text in texts
        )
        assert 0.0 <= candidate.fullness <= 1.0
