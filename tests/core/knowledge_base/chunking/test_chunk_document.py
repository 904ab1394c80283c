"""Chunks of any document by any policy: nothing lost, nothing over the window."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import count as count_from
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.chunking.policy import (
    ChatPolicy,
    CodePolicy,
    FixedPolicy,
    MarkdownPolicy,
    SemanticPolicy,
    TokensPolicy,
)
from platform_pipelines.core.knowledge_base.chunking.split import chunk_document
from platform_pipelines.core.knowledge_base.chunks import TEXT_MAX_BYTES, chunk_id
from platform_pipelines.core.knowledge_base.documents import (
    Block,
    BlockKind,
    DocumentType,
    ParsedDocument,
    Place,
)
from platform_pipelines.errors import ConfigurationError, DimensionError

SENTENCES = (
    "노드풀은 대기 중인 파드가 있으면 노드를 늘립니다.", "비용은 시간당 3.5달러입니다.",
    "The pool scales up when pods are pending.", "See v1.35.2 for details!", "Why not?",
    "word", "가", "🙂🙂🙂",
    "aVeryLongIdentifierWithoutAnySpaceInIt" * 4, "漢字のテキスト。次の文。",
)  # fmt: skip
KINDS = (
    BlockKind.PARAGRAPH, BlockKind.LIST, BlockKind.CODE, BlockKind.TABLE, BlockKind.MESSAGE,
)  # fmt: skip
POLICIES = (
    FixedPolicy(120, 0), TokensPolicy(24, 0), MarkdownPolicy(24, 0), CodePolicy(90, 0),
    ChatPolicy(24, 0), SemanticPolicy(minimum=6, size=24),
)  # fmt: skip
WITH_OVERLAP = (
    FixedPolicy(120, 40), TokensPolicy(24, 12), MarkdownPolicy(24, 12), CodePolicy(90, 40),
    ChatPolicy(24, 2),
)  # fmt: skip


def quarter(texts: Sequence[str]) -> list[int]:
    """A free counter: a quarter of the characters, and two marks around every text."""
    return [len(text) // 4 + 2 for text in texts]


def wordy(texts: Sequence[str]) -> list[int]:
    """A counter that is not additive: words, and one for every three bytes of a long word."""
    return [3 + sum(1 + len(w.encode()) // 9 for w in text.split()) for text in texts]


def embed(texts: Sequence[str]) -> np.ndarray:
    """Vectors that depend on nothing but the text."""
    rows = [list(hashlib.sha256(t.encode()).digest()[:8]) for t in texts]
    return np.asarray(rows, dtype=np.float32) - 127.5


@st.composite
def documents(draw: st.DrawFn) -> ParsedDocument:
    """Up to twelve blocks of all kinds under headings of up to two levels."""
    blocks: list[Block] = []
    heading: tuple[str, ...] = ()
    for _ in range(draw(st.integers(0, 12))):
        if draw(st.integers(0, 3)) == 0:
            level = draw(st.integers(0, min(1, len(heading))))
            title = draw(st.sampled_from(("Scaling", "비용", "Node pools and their limits " * 6)))
            blocks.append(Block(title, BlockKind.HEADING, Place(heading=heading[:level])))
            heading = (*heading[:level], title)
        joiner = draw(st.sampled_from((" ", "\n", "\n\n", "\n    ")))
        text = joiner.join(draw(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=9)))
        blocks.append(Block(text, draw(st.sampled_from(KINDS)), Place(heading=heading)))
    title = draw(st.sampled_from(("", "Guide", "A very long title of a document " * 12)))
    return ParsedDocument(DocumentType.MARKDOWN, title, "ko", tuple(blocks), "python")


def cut(document, policy, *, count=quarter, window=64):
    return chunk_document(
        document, key="docs/a.md", policy=policy, count_tokens=count, window_tokens=window,
        embed_sentences=embed,
    )  # fmt: skip


def document_of(*blocks: Block, title: str = "Guide") -> ParsedDocument:
    return ParsedDocument(DocumentType.MARKDOWN, title, "en", blocks)


def section(name: str, *texts: str, parents: tuple[str, ...] = ()) -> list[Block]:
    place = Place(heading=(*parents, name))
    heading = Block(name, BlockKind.HEADING, Place(heading=parents))
    return [heading, *(Block(text, BlockKind.PARAGRAPH, place) for text in texts)]


def numbered(document: ParsedDocument) -> ParsedDocument:
    """The same shape with every word another one, so that a text stands in one place only."""
    numbers = count_from(1000)
    return replace(
        document,
        blocks=tuple(
            b._replace(text=re.sub(r"\w{1,12}", lambda _: f"w{next(numbers)}", b.text))
            for b in document.blocks
        ),
    )


def visible(text: str) -> str:
    return "".join(text.split())


@settings(max_examples=150, deadline=None)
@given(
    documents(),
    st.sampled_from((*POLICIES, *WITH_OVERLAP)),
    st.sampled_from((quarter, wordy)),
    st.sampled_from((24, 64, 512)),
)
def test_every_chunk_fits_the_window_and_says_something(document, policy, count, window):
    """What exceeds the window is cut off by the embedder, and never found again."""
    chunks = cut(document, policy, count=count, window=window)
    assert [c.ordinal for c in chunks] == list(range(len(chunks)))
    assert [c.tokens for c in chunks] == count([c.search_text for c in chunks])
    assert all(c.tokens <= window for c in chunks)
    assert all(c.text.strip() and c.search_text.endswith(c.text) for c in chunks)
    assert len({c.chunk_id for c in chunks}) == len(chunks)
    ids = [chunk_id("docs/a.md", policy.digest, c.ordinal, c.text) for c in chunks]
    assert [c.chunk_id for c in chunks] == ids
    assert cut(document, policy, count=count, window=window) == chunks


@settings(max_examples=150, deadline=None)
@given(documents(), st.sampled_from(POLICIES), st.sampled_from((24, 64, 512)))
def test_without_overlap_the_chunks_are_the_document(document, policy, window):
    """No visible character is lost, doubled or moved, wherever a chunk ends."""
    chunks = cut(document, policy, window=window)
    text = visible("".join(block.text for block in document.blocks))
    assert visible("".join(chunk.text for chunk in chunks)) == text


@settings(max_examples=100, deadline=None)
@given(documents(), st.sampled_from(WITH_OVERLAP))
def test_overlap_repeats_but_never_invents_or_loses(document, policy):
    """Each chunk is a run of the document, starts after the one before, and all are covered."""
    document = numbered(document)
    text = visible("".join(block.text for block in document.blocks))
    covered = 0
    for chunk in cut(document, policy, window=512):
        shown = visible(chunk.text)
        start = text.rfind(shown, 0, covered + len(shown))
        assert start >= 0, chunk.text
        assert start + len(shown) > covered - 1
        covered = max(covered, start + len(shown))
    assert covered == len(text)


@settings(max_examples=100, deadline=None)
@given(documents(), st.integers(8, 60))
def test_chat_never_cuts_a_message_that_fits_the_window(document, size):
    """Half of a message can say the opposite of all of it."""
    blocks = tuple(
        b._replace(kind=BlockKind.MESSAGE, place=Place(speaker="kim")) for b in document.blocks
    )
    chunks = cut(replace(document, blocks=blocks), ChatPolicy(size, 1), window=512)
    for block in blocks:
        assert any(f"kim: {block.text.strip()}" in chunk.text for chunk in chunks)


@settings(max_examples=100, deadline=None)
@given(documents(), st.sampled_from((*POLICIES, *WITH_OVERLAP)))
def test_a_row_is_never_cut(document, policy):
    """Half of a row gives a price to the wrong thing."""
    tables = [b._replace(kind=BlockKind.TABLE) for b in document.blocks]
    chunks = cut(replace(document, blocks=tuple(tables)), policy, window=512)
    for row in (row for b in tables for row in b.text.splitlines() if row.strip()):
        assert any(row.strip() in chunk.text for chunk in chunks)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ABCDEF"), st.integers(1, 60)), max_size=14))
def test_a_large_top_section_is_never_mixed_with_another(sections):
    """A chunk about two things is found for neither."""
    size = 64
    blocks = [
        Block(f"{n}{name} " * words, BlockKind.PARAGRAPH, Place(heading=(f"{n}{name}",)))
        for n, (name, words) in enumerate(sections)
    ]
    large = {f"{n}{name}" for n, (name, words) in enumerate(sections) if words >= size // 4}
    chunks = chunk_document(
        document_of(*blocks), key="k", policy=MarkdownPolicy(size, 8), window_tokens=512,
        count_tokens=lambda texts: [len(t.split()) for t in texts],
    )  # fmt: skip
    for chunk in chunks:
        names = set(chunk.text.split())
        assert len(names) == 1 or not names & large


def test_tiny_sections_join_their_neighbours_and_keep_their_headings():
    """A glossary of five-token sections must not become five-token chunks."""
    blocks = [b for n in range(20) for b in section(f"Term {n}", f"It means {n}.")]
    chunks = cut(document_of(*blocks), MarkdownPolicy(64, 0), window=512)
    assert len(chunks) <= 8
    assert all(f"Term {n}\nIt means {n}." in "\n".join(c.text for c in chunks) for n in range(20))
    assert chunks[0].place.heading == ("Term 0",)


def test_a_short_introduction_joins_the_first_section():
    """A line between the title and the first heading is no chunk of its own."""
    blocks = [
        *section("Guide", "Short."),
        *section("Scaling", "Pods are pending. " * 30, parents=("Guide",)),
        *section("Cost", "It is cheap. " * 30, parents=("Guide",)),
    ]
    chunks = cut(document_of(*blocks), MarkdownPolicy(200, 0), window=512)
    assert [c.text.split("\n")[0] for c in chunks] == ["Guide", "Cost"]
    assert chunks[1].place.heading == ("Guide", "Cost")


def test_a_small_subsection_joins_its_sibling_and_a_large_one_does_not():
    """Under one top heading the topic is the same; still, two large parts are two chunks."""
    large, small = "Pods are pending. " * 30, "Short."
    blocks = [
        b
        for top in ("A", "B")
        for name, text in (("one", large), ("two", small), ("three", large))
        for b in section(name, text, parents=(top,))
    ]
    chunks = cut(document_of(*blocks), MarkdownPolicy(200, 0), window=512)
    assert [c.place.heading for c in chunks] == [
        ("A", "one"), ("A", "three"), ("B", "one"), ("B", "three"),
    ]  # fmt: skip


def test_a_long_introduction_stays_apart():
    """Text before the first heading is about the whole document, not about its first part."""
    blocks = [
        *section("Guide", "All of it. " * 40),
        *section("A", "Some. " * 8, parents=("Guide",)),
    ]
    chunks = cut(document_of(*blocks), MarkdownPolicy(200, 0), window=512)
    assert [c.text.split("\n")[0] for c in chunks] == ["Guide", "A"]


def test_slides_and_sheets_are_sections():
    """Two slides without headings are two topics."""
    text = "A point of the slide. " * 10
    blocks = [Block(text, BlockKind.PARAGRAPH, Place(slide=n)) for n in (1, 2)]
    chunks = cut(document_of(*blocks), MarkdownPolicy(100, 0), window=512)
    assert [c.place.slide for c in chunks] == [1, 2]


def test_a_heading_stays_with_what_it_heads():
    """A heading at the end of a chunk heads nothing."""
    blocks = [Block("Text of one part. " * 12), *section("Scaling", "Pods are pending. " * 12)]
    chunks = cut(document_of(*blocks), TokensPolicy(70, 0), window=512)
    assert [c.text.split("\n")[0][:7] for c in chunks] == ["Text of", "Scaling"]
    assert chunks[1].place.heading == ("Scaling",)


def test_a_heading_above_text_that_stands_elsewhere_keeps_its_own_place():
    """A reader may leave a heading's own block deeper than what follows it, e.g. a page footer."""
    heading = Block("Inner", BlockKind.HEADING, Place(heading=("Outer",), page=3))
    chunks = cut(document_of(heading, Block("Text.", place=Place(page=4))), TokensPolicy())
    assert [c.place for c in chunks] == [heading.place]


