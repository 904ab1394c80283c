"""PDF pages: reading order, headings, running lines, tables."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.documents import BlockKind, Reason
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft
from platform_pipelines.stages.knowledge_base.parsing.pdf import read_pdf
from platform_pipelines.stages.knowledge_base.parsing.pdf_blocks import Page, page_blocks
from platform_pipelines.stages.knowledge_base.parsing.pdf_layout import (
    Piece,
    reading_order,
    turned,
)
from platform_pipelines.stages.knowledge_base.parsing.pdf_outline import Entry
from platform_pipelines.stages.knowledge_base.parsing.pdf_words import Words, join_lines

MakePdf = Callable[..., bytes]


def _read(data: bytes) -> Draft:
    return read_pdf(data, key="a.pdf", max_pages=50)


def _column(x: float, top: float, texts: list[str]) -> list[tuple[float, float, float, str]]:
    return [(x, top - 14 * n, 12, text) for n, text in enumerate(texts)]


LEFT = [
    "The left column has several long lines",
    "that are to be read from the first one",
    "to the last before the right column is",
    "begun by anybody.",
]
RIGHT = [
    "The right column follows the left and",
    "stands beside it on the very same base",
    "lines, which is why a naive reader gets",
    "both of them mixed up.",
]


def test_columns_are_read_one_after_the_other(make_pdf: MakePdf) -> None:
    """Lines of both columns were interleaved, so that no sentence was whole."""
    rows = zip(_column(50, 600, LEFT), _column(320, 600, RIGHT), strict=True)
    lines = [
        (
            50,
            650,
            12,
            "A line across the whole page stands above both of the columns, and is first.",
        )
    ]
    lines += [line for pair in rows for line in pair]
    texts = " ".join(b.text for b in _read(make_pdf([lines])).blocks)
    assert texts.startswith("A line across")
    assert " ".join(LEFT) + " " + " ".join(RIGHT) in texts.replace("\n", " ")


def test_larger_lines_are_headings_of_what_follows(make_pdf: MakePdf) -> None:
    """The file has no structure but its font sizes."""
    page = [
        (50, 700, 24, "The title"),
        (50, 660, 16, "First part"),
        *_column(50, 630, LEFT),
        (50, 540, 16, "Second part"),
        *_column(50, 510, RIGHT),
    ]
    draft = _read(make_pdf([page]))
    assert draft.title == "The title"
    body = [b for b in draft.blocks if b.kind is BlockKind.PARAGRAPH]
    assert [b.place.heading for b in body] == [
        ("The title", "First part"),
        ("The title", "Second part"),
    ]
    assert [b.text for b in body] == [" ".join(LEFT), " ".join(RIGHT)]


def test_running_headers_and_page_numbers_are_dropped(make_pdf: MakePdf) -> None:
    """`Confidential - 3` stood in the middle of sentences and in every answer."""
    pages = [
        [(50, 770, 9, "Internal handbook"), (300, 20, 9, f"{n} / 3"), *_column(50, 600, LEFT)]
        for n in (1, 2, 3)
    ]
    blocks = _read(make_pdf(pages)).blocks
    assert [(b.text, b.place.page) for b in blocks] == [(" ".join(LEFT), n) for n in (1, 2, 3)]


def test_what_only_looks_like_a_running_line_stays(make_pdf: MakePdf) -> None:
    """Rows of a ledger and decisions of a board stood at page edges, and were gone."""
    pages = [
        [
            (50, 770, 9, f"Decision {n * n + 3} is adopted"),
            (50, 20 + 9 * n, 9, "Approved by the board"),
            (50, 40, 9, f"Invoice INV-{n}"),
            *_column(50, 600, LEFT),
        ]
        for n in (1, 2, 3)
    ]
    text = "\n".join(b.text for b in _read(make_pdf(pages)).blocks)
    assert all(f"Decision {n * n + 3}" in text for n in (1, 2, 3))
    assert text.count("Approved by the board") == 3
    assert all(f"INV-{n}" in text for n in (1, 2, 3))


def test_a_table_over_two_pages_keeps_its_header(make_pdf: MakePdf) -> None:
    """The second page's rows were `AR-3 | 20` under nothing."""

    def rows(numbers: Sequence[int], top: int) -> list[tuple[float, float, float, str]]:
        cells = [(f"AR-{n}", f"{n * 7} KRW", f"{n}") for n in numbers]
        xs = (50, 200, 400)
        return [
            (x, top - 20 * i, 12, t)
            for i, row in enumerate(cells)
            for x, t in zip(xs, row, strict=True)
        ]

    head = [(50, 700, 12, "Article"), (200, 700, 12, "Price"), (400, 700, 12, "Pack")]
    first, second = _read(make_pdf([[*head, *rows((1, 2), 680)], rows((3, 4), 700)])).blocks
    assert first.header == second.header == "Article | Price | Pack"
    assert second.text == "AR-3 | 21 KRW | 3\nAR-4 | 28 KRW | 4"


