"""Word and PowerPoint: everything that a reader sees, in the order in which it is read."""

from collections.abc import Callable
from typing import Any

import pytest
from docx import Document
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from platform_pipelines.core.knowledge_base.documents import Block, NoteKind, Reason
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.docx import read_docx
from platform_pipelines.stages.knowledge_base.parsing.docx_numbering import number_in
from platform_pipelines.stages.knowledge_base.parsing.pptx import read_pptx

Saved = Callable[[Any], bytes]
W = nsdecls("w")


def _shown(blocks: list[Block]) -> list[tuple[str, str]]:
    return [(str(block.kind), block.text) for block in blocks]


def test_paragraphs_lists_and_tables_come_in_document_order(saved: Saved) -> None:
    """Tables were appended at the end, away from the sentence that explains them."""
    document = Document()
    document.add_heading("정책", level=1)
    document.add_paragraph("before")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["역할", "권한", "당직", "읽기"], strict=True):
        cell.text = text
    document.add_paragraph("after")
    document.add_heading("절차", level=2)
    for text in ("하나", "둘"):
        document.add_paragraph(text, style="List Bullet")
    for text in ("first", "second"):
        document.add_paragraph(text, style="List Number")
    draft = read_docx(saved(document), key="a.docx")
    assert draft.title == "정책"
    assert _shown(draft.blocks) == [
        ("heading", "정책"),
        ("paragraph", "before"),
        ("table", "역할 | 권한\n당직 | 읽기"),
        ("paragraph", "after"),
        ("heading", "절차"),
        ("list", "- 하나\n- 둘\n1. first\n2. second"),
    ]
    assert draft.blocks[-1].place.heading == ("정책", "절차")


@pytest.mark.parametrize(("name", "level"), [("제목 2", 2), ("개요 1", 1), ("Heading 3", 3)])
def test_korean_style_names_are_headings(saved: Saved, name: str, level: int) -> None:
    """Korean Word, LibreOffice and converters from HWP name them so."""
    document = Document()
    if name not in document.styles:
        document.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
    for depth in range(1, level):
        document.add_heading(f"h{depth}", level=depth)
    document.add_paragraph("장애 대응", style=name)
    document.add_paragraph("text")
    path = read_docx(saved(document), key="a").blocks[-1].place.heading
    assert path == (*(f"h{depth}" for depth in range(1, level)), "장애 대응")


def _paragraph(inner: str) -> Any:
    return parse_xml(f"<w:p {W}>{inner}</w:p>")


def _run(text: str, tag: str = "t") -> str:
    return f'<w:r><w:{tag} xml:space="preserve">{text}</w:{tag}></w:r>'


def test_links_insertions_and_fields_are_read_and_deletions_are_not(saved: Saved) -> None:
    """python-docx's own text leaves out tracked insertions and content controls."""
    document = Document()
    inner = (
        _run("see ")
        + f'<w:hyperlink w:anchor="x">{_run("the link")}</w:hyperlink>'
        + f'<w:ins w:id="1" w:author="a">{_run(" new")}</w:ins>'
        + f'<w:del w:id="2" w:author="a">{_run(" old", "delText")}</w:del>'
        + f'<w:fldSimple w:instr="DATE">{_run(" 2026")}</w:fldSimple>'
        + "<w:r><w:tab/><w:t>tab</w:t><w:br/><w:t>line</w:t></w:r>"
    )
    body = document.element.body
    body.insert(0, _paragraph(inner))
    control = f"<w:sdt {W}><w:sdtContent><w:p>{_run('in a control')}</w:p></w:sdtContent></w:sdt>"
    body.insert(1, parse_xml(control))
    blocks = read_docx(saved(document), key="a").blocks
    assert [b.text for b in blocks] == ["see the link new 2026\ttab\nline", "in a control"]


def test_merged_cells_are_repeated(saved: Saved) -> None:
    """A row is understood alone only when it names its group."""
    document = Document()
    table = document.add_table(rows=3, cols=2)
    for cell, text in zip(table._cells, ["풀", "수", "gpu", "1", "", "2"], strict=True):
        cell.text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    text = read_docx(saved(document), key="a").blocks[0].text
    assert text == "풀 | 수\ngpu | 1\ngpu | 2"