def test_headings_over_the_window_are_cut_as_text():
    """A document of nothing but headings is still a document."""
    blocks = [Block("A heading of some words", BlockKind.HEADING, Place()) for _ in range(20)]
    chunks = cut(document_of(*blocks), TokensPolicy(24, 12))
    assert visible("".join(c.text for c in chunks)) == visible("Aheadingofsomewords" * 20)


def test_a_blank_beginning_of_a_block_is_no_chunk():
    """Blank lines before a long text must not be embedded."""
    block = Block("\n\n" + " " * 400 + "\n\n" + "Pods are pending. " * 40, place=Place(line=1))
    chunks = cut(document_of(block), TokensPolicy(24, 0))
    assert all(c.text.startswith("Pods") for c in chunks)


def test_a_last_heading_without_text_is_kept():
    """Nothing is lost, not even an empty section."""
    blocks = [*section("A", "Text. " * 10), Block("Nothing below", BlockKind.HEADING, Place())]
    chunks = cut(document_of(*blocks), MarkdownPolicy(), window=512)
    assert "Nothing below" in chunks[-1].text
    only = cut(document_of(blocks[-1]), MarkdownPolicy(), window=512)
    assert [c.text for c in only] == ["Nothing below"]


def test_chunks_of_a_long_text_are_nearly_equal():
    """256 tokens and then 5 is worse than 131 and 130."""
    text = "The pool scales up when pods are pending in it. " * 22
    sizes = [c.tokens for c in cut(document_of(Block(text)), TokensPolicy(256, 0), window=512)]
    assert len(sizes) == 2
    assert max(sizes) - min(sizes) < 64