def test_rows_of_cells_are_a_table(make_pdf: MakePdf) -> None:
    """Cells that wrap stay in their cell, whether set to the top or to the middle."""
    page = [
        (50, 700, 12, "Ticket"), (150, 700, 12, "Action"), (400, 700, 12, "Due"),
        (50, 670, 12, "P-1"), (150, 677, 12, "Send the warning"), (150, 663, 12, "to the team"),
        (400, 670, 12, "May"),
        (50, 630, 12, "P-2"), (150, 630, 12, "Refuse"), (400, 630, 12, "June"),
    ]  # fmt: skip
    blocks = _read(make_pdf([page])).blocks
    assert [(str(b.kind), b.text) for b in blocks] == [
        (
            "table",
            "Ticket | Action | Due\nP-1 | Send the warning to the team | May\nP-2 | Refuse | June",
        )
    ]


def test_bullets_are_one_list(make_pdf: MakePdf) -> None:
    """A bullet alone means little."""
    page = [(50, 700 - 14 * n, 12, f"- item number {n}") for n in range(3)]
    blocks = _read(make_pdf([page])).blocks
    assert [b.text for b in blocks] == ["- item number 0\n- item number 1\n- item number 2"]
    assert blocks[0].kind is BlockKind.LIST


def test_entries_of_a_table_of_contents_are_no_answers(make_pdf: MakePdf) -> None:
    """They match every question about a chapter and answer none."""
    page = [(50, 700, 12, "1 Introduction . . . . . . . . . . 4"), *_column(50, 600, LEFT)]
    assert [b.text for b in _read(make_pdf([page])).blocks] == [" ".join(LEFT)]


@pytest.mark.parametrize(
    ("lines", "breaks", "text"),
    [
        (["recon-", "ciled"], [True], "reconciled"),
        (["GPU-", "Node"], [True], "GPU- Node"),
        (["검토해야", "하며"], [True], "검토해야 하며"),
        (["검토해", "야 하며"], [False], "검토해야 하며"),
        (["ends", "하며"], [False], "ends 하며"),
        ([], [], ""),
    ],
)
def test_words_broken_at_line_ends_are_whole_again(
    lines: list[str], breaks: list[bool], text: str
) -> None:
    """Half words are found by nobody, in either language."""
    assert join_lines(lines, [*breaks, True]) == text


@pytest.mark.parametrize(
    ("lines", "elsewhere", "text"),
    [
        (["the on-", "call team"], "on-call hours", "the on-call team"),
        (["the on-", "call team"], "go on and call", "the on-call team"),
        (["an environ-", "ment"], "environment", "an environment"),
        (["an environ-", "ment"], "", "an environment"),
        (["휴가를 신청", "한다"], "", "휴가를 신청한다"),
        (["담당", "자가 승인"], "담당자가 본다", "담당자가 승인"),
        (["담당 팀", "장비 목록"], "", "담당 팀 장비 목록"),
    ],
)
def test_real_hyphens_stay_and_cut_words_are_joined(
    lines: list[str], elsewhere: str, text: str
) -> None:
    """`oncall` is found by nobody who asks for `on-call`, nor `신청 한다` by `신청한다`."""
    assert join_lines(lines, [None, None], Words.of([elsewhere])) == text