def test_a_document_with_macros_is_read_and_a_broken_one_has_a_reason(
    saved: Saved, with_part: Callable[..., bytes]
) -> None:
    """Files with macros are not broken; files without a main part are."""
    document = Document()
    document.add_paragraph("a rule")
    data = saved(document)
    macro = with_part(
        data,
        "[Content_Types].xml",
        lambda xml: xml.replace("document.main+xml", "document.macroEnabled.main+xml"),
    )
    broken = with_part(data, "word/document.xml", lambda xml: xml[:200])
    assert [b.text for b in read_docx(macro, key="a.docm").blocks] == ["a rule"]
    with pytest.raises(DocumentError) as caught:
        read_docx(broken, key="a.docx")
    assert caught.value.reason == Reason.CORRUPT


def test_an_entity_bomb_in_a_document_is_refused(
    saved: Saved, with_part: Callable[..., bytes]
) -> None:
    """A billion laughs."""
    document = Document()
    document.add_paragraph("LOL")
    entities = "".join(
        f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha" * 10}">' for n in range(9)
    )
    data = with_part(
        saved(document),
        "word/document.xml",
        lambda xml: xml.replace("?>", f"?><!DOCTYPE x [{entities}]>", 1).replace("LOL", "a&e8;b"),
    )
    with pytest.raises(DocumentError) as caught:
        read_docx(data, key="a")
    assert caught.value.reason == Reason.CORRUPT


def _deck() -> Any:
    deck = Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "용량 계획"
    first.placeholders[1].text = "하나\n둘"
    first.notes_slide.notes_text_frame.text = "발표자 노트"
    second = deck.slides.add_slide(deck.slide_layouts[6])
    boxes = (("right", 5, 2), ("low", 1, 5), ("left", 1, 2.01), ("top", 1, 1))
    for text, left, top in boxes:
        second.shapes.add_textbox(
            Inches(left), Inches(top), Inches(2), Inches(0.5)
        ).text_frame.text = text
    group = second.shapes.add_group_shape()
    group.shapes.add_textbox(Inches(1), Inches(6), Inches(1), Inches(1)).text_frame.text = "grouped"
    return deck


def test_slides_and_shapes_are_read_in_order(saved: Saved) -> None:
    """Shapes come in the order in which somebody drew them."""
    draft = read_pptx(saved(_deck()), key="a.pptx")
    assert draft.title == "용량 계획"
    assert [(b.place.slide, b.text) for b in draft.blocks] == [
        (1, "용량 계획"),
        (1, "- 하나\n- 둘"),
        (1, "발표자 노트"),
        (2, "top"),
        (2, "left"),
        (2, "right"),
        (2, "low"),
        (2, "grouped"),
    ]
    assert draft.blocks[1].place.heading == ("용량 계획",)


def test_tables_and_charts_of_slides_are_tables(saved: Saved) -> None:
    """The figures of a presentation are in them."""
    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    box = (Inches(1), Inches(1), Inches(4), Inches(1))
    table = slide.shapes.add_table(2, 2, *box).table
    for cell, text in zip(table.iter_cells(), ["풀", "한도", "gpu", "96"], strict=True):
        cell.text = text
    data = CategoryChartData()
    data.categories = ["Q1", "Q2"]
    data.add_series("peak", (104, 118.5))
    frame = slide.shapes.add_chart(
        XL_CHART_TYPE.COLUMN_CLUSTERED, Inches(1), Inches(4), Inches(4), Inches(2), data
    )
    frame.chart.has_title = True
    frame.chart.chart_title.text_frame.text = "Forecast"
    texts = [b.text for b in read_pptx(saved(deck), key="a").blocks]
    assert texts == ["풀 | 한도\ngpu | 96", "Forecast\n | peak\nQ1 | 104\nQ2 | 118.5"]


def test_merged_cells_of_a_slide_are_repeated(saved: Saved) -> None:
    """As in the other formats."""
    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    table = slide.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
    for cell, text in zip(table.iter_cells(), ["gpu", "1", "", "2"], strict=True):
        cell.text = text
    table.cell(0, 0).merge(table.cell(1, 0))
    assert read_pptx(saved(deck), key="a").blocks[0].text == "gpu | 1\ngpu | 2"


