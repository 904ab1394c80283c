"""How a chunk is named, and what of it is searched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.chunks import Chunk, chunk_id, search_text
from platform_pipelines.core.knowledge_base.documents import Place

NAMES = st.tuples(st.text(), st.text(), st.integers(0, 10**6), st.text())


@given(first=NAMES, second=NAMES)
def test_a_chunk_id_names_document_policy_ordinal_and_text(
    first: tuple[str, str, int, str], second: tuple[str, str, int, str]
) -> None:
    """Two chunks with one id overwrite each other in the index, without an error."""
    assert (chunk_id(*first) == chunk_id(*second)) is (first == second)


def test_equal_text_twice_is_two_chunks() -> None:
    """A disclaimer repeated on every page is found at each of its places."""
    ids = {chunk_id("a.md", "p", ordinal, "Same text.") for ordinal in range(5)}
    ids.add(chunk_id("b.md", "p", 0, "Same text."))
    ids.add(chunk_id("a.md", "q", 0, "Same text."))
    assert len(ids) == 7


def test_a_chunk_id_is_what_it_was() -> None:
    """Ids are stored in indexes and golden sets: a change here would orphan them."""
    assert chunk_id("문서.md", "policy", 3, "본문") == "e768e785580333c4aabb32f66ef3e08b"


@pytest.mark.parametrize(
    ("title", "heading", "text", "searched"),
    [
        ("Guide", ("Scaling", "Limits"), "Body.", "Guide\nScaling › Limits\nBody."),
        ("Guide", (), "Body.", "Guide\nBody."),
        ("", ("Scaling",), "Body.", "Scaling\nBody."),
        ("", (), "본문", "본문"),
        ("Guide", ("Guide",), "Body.", "Guide\nBody."),  # a title that is the only heading
        ("Guide", ("Scaling",), "Guide", "Scaling\nGuide"),  # a text that is the title
        ("Guide", ("Scaling",), "Scaling", "Guide\nScaling"),  # ... or the heading
        ("Guide", ("Guide",), "Guide", "Guide"),
    ],
)
def test_what_is_searched_is_title_heading_and_text_each_once(
    title: str, heading: tuple[str, ...], text: str, searched: str
) -> None:
    """A heading said twice weighs twice in the keyword index, and costs tokens of the window."""
    assert search_text(title, heading, text) == searched


@given(title=st.text(), heading=st.lists(st.text()).map(tuple), text=st.text())
def test_the_text_is_always_searched_whole_and_last(
    title: str, heading: tuple[str, ...], text: str
) -> None:
    """A chunk that cannot be found by its own words is lost."""
    searched = search_text(title, heading, text)
    assert searched.endswith(text)
    assert title in searched
    assert all(part in searched for part in heading)


def test_equal_chunks_are_equal() -> None:
    """Chunks are compared by value when a shard is made again."""
    made = [Chunk("id", "a.md", 0, "t", "s", Place(page=1), 3) for _ in range(2)]
    assert made[0] == made[1]
    assert hash(made[0]) == hash(made[1])
