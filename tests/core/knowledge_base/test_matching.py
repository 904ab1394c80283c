"""Matching: a quote finds its chunks whatever the chunk policy, and a stale one is counted."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.golden import Reference
from platform_pipelines.core.knowledge_base.matching import (
    ChunkText,
    fold,
    longest_shared,
    match_references,
)

QUOTE = "The batch pool has 100 GPUs."


def chunk(chunk_id: str, text: str, document: str = "a.md") -> ChunkText:
    return ChunkText(chunk_id, document, text)


def relevant(quote: str, *texts: str) -> tuple[str, ...]:
    chunks = [chunk(str(i), text) for i, text in enumerate(texts)]
    return match_references([Reference("a.md", quote)], chunks).relevant


def test_every_chunk_that_holds_the_whole_quote_is_relevant() -> None:
    """Overlapping chunks both answer; counting one only would punish finding the other."""
    assert relevant(QUOTE, f"x {QUOTE} y", "nothing", f"{QUOTE} z") == ("0", "2")


def test_a_chunk_of_another_document_is_never_relevant() -> None:
    """The same sentence in an old copy is not what the golden set points at."""
    chunks = [chunk("other", QUOTE, "old/a.md"), chunk("own", QUOTE)]
    assert match_references([Reference("a.md", QUOTE)], chunks).relevant == ("own",)


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("batch pool 100", "| batch pool |   100 |"),
        ("The batch pool has 100", "The **batch\npool** has `100`"),
        ("플랫폼 팀의 근무 시간", "플랫\n폼 팀의 근무 시간"),
        ("한글 문서", unicodedata.normalize("NFD", "한글 문서")),
        ("zero width space", "zero\u200bwidth\u00a0space"),
        ("first item second item", "- first item\n- second item"),
        ("Runbook restart", "## Runbook\n\n> restart"),
        ("scale_out_policy", "`scale_out_policy`"),
    ],
)
def test_marks_spaces_and_normal_forms_do_not_matter(quote: str, text: str) -> None:
    """Parsers drop table pipes, break Korean words at line ends, decompose Hangul."""
    assert relevant(quote, text) == ("0",)


def test_case_matters() -> None:
    """`ERROR` in a log and `error` in its explanation are two places."""
    assert relevant("ERROR STATE", "error state") == ()


def test_a_quote_cut_by_a_chunk_border_finds_the_larger_part() -> None:
    """A fixed-size policy cuts sentences; the question is not stale for that."""
    match = match_references(
        [Reference("a.md", "abcdefghij")], [chunk("big", "xxabcdefg"), chunk("small", "hijyy")]
    )
    assert match.relevant == ("big",)
    assert match.resolved[0].share == pytest.approx(0.7)


def test_equal_halves_are_both_relevant() -> None:
    """Choosing one of two halves would be arbitrary."""
    assert relevant("abcdefghij", "xxabcde", "fghijyy", "abcd") == ("0", "1")


def test_less_than_half_of_a_quote_is_stale_and_counted() -> None:
    """A stale reference that is dropped silently raises every score."""
    references = [Reference("a.md", "abcdefghij"), Reference("gone.md", QUOTE)]
    match = match_references(references, [chunk("1", "abcd")])
    assert match.unresolved == tuple(references)
    assert match.relevant == ()


def test_a_quote_of_marks_alone_is_stale() -> None:
    """An empty text is part of every text: `---` would match the whole document."""
    assert match_references([Reference("a.md", "---")], [chunk("1", "text")]).unresolved


def test_a_chunk_that_serves_two_references_counts_once() -> None:
    """A repeated relevant id would make full recall impossible."""
    references = [Reference("a.md", "first words"), Reference("a.md", "second words")]
    match = match_references(references, [chunk("1", "first words, second words")])
    assert match.relevant == ("1",)
    assert len(match.resolved) == 2


def missing(quote: str, *texts: str) -> list[tuple[str, ...]]:
    """The numbers that each outdated reference misses."""
    chunks = [chunk(str(i), text) for i, text in enumerate(texts)]
    return [
        r.missing_numbers for r in match_references([Reference("a.md", quote)], chunks).outdated
    ]


@pytest.mark.parametrize(
    ("quote", "text", "numbers"),
    [
        ("Restart within 30 minutes of the page.", "Restart within 45 minutes of the page.", "30"),
        ("Restart within 30 minutes of the page.", "Restart within 300 minutes of the page.", "30"),
        ("복구는 30분 안에 시작해야 한다.", "복구는 45분 안에 시작해야 한다.", "30"),
        ("The batch pool has 100 GPUs.", "| The batch pool | has 80 GPUs. |", "100"),
        (
            "The batch pool has 100 GPUs.",
            f"The batch pool has 80 GPUs.{' And so on.' * 9} 100",
            "100",
        ),
        ("retries 3 times within 20 s, then stops", "retries 5 times within 20 s, then stops", "3"),
    ],
)
def test_a_quote_whose_number_has_changed_is_outdated(quote: str, text: str, numbers: str) -> None:
    """Half of its characters match: its chunk is found, and its answer is wrong now."""
    assert missing(quote, text) == [(numbers,)]
    match = match_references([Reference("a.md", quote)], [chunk("0", text)])
    assert (match.stale, match.relevant, match.unresolved) == (1, ("0",), ())


@pytest.mark.parametrize(
    ("quote", "texts"),
    [
        ("The batch pool has 100 GPUs.", ["The batch pool of today has 100 GPUs."]),
        ("Restart it within 30 minutes.", ["x. Restart it within", "30 minutes. y"]),
        ("30 minutes after the page, restart", ["it is 30", "minutes after the page, restart"]),
        ("Restart within 30 minutes", ["Restart now within 45 minutes", "Restart within 30 min"]),
        ("pool 3 has 40 GPUs, says the table", ["pool | 3 | has 40 or so GPUs, says the table"]),
        ("no number here at all, none", ["no number there at all, none, but 7"]),
        ("a line of page one has 12 words", ["a line of page, 1 of 9, one has 12 words"]),
    ],
)  # fmt: skip
def test_a_quote_that_is_cut_or_worded_otherwise_is_not_outdated(
    quote: str, texts: list[str]
) -> None:
    """A false alarm at every chunk border would be looked at once, and never again."""
    match = match_references(
        [Reference("a.md", quote)], [chunk(str(i), text) for i, text in enumerate(texts)]
    )
    assert match.relevant != ()
    assert (match.outdated, match.stale) == ((), 0)


def test_stale_references_are_those_found_nowhere_and_those_with_other_numbers() -> None:
    """Each once."""
    references = [Reference("gone.md", QUOTE), Reference("a.md", QUOTE), Reference("b.md", QUOTE)]
    chunks = [chunk("a", QUOTE.replace("100", "80")), chunk("b", QUOTE, document="b.md")]
    assert match_references(references, chunks).stale == 2


@given(st.text("ab1 2\n", max_size=30), st.text("ab1 2\n", max_size=30), st.integers(1, 30))
def test_a_quote_that_is_only_cut_is_never_outdated(before: str, quote: str, cut: int) -> None:
    """Wherever the border is: what is missing stands in the next chunk."""
    text = f"{before}\n{quote}\n"
    place = len(before) + 1 + min(cut, len(quote))
    if not (text[place - 1].isdigit() and text[place : place + 1].isdigit()):
        assert missing(quote, text[:place], text[place:]) == []


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    """Otherwise a quote of folded text would not find itself."""
    assert fold(fold(text)) == fold(text)


@given(st.text(min_size=1), st.text(), st.text())
def test_a_quote_is_found_in_any_text_that_holds_it(quote: str, before: str, after: str) -> None:
    """The promise of the module, for any text whose neighbours do not compose with the quote."""
    text = f"{before}\n{quote}\n{after}"
    if fold(quote) and fold(quote) in fold(text):
        assert relevant(quote, text) == ("0",)


@given(st.text("abc", min_size=1, max_size=12), st.text("abc", max_size=12))
def test_the_longest_shared_part_is_that_of_brute_force(quote: str, text: str) -> None:
    """Bisection must not lose a longer part than the one it found first."""
    parts = {quote[i:j] for i in range(len(quote)) for j in range(i + 1, len(quote) + 1)}
    best = max((len(p) for p in parts if p in text), default=0)
    at_least = (len(quote) + 1) // 2
    assert longest_shared(quote, text, at_least=at_least) == (best if best >= at_least else 0)
