"""Text is NFC, has no control or invisible characters, and its language follows its script."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.text import (
    clean_text,
    detect_language,
    display_width,
    one_line,
    tidy_block,
    unwrap_lines,
)

ANY_TEXT = st.text(alphabet=st.characters(blacklist_categories=()), max_size=200)


@given(ANY_TEXT)
def test_cleaning_twice_changes_nothing_and_gives_nfc(text: str) -> None:
    """A text that is cleaned again at a later stage would otherwise get another digest."""
    once = clean_text(text)
    assert clean_text(once) == once
    assert unicodedata.is_normalized("NFC", once)


@given(ANY_TEXT)
def test_clean_text_holds_no_control_characters(text: str) -> None:
    """A NUL breaks Parquet readers and terminals; a lone surrogate cannot be stored at all."""
    cleaned = clean_text(text)
    cleaned.encode("utf-8")
    assert not {c for c in cleaned if unicodedata.category(c) == "Cc"} - {"\n", "\t"}


@given(st.text(alphabet=st.sampled_from("abc 가나\n\t.,"), max_size=100))
def test_ordinary_text_is_left_alone(text: str) -> None:
    """Cleaning must not change what a person wrote."""
    assert clean_text(text) == text


def test_decomposed_hangul_is_composed() -> None:
    """File names and texts from macOS come as jamo; search would never find them."""
    assert clean_text(unicodedata.normalize("NFD", "한국어 각")) == "한국어 각"


def test_a_mark_between_letter_and_accent_does_not_hide_them_from_nfc() -> None:
    """Normalising first and removing afterwards leaves a decomposed pair behind."""
    assert clean_text("e\u200b\u0301") == "é"


@pytest.mark.parametrize("end", ["\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_every_line_end_becomes_a_line_feed(end: str) -> None:
    """Old Macs, form feeds and Unicode separators all end lines."""
    assert clean_text(f"a{end}b") == "a\nb"


@pytest.mark.parametrize("mark", ["\u200b", "\ufeff", "\u202e", "\u00ad", "\x00", "\U000e0041"])
def test_invisible_marks_are_removed(mark: str) -> None:
    """They hide words from search, or text from the reader that a model would obey."""
    assert clean_text(f"ig{mark}nore") == "ignore"


def test_odd_spaces_become_plain_ones_and_lone_surrogates_a_replacement() -> None:
    """A no-break space inside a command made `kubectl get` unfindable."""
    assert clean_text("a\u00a0b\u3000c \ud800") == "a b\u3000c \ufffd"


@given(ANY_TEXT, st.integers(min_value=1, max_value=30))
def test_one_line_is_one_line_within_its_limit(text: str, limit: int) -> None:
    """Titles and headings are repeated in every chunk: they must stay short."""
    line = one_line(text, limit=limit)
    assert "\n" not in line
    assert line == line.strip()
    assert len(line) <= limit


def test_one_line_says_where_it_was_cut() -> None:
    """A silent cut reads like the author's own words."""
    assert one_line("a  long\ntitle", limit=7) == "a long…"
    assert one_line(" a\n b ") == "a b"


@given(ANY_TEXT)
def test_a_tidy_block_is_empty_or_has_text(text: str) -> None:
    """The contract of a block: never blank, no space at line ends, no runs of blank lines."""
    block = tidy_block(text)
    assert block == "" or block.strip()
    assert "\n\n\n" not in block
    assert all(line == line.rstrip(" \t") for line in block.split("\n"))


def test_a_tidy_block_keeps_the_indentation_of_its_first_line() -> None:
    """Code cut out of a list begins with spaces that mean something."""
    assert tidy_block("\n  if x:  \n\n\n\n    y\t\n") == "  if x:\n\n    y"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("리비전은 되돌릴 수 있다.", "ko"),
        ("`kubectl get nodes`로 GPU 노드의 상태를 확인한 다음 cordon 한다.", "ko"),
        ("표 1: " + "1,200,000 | " * 9, "ko"),  # little Hangul, and no other letter
        ("The team lead is 유다인, reachable at any time of the day in the channel.", "en"),
        ("Plain English.", "en"),
        ("これは日本語の文章です。", "und"),
        ("Это русский текст.", "und"),
        ("Änderungen müssen über die Prüfung gehen, für alle Fälle größer.", "und"),
        ("naïve café", "en"),
        ("12345 --- 67", "und"),
        ("…", "und"),
        ("", "und"),
    ],
)
def test_language_follows_the_script(text: str, language: str) -> None:
    """Korean technical prose is half Latin letters and was taken for English."""
    assert detect_language(text) == language


def test_wide_characters_take_two_columns() -> None:
    """Underlines of Korean headings are measured in columns, not characters."""
    assert display_width("ab") == 2
    assert display_width("가a") == 3


def test_hard_wrapped_lines_are_joined_and_short_ones_stay() -> None:
    """A sentence cut in two at column 80 is found by neither half."""
    wide = "word " * 14
    assert unwrap_lines([wide, "goes on."]) == f"{wide.rstrip()} goes on."
    assert unwrap_lines(["Name: x", "Role: y"]) == "Name: x\nRole: y"
    assert unwrap_lines([wide, "- an item"]) == f"{wide.rstrip()}\n- an item"
    assert unwrap_lines([]) == ""


@given(st.lists(st.text(alphabet="ab 가.-", max_size=90), max_size=8))
def test_unwrapping_loses_no_word(lines: list[str]) -> None:
    """Only line ends may change."""
    assert unwrap_lines(lines).split() == " ".join(lines).split()
