"""What a question is about: function words, Korean endings, identifiers and numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.keywords import keyword_tokens
from platform_pipelines.core.knowledge_base.questions import (
    asked_terms,
    asks_for_number,
    holds_number,
    missing_share,
    sharp_terms,
)


@pytest.mark.parametrize(
    ("question", "terms"),
    [
        ("How do I get the batch pool?", ("batch", "pool")),
        ("롤백은 어떻게 하나요?", ("롤백", "백은")),
        ("기록은 며칠 보관하나요?", ("기록", "록은", "며칠", "보관")),
        ("야간에 할인되나요?", ("야간", "간에", "할인")),
        ("KV 캐시", ("kv", "캐시")),
    ],
)
def test_question_words_and_endings_are_not_what_is_asked(
    question: str, terms: tuple[str, ...]
) -> None:
    """`how do I` and `하나요` are rare in a small corpus, and BM25 believed them."""
    assert asked_terms(question, keyword_tokens) == terms


@pytest.mark.parametrize("question", ["What is it?", "어떻게 하나요?", "the the"])
def test_a_question_of_function_words_alone_keeps_them(question: str) -> None:
    """An empty keyword query finds nothing at all."""
    assert asked_terms(question, keyword_tokens) == tuple(dict.fromkeys(keyword_tokens(question)))


def test_words_that_only_look_like_endings_stay() -> None:
    """`수당` begins with the function word `수`, `요청` with an ending's syllable."""
    assert "수당" in asked_terms("야간 수당", keyword_tokens)
    assert "요청" in asked_terms("요청 한도", keyword_tokens)


@given(st.text(max_size=60))
def test_terms_are_distinct_tokens_of_any_text(question: str) -> None:
    """Anybody may type anything; there are no terms only where there are no tokens."""
    terms = asked_terms(question, keyword_tokens)
    assert len(set(terms)) == len(terms)
    assert bool(terms) >= bool(keyword_tokens(question))


def test_identifiers_and_numbers_are_sharp_and_plain_words_are_not() -> None:
    """What must match to the letter."""
    text = "Does kb_refresh on H100 keep GPU p99 under 1,500 ms in v2.1 for NodePool well?"
    assert sharp_terms(text) == ("kb_refresh", "h100", "gpu", "p99", "v2.1", "nodepool", "1500")
    assert sharp_terms("H100은 3시에 오나요") == ("h100", "3")
    assert sharp_terms("What is the capital?") == ()
    assert sharp_terms("32B, 1.5x, 10.5GB or 03:00, 2.5 of 7?") == (
        "32b", "1.5x", "10.5gb", "03:00", "2.5", "7",
    )  # fmt: skip


def test_the_number_inside_an_identifier_is_not_asked_for_alone() -> None:
    """`32B` stood in both, and half of what was asked for counted as missing: it was refused."""
    assert missing_share(sharp_terms("How big is a 32B model?"), "A 32B model takes 65 GB") == 0.0


def test_a_number_may_have_leading_zeros() -> None:
    """People write 9월 17일 and 3시, logs write 09-17 and 03:00."""
    asked = sharp_terms("9월 17일 3시 장애")
    assert asked == ("9", "17", "3")
    assert missing_share(asked, "2026-09-17 03:00 장애") == 0.0
    assert missing_share(("9",), "90") == 1.0
    assert missing_share(("9",), "109") == 1.0


def test_a_sharp_term_is_held_as_a_whole_word_only() -> None:
    """`50` is not in `150`, and `1500` is what `1,500` says."""
    assert missing_share(("50",), "150 GPUs") == 1.0
    assert missing_share(("1500", "h100"), "H100: 1,500 ms") == 0.0
    assert missing_share(("h100", "a100"), "H100 only") == 0.5
    assert missing_share((), "anything") == 0.0


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many GPUs?", True),
        ("When is the drill?", True),
        ("H100 시간당 가격은?", True),
        ("며칠 보관하나요?", True),
        ("Why is it slow?", False),
        ("담당자는 누구인가요?", False),
    ],
)
def test_questions_for_a_quantity_are_told_by_their_words(question: str, expected: bool) -> None:
    """A sentence without any number answers none of them."""
    assert asks_for_number(question) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("kept 180 days", True), ("twice a day", True), ("두 번 돌린다", True), ("it waits", False)],
)
def test_numbers_are_found_in_digits_and_in_words(text: str, expected: bool) -> None:
    """`두 번` answers `몇 번`."""
    assert holds_number(text) is expected
