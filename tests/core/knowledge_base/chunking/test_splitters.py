"""The splitting layer keeps every character and cuts at the best border there is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.chunking.policy import CODE_LANGUAGES
from platform_pipelines.core.knowledge_base.chunking.splitters import (
    split_code,
    split_prose,
    split_row,
)

TEXTS = st.text(alphabet="가다요.한 A b1,。!\n\t|'\"-:#(){};界🙂", max_size=400)
CODE = st.text(alphabet="def class:\n\tif x=()#-{}/*'\"abc", max_size=400)


@settings(deadline=None)  # the first call imports the library
@given(TEXTS, st.integers(1, 60))
def test_prose_and_rows_lose_nothing_and_keep_the_limit(text, characters):
    """Text between two parts is nowhere: it can be neither found nor shown."""
    for parts in (split_prose(text, characters), split_row(text, characters)):
        assert "".join(parts) == text
        assert all(len(part) <= characters for part in parts)


@settings(deadline=None)  # the first call imports the library
@given(CODE, st.integers(1, 60), st.sampled_from([*CODE_LANGUAGES, "shell", "perl", "none", None]))
def test_code_of_every_language_loses_nothing(text, characters, language):
    """A border with a group of its own would double text; indentation must survive."""
    parts = split_code(text, characters, language)
    assert "".join(parts) == text
    assert all(len(part) <= characters for part in parts)


@pytest.mark.parametrize(
    ("text", "characters", "parts"),
    [
        ("노드를 늘립니다. 비용이 듭니다.", 12, ["노드를 늘립니다. ", "비용이 듭니다."]),
        ("노드를 늘립니다.비용이 듭니다.", 12, ["노드를 늘립니다.", "비용이 듭니다."]),
        ("첫째。둘째。", 4, ["첫째。", "둘째。"]),
        ("One two. Three four! Five?", 12, ["One two. ", "Three four! ", "Five?"]),
        ('He said "no." Then left.', 16, ['He said "no." ', "Then left."]),
        ("first line\n\nsecond", 13, ["first line\n\n", "second"]),
    ],
)
def test_prose_is_cut_at_sentence_ends_of_both_languages(text, characters, parts):
    """A chunk that ends in the middle of a sentence answers half of a question."""
    assert split_prose(text, characters) == parts


def test_code_is_cut_before_definitions():
    """A function belongs together."""
    text = "import os\n\ndef a():\n    return 1\n\ndef b():\n    return 2\n"
    parts = split_code(text, 36, "python")
    assert parts == ["import os\n\ndef a():\n    return 1\n", "\ndef b():\n    return 2\n"]
    assert split_code("a:\n  b: 1\nc:\n  d: 2\n", 12, "yaml") == ["a:\n  b: 1", "\nc:\n  d: 2\n"]
    shell = "a() {\n  ls\n}\nb() {\n  pwd\n}\n"
    assert split_code(shell, 16, "shell") == ["a() {\n  ls\n}", "\nb() {\n  pwd\n}\n"]


def test_a_row_is_cut_between_cells():
    """A cell without the rest of itself is wrong, not only incomplete."""
    assert split_row("price: 100 | unit: hour | pool: a", 14) == [
        "price: 100 | ", "unit: hour | ", "pool: a",
    ]  # fmt: skip