def test_a_few_last_tokens_join_the_chunk_before_them():
    """A chunk of five tokens is found for everything and answers nothing."""
    blocks = [Block("Pods are pending. " * 14), Block("Pods are pending. " * 14), Block("End.")]
    chunks = cut(document_of(*blocks), TokensPolicy(65, 0), window=512)
    assert chunks[-1].text.endswith("End.")
    assert min(c.tokens for c in chunks) > 20


def test_overlap_is_whole_sentences_of_the_chunk_before():
    """A fragment at the start of a chunk would be quoted as an answer."""
    sentences = [f"Sentence number {n} says something." for n in range(40)]
    chunks = cut(document_of(Block(" ".join(sentences))), TokensPolicy(64, 20), window=512)
    assert len(chunks) > 3
    for before, chunk in pairwise(chunks):
        first = chunk.text.split(". ")[0]
        assert chunk.text.startswith("Sentence number")
        assert first in before.text


def test_fixed_overlaps_even_without_a_sentence_end():
    """Characters are counted there, so words are border enough."""
    text = " ".join(f"word{n}" for n in range(100))
    chunks = cut(document_of(Block(text)), FixedPolicy(200, 50), window=512)
    assert all(b.text.split()[0] in a.text for a, b in pairwise(chunks))


def test_whole_messages_are_repeated_with_their_speaker_and_place():
    """An answer in a chat stands under its question, and a text without a speaker misleads."""
    blocks = [
        Block(
            f"Message {n} has some words.", BlockKind.MESSAGE, Place(speaker=f"u{n}", time=str(n))
        )
        for n in range(12)
    ]
    chunks = cut(document_of(*blocks), ChatPolicy(32, 1), window=512)
    assert chunks[0].text.startswith("u0: Message 0 has some words.\nu1: ")
    for before, chunk in pairwise(chunks):
        assert chunk.text.split("\n")[0] == before.text.split("\n")[-1]
        assert chunk.text.startswith(f"{chunk.place.speaker}: ")