def test_the_outline_of_the_file_says_what_its_headings_are() -> None:
    """Note boxes were headings, and headings of the body's size were none."""

    def row(text: str, size: float, y: float) -> Piece:
        return Piece(text, 50, y, 50 + size * len(text) / 2, y + size, size)

    pieces = [row("Guide", 30, 700)]
    for n in range(4):
        pieces += [
            row(f"{n + 1}. Step number {n + 1}", 10, 600 - 90 * n),
            row("NOTE", 14, 580 - 90 * n),
            row("Some words follow here.", 10, 560 - 90 * n),
        ]
    outline = [Entry(2, f"Step number {n + 1}", 1) for n in range(4)]
    blocks = page_blocks([Page(1, 800, pieces)], outline).blocks
    headings = [b.text for b in blocks if b.kind is BlockKind.HEADING]
    assert headings == ["Guide", *(f"{n + 1}. Step number {n + 1}" for n in range(4))]
    assert blocks[-1].place.heading == ("Guide", "4. Step number 4")


def test_a_title_that_a_program_filled_in_is_ignored(make_pdf: MakePdf) -> None:
    """`Microsoft Word - final_v3.docx` is not what the document is called."""
    page = [(50, 700, 24, "Real title"), *_column(50, 600, LEFT)]
    assert _read(make_pdf([page], title="Microsoft Word - v3.docx")).title == "Real title"
    assert _read(make_pdf([page], title="Chosen")).title == "Chosen"


def test_a_page_without_text_gives_no_blocks(make_pdf: MakePdf) -> None:
    """A scan: the caller says EMPTY, and how to help."""
    assert _read(make_pdf([[]])).blocks == []


def test_broken_and_oversized_files_are_refused(make_pdf: MakePdf) -> None:
    """Each with its reason."""
    data = make_pdf([[(50, 700, 12, "x")]] * 3)
    for bad, reason in ((data[:60], Reason.CORRUPT), (b"%PDF-1.7\n%%EOF", Reason.CORRUPT)):
        with pytest.raises(DocumentError) as caught:
            _read(bad)
        assert caught.value.reason == reason
    with pytest.raises(DocumentError) as caught:
        read_pdf(data, key="a.pdf", max_pages=2)
    assert caught.value.reason == Reason.TOO_LARGE


def test_a_protected_file_says_so(make_pdf: MakePdf) -> None:
    """`corrupt` sends people to look for the wrong thing."""
    data = make_pdf([[(50, 700, 12, "x")]])
    secret = b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>" % (b"00" * 32, b"11" * 32)
    extra = b"/Encrypt %s /ID [<%s> <%s>]" % (secret, b"22" * 16, b"22" * 16)
    with pytest.raises(DocumentError) as caught:
        _read(data.replace(b"/Root 1 0 R", b"/Root 1 0 R " + extra))
    assert caught.value.reason == Reason.ENCRYPTED


PIECES = st.builds(
    lambda x, y, w: Piece("t", x, y, x + w, y + 12, 12.0),
    st.floats(0, 500), st.floats(0, 780), st.floats(1, 300),
)  # fmt: skip


@given(st.lists(PIECES, max_size=40))
def test_reading_order_loses_no_piece(pieces: list[Piece]) -> None:
    """However strange the page: every piece once."""
    read = [piece for row in reading_order(pieces) for piece in row.pieces]
    assert sorted(map(id, read)) == sorted(map(id, pieces))


@given(st.integers(0, 3), st.floats(0, 500), st.floats(0, 700))
def test_four_quarter_turns_are_none(turn: int, left: float, bottom: float) -> None:
    """A page set on its side is read as one that stands."""
    piece = Piece("a", left, bottom, left + 10, bottom + 5, 10)
    once = turned(piece, turn, 600, 800)
    sides = (800, 600) if turn % 2 else (600, 800)
    back = turned(once, (4 - turn) % 4, *sides)
    assert (back.left, back.bottom) == pytest.approx((left, bottom))
    assert once.right >= once.left
    assert once.top >= once.bottom