def test_what_python_pptx_refuses_has_a_reason(
    saved: Saved, with_part: Callable[..., bytes]
) -> None:
    """As for Word."""
    data = saved(_deck())
    macro = with_part(
        data,
        "[Content_Types].xml",
        lambda xml: xml.replace("presentation.main+xml", "slideshow.other+xml"),
    )
    broken = with_part(data, "ppt/presentation.xml", lambda xml: xml[:200])
    for bad, reason in ((macro, Reason.UNSUPPORTED), (broken, Reason.CORRUPT)):
        with pytest.raises(DocumentError) as caught:
            read_pptx(bad, key="a.pptx")
        assert caught.value.reason == reason


def test_a_relation_to_nothing_costs_nothing(saved: Saved, with_part: Callable[..., bytes]) -> None:
    """Converters write `Target="NULL"`; Office opens such files."""
    dangling = '<Relationship Id="rId99" Type="http://a/image" Target="../NULL"/></Relationships>'
    document = Document()
    document.add_paragraph("a rule")
    for data, part, read in (
        (saved(document), "word/_rels/document.xml.rels", read_docx),
        (saved(_deck()), "ppt/_rels/presentation.xml.rels", read_pptx),
    ):
        bad = with_part(data, part, lambda xml: xml.replace("</Relationships>", dangling))
        assert read(bad, key="a").blocks == read(data, key="a").blocks


def test_a_slide_that_cannot_be_read_costs_only_itself(
    saved: Saved, with_part: Callable[..., bytes]
) -> None:
    """The other slides are cited by their own numbers, and the document says what is missing."""
    deck = Presentation()
    for name in ("first", "second"):
        slide = deck.slides.add_slide(deck.slide_layouts[5])
        slide.shapes.title.text = name
    bad = with_part(
        saved(deck), "ppt/slides/slide1.xml", lambda xml: xml.replace("<p:spTree>", "<p:sp/><p:x>")
        .replace("</p:spTree>", "</p:x>"),
    )  # fmt: skip
    draft = read_pptx(bad, key="a")
    assert [(b.text, b.place.slide) for b in draft.blocks] == [("second", 2)]
    assert [note.kind for note in draft.notes] == [NoteKind.PART_LEFT_OUT]


@pytest.mark.parametrize(
    ("kind", "number", "shown"),
    [("ganada", 3, "다"), ("upperRoman", 9, "IX"), ("lowerLetter", 27, "aa"),
     ("decimalEnclosedCircle", 20, "⑳"), ("koreanCounting", 21, "이십일"), ("unknown", 4, "4")],
)  # fmt: skip
def test_numbers_are_written_as_word_writes_them(kind: str, number: int, shown: str) -> None:
    """`제2조 ① 가.` is how people cite a rule."""
    assert number_in(number, kind) == shown


def test_outer_numbers_and_restarts_are_counted(
    saved: Saved, with_part: Callable[..., bytes]
) -> None:
    """`1.1`, `1.2`, `2.1`: a clause is found by its number."""
    levels = "".join(
        f'<w:lvl w:ilvl="{n}"><w:start w:val="1"/><w:numFmt w:val="decimal"/>'
        f'<w:lvlText w:val="{text}"/></w:lvl>' for n, text in enumerate(("%1.", "%1.%2"))
    )  # fmt: skip
    numbers = (
        f'<w:abstractNum w:abstractNumId="77">{levels}</w:abstractNum>',
        '<w:num w:numId="77"><w:abstractNumId w:val="77"/></w:num>',
    )
    document = Document()
    for depth in (0, 1, 1, 0, 1):
        paragraph = document.add_paragraph("x")
        paragraph._p.get_or_add_pPr().append(
            parse_xml(f'<w:numPr {W}><w:ilvl w:val="{depth}"/><w:numId w:val="77"/></w:numPr>')
        )
    data = with_part(
        saved(document), "word/numbering.xml",
        lambda xml: xml.replace("<w:num ", f"{numbers[0]}<w:num ", 1).replace(
            "</w:numbering>", f"{numbers[1]}</w:numbering>"),
    )  # fmt: skip
    (block,) = read_docx(data, key="a").blocks
    assert block.text.split("\n") == ["1. x", "  1.1 x", "  1.2 x", "2. x", "  2.1 x"]