def test_a_speaker_who_is_named_in_the_text_is_not_named_twice():
    """Some exports write `kim: ...` or `[09:00] kim: ...` themselves."""
    for text in ("kim: hello", "[09:00] kim: hello"):
        block = Block(text, BlockKind.MESSAGE, Place(speaker="kim"))
        assert [c.text for c in cut(document_of(block), ChatPolicy(), window=512)] == [text]


def test_a_message_over_the_window_is_cut_at_a_sentence():
    """The one exception to whole messages: no vector could stand for it."""
    block = Block("노드를 늘립니다. " * 40, BlockKind.MESSAGE, Place(speaker="kim"))
    chunks = cut(document_of(block, title=""), ChatPolicy(24, 1), window=64)
    assert len(chunks) > 1
    assert all(c.text.endswith("늘립니다.") for c in chunks)


def test_code_keeps_its_indentation_and_cites_the_line_it_starts_at():
    """A citation of line 1 of a thousand-line file is none."""
    functions = [f"    def f{n}(self):\n        return {n}\n" for n in range(12)]
    text = "class A:\n" + "\n".join(functions)
    block = Block(text, BlockKind.CODE, Place(line=10))
    chunks = cut(document_of(block), CodePolicy(90, 0, "python"), window=512)
    lines = text.split("\n")
    assert len(chunks) > 4
    for chunk in chunks:
        assert chunk.text.split("\n")[0] == lines[chunk.place.line - 10]


def test_code_overlap_is_whole_lines():
    """Half a line of code is wrong code."""
    text = "\n".join(f"value_{n} = {n}" for n in range(60))
    block = Block(text, BlockKind.CODE, Place(line=1))
    chunks = cut(document_of(block), CodePolicy(200, 60), window=512)
    for before, chunk in pairwise(chunks):
        first = chunk.text.split("\n")[0]
        assert first in before.text.split("\n")
        assert chunk.place.line == text.split("\n").index(first) + 1


def test_later_rows_repeat_a_header_that_they_do_not_name():
    """`a100 | 3` alone says nothing; `pool: a100 | price: 3` does, and needs no header."""
    rows = [f"a{n} | {n} | hour" for n in range(40)]
    header = "pool | price | unit"
    table = Block("\n".join([header, *rows]), BlockKind.TABLE, header=header)
    chunks = cut(document_of(table), TokensPolicy(48, 0), window=512)
    assert len(chunks) > 2
    assert all(c.text.startswith("pool | price | unit\n") for c in chunks)
    named = Block("\n".join(f"pool: a{n} | price: {n}" for n in range(40)), BlockKind.TABLE)
    shown = "\n".join(c.text for c in cut(document_of(named), TokensPolicy(48, 0), window=512))
    assert shown == named.text


def test_rows_cite_the_line_they_stand_in():
    """A sheet's block cites its first row; a chunk from the middle must not."""
    text = "\n".join(f"pool: a{n} | price: {n}" for n in range(40))
    chunks = cut(
        document_of(Block(text, BlockKind.TABLE, Place(sheet="p", line=2))),
        TokensPolicy(48, 0), window=512,
    )  # fmt: skip
    assert all(c.text.startswith(f"pool: a{c.place.line - 2} ") for c in chunks)


def test_a_row_over_the_window_is_cut_between_cells():
    """One cell with a page of text must not stop the document."""
    row = " | ".join(f"name{n}: value {n} of the row" for n in range(40))
    chunks = cut(document_of(Block(row, BlockKind.TABLE)), TokensPolicy(24, 0), window=64)
    assert len(chunks) > 2
    assert all(c.text.startswith("name") for c in chunks)


def test_a_long_head_is_shortened_not_the_text_starved():
    """A heading of a page must not push the text out of what is searched."""
    heading = ("Part " * 60, "Chapter " * 60, "Scaling the node pools")
    block = Block("Pods are pending. " * 30, BlockKind.PARAGRAPH, Place(heading=heading))
    chunks = cut(document_of(block, title="A long title " * 50), MarkdownPolicy(), window=128)
    assert all(c.place.heading == heading for c in chunks)
    assert all(len(c.text) > 200 for c in chunks)
    assert all("Scaling the node pools" in c.search_text for c in chunks)


def test_the_title_is_searched_once():
    """Most documents repeat their title as the outermost heading: tokens for nothing."""
    block = Block("Text.", BlockKind.PARAGRAPH, Place(heading=("Guide", "Scaling")))
    chunks = cut(document_of(block), MarkdownPolicy(), window=512)
    assert chunks[0].search_text == "Guide\nScaling\nText."


def test_equal_text_twice_is_two_chunks():
    """Ids by content alone lose one of them."""
    text = "Pods are pending in the queue. " * 8
    blocks = [b for name in ("A", "B") for b in section(name, text)]
    chunks = cut(document_of(*blocks[1::2]), MarkdownPolicy(64, 0), window=512)
    assert chunks[0].text == chunks[-1].text
    assert len({c.chunk_id for c in chunks}) == len(chunks)


def test_a_document_costs_two_calls_of_the_counter():
    """A call costs 50 microseconds and more: one per block would be most of the work."""
    calls: list[int] = []

    def count(texts: Sequence[str]) -> list[int]:
        calls.append(len(texts))
        return quarter(texts)

    blocks = [b for n in range(30) for b in section(f"S{n}", "Pods are pending. " * 40)]
    chunks = cut(document_of(*blocks), MarkdownPolicy(), count=count, window=512)
    assert len(calls) == 2
    assert calls[1] == len(chunks)


def test_no_blocks_are_no_chunks():
    """A blank chunk would be found for everything."""
    assert cut(document_of(), TokensPolicy()) == []
    assert cut(document_of(Block(" \n ")), TokensPolicy()) == []


@pytest.mark.parametrize(
    "text",
    ["TOTAL" + " " * 70_000 + "42", "\U00013000" * 60_000, "값" * 30_000 + "\n" + "끝" * 30_000],
    ids=["spaces", "unknown characters", "one long word"],
)
def test_a_text_of_few_tokens_is_cut_where_no_store_could_hold_it(text):
    """e5 folds runs of spaces and of unknown characters: the index then refused the chunk, and with
    it every later refresh of the knowledge base."""

    def folded(texts: Sequence[str]) -> list[int]:
        return [2 + len(set(t)) for t in texts]

    chunks = cut(document_of(Block(text)), TokensPolicy(), count=folded)
    assert all(len(chunk.text.encode()) <= TEXT_MAX_BYTES for chunk in chunks)
    assert visible("".join(chunk.text for chunk in chunks)) == visible(text)
    assert len({chunk.chunk_id for chunk in chunks}) == len(chunks) > 1


def test_a_window_that_holds_no_character_is_a_wrong_setting():
    """The alternative is an endless loop."""
    with pytest.raises(ConfigurationError, match="one character"):
        cut(document_of(Block("text")), TokensPolicy(), window=1)


class TestSemantic:
    """Breaks where the meaning turns."""

    TOPICS = ("Nodes are added to the pool. ", "가격은 시간당 3달러입니다. ")

    def embed_topics(self, texts):
        return np.asarray([[t.count("Nodes"), t.count("가격"), 0.01] for t in texts], np.float32)

    def chunks(self, embedder, policy, text):
        return chunk_document(
            document_of(Block(text)), key="k", policy=policy, count_tokens=quarter,
            window_tokens=512, embed_sentences=embedder,
        )  # fmt: skip

    def test_a_break_is_where_the_topic_changes(self):
        """Both topics fit one chunk; only their meaning tells them apart."""
        text = self.TOPICS[0] * 10 + self.TOPICS[1] * 10
        made = self.chunks(self.embed_topics, SemanticPolicy(minimum=8), text)
        assert [c.text for c in made] == [(topic * 10).strip() for topic in self.TOPICS]

    def test_sizes_bound_what_meaning_says(self):
        """No break leaves less than the minimum, and no topic grows over the size."""
        text = (self.TOPICS[0] + self.TOPICS[1]) * 20
        policy = SemanticPolicy(percentile=10, minimum=20, size=60)
        made = self.chunks(self.embed_topics, policy, text)
        assert all(15 <= c.tokens <= 75 for c in made)

    def test_a_short_end_joins_the_chunk_before_it_when_there_is_room(self):
        """A last sentence on another topic is too little for a chunk."""
        text = self.TOPICS[0] * 10 + self.TOPICS[1]
        made = self.chunks(self.embed_topics, SemanticPolicy(minimum=30, buffer=0), text)
        assert len(made) == 1
        full = self.chunks(self.embed_topics, SemanticPolicy(minimum=60, size=72, buffer=0), text)
        assert len(full) == 2

    def test_vectors_without_direction_break_nothing(self):
        """A zero or non-finite vector is no reason to cut, nor to fail."""
        text = self.TOPICS[0] * 10
        for value in (0.0, np.nan):
            made = self.chunks(
                lambda texts, v=value: np.full((len(texts), 3), v), SemanticPolicy(), text
            )
            assert len(made) == 1

    def test_two_sentences_are_not_embedded(self):
        """One distance has no percentile to be over: the model is not loaded for it."""
        made = self.chunks(lambda _: np.zeros((0, 3)), SemanticPolicy(), self.TOPICS[0] * 2)
        assert len(made) == 1

    def test_no_embedder_is_a_wrong_declaration(self):
        """It fails before the work, with what to do."""
        with pytest.raises(ConfigurationError, match="needs an embedder"):
            self.chunks(None, SemanticPolicy(), "text")

    @pytest.mark.parametrize("shape", [(2, 3), (40,)])
    def test_a_wrong_number_of_vectors_is_an_error(self, shape):
        """Breaks of another text's sentences would look plausible."""
        with pytest.raises(DimensionError, match="sentences"):
            self.chunks(lambda _: np.zeros(shape), SemanticPolicy(), self.TOPICS[0] * 40)
